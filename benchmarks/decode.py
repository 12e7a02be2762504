"""Decoding at batch 1: NF4 with adapters beside the weights, against transformers with PEFT, and merged.

All arms compute the same function: the weights are those that NF4 holds, unpacked for the others. A prompt
goes in, then tokens one by one, greedily, in float32, on one thread, in one process.

- ours: what `bimedix chat`, `serve` and `evaluate` run (`bimedix.model.decode`): NF4 matrices, adapters
  apart, only the chosen experts read, a static cache;
- peft: transformers with PEFT's unmerged adapters, experts by its `eager` loop, growing cache;
- merged: transformers with the adapters added into float32 weights, by the fastest of its three ways to run
  experts (`eager`, `batched_mm`, `grouped_mm`);
- ours_merged: the merged weights in our decoder, to part what the format gives from what the decoder gives.

The tokens of all arms and their logits are compared before anything is timed, else the script ends with an
error. Arms alternate; figures are medians of process CPU time per token, prompt not counted; `self_pair` is
ours against ours. `nf4_kernel` says how four bits are multiplied: `c` by the kernel that the machine's
compiler made (`bimedix.model.native`), `torch` by table look-ups; `speedup_torch_vs_merged` is ours so.

Goals: at least 5 times faster than `peft`, and at least as fast as `merged`.

    python benchmarks/decode.py --quick --json
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from _bnb_peft import rounded_model
from _common import arguments, finish
from bimedix.model.adapters import named_adapters, save_adapter
from bimedix.model.blocks import attach
from bimedix.model.decode import Decoder
from bimedix.model.layouts import write_peft
from bimedix.model.load import load_model, save_model
from bimedix.model.merge import merge_files
from bimedix.model.native import nf4_kernel
from bimedix.model.products import onednn_pays
from bimedix.model.settings import AdapterSettings, TinySettings

PROMPT, QUICK_TOKENS, TOKENS = 32, 8, 24
LARGEST_DIFFERENCE = 1e-4
"""Of logits, relative (Frobenius norm)."""
WAYS = ("eager", "batched_mm", "grouped_mm")


def shape(hidden: int, layers: int) -> TinySettings:
    """Return Mixtral's proportions at another width."""
    return TinySettings(
        hidden=hidden, ffn=hidden * 7 // 2, layers=layers, heads=hidden // 64, kv_heads=max(1, hidden // 256),
        experts=8, vocab=512, init_std=0.05,
    )  # fmt: skip


def adapters(hidden: int, base: Any) -> AdapterSettings:
    return AdapterSettings(
        rank=hidden // 32, alpha=hidden / 64, router="lora", base=base, nf4_scales="float32"
    )


def with_values(model: Any) -> Any:
    source = torch.Generator().manual_seed(5)
    for _, view in named_adapters(model):
        view.normal_(0, 0.02, generator=source)
    return model


Step = Callable[[Tensor], Tensor]


def ours(model: Any, length: int) -> Step:
    """Return a fresh cache's step: ids [1, T] to logits [1, V]."""
    return Decoder(model, length).step


def theirs(model: Any, length: int) -> Step:
    """Return transformers' step with its growing cache."""
    cache: Any = None

    @torch.inference_mode()
    def step(ids: Tensor) -> Tensor:
        nonlocal cache
        out = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        logits: Tensor = out.logits[:, -1]
        return logits

    return step


@contextmanager
def by_torch() -> Iterator[None]:
    """Leave the kernel in C out."""
    os.environ["BIMEDIX_NATIVE"] = "0"
    try:
        yield
    finally:
        del os.environ["BIMEDIX_NATIVE"]


def decode(make: Callable[[], Step], prompt: Tensor, count: int) -> tuple[float, list[int], Tensor]:
    """Return CPU seconds per token, the tokens, and all logits."""
    step = make()
    logits = [step(prompt)]
    tokens = [int(logits[-1].argmax())]
    start = time.process_time()
    for _ in range(count):
        logits.append(step(torch.tensor([[tokens[-1]]])))
        tokens.append(int(logits[-1].argmax()))
    return (time.process_time() - start) / count, tokens, torch.cat(logits)


