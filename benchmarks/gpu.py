"""The engine on one GPU: ceilings, correctness, unpacking, one layer's experts, training steps, decoding.

Of the Mixtral-8x7B shape, on random four-bit weights that are made on the device. Needs torch (2.11 or newer)
and numpy beside this repository's source; an arm whose package is not installed is left out by name. Each
part is meant to take less than ten minutes on an H200 and can be run by itself; its figures go to
`benchmarks/results/gpu.json`, beside those of the parts that ran before.

- ceilings: a large bf16 product and a large copy: what every other figure is a share of;
- correct: output and gradients of the experts, and of a model of two layers, in bf16 against float64 on the
  CPU, and in float32 against the CPU; fresh random inputs, memory poisoned with NaN;
- dequant: GB/s of unpacking one layer, read and written; GB/s of products of few rows that read four bits;
- block: one layer's experts, forward and backward, uniform and skewed routing, every arm;
- step: a training step with optimizer, rank 128, all targets: tokens/s without padding, useful TFLOP/s
  (frozen products forward and backward, adapters, attention; nothing twice), memory, unpacking;
- decode: tokens/s at batch 1 to 16, from a recorded graph.

Arms alternate (A B C C B A); figures are medians with lowest and highest; `loop_again` is the self-pair. Loss
and gradients are compared before anything is timed.

    python benchmarks/gpu.py --part all
    python benchmarks/gpu.py --rehearse     # the same code on the CPU, tiny; its times mean nothing
"""

import argparse
import gc
import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from _common import finish, machine, parser, versions  # isort: skip  (puts our source on the path)
from _gpu_arms import apart, arms, make_case, make_weights, ours, poison, reference
from _gpu_model import Mixtral, gradients, random_model, trained_parameters
from bimedix.model import nf4
from bimedix.model.arithmetic import (
    OptimizerFormat,
    Recompute,
    Shape,
    count_parameters,
    decode_bytes,
    known_config,
    memory,
    shape_of,
    training_flops,
    weight_bytes,
)
from bimedix.model.blocks import blocks
from bimedix.model.budget import PASSES, Rates, RecomputePlan, plan_recompute
from bimedix.model.devices import kernels_of
from bimedix.model.lora import FrozenLinear, LoraLinear
from bimedix.model.moe import Factors
from bimedix.model.nf4 import Nf4Weight, few_rows, unpack
from bimedix.model.packing import Packed, pack
from bimedix.model.recompute import keep_unpacked
from bimedix.model.settings import AdapterSettings

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "gpu.json"
GB = 1e9
PAPER = "1,254 tokens/s per A100-80GB: BiMediX, 632 M tokens, 2 epochs, 35 h, 8 GPUs, r 128, 482 a pass"
PAPER_TOKENS_PER_S = 1254
BLOCK_BOUND, STEP_BOUND, CPU_BOUND = 1e-2, 5e-2, 1e-4
"""Largest relative error: of experts and of the loss in bf16; of the worst gradient in two bf16 layers, where
roundings add up (0.02 to 0.033 on the CPU); of float32 on device and CPU."""


@dataclass(frozen=True)
class Sizes:
    """What a run measures, in full or in rehearsal."""

    shape: Shape
    adapter: AdapterSettings
    product: int
    """Width of the square product of the ceilings."""
    copied: int
    """Bytes of the copy of the ceilings."""
    checked: Shape
    """Model of two layers that is compared with the CPU."""
    block_tokens: tuple[int, ...]
    step_tokens: tuple[int, ...]
    document: int
    """Tokens of a packed document."""
    lean_tokens: int
    """Tokens of the step that has to keep to `lean_bytes`."""
    lean_bytes: float
    batches: tuple[int, ...]
    context: int
    """Tokens in the cache when decoding is timed."""
    rounds: int


