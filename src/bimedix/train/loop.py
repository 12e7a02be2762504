"""The training loop: one phase, from the first step (or the newest checkpoint) to the last."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from bimedix.errors import BimedixError
from bimedix.model.arithmetic import Recompute, shape_of
from bimedix.model.blocks import blocks, install
from bimedix.model.packing import ATTENTION, Packed, head_loss, pack, register_attention
from bimedix.model.recompute import apply_plan, keep_unpacked, recompute_layers
from bimedix.progress import Progress
from bimedix.records import content_hash
from bimedix.train.checkpoint import load_best, load_checkpoint, save_best, save_checkpoint
from bimedix.train.data import Batches
from bimedix.train.devices import Devices, sharing
from bimedix.train.metrics import Metrics, busiest, numbers, shown
from bimedix.train.optimizer import LeanAdamW, make_optimizer, to_bfloat16
from bimedix.train.plan import SPARE_SHARE, layer_plan
from bimedix.train.preflight import device_bytes
from bimedix.train.samples import Samples, Units
from bimedix.train.settings import Phase, Settings


@dataclass(frozen=True)
class Outcome:
    """What a phase came to."""

    steps: int
    tokens: int
    """Tokens that went through, over all epochs and devices."""
    supervised_tokens: int
    padding_share: float
    """Of the tokens that were read, those that only keep a device in step with the others."""
    first_loss: float
    """Mean negative log-likelihood (nats per supervised token) of the first batch."""
    final_loss: float
    """Mean of the last tenth of the steps."""
    validation_loss: float | None
    """Of the weights that the phase ends with."""
    best_step: int | None
    """Step of the lowest validation loss; None without validations."""
    stopped_early: bool
    expert_load: tuple[tuple[int, ...], ...]
    """Pairs of token and expert, per layer and expert."""
    seconds: float
    """Wall time of the steps, over all resumes."""

    def idle_experts(self) -> frozenset[tuple[int, int]]:
        """Return (layer, expert) of those that no token came to."""
        return frozenset(
            (layer, expert)
            for layer, loads in enumerate(self.expert_load)
            for expert, count in enumerate(loads)
            if count == 0
        )


class Objective(nn.Module):
    """The model with its loss, so that data parallelism sees one call."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, packed: Packed) -> Tensor:
        """Return the sum of negative log-likelihoods over supervised rows; logits exist for those only."""
        self.model.engine_state.documents = packed.documents.to(packed.ids.device)
        hidden = self.model.model(
            input_ids=packed.ids,
            position_ids=packed.positions,
            use_cache=False,
            document_lengths=packed.lengths,
        ).last_hidden_state[0]
        return head_loss(hidden[packed.rows], self.model.lm_head.weight, packed.targets)


def rate_at(step: int, total: int, phase: Phase) -> float:
    """Return the learning rate of step `step`, from 0: linear warm-up, then the schedule down to zero."""
    warmup = phase.warmup(total)
    if step < warmup:
        return phase.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(total - warmup, 1)
    match phase.schedule:
        case "cosine":
            return phase.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return phase.learning_rate * (1 - done)
        case "constant":
            return phase.learning_rate


