"""The rival arms of `calls.py`: one run of a peer's call runner, in the peer's own Python.

`calls.py` starts this file with the interpreter of the peer's virtual environment and reads the last line.
Nothing of bimedix is imported here, so that pins of either side do not matter.

    /tmp/peer_curator/bin/python benchmarks/_peers.py curator ADDRESS FOLDER PROMPTS.json

Each arm gets the same prompts, system prompt and parameters and as many calls in flight as ours; the clock
starts after the imports. Both keep what they were answered, as ours does; datatrove does so only with
checkpoints, so it has an arm with and one without.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _common import peak_rss_mib

SYSTEM = "Be kind."
PARAMETERS = {"max_tokens": 50, "temperature": 0.0}
Arm = Callable[[str, Path, list[str], int], Callable[[], list[str]]]


def hash_of(answers: list[str]) -> str:
    return hashlib.blake2b("\n".join(answers).encode(), digest_size=8).hexdigest()


def chat(prompt: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]


def prepare_curator(
    address: str, folder: Path, prompts: list[str], in_flight: int
) -> Callable[[], list[str]]:
    """Bespoke Curator, its OpenAI backend, limits so high that only the calls in flight count.

    It counts tokens by a vocabulary that it fetches from the network; without a copy in
    `TIKTOKEN_CACHE_DIR`, a vocabulary of single bytes takes its place.
    """
    import os

    import tiktoken
    from bespokelabs import curator

    if not os.environ.get("TIKTOKEN_CACHE_DIR"):
        ranks = {bytes([number]): number for number in range(256)}
        plain = tiktoken.Encoding("bytes", pat_str=r"\s?\S+|\s", mergeable_ranks=ranks, special_tokens={})
        tiktoken.get_encoding = lambda _: plain

    class Asker(curator.LLM):  # type: ignore[misc]
        def prompt(self, row: dict[str, Any]) -> list[dict[str, str]]:
            return chat(row["text"])

        def parse(self, row: dict[str, Any], response: str) -> dict[str, Any]:
            return {"number": row["number"], "answer": response}

    limits = dict.fromkeys(("max_requests_per_minute", "max_tokens_per_minute"), 10**9)
    local = {"base_url": address, "api_key": "none", "max_concurrent_requests": in_flight}

    def work() -> list[str]:
        asker = Asker("m", backend="openai", generation_params=PARAMETERS, backend_params=local | limits)
        rows = [{"number": number, "text": text} for number, text in enumerate(prompts)]
        found = asker(rows, working_dir=str(folder)).dataset
        return [str(row["answer"]) for row in sorted(found, key=lambda row: int(row["number"]))]

    return work


def prepare_datatrove(
    address: str, folder: Path, prompts: list[str], in_flight: int, *, checkpoints: bool = True
) -> Callable[[], list[str]]:
    """datatrove's InferenceRunner in this process, on its path for local endpoints."""
    from datatrove.data import Document
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.writers import JsonlWriter
    from loguru import logger

    logger.remove()
    config = InferenceConfig(
        server_type="endpoint", endpoint_url=address.removesuffix("/v1"), model_name_or_path="m",
        default_generation_params=PARAMETERS, max_concurrent_generations=in_flight,
    )  # fmt: skip

    async def roll(document: Any, generate: Any) -> Any:
        return await generate({"messages": chat(document.text)})

    name = "${rank}_${chunk_index}.jsonl" if checkpoints else "${rank}.jsonl"
    writer = JsonlWriter(str(folder / "out"), output_filename=name, compression=None)
    kept = str(folder / "checkpoints") if checkpoints else None

    def work() -> list[str]:
        runner = InferenceRunner(roll, config, writer, checkpoints_local_dir=kept)
        runner.run((Document(text=text, id=str(n)) for n, text in enumerate(prompts)), 0, 1)
        files = (folder / "out").glob("*.jsonl")
        rows = [json.loads(line) for file in files for line in file.read_bytes().split(b"\n")[:-1]]
        rows.sort(key=lambda row: int(row["id"]))
        return [str(row["metadata"]["rollout_results"][0]["text"]) for row in rows]

    return work


def prepare_datatrove_unkept(address: str, folder: Path, prompts: list[str], in_flight: int) -> Any:
    return prepare_datatrove(address, folder, prompts, in_flight, checkpoints=False)


ARMS: dict[str, tuple[str, str, Arm]] = {
    "curator": ("curator", "bespokelabs-curator", prepare_curator),
    "datatrove": ("datatrove", "datatrove", prepare_datatrove),
    "datatrove_unkept": ("datatrove", "datatrove", prepare_datatrove_unkept),
}
"""Arm → (peer whose Python it needs, package, what prepares it)."""


def main() -> None:
    arm, address, folder, prompts, in_flight = sys.argv[1:6]
    _, package, prepare = ARMS[arm]
    texts = json.loads(Path(prompts).read_text(encoding="utf-8"))
    work = prepare(address, Path(folder), texts, int(in_flight))
    started, cpu = time.perf_counter(), time.process_time()
    answers = work()
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    figures = {
        "records_per_s": len(texts) / wall_s,
        "cpu_ms_per_record": cpu_s / len(texts) * 1e3,
        "rss_mib": peak_rss_mib(),
        "version": version(package),
        "hash": hash_of(answers),
    }
    print("\n" + json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