_CHECKED = {
    "model_type": "mixtral", "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 2, "num_local_experts": 8, "vocab_size": 1024,
}  # fmt: skip
_TINY = _CHECKED | {
    "hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_local_experts": 4,
    "vocab_size": 256,
}  # fmt: skip
TARGETS = AdapterSettings(rank=128, alpha=64.0, router="lora", base="nf4")
FULL = Sizes(
    shape=shape_of(known_config("mixtral_8x7b")), adapter=TARGETS, product=8192, copied=4 << 30,
    checked=shape_of(_CHECKED), block_tokens=(512, 1024, 2048, 4096, 8192, 16384),
    step_tokens=(2048, 4096, 8192, 16384), document=2048, lean_tokens=8192, lean_bytes=45 * GB,
    batches=(1, 2, 4, 8, 16), context=512, rounds=4,
)  # fmt: skip
TINY = Sizes(
    shape=shape_of(_TINY), adapter=replace(TARGETS, rank=8, alpha=4.0), product=128, copied=1 << 20,
    checked=shape_of(_TINY), block_tokens=(48,), step_tokens=(64,), document=32, lean_tokens=64,
    lean_bytes=45 * GB, batches=(1, 3), context=16, rounds=1,
)  # fmt: skip


@dataclass
class Bench:
    """One run: where, how large, what came out."""

    device: torch.device
    sizes: Sizes
    source: torch.Generator
    ceilings: dict[str, float]
    """TFLOP/s and GB/s, once they are measured."""

    @property
    def cuda(self) -> bool:
        """Whether this is not a rehearsal."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object], times: int = 1) -> float:
        """Return the seconds of one call: by events of the device, by the clock in rehearsal."""
        if not self.cuda:
            start = time.perf_counter()
            for _ in range(times):
                work()
            return (time.perf_counter() - start) / times
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(times):
            work()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1000 / times

    def free(self) -> float:
        """Return free bytes of the device, after letting go of what is unused."""
        gc.collect()
        if not self.cuda:
            return float("inf")
        torch.cuda.empty_cache()
        return float(torch.cuda.mem_get_info(self.device)[0])

    @contextmanager
    def peak(self, figures: dict[str, Any], name: str, over: bool = False) -> Iterator[None]:
        """Note the peak of allocated memory in GB; `over`: above what was allocated before."""
        before = 0
        if self.cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device) if over else 0
        yield
        if self.cuda:
            figures[name] = round((torch.cuda.max_memory_allocated(self.device) - before) / GB, 2)

    def alternate(self, work: Mapping[str, Callable[[], object]], times: int = 1) -> dict[str, list[float]]:
        """Time pieces of work in the order A B C C B A ..., after one unmeasured run of each."""
        found: dict[str, list[float]] = {name: [] for name in work}
        for piece in work.values():
            piece()
        for turn in range(2 * self.sizes.rounds):
            for name in list(work)[:: 1 if turn % 2 == 0 else -1]:
                found[name].append(self.seconds(work[name], times))
        return found


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return milliseconds: median, lowest, highest."""
    chosen = {"ms": statistics.median(seconds), "min_ms": min(seconds), "max_ms": max(seconds)}
    return {name: round(1000 * value, 4) for name, value in chosen.items()}


def require(holds: bool, what: str) -> None:
    """End the run when a comparison fails: nothing is timed that is not right."""
    if not holds:
        raise SystemExit(f"gpu.py: not equal: {what}")


def part_ceilings(bench: Bench) -> dict[str, Any]:
    """Measure products and copies of random data."""
    n = bench.sizes.product
    a, b = (torch.randn(n, n, device=bench.device, generator=bench.source).bfloat16() for _ in range(2))
    source = torch.randint(0, 256, (bench.sizes.copied,), dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    times = bench.alternate({"product": lambda: a @ b, "copy": lambda: target.copy_(source)}, times=5)
    product, copy = (statistics.median(times[name]) for name in ("product", "copy"))
    found = {
        "bf16_tflops": round(2 * n**3 / product / 1e12, 3),
        "copy_gb_per_s": round(2 * bench.sizes.copied / copy / GB, 2),
    }
    bench.ceilings.update(found)
    return found


def measured_ceilings(bench: Bench) -> dict[str, float]:
    """Return the ceilings of this run, measured now when the part was not asked for."""
    return bench.ceilings or part_ceilings(bench)


def documents(tokens: int, each: int, vocab: int, seed: int) -> Packed:
    """Return documents of random ids, every token supervised."""
    source = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, vocab, (tokens,), generator=source).split(each)
    return pack([(row.tolist(), [True] * len(row)) for row in ids])