def count_steps(units: int, phase: Phase) -> int:
    """Return the optimizer steps of a phase over so many samples, or rows."""
    return max(1, round(phase.epochs * -(-units // phase.batch_size)))


def identity_of(settings: Settings, at: int, seed: int, samples: Samples) -> str:
    """Return a hash of what the steps of a phase depend on, by which a checkpoint is told to be its own."""
    as_read = msgspec.json.decode(msgspec.json.encode(settings), type=Settings)  # `8` of a float field is 8.0
    return content_hash([asdict(as_read), at, seed, samples.ids, samples.lengths.tolist()])


def _recompute(model: Any, settings: Settings, phase: Phase, shards: int) -> None:
    """Let each layer compute again in backward what [train] recompute says, or what the memory asks for."""
    if settings.recompute == "auto" and phase.mode == "adapter":
        tokens, shape = settings.max_tokens_per_micro_batch, shape_of(model.config.to_dict())
        budget = device_bytes(settings) * (1 - SPARE_SHARE)
        apply_plan(model, layer_plan(shape, settings, tokens, budget, shards=shards))
        return
    policy: Recompute = "layers" if settings.recompute == "auto" else settings.recompute
    recompute_layers(model, policies=(policy,) * len(model.model.layers))


@contextmanager
def _training(model: Any, settings: Settings, phase: Phase, shards: int) -> Iterator[None]:
    """Put the model into training with our attention, and back as it was."""
    before = model.config._attn_implementation
    register_attention()
    model.set_attn_implementation(ATTENTION)
    model.train()
    _recompute(model, settings, phase, shards)
    try:
        yield
    finally:
        recompute_layers(model, enable=False)
        keep_unpacked(model, 0, None)
        model.set_attn_implementation(before)
        model.engine_state.documents = None
        model.engine_state.balance_weight = model.engine_state.z_weight = 0.0
        model.eval()


@contextmanager
def _uncounted(model: Any) -> Iterator[None]:
    """Let a pass that only keeps a device in step leave no trace in balance losses and expert loads."""
    state = model.engine_state
    weights = state.balance_weight, state.z_weight
    loads = [block.gate.load.clone() for _, block in blocks(model)]
    state.balance_weight = state.z_weight = 0.0
    try:
        yield
    finally:
        state.balance_weight, state.z_weight = weights
        for (_, block), load in zip(blocks(model), loads, strict=True):
            block.gate.load.copy_(load)


class _Run:
    """One phase on its devices: what a step and a validation need."""

    def __init__(
        self, model: Any, samples: Samples, settings: Settings, at: int, seed: int, accelerator: Any
    ) -> None:
        self.model, self.samples, self.settings, self.at, self.seed = model, samples, settings, at, seed
        self.phase = settings.phases[at]
        self.state = install(model)
        self.ranks: int = accelerator.num_processes
        self.device: torch.device = accelerator.device
        self.devices = Devices(accelerator, model, Objective(model), self.phase, settings)
        self.devices.prepare(self._optimizer())
        in_rows = settings.packing == "rows"
        self.units = Units(samples, settings.max_tokens_per_micro_batch if in_rows else None)
        self.total = count_steps(len(self.units), self.phase)
        self._batches = Batches(self.units.ids, seed + at, self.phase.batch_size)

    def _optimizer(self) -> torch.optim.Optimizer:
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        if self.settings.optimizer == "adamw_8bit_bfloat16":
            to_bfloat16(trained.items())
        optimizer = make_optimizer(trained, self.phase, self.settings.optimizer)
        if isinstance(optimizer, LeanAdamW):
            optimizer.seed = _draw(self.seed, self.at)
        return optimizer

    def step(self, step: int) -> tuple[dict[str, Any], Tensor]:
        """Take step `step`, from 0.

        Returns:
            Its row of `metrics.jsonl`; its expert load, [layers, experts].

        Raises:
            BimedixError: the loss is no number; names the samples.
        """
        began, devices, settings = time.monotonic(), self.devices, self.settings
        torch.manual_seed(_draw(self.seed, self.at, step, devices.accelerator.process_index))
        rate = rate_at(step, self.total, self.phase)
        for group in devices.optimizer.param_groups:
            group["lr"] = rate
        drawn = self._batches.of_step(step)
        members = self.units.members(drawn)
        tokens = int(self.samples.lengths[members].sum())
        supervised = sum(self.samples.supervised(i, self.phase.supervise) for i in members)
        pairs = max(len(blocks(self.model)), 1) * tokens
        self.state.balance_weight = settings.balance_coefficient * self.ranks / pairs
        self.state.z_weight = settings.z_coefficient * self.ranks / pairs
        self.state.balance_sum = self.state.z_sum = 0.0

        loss, read, packs = self._backward(drawn, supervised)
        if not math.isfinite(loss):
            raise BimedixError(
                f"phase {self.at}, step {step + 1}: the loss is {loss}.\n"
                "  Lower the learning rate, or look at the samples: "
                + ", ".join(self.samples.ids[i] for i in members[:4])
            )
        norm = devices.clip(self.phase.max_gradient_norm)
        devices.optimizer.step()
        devices.optimizer.zero_grad(set_to_none=True)

        load = self._sum(_take_load(self.model)).cpu()
        balance, z = (self._sum(torch.tensor([self.state.balance_sum, self.state.z_sum])) / pairs).tolist()
        seconds = time.monotonic() - began
        row = {
            "phase": self.at, "step": step + 1, "loss": loss, "learning_rate": rate,
            "gradient_norm": norm, "tokens": tokens, "tokens_read": read, "supervised_tokens": supervised,
            "padding_share": round(1 - tokens / read, 4), "micro_batches": packs,
            "balance": balance if settings.balance_coefficient else None,
            "z": z if settings.z_coefficient else None,
            "busiest_expert_share": busiest(load),
            "timing": {"seconds": round(seconds, 4), "tokens_per_s": round(tokens / seconds, 1)},
        }  # fmt: skip
        return row, load

    def _packed(self, samples: Samples, group: Sequence[int]) -> Packed:
        return pack([samples.document(i, self.phase.supervise) for i in group]).to(self.device)

    def _passes(self, units: Units, drawn: Sequence[int]) -> list[list[int] | None]:
        budget = self.settings.max_tokens_per_micro_batch
        return self.devices.passes(
            [units.micro_batches(drawn[rank :: self.ranks], budget) for rank in range(self.ranks)]
        )

    def _sum(self, value: Tensor) -> Tensor:
        """Add up a tensor over all devices."""
        summed: Tensor = self.devices.accelerator.reduce(value.to(self.device))
        return summed

    def _backward(self, drawn: Sequence[int], supervised: int) -> tuple[float, int, int]:
        """Leave the gradient of a step in place; returns its loss, the tokens that all devices read for it
        (with those of passes that only keep a device in step), and this device's passes.

        The gradient is that of: sum of losses / supervised tokens of the whole batch. So it depends neither
        on how the batch is packed and split, nor on the number of devices.
        """
        samples, passes = self.samples, self._passes(self.units, drawn)
        shortest = min(self.units.members(drawn), key=lambda i: (samples.lengths[i], i))
        loss_sum, read = torch.zeros((), device=self.device), 0
        for number, group in enumerate(passes, 1):
            packed = self._packed(samples, [shortest] if group is None else group)
            read += packed.ids.numel()
            if group is None:
                with _uncounted(self.model), self.devices.accumulate(last=number == len(passes)):
                    self.devices.accelerator.backward(self.devices.objective(packed) * 0.0)
                continue
            with self.devices.accumulate(last=number == len(passes)):
                loss = self.devices.objective(packed)
                # Devices average their gradients; the loss is a sum.
                self.devices.accelerator.backward(loss * self.ranks / supervised)
            loss_sum += loss.detach()
        all_read = int(self._sum(torch.tensor(read)))
        return float(self._sum(loss_sum)) / supervised, all_read, sum(group is not None for group in passes)

    @torch.no_grad()
    def validate(self, samples: Samples) -> float | None:
        """Return the mean negative log-likelihood (nats per supervised token), or None without samples."""
        if not len(samples):
            return None
        training = self.model.training
        self.model.eval()
        told = torch.zeros(2, dtype=torch.float64)
        for group in self._passes(Units(samples, None), range(len(samples))):
            packed = self._packed(samples, group or [0])
            loss = self.devices.objective(packed)
            if group is not None:
                told += torch.tensor([float(loss), len(packed.rows)], dtype=torch.float64)
        self.model.train(training)
        total, rows = self._sum(told).tolist()
        return total / rows if rows else None


@dataclass
class _Best:
    """The lowest validation loss so far, and how long ago it was."""

    loss: float | None = None
    step: int | None = None
    without_gain: int = 0

    def see(self, loss: float, step: int, phase: Phase) -> bool:
        """Take a validation into account; tells whether it is a gain."""
        gained = self.loss is None or loss < self.loss - phase.min_gain
        if gained:
            self.loss, self.step, self.without_gain = loss, step, 0
        else:
            self.without_gain += 1
        return gained


def train_phase(
    model: Any,
    samples: Samples,
    validation: Samples,
    settings: Settings,
    at: int,
    out: Path,
    seed: int,
    progress: Progress,
    accelerator: Any,
) -> Outcome:
    """Train the parameters that need a gradient, on all devices that accelerate sees.

    Args:
        model: with `requires_grad` set where training shall change it.
        samples: training data.
        validation: held-back data.
        settings: of the run.
        at: index of the phase.
        out: folder of `metrics.jsonl` and `checkpoints/`.
        seed: of the run.
        progress: where the loop shows itself.
        accelerator: of accelerate.
    """
    phase, folder = settings.phases[at], out / "checkpoints" / f"phase-{at}"
    run = _Run(model, samples, settings, at, seed, accelerator)
    identity = identity_of(settings, at, seed, samples)
    accelerator.wait_for_everyone()
    found = load_checkpoint(folder, run.devices, identity)
    start = found["step"] if found else 0
    best = _Best(**found["best"]) if found else _Best()
    load = torch.tensor(found["load"]) if found else torch.zeros(len(blocks(model)), 0)
    metrics = Metrics(out / "metrics.jsonl", at, start, accelerator.is_main_process)
    stopped = False

    with (
        _training(model, settings, phase, sharing(accelerator)),
        progress.task(f"train {at} {phase.mode}", run.total, "steps") as task,
    ):
        task.done = start
        for step in range(start, run.total):
            row, step_load = run.step(step)
            load = step_load if load.numel() == 0 else load + step_load
            done, amid = step + 1, step + 1 < run.total
            if amid and _due(settings.validate_every_steps, done):
                held_back = row["validation_loss"] = run.validate(validation)
                if held_back is not None and best.see(held_back, done, phase) and phase.keep_best:
                    save_best(folder, run.devices)
                stopped = bool(phase.patience) and best.without_gain >= phase.patience
            metrics.add(row)
            accelerator.log(numbers(row), step=done)
            task.advance(1, **shown(row, step_load))
            if stopped:
                progress.say(f"phase {at}: ends at step {done}, no gain since step {best.step}")
                break
            if amid and _due(settings.checkpoint_every_steps, done):
                kept = {"identity": identity, "load": load.tolist(), "best": asdict(best)}
                save_checkpoint(folder, done, run.devices, kept)
        final = metrics.rows[-1].get("validation_loss") if stopped else run.validate(validation)
        if final is not None and not stopped:
            best.see(final, len(metrics.rows), phase)
        if phase.keep_best and best.step is not None and best.step < len(metrics.rows):
            load_best(folder, run.devices)
            final = best.loss
    metrics.close()
    return _outcome(metrics.rows, load, final, best.step, stopped)


def _due(every: int, done: int) -> bool:
    """Tell whether what happens every so many steps, 0 for never, happens after step `done`."""
    return bool(every) and done % every == 0


def _outcome(
    rows: Sequence[dict[str, Any]], load: Tensor, final: float | None, best_step: int | None, stopped: bool
) -> Outcome:
    tail = rows[-max(1, len(rows) // 10) :]
    tokens = sum(row["tokens"] for row in rows)
    return Outcome(
        steps=len(rows),
        tokens=tokens,
        supervised_tokens=sum(row["supervised_tokens"] for row in rows),
        padding_share=round(1 - tokens / sum(row["tokens_read"] for row in rows), 4),
        first_loss=rows[0]["loss"],
        final_loss=sum(row["loss"] for row in tail) / len(tail),
        validation_loss=final,
        best_step=best_step,
        stopped_early=stopped,
        expert_load=tuple(tuple(int(n) for n in layer) for layer in load.tolist()),
        seconds=sum(row["timing"]["seconds"] for row in rows),
    )


def _draw(*facts: int) -> int:
    """Return a seed of 60 bits for these facts."""
    return int(content_hash(list(facts))[:15], 16)


def _take_load(model: Any) -> Tensor:
    """Return the (token, expert) pairs counted since the last call, [layers, experts], and reset them."""
    loads = [block.gate.load.clone() for _, block in blocks(model)]
    for _, block in blocks(model):
        block.gate.load.zero_()
    return torch.stack(loads).cpu() if loads else torch.zeros(0, 0)