def arms_of(hidden: int, layers: int) -> dict[str, Any]:
    """Return the models by arm; those of transformers are in evaluation mode."""
    from peft import PeftModel

    made: dict[str, Any] = {}
    made["ours"] = with_values(attach(rounded_model(shape(hidden, layers)), adapters(hidden, "nf4")))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_peft(made["ours"], Path(folder) / "peft", "fused")
        base = rounded_model(shape(hidden, layers))
        base.set_experts_implementation("eager")
        made["peft"] = PeftModel.from_pretrained(base, Path(folder) / "peft").eval()
        save_model(rounded_model(shape(hidden, layers)), Path(folder) / "base")
        save_adapter(made["ours"], Path(folder) / "adapter")
        merge_files(Path(folder) / "base", Path(folder) / "adapter", Path(folder) / "merged")
        for way in WAYS:
            made[f"merged_{way}"] = load_model(Path(folder) / "merged")
            made[f"merged_{way}"].set_experts_implementation(way)
        made["ours_merged"] = load_model(Path(folder) / "merged")
    return {name: model.eval() for name, model in made.items()}


def compare(arms: dict[str, Callable[[], Step]], prompt: Tensor, count: int) -> float:
    """Return the largest difference of an arm's logits from ours; ends when tokens or logits differ."""
    _, tokens, logits = decode(arms["ours"], prompt, count)
    worst = 0.0
    for name, make in arms.items():
        _, own, found = decode(make, prompt, count)
        difference = float((found - logits).norm() / logits.norm())
        worst = max(worst, difference)
        if own != tokens or difference > LARGEST_DIFFERENCE:
            raise SystemExit(f"{name} differs from ours: logits {difference:.1e}, tokens {own} and {tokens}")
    return worst


def measure(hidden: int, layers: int, count: int, repeats: int) -> dict[str, Any]:
    """Return figures at one width."""
    models = arms_of(hidden, layers)
    prompt = torch.randint(0, 512, (1, PROMPT), generator=torch.Generator().manual_seed(1))
    length = PROMPT + count + 1
    arms = {
        name: partial(ours if name.startswith("ours") else theirs, model, length)
        for name, model in models.items()
    }
    figures: dict[str, Any] = {f"logits_difference_{hidden}": compare(arms, prompt, count)}
    arms["self"] = arms["ours"]
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(repeats):
        for name in arms if turn % 2 == 0 else reversed(arms):
            seconds[name].append(decode(arms[name], prompt, count)[0])
    with by_torch():
        times = [decode(arms["ours"], prompt, count)[0] for _ in range(repeats)]
    median = {name: statistics.median(own) for name, own in seconds.items()}
    best = min((f"merged_{way}" for way in WAYS), key=lambda name: median[name])
    for name in ("ours", "ours_merged", "peft", best):
        short = "merged" if name == best else name
        figures[f"{short}_cpu_ms_per_token_{hidden}"] = round(1e3 * median[name], 4)
        figures[f"{short}_cpu_ms_min_max_{hidden}"] = [
            round(1e3 * edge(seconds[name]), 4) for edge in (min, max)
        ]
    return figures | {
        f"fastest_merged_{hidden}": best.removeprefix("merged_"),
        f"speedup_decode_{hidden}": round(median["peft"] / median["ours"], 3),
        f"speedup_vs_merged_{hidden}": round(median[best] / median["ours"], 3),
        f"speedup_torch_vs_merged_{hidden}": round(median[best] / statistics.median(times), 3),
        f"speedup_of_decoder_{hidden}": round(median[best] / median["ours_merged"], 3),
        f"self_pair_{hidden}": round(median["self"] / median["ours"], 3),
    }


def main() -> None:
    given = arguments(__doc__)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    widths = (512,) if given.quick else (256, 512, 1024)
    figures: dict[str, Any] = {
        "layers": 2,
        "prompt_tokens": PROMPT,
        "products": "onednn" if onednn_pays() else "mkl",
        "nf4_kernel": "c" if nf4_kernel() else "torch",
    }
    for hidden in widths:
        figures |= measure(hidden, 2, QUICK_TOKENS if given.quick else TOKENS, given.repeats)
    for name in ("speedup_decode", "speedup_vs_merged"):
        figures[name] = min(figures[f"{name}_{hidden}"] for hidden in widths)
    finish(figures, given.json, packages=("torch", "transformers", "peft"))


if __name__ == "__main__":
    main()