def part_correct(bench: Bench) -> dict[str, Any]:
    """Compare with float64 on the CPU, and with the CPU in float32; new random inputs in every run."""
    shape, figures = bench.sizes.checked, {}
    seed = time.time_ns() % 2**31
    source = torch.Generator(bench.device).manual_seed(seed)
    weights = make_weights(shape, bench.device, source)
    for routing in ("uniform", "zipf"):
        case = make_case(shape, weights, 192, routing, 8, source)
        exact = reference(case)
        for backend in ("loop", "grouped"):
            for save in (True, False):
                poison(bench.device, 1 << 22)
                found = ours(case, backend=backend, save_gate_up=save)
                worst = max(apart(mine.cpu(), other) for mine, other in zip(found, exact, strict=True))
                require(worst <= BLOCK_BOUND, f"experts, {backend}, {routing}, seed {seed}: {worst:.1e}")
                name = f"experts_{backend}_{routing}_error"
                figures[name] = max(worst, figures.get(name, 0.0))
    figures |= _compare_models(bench, shape, seed)
    return {"seed": seed, **{name: float(f"{value:.2e}") for name, value in figures.items()}}


def _compare_models(bench: Bench, shape: Shape, seed: int) -> dict[str, float]:
    """Compare a model of two layers in bf16 with float64, and in float32 with the CPU."""
    packed = documents(160, 50, shape.vocab, seed)
    adapter = replace(bench.sizes.adapter, rank=8, alpha=4.0)
    figures: dict[str, float] = {}
    for dtype, wide, bound in (
        (torch.bfloat16, torch.float64, STEP_BOUND),
        (torch.float32, torch.float32, CPU_BOUND),
    ):
        name = str(dtype).removeprefix("torch.")
        model = random_model(shape, adapter, bench.device, seed=seed, dtype=dtype)
        twin = random_model(shape, adapter, bench.device, seed=seed, dtype=dtype).to("cpu").to(wide)
        poison(bench.device, 1 << 22)
        model.engine_state.replay, twin.engine_state.replay = "record", "replay"
        loss = model.loss(packed.to(bench.device))
        for (_, mine), (_, other) in zip(blocks(model), blocks(twin), strict=True):
            # The twin takes the experts that were chosen here: near-ties belong to the router, not to this.
            other.gate._remembered = mine.gate._remembered.cpu()
        expected = twin.loss(packed)
        loss.backward()
        expected.backward()
        difference = apart(loss.detach().cpu(), expected.detach())
        mine, other = gradients(model), gradients(twin)
        worst = max(apart(mine[key].cpu(), other[key]) for key in other)
        require(difference <= min(bound, BLOCK_BOUND), f"loss in {name}, seed {seed}: {difference:.1e}")
        require(worst <= bound, f"gradients in {name}, seed {seed}: {worst:.1e}")
        figures |= {f"model_{name}_loss_error": difference, f"model_{name}_gradient_error": worst}
    return figures


