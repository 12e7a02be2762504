"""Do choices depend on what is scored together? Batch sizes, orders of the questions, number types.

A flip is a question whose best option differs from that of scoring it alone, one forward per option. Counted
over budgets of 1, 512 and 4,096 tokens a batch and over three shuffles, in float32 and bfloat16:

- a random Mixtral of 30 million parameters, whose options are all nearly equal: flips only;
- the model that `recipes/tiny.toml` trains to separate the options of its own questions, in English and
  Arabic: flips, and the share of questions that the tie guard scores again alone. `--run` names a finished
  run; without it the recipe is run up to `train` (a minute or two); `--quick` leaves it out unless `--run` is
  given.

    python benchmarks/invariance.py --run runs/tiny --json
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from _common import arguments, finish, parser

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "recipes" / "tiny.toml"
BUDGETS = (1, 512, 4096)
"""Tokens of a batch; 1 is one question at a time."""
SHUFFLES = 3
DTYPES = ("float32", "bfloat16")


def questions(tokenizer: Any, run: Path) -> list[Any]:
    """Return what the room `evaluate` scores for the questions that the run was taught, in both languages."""
    from bimedix.evaluate.asking import Asker
    from bimedix.files import read_any_records
    from bimedix.records import MultipleChoice, Translation

    asker, requests = Asker(tokenizer, "mixtral", 2048), {}
    taught = {record.id for record in read_any_records(_room(run, "mix") / "train.jsonl")}
    for room in ("curate", "review"):
        for record in read_any_records(_room(run, room) / "records.jsonl"):
            item = record.target if isinstance(record, Translation) else record
            if isinstance(item, MultipleChoice) and record.id in taught:
                requests[item.id] = asker.scoring(item.id, item, "letters")
    return list(requests.values())


def _room(run: Path, name: str) -> Path:
    (folder,) = run.glob(f"*_{name}")
    return folder


def made_up(tokenizer: Any, count: int) -> list[Any]:
    """Return questions of invented words, with five examples before them."""
    from bimedix.evaluate.asking import encode_pairs
    from bimedix.evaluate.trie import Scoring
    from scoring import TASKS, prompts

    return [
        Scoring(str(number), *encode_pairs(tokenizer, *pair))
        for number, pair in enumerate(prompts(TASKS[0], count))
    ]


def measure(model: Any, requests: Sequence[Any], dtype: str) -> dict[str, float]:
    """Return flips over all budgets and orders, questions, and the largest share scored again alone."""
    import torch

    from bimedix.evaluate.scoring import score, score_alone

    model = model.to(getattr(torch, dtype))
    alone = {request.id: _best(score_alone(model, request)) for request in requests}
    flips, guarded = 0, 0.0
    for budget in BUDGETS:
        for seed in range(SHUFFLES):
            mixed = Random(seed).sample(requests, len(requests))
            found, report = score(model, mixed, budget=budget, verify=0)
            flips += sum(_best(found[name]) != best for name, best in alone.items())
            guarded = max(guarded, report.guarded / len(requests))
    return {"flips": flips, "questions": len(requests), "guarded_share": round(guarded, 4)}


def _best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda index: values[index])


def train(folder: Path) -> Path:
    """Run the recipe up to the trained model."""
    words = [sys.executable, "-m", "bimedix", "run", str(RECIPE), "--out", str(folder), "--until", "train"]
    done = subprocess.run(
        words, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    return folder


def trained_model(run: Path) -> tuple[Any, Any]:
    """Return the model with its adapter, and its tokenizer."""
    from bimedix.model.adapters import load_adapter
    from bimedix.model.load import load_model, load_tokenizer

    stage = _room(run, "train")
    model = load_adapter(load_model(stage / "base", dtype="float32"), stage / "adapter").eval()
    return model, load_tokenizer(str(stage / "base"), run)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--run", type=Path, help="Folder of a finished run of recipes/tiny.toml.")
    chosen = arguments(options=options)
    import torch

    from bimedix.model.load import mixtral_tokenizer, tiny_model
    from bimedix.model.settings import TinySettings

    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    random = tiny_model(TinySettings(hidden=256, ffn=512, layers=4, heads=8, kv_heads=4)).eval()
    asked = made_up(mixtral_tokenizer(), 8 if chosen.quick else 32)
    for dtype in DTYPES:
        found = measure(random, asked, dtype)
        figures |= {f"random_{dtype}_{name}": found[name] for name in ("flips", "questions")}
    figures["left_out"] = ["trained model (give --run)"] if chosen.quick and not chosen.run else []
    if not figures["left_out"]:
        with tempfile.TemporaryDirectory() as folder:
            run = chosen.run or train(Path(folder) / "run")
            model, tokenizer = trained_model(run)
            for dtype in DTYPES:
                found = measure(model, questions(tokenizer, run), dtype)
                figures |= {f"trained_{dtype}_{name}": value for name, value in found.items()}
    finish(figures, chosen.json, packages=("torch", "transformers"))


if __name__ == "__main__":
    main()
