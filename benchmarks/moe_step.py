"""One training step of a mixture-of-experts model with adapters: ours beside transformers + PEFT.

All arms hold the same weights, the same adapter values and see the same tokens (documents of at most
512), in one process on one thread: forward and backward of a Mixtral of few layers with low-rank adapters
on q, k, v, on w1, w2, w3 of every expert and on the router; rank hidden / 32 as in BiMediX (128 at 4096),
float32.

- ours: the step of `bimedix train`: split adapters in one autograd function, the experts' pre-activations
  saved, documents packed end to end, the vocabulary's logits a chunk at a time;
- ours_recompute: the same, pre-activations computed again in backward;
- grouped: transformers' `grouped_mm` experts with PEFT `target_parameters`, which folds W + BA for every
  expert and back-propagates a dense dW;
- eager: transformers' loop over experts with PEFT.

Loss and every adapter gradient are compared before anything is timed, else the script ends with an error.
Arms alternate (A B B A); figures are medians of process CPU time; `self_pair` is ours against ours. Memory
is the peak over the loaded model and its adapters, in a fresh process per arm.

A fourth arm is put to no clock, for it gives other numbers: bitsandbytes' four-bit experts with PEFT
(`_bnb_peft.py`). `bnb_peft_audit` says what the audit at the end of every training here finds in it:
adapters that one step leaves as they were, and logits that are not those of the unpacked weights. Ours
passes in the same run.

Where `products` says `onednn`, ours multiplies with frozen weights through oneDNN (`bimedix.model.products`)
and the others through MKL, as torch does by itself; `speedup_mkl_*` is ours held to MKL too.

Goals: at least 3.5, 2.0 and 1.6 times faster than `grouped` at 128, 512 and 2,048 tokens; extra memory at
most 0.35 times at 256 tokens and 0.65 times at 1,024.

    python benchmarks/moe_step.py --quick --json
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from _bnb_peft import audit
from _common import arguments, finish, in_fresh_process, parser, peak_rss_mib
from bimedix.model import products
from bimedix.model.adapters import attach, gradients_by_name, named_adapters
from bimedix.model.layouts import read_peft, write_peft
from bimedix.model.load import tiny_model
from bimedix.model.packing import ATTENTION, Packed, pack, register_attention
from bimedix.model.settings import AdapterSettings, TinySettings
from bimedix.train.loop import Objective

MEMORY_TOKENS = (256, 1024)
LARGEST_LOSS_DIFFERENCE = 1e-5
LARGEST_GRADIENT_DIFFERENCE = 1e-4
"""Relative, Frobenius norm, float32; the tests hold 5e-6 on a smaller model."""


def shape(hidden: int, layers: int) -> TinySettings:
    return TinySettings(
        hidden=hidden, ffn=hidden * 7 // 2, layers=layers, heads=hidden // 64, kv_heads=hidden // 256,
        experts=8, vocab=512, init_std=0.05,
    )  # fmt: skip


def settings(hidden: int) -> AdapterSettings:
    return AdapterSettings(rank=hidden // 32, alpha=hidden / 64, router="lora")


def our_model(hidden: int, layers: int, recompute: bool = False) -> Any:
    model = attach(tiny_model(shape(hidden, layers)), settings(hidden))
    source = torch.Generator().manual_seed(5)
    for _, view in named_adapters(model):
        view.normal_(0, 0.02, generator=source)
    model.engine_state.save_gate_up = not recompute
    register_attention()
    model.set_attn_implementation(ATTENTION)
    return model.train()


def peft_model(hidden: int, layers: int, folder: Path, implementation: str) -> Any:
    """Return PEFT's model with the adapters of `folder`."""
    from peft import PeftModel

    base = tiny_model(shape(hidden, layers))
    base.set_experts_implementation(implementation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(base, folder, is_trainable=True).train()


def tokens_of(count: int) -> torch.Tensor:
    """Return [documents, tokens each]: at most 512 each, as the paper's average of 482."""
    source = torch.Generator().manual_seed(count)
    return torch.randint(0, 512, (max(1, count // 512), min(count, 512)), generator=source)


def packed_of(ids: torch.Tensor) -> Packed:
    """Return the documents end to end, every token supervised."""
    return pack([(row.tolist(), [True] * len(row)) for row in ids])


def loss_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return the mean loss: ours by the objective of training, the others by their logits."""
    if hasattr(model, "engine_state"):
        packed = packed_of(ids)
        loss: torch.Tensor = Objective(model)(packed) / len(packed.rows)
        return loss
    logits = model(input_ids=ids, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def step(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Forward and backward; returns the loss."""
    for parameter in model.parameters():
        parameter.grad = None
    loss = loss_of(model, ids)
    loss.backward()
    return loss.detach()


def compare(ours: Any, theirs: Any, ids: torch.Tensor, hidden: int, layers: int) -> dict[str, float]:
    """Return relative differences of loss and of the worst adapter gradient; ends when they are too large."""
    mine, other = step(ours, ids), step(theirs, ids)
    gradients = gradients_by_name(ours)
    worst = 0.0
    for name, gradient in peft_gradients(theirs, hidden, layers).items():
        difference = float((gradients.pop(name) - gradient).norm() / gradient.norm().clamp(min=1e-30))
        worst = max(worst, difference)
    loss_difference = float((mine - other).abs() / other.abs())
    if gradients or loss_difference > LARGEST_LOSS_DIFFERENCE or worst > LARGEST_GRADIENT_DIFFERENCE:
        raise SystemExit(
            f"arms differ: loss {loss_difference:.1e}, gradient {worst:.1e}, unmatched {len(gradients)}"
        )
    return {"loss_difference": loss_difference, "gradient_difference": worst}


def peft_gradients(model: Any, hidden: int, layers: int) -> dict[str, torch.Tensor]:
    """Return PEFT's gradients under our names: written as an adapter of gradients and read back.

    Off the diagonal of B, PEFT trains what would tie w1 to w3; our model has no such weights.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    values = [p.data for p in trained]
    rank = settings(hidden).rank
    for name, p in model.named_parameters():
        if p.requires_grad:
            p.data = p.grad.clone()
            if "experts.base_layer.lora_B" in name:
                b = p.data.view(2, -1, 2, rank, 8)
                b[0, :, 1] = 0
                b[1, :, 0] = 0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
        found = dict(named_adapters(read_peft(tiny_model(shape(hidden, layers)), Path(folder))))
    for p, value in zip(trained, values, strict=True):
        p.data = value
    return found


def cpu_seconds(model: Any, ids: torch.Tensor) -> float:
    start = time.process_time()
    step(model, ids)
    return time.process_time() - start


def paired(a: Any, b: Any, ids: torch.Tensor, repeats: int) -> tuple[list[float], list[float]]:
    """Time two models in the order A B B A ...; one unmeasured run of each comes first."""
    cpu_seconds(a, ids), cpu_seconds(b, ids)
    of_a: list[float] = []
    of_b: list[float] = []
    for turn in range(repeats):
        order = ((a, of_a), (b, of_b)) if turn % 2 == 0 else ((b, of_b), (a, of_a))
        for model, times in order:
            times.append(cpu_seconds(model, ids))
    return of_a, of_b


@contextmanager
def held_to_mkl() -> Iterator[None]:
    """Let our products go where torch's own go."""
    chosen = products.onednn_pays
    products.onednn_pays = lambda: False
    try:
        yield
    finally:
        products.onednn_pays = chosen


def speed(arms: dict[str, Any], tokens: int, repeats: int, quick: bool) -> dict[str, float]:
    """Return times and ratios at one number of tokens."""
    ids, ours = tokens_of(tokens), arms["ours"]
    mine, theirs = (statistics.median(times) for times in paired(ours, arms["grouped"], ids, repeats))
    figures = {
        f"speedup_{tokens}": theirs / mine,
        f"ours_cpu_s_{tokens}": mine,
        f"grouped_cpu_s_{tokens}": theirs,
    }
    with held_to_mkl():
        step(ours, ids)
        held = statistics.median(cpu_seconds(ours, ids) for _ in range(repeats))
    figures[f"speedup_mkl_{tokens}"] = theirs / held
    if not quick:
        pairs = {"speedup_over_eager": "eager", "self_pair": "ours", "recompute_cost": "recompute"}
        for name, other in pairs.items():
            a, b = paired(ours, arms[other], ids, repeats)
            figures[f"{name}_{tokens}"] = statistics.median(b) / statistics.median(a)
    return {name: round(value, 4) for name, value in figures.items()}


def memory(hidden: int, layers: int) -> dict[str, float]:
    """Return extra memory of both arms and its ratio, each size in fresh processes, two at a time."""

    def extra(case: tuple[str, int]) -> float:
        words = ("--memory-of", case[0], "--tokens", str(case[1]))
        more = ("--hidden", str(hidden), "--layers", str(layers))
        return float(in_fresh_process(__file__, *words, *more)["figures"]["extra_mib"])

    cases = [(arm, tokens) for tokens in MEMORY_TOKENS for arm in ("ours", "grouped_mm")]
    with ThreadPoolExecutor(2) as pool:
        sizes = dict(zip(cases, pool.map(extra, cases), strict=True))
    figures = {}
    for tokens in MEMORY_TOKENS:
        mine, theirs = sizes["ours", tokens], sizes["grouped_mm", tokens]
        figures[f"memory_ratio_{tokens}"] = round(mine / theirs, 3)
        figures[f"ours_extra_mib_{tokens}"] = round(mine, 1)
        figures[f"grouped_mm_extra_mib_{tokens}"] = round(theirs, 1)
    return figures


def memory_of(arm: str, hidden: int, layers: int, tokens: int) -> dict[str, float]:
    """Return MiB above the loaded model at the peak of two steps; runs in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        ours = our_model(hidden, layers)
        write_peft(ours, Path(folder), "fused")
        model = ours if arm == "ours" else peft_model(hidden, layers, Path(folder), arm)
    step(model, tokens_of(8))
    for parameter in model.parameters():
        parameter.grad = None
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew from what is resident now.
    before = peak_rss_mib()
    ids = tokens_of(tokens)
    for _ in range(2):
        step(model, ids)
    return {"extra_mib": peak_rss_mib() - before}


def main() -> None:
    options: argparse.ArgumentParser = parser(__doc__)
    options.add_argument("--hidden", type=int, default=0, help="Width; 0: 512 when quick, else 1024.")
    options.add_argument("--layers", type=int, default=1, help="Decoder layers.")
    options.add_argument("--memory-of", default="", help="(inner) Measure one arm's memory at --tokens.")
    options.add_argument("--tokens", type=int, default=0, help="(inner) Tokens for --memory-of.")
    given = arguments(__doc__, options)
    torch.set_num_threads(1)
    hidden, layers = given.hidden or (512 if given.quick else 1024), given.layers
    if given.memory_of:
        finish(memory_of(given.memory_of, hidden, layers, given.tokens), True)
        return

    arms = {"ours": our_model(hidden, layers)}
    with tempfile.TemporaryDirectory() as folder:
        write_peft(arms["ours"], Path(folder), "fused")
        arms["grouped"] = peft_model(hidden, layers, Path(folder), "grouped_mm")
        if not given.quick:
            arms["eager"] = peft_model(hidden, layers, Path(folder), "eager")
    figures: dict[str, Any] = {"hidden": hidden, "layers": layers, "rank": settings(hidden).rank}
    figures["products"] = "onednn" if products.onednn_pays() else "mkl"
    figures |= compare(arms["ours"], arms["grouped"], tokens_of(128), hidden, layers)
    arms["recompute"] = our_model(hidden, layers, recompute=True)
    figures["bnb_peft_audit"] = audit(shape(hidden, layers), settings(hidden), tokens_of(128))
    if not figures["bnb_peft_audit"]["ours_passed"] or not figures["bnb_peft_audit"]["ours_logits_equal"]:
        raise SystemExit(f"ours fails its own audit: {figures['bnb_peft_audit']}")
    losses = [step(arms[name], tokens_of(128)) for name in ("ours", "recompute")]
    figures["losses_equal"] = bool(torch.equal(*losses))
    for tokens in (128, 512, 2048):
        repeats = given.repeats if tokens < 2048 else max(2, given.repeats - 1)
        figures |= speed(arms, tokens, repeats, given.quick)
    figures |= memory(hidden, layers)
    finish(figures, given.json, packages=("torch", "transformers", "peft", "bitsandbytes"))


if __name__ == "__main__":
    main()