def part_dequant(bench: Bench) -> dict[str, Any]:
    """Time unpacking of one layer's experts, by launch shape, and products of few rows."""
    shape, copy = bench.sizes.shape, measured_ceilings(bench)["copy_gb_per_s"]
    weights = make_weights(shape, bench.device, bench.source)
    stack = weights.gate_up_stack
    out = torch.empty(stack.shape[1:], dtype=torch.bfloat16, device=bench.device)
    exact = unpack(stack.packed[1].cpu(), stack.scales[1].cpu(), torch.bfloat16)
    poison(bench.device, out.numel())
    require(
        torch.equal(stack.dense(torch.bfloat16, 1, out).cpu(), exact), "bits of unpacking on CPU and device"
    )

    members = range(shape.experts)
    one = 2 * out.numel() + stack.packed[0].numel() + 2 * stack.scales[0].numel()
    work: dict[str, Callable[[], object]] = {
        "engine": lambda: [stack.dense(torch.bfloat16, e, out) for e in members]
    }
    fused: Any = kernels_of(stack.packed)
    if fused:
        levels = nf4._levels(bench.device)
        for block, steps, warps in ((8, 8, 2), (16, 4, 4), (16, 16, 4), (32, 4, 4), (32, 8, 8), (64, 2, 8)):
            chosen = {"BLOCKS": block, "STEPS": steps, "num_warps": warps}
            work[f"blocks_{block}_steps_{steps}_warps_{warps}"] = lambda chosen=chosen: [
                fused.unpack(stack.packed[e], stack.scales[e], levels, out, **chosen) for e in members
            ]
    if peer := _bitsandbytes(stack, exact):
        work["bitsandbytes"] = peer
    figures: dict[str, Any] = {"bitsandbytes": None if peer else "left out: not installed"}
    for name, seconds in bench.alternate(work, times=3).items():
        rate = shape.experts * one / statistics.median(seconds) / GB
        figures[name] = {
            **spread(seconds),
            "gb_per_s": round(rate, 1),
            "share_of_copy": round(rate / copy, 3),
        }
    figures["few_rows"] = _few_rows(bench, weights.gate_up_stack)
    return figures


def _bitsandbytes(stack: Nf4Weight, exact: Tensor) -> Callable[[], object] | None:
    """Return bitsandbytes' unpacking of the same members, or None when it is not installed."""
    if importlib.util.find_spec("bitsandbytes") is None:
        return None
    from bitsandbytes import functional

    states = []
    for e in range(stack.shape[0]):
        flat = stack.scales[e].float().reshape(-1)
        code = torch.tensor(nf4.LEVELS, device=flat.device)
        states.append(
            functional.QuantState(
                absmax=flat, shape=torch.Size(stack.shape[1:]), dtype=torch.bfloat16, blocksize=64,
                quant_type="nf4", code=code,
            )
        )  # fmt: skip
    packed = [stack.packed[e].reshape(-1, 1) for e in range(stack.shape[0])]
    require(
        torch.equal(functional.dequantize_4bit(packed[1], states[1]).cpu(), exact), "bits of bitsandbytes"
    )
    return lambda: [functional.dequantize_4bit(p, s) for p, s in zip(packed, states, strict=True)]


def _few_rows(bench: Bench, stack: Nf4Weight) -> dict[str, Any]:
    """Time products of 1 to 16 rows that read four bits: GB/s of the weight's bytes."""
    figures = {}
    weight = Nf4Weight.of(stack.packed[0], stack.scales[0], torch.bfloat16)
    size = weight.packed.numel() + 2 * weight.scales.numel()
    with torch.no_grad():
        for rows in (1, 2, 4, 8, 16):
            x = torch.randn(rows, weight.shape[-1], device=bench.device, generator=bench.source).bfloat16()
            exact = x.double() @ weight.dense(torch.bfloat16).double().T
            error = apart(few_rows(x, weight), exact)
            require(error <= BLOCK_BOUND, f"product of {rows} rows: {error:.1e}")
            seconds = bench.alternate({"few": lambda x=x: few_rows(x, weight)}, times=10)["few"]
            rate = size / statistics.median(seconds) / GB
            figures[f"rows_{rows}"] = {**spread(seconds), "gb_per_s": round(rate, 2)}
    return figures


def part_block(bench: Bench) -> dict[str, Any]:
    """Time one layer's experts by every arm, at every number of tokens, uniform and skewed."""
    shape, figures = bench.sizes.shape, {}
    weights = make_weights(shape, bench.device, bench.source)
    for tokens in bench.sizes.block_tokens:
        for routing in ("uniform", "zipf"):
            case = make_case(shape, weights, tokens, routing, bench.sizes.adapter.rank, bench.source)
            figures[f"{routing}_{tokens}"] = _time_arms(bench, shape, case)
            del case
            bench.free()
    return figures


def _time_arms(bench: Bench, shape: Shape, case: Any) -> dict[str, Any]:
    """Compare all arms with ours, then time those that are there."""
    figures: dict[str, Any] = {}
    work: dict[str, Callable[[], object]] = {}
    base = ours(case)
    for name, arm in arms(case, shape):
        if isinstance(arm, str):
            figures[name] = f"left out: {arm}"
            continue
        own: dict[str, Any] = {}
        try:
            with bench.peak(own, "extra_gb", over=True):
                found = arm(case)
        except torch.OutOfMemoryError:
            figures[name] = "left out: does not fit"
            bench.free()
            continue
        # PEFT's adapters have another layout: output, tokens and routing weights are compared.
        worst = max(apart(mine, other) for mine, other in zip(found[:3], base[:3], strict=True))
        if len(found) == len(base):
            worst = max(worst, *(apart(mine, other) for mine, other in zip(found, base, strict=True)))
        del found
        require(worst <= 2 * BLOCK_BOUND, f"arm {name} and loop: {worst:.1e}")
        figures[name] = {**own, "difference": float(f"{worst:.1e}")}
        work[name] = lambda arm=arm: arm(case)
    del base
    seconds = bench.alternate(work)
    fastest = statistics.median(seconds["loop"])
    for name, times in seconds.items():
        figures[name] |= {**spread(times), "times_loop": round(statistics.median(times) / fastest, 3)}
    return figures


def lean_optimizer(parameters: list[Any]) -> torch.optim.Optimizer:
    """Return the optimizer of `bimedix train` with eight-bit moments.

    Its file needs torch alone, the package around it does not, hence by path.
    """
    path = ROOT / "src" / "bimedix" / "train" / "optimizer.py"
    spec = importlib.util.spec_from_file_location("bimedix_train_optimizer", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: torch.optim.Optimizer = module.LeanAdamW(parameters, lr=1e-5, betas=(0.9, 0.999))
    return made


class Trainer:
    """A model with its optimizer, one step at a time."""

    def __init__(self, bench: Bench, optimizer: OptimizerFormat) -> None:
        lean = optimizer == "adamw_8bit_bfloat16"
        trained = torch.bfloat16 if lean else torch.float32
        self.bench, self.format = bench, optimizer
        self.model = random_model(bench.sizes.shape, bench.sizes.adapter, bench.device, trained=trained)
        parameters = list(trained_parameters(self.model).values())
        self.optimizer = (
            lean_optimizer(parameters) if lean else torch.optim.AdamW(parameters, lr=1e-5, fused=bench.cuda)
        )

    def step(self, packed: Packed) -> Tensor:
        """Forward, backward, optimizer; returns the loss without waiting for it."""
        loss = self.model.loss(packed) / len(packed.rows)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def require_equal_policies(self) -> dict[str, float]:
        """Compare loss and gradients of all policies on a small batch.

        Attention's backward may add in any order on CUDA: a policy may differ from `none` by as much as
        `none` differs from itself, times three, or by a thousandth.
        """
        shape = self.bench.sizes.shape
        small = documents(min(512, self.bench.sizes.document * 2), 200, shape.vocab, 3).to(self.bench.device)

        def graded(policy: Recompute) -> tuple[Tensor, dict[str, Tensor]]:
            self.model.follow((policy,) * shape.layers)
            loss = self.model.loss(small)
            loss.backward()
            return loss.detach(), gradients(self.model)

        first, expected = graded("none")
        found: dict[str, float] = {}
        order: tuple[Recompute, ...] = ("none", "gate_up", "layers")
        for policy in order:
            loss, own = graded(policy)
            worst = max(apart(own[key], expected[key]) for key in own)
            found[f"{policy}_difference"] = float(f"{worst:.1e}")
            require(apart(loss, first) <= 1e-5, f"loss under policy {policy}")
            bound = max(1e-3, 3 * found["none_difference"])
            require(worst <= bound, f"gradients under policy {policy}: {worst:.1e} above {bound:.1e}")
        return found


def part_step(bench: Bench) -> dict[str, Any]:
    """Time whole training steps: float32 states at every number of tokens, then the lean one."""
    figures: dict[str, Any] = {"paper": PAPER}
    budget = 0.94 * bench.free()
    least = plan_recompute(
        bench.sizes.shape, bench.sizes.adapter, tokens=min(bench.sizes.step_tokens), budget_bytes=0
    ).total_bytes
    if least > budget:
        figures["float32"] = f"left out: needs {least / GB:.1f} GB, {budget / GB:.1f} are free"
    else:
        figures |= _steps(bench, budget)
    bench.free()
    figures["lean"] = _lean_step(bench)
    return figures


def _steps(bench: Bench, budget: float) -> dict[str, Any]:
    trainer = Trainer(bench, "adamw_float32")
    figures: dict[str, Any] = {"policies": trainer.require_equal_policies()}
    unpack_s = _time_unpacking(bench, trainer.model)
    figures["unpack_all_ms"] = round(1000 * unpack_s, 3)
    for tokens in bench.sizes.step_tokens:
        for name, plan in _variants(bench, tokens, budget):
            need = f"left out: needs {plan.total_bytes / GB:.1f} GB, {budget / GB:.1f} are free"
            figures[f"{name}_{tokens}"] = (
                _time_step(bench, trainer, tokens, plan, unpack_s) if plan.fits else need
            )
    return figures


def _plan(bench: Bench, tokens: int, budget: float, **chosen: Any) -> RecomputePlan:
    """Return a plan by what this card was measured to do."""
    ceilings = measured_ceilings(bench)
    rates = Rates(0.8e12 * ceilings["bf16_tflops"], 0.85 * GB * ceilings["copy_gb_per_s"])
    return plan_recompute(
        bench.sizes.shape, bench.sizes.adapter, tokens=tokens, budget_bytes=min(budget, 1e15),
        context=min(tokens, bench.sizes.document), rates=rates, **chosen,
    )  # fmt: skip


def _variants(bench: Bench, tokens: int, budget: float) -> Iterator[tuple[str, RecomputePlan]]:
    """Yield (name, plan): all layers computed again, all kept, and the fastest mix."""
    yield "all_again", _plan(bench, tokens, budget, allowed=("layers",), resident=False)
    yield "all_kept", _plan(bench, tokens, budget, allowed=("none",), resident=False)
    yield "planned", _plan(bench, tokens, budget)


def _time_unpacking(bench: Bench, model: Mixtral) -> float:
    """Return seconds to unpack every four-bit weight of the model once, by itself."""
    found: list[tuple[Nf4Weight, Tensor]] = []
    buffers: dict[tuple[int, ...], Tensor] = {}
    for module in model.modules():
        if isinstance(module, Nf4Weight):
            size = tuple(module.shape[-2:])
            if size not in buffers:
                buffers[size] = torch.empty(size, dtype=torch.bfloat16, device=bench.device)
            found.append((module, buffers[size]))

    def work() -> None:
        for weight, out in found:
            for index in range(weight.shape[0]) if len(weight.shape) == 3 else (None,):
                weight.dense(torch.bfloat16, index, out)

    return statistics.median(bench.alternate({"unpack": work})["unpack"])


def _time_step(
    bench: Bench, trainer: Trainer, tokens: int, plan: RecomputePlan, unpack_s: float
) -> dict[str, Any]:
    """Time one variant; a step that runs out of memory says so."""
    shape, adapter, each = bench.sizes.shape, bench.sizes.adapter, min(tokens, bench.sizes.document)
    packed = documents(tokens, each, shape.vocab, 7).to(bench.device)
    figures: dict[str, Any] = {name: plan.count(name) for name in PASSES}
    trainer.model.follow(plan.policies)
    try:
        bench.free()
        keep_unpacked(trainer.model, plan.resident_layers, torch.bfloat16)
        with bench.peak(figures, "peak_gb"):
            losses = [float(trainer.step(packed)) for _ in range(2)]
        seconds = bench.alternate({"step": lambda: trainer.step(packed)})["step"]
    except torch.OutOfMemoryError:
        trainer.optimizer.zero_grad(set_to_none=True)
        return figures | {"left_out": "ran out of memory"}
    finally:
        keep_unpacked(trainer.model, 0, None)
    require(all(abs(loss) < 1e3 for loss in losses), f"losses of steps: {losses}")
    step_s, parts = statistics.median(seconds), count_parameters(shape)
    useful = training_flops(shape, adapter, each, "none").total * tokens / step_s / 1e12
    left = parts.attention / (parts.attention + parts.experts)  # What is unpacked though experts are held.
    passes = sum(
        PASSES[policy] * (left if at < plan.resident_layers else 1.0)
        for at, policy in enumerate(plan.policies)
    )
    figures |= spread(seconds)
    return figures | {
        "resident_layers": plan.resident_layers,
        "tokens_per_s": round(tokens / step_s, 1),
        "times_paper": round(tokens / step_s / PAPER_TOKENS_PER_S, 2),
        "useful_tflops": round(useful, 3),
        "share_of_product_ceiling": round(useful / measured_ceilings(bench)["bf16_tflops"], 3),
        "predicted_gb": round(plan.total_bytes / GB, 2),
        "predicted_unpack_share": round(plan.unpack_seconds / plan.seconds, 4),
        "measured_unpack_share_serial": round(passes / shape.layers * unpack_s / step_s, 4),
        "first_loss": round(losses[0], 4),
    }


def _lean_step(bench: Bench) -> dict[str, Any] | str:
    """Time the step of a 48 GB card: whole layers computed again, bf16 adapters, eight-bit moments."""
    sizes, lean = bench.sizes, "adamw_8bit_bfloat16"
    need = memory(sizes.shape, sizes.adapter, sizes.lean_tokens, recompute="layers", optimizer=lean).total
    if need > bench.free():
        return f"left out: needs {need / GB:.1f} GB, {bench.free() / GB:.1f} are free"
    trainer = Trainer(bench, lean)
    unpack_s = _time_unpacking(bench, trainer.model)
    plan = _plan(bench, sizes.lean_tokens, 1e15, allowed=("layers",), resident=False, optimizer=lean)
    figures = _time_step(bench, trainer, sizes.lean_tokens, plan, unpack_s)
    if "peak_gb" in figures:
        figures["within_45_gb"] = figures["peak_gb"] * GB <= sizes.lean_bytes
    return figures


def part_decode(bench: Bench) -> dict[str, Any]:
    """Time decoding with adapters beside the four bits, and without (merged into a four-bit copy)."""
    shape, figures = bench.sizes.shape, {}
    need = weight_bytes(shape, 4.25) + 4e9
    if need * (shape.layers > 2) > bench.free():
        return {"left_out": f"needs {need / GB:.1f} GB, {bench.free() / GB:.1f} are free"}
    model = random_model(shape, bench.sizes.adapter, bench.device, trained=torch.bfloat16).eval()
    for name in ("adapters", "merged"):
        if name == "merged":
            _drop_adapters(model)
        for batch in bench.sizes.batches:
            figures[f"{name}_{batch}"] = _time_decoding(bench, model, batch)
    return figures


def _drop_adapters(model: Mixtral) -> None:
    """Leave the base alone: what a second four-bit copy with the adapters merged in costs."""
    for _, block in blocks(model):
        block.gate.lora_a = block.gate.lora_b = None
        for name in Factors._fields:
            setattr(block.experts, f"lora_{name}", None)
    for layer in model.model.layers:
        for name in ("q_proj", "k_proj", "v_proj"):
            old = getattr(layer.self_attn, name)
            assert isinstance(old, LoraLinear)
            setattr(layer.self_attn, name, FrozenLinear(old))


def _time_decoding(bench: Bench, model: Mixtral, batch: int) -> dict[str, Any]:
    """Time one token for every sequence, from a recorded graph on CUDA."""
    context = bench.sizes.context
    caches = model.new_cache(batch, context + 64)
    ids = torch.arange(batch, device=bench.device)[:, None] % model.shape.vocab
    caches[0].at.fill_(context)
    caches[0].mask[..., :context] = True

    def back() -> None:
        caches[0].at.fill_(context)

    def step() -> None:
        ids.copy_(model.decode(ids, caches))
        caches[0].at.sub_(1)

    step()
    first = ids.clone()
    work: Callable[[], object] = step
    if bench.cuda:
        side = torch.cuda.Stream(bench.device)
        side.wait_stream(torch.cuda.current_stream(bench.device))
        with torch.cuda.stream(side):
            for _ in range(2):
                step()
        torch.cuda.current_stream(bench.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        ids.copy_(torch.arange(batch, device=bench.device)[:, None] % model.shape.vocab)
        back()
        graph.replay()
        require(torch.equal(ids, first), f"recorded graph and plain step, batch {batch}")
        work = graph.replay
    seconds = bench.alternate({"decode": work}, times=10)["decode"]
    median = statistics.median(seconds)
    read = decode_bytes(model.shape, 4.25, batch)
    return {
        **spread(seconds),
        "tokens_per_s": round(batch / median, 1),
        "gb_per_s": round(read / median / GB, 1),
        "share_of_copy": round(read / median / GB / measured_ceilings(bench)["copy_gb_per_s"], 3),
    }


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "ceilings": part_ceilings,
    "correct": part_correct,
    "dequant": part_dequant,
    "block": part_block,
    "step": part_step,
    "decode": part_decode,
}


def machine_of(bench: Bench) -> dict[str, Any]:
    """Return the machine with its GPU."""
    if not bench.cuda:
        return machine()
    known = torch.cuda.get_device_properties(bench.device)
    gpu = f"{known.name}, {known.total_memory / 2**30:.0f} GiB, {known.multi_processor_count} multiprocessors"
    return {"gpu": gpu, **machine()}


def keep(path: Path, found: Mapping[str, Any], bench: Bench) -> None:
    """Put the figures of these parts into the result file, beside those of parts that ran before there."""
    told: dict[str, Any] = {"figures": {}}
    if path.exists():
        told = json.loads(path.read_text(encoding="utf-8"))
    now = {"machine": machine_of(bench), "versions": versions("torch", "triton", "transformers", "peft")}
    if told.get("machine", {}).get("gpu") != now["machine"].get("gpu"):
        told = {"figures": {}}
    whole = {"figures": told["figures"] | dict(found), **now}
    path.write_text(json.dumps(whole, ensure_ascii=False, sort_keys=True, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    options: argparse.ArgumentParser = parser(__doc__)
    options.add_argument(
        "--part", nargs="+", default=["all"], choices=[*PARTS, "all"], help="What is measured."
    )
    options.add_argument("--rehearse", action="store_true", help="The same code on the CPU with tiny sizes.")
    options.add_argument("--out", type=Path, default=RESULTS, help="Result file; none in rehearsal.")
    given = options.parse_args()
    cuda = torch.cuda.is_available() and not given.rehearse
    if not (cuda or given.rehearse or given.quick):
        raise SystemExit("gpu.py: torch sees no CUDA device; --rehearse runs the same code on the CPU.")
    device = torch.device("cuda" if cuda else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = False
    sizes = FULL if cuda else TINY
    if given.repeats or (cuda and given.quick):
        sizes = replace(sizes, rounds=given.repeats or 1)
    bench = Bench(device, sizes, torch.Generator(device).manual_seed(11), {})
    figures: dict[str, Any] = {}
    for name in PARTS if "all" in given.part else given.part:
        started = time.perf_counter()
        figures[name] = PARTS[name](bench)
        figures[f"{name}_seconds"] = round(time.perf_counter() - started, 1)
        print(f"-- {name}: {figures[f'{name}_seconds']} s", flush=True)
        bench.free()
        if cuda:
            keep(given.out, figures, bench)
    if not cuda:
        figures["rehearsal"] = "on the CPU with tiny sizes: equalities hold, times mean nothing"
    finish(figures, given.json, packages=("torch", "triton", "transformers", "peft"))


if __name__ == "__main__":
    main()
