"""The training loop: one phase, from the first step (or the newest checkpoint) to the last."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from bimedix.errors import BimedixError
from bimedix.model.blocks import blocks, install
from bimedix.model.packing import ATTENTION, Packed, head_loss, pack, register_attention
from bimedix.model.recompute import recompute_layers
from bimedix.progress import Progress
from bimedix.records import content_hash
from bimedix.train.checkpoint import load_checkpoint, save_checkpoint
from bimedix.train.data import Batches, Sample, fill_micro_batches
from bimedix.train.settings import Phase, Settings


@dataclass(frozen=True)
class Outcome:
    """What a phase came to."""

    steps: int
    tokens: int
    """Tokens that went through, over all epochs and devices."""
    supervised_tokens: int
    first_loss: float
    """Mean negative log-likelihood (nats per supervised token) of the first batch."""
    final_loss: float
    """Mean of the last tenth of the steps."""
    validation_loss: float | None
    expert_load: tuple[tuple[int, ...], ...]
    """Pairs of token and expert, per layer and expert."""
    seconds: float
    """Wall time of the steps, over all resumes."""


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


def count_steps(samples: int, phase: Phase) -> int:
    """Return the optimizer steps of a phase."""
    return max(1, round(phase.epochs * -(-samples // phase.batch_size)))


def micro_batches(samples: Sequence[Sample], batch: Sequence[int], phase: Phase, budget: int) -> list[Packed]:
    """Pack the samples of one device into as few micro-batches as the token budget allows."""
    groups = fill_micro_batches([len(samples[i]) for i in batch], budget)
    return [pack([samples[batch[at]].document(phase.supervise) for at in group]) for group in groups]


def _supervised(sample: Sample, phase: Phase) -> int:
    """Count the rows of a sample that bear loss: the first token is predicted from nothing."""
    return len(sample) - 1 if phase.supervise == "all" else sum(sample.supervised[1:])


def _optimizer(trained: dict[str, Tensor], phase: Phase) -> torch.optim.AdamW:
    matrices = [p for p in trained.values() if p.ndim > 1]
    vectors = [p for p in trained.values() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": phase.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=phase.learning_rate, betas=phase.betas, fused=True
    )


def _as_read(settings: Settings) -> Settings:
    """Return the settings as a recipe gives them, where `8` of a float field is 8.0."""
    return msgspec.json.decode(msgspec.json.encode(settings), type=Settings)


@contextmanager
def _training(model: Any, settings: Settings) -> Iterator[None]:
    """Put the model into training with our attention, and back as it was."""
    before = model.config._attn_implementation
    register_attention()
    model.set_attn_implementation(ATTENTION)
    model.train()
    model.engine_state.save_gate_up = settings.recompute == "none"
    if settings.recompute == "layers":
        recompute_layers(model)
    try:
        yield
    finally:
        recompute_layers(model, enable=False)
        model.set_attn_implementation(before)
        model.engine_state.documents = None
        model.engine_state.balance_weight = 0.0
        model.eval()


@torch.no_grad()
def validate(model: Any, samples: Sequence[Sample], phase: Phase, budget: int) -> float | None:
    """Return the mean negative log-likelihood (nats per supervised token), or None without samples."""
    if not samples:
        return None
    training = model.training
    model.eval()
    objective = Objective(model)
    total = rows = 0.0
    for packed in micro_batches(samples, range(len(samples)), phase, budget):
        packed = packed.to(model.device)
        total += float(objective(packed))
        rows += len(packed.rows)
    model.train(training)
    return total / rows if rows else None


class _Metrics:
    """`metrics.jsonl`: one row per step, flushed; rows after the checkpoint that a run resumes from go.

    Only the first device writes; the others keep their rows to themselves.
    """

    def __init__(self, path: Path, phase: int, resumed_at: int, writes: bool) -> None:
        self.rows: list[dict[str, Any]] = []
        kept = []
        if path.exists():
            for line in path.read_bytes().splitlines():
                try:
                    row = msgspec.json.decode(line)
                except msgspec.DecodeError:
                    break
                if (row["phase"], row["step"]) <= (phase, resumed_at):
                    kept.append(line)
                    if row["phase"] == phase:
                        self.rows.append(row)
        self._file = None
        if writes:
            path.write_bytes(b"".join(line + b"\n" for line in kept))
            self._file = path.open("ab")

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if self._file:
            self._file.write(msgspec.json.encode(row) + b"\n")
            self._file.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()


def train_phase(
    model: Any,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    settings: Settings,
    at: int,
    out: Path,
    seed: int,
    progress: Progress,
) -> Outcome:
    """Train the parameters that need a gradient, on all devices that accelerate sees.

    The gradient of a step is that of: sum of losses / supervised tokens of the whole batch. So it depends
    neither on how the batch is packed and split, nor on the number of devices.

    Args:
        model: with `requires_grad` set where training shall change it.
        samples: training data.
        validation: data of the validation loss.
        settings: of the run.
        at: index of the phase.
        out: folder of `metrics.jsonl` and `checkpoints/`.
        seed: of the run.
        progress: where the loop shows itself.
    """
    from accelerate import Accelerator

    phase = settings.phases[at]
    state = install(model)
    torch.manual_seed(int(content_hash([seed, at])[:15], 16))
    trained: dict[str, Tensor] = {n: p for n, p in model.named_parameters() if p.requires_grad}
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    objective, optimizer = accelerator.prepare(Objective(model), _optimizer(trained, phase))
    device, ranks, rank = accelerator.device, accelerator.num_processes, accelerator.process_index

    ids = [sample.id for sample in samples]
    total = count_steps(len(samples), phase)
    batches = Batches(ids, seed + at, phase.batch_size)
    lengths = [len(s) for s in samples]
    identity = content_hash([asdict(_as_read(settings)), at, seed, ids, lengths])
    folder = out / "checkpoints" / f"phase-{at}"
    accelerator.wait_for_everyone()
    found = load_checkpoint(folder, trained, optimizer.optimizer, identity)
    start = found["step"] if found else 0
    metrics = _Metrics(out / "metrics.jsonl", at, start, accelerator.is_main_process)
    load = torch.tensor(found["load"]) if found else torch.zeros(len(blocks(model)), 0)
    layers = max(len(blocks(model)), 1)

    with (
        _training(model, settings),
        progress.task(f"train {at} {phase.mode}", total, "steps") as task,
    ):
        task.done = start
        for step in range(start, total):
            began = time.monotonic()
            rate = rate_at(step, total, phase)
            for group in optimizer.param_groups:
                group["lr"] = rate
            batch = batches.of_step(step)
            tokens = sum(lengths[i] for i in batch)
            supervised = sum(_supervised(samples[i], phase) for i in batch)
            state.balance_weight = settings.balance_coefficient / (layers * tokens) * ranks
            state.balance_sum = 0.0
            # A device whose share is empty goes through one sample with weight zero, to keep in step.
            share = batch[rank::ranks]
            packs = micro_batches(samples, share or batch[:1], phase, settings.max_tokens_per_micro_batch)
            loss_sum = torch.zeros((), device=device)
            for index, packed in enumerate(packs):
                last = index == len(packs) - 1
                with nullcontext() if last else accelerator.no_sync(objective):
                    loss = objective(packed.to(device)) * (1.0 if share else 0.0)
                    accelerator.backward(loss * ranks / supervised)
                loss_sum += loss.detach()
            loss_value = float(accelerator.reduce(loss_sum)) / supervised
            if not math.isfinite(loss_value):
                raise BimedixError(
                    f"phase {at}, step {step + 1}: the loss is {loss_value}.\n"
                    "  Lower the learning rate, or look at the samples: "
                    + ", ".join(ids[i] for i in batch[:4])
                )
            norm = None
            if phase.max_gradient_norm:
                norm = float(accelerator.clip_grad_norm_(list(trained.values()), phase.max_gradient_norm))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

            step_load = accelerator.reduce(_take_load(model).to(device)).cpu()
            balance = float(accelerator.reduce(torch.tensor(state.balance_sum, device=device)))
            load = step_load if load.numel() == 0 else load + step_load
            seconds = time.monotonic() - began
            row = {
                "phase": at, "step": step + 1, "loss": loss_value, "learning_rate": rate,
                "gradient_norm": norm, "tokens": tokens, "supervised_tokens": supervised,
                "padding_share": 0.0, "micro_batches": len(packs),
                "balance": balance / (layers * tokens) if settings.balance_coefficient else None,
                "busiest_expert_share": _busiest(step_load),
                "timing": {"seconds": round(seconds, 4), "tokens_per_s": round(tokens / seconds, 1)},
            }  # fmt: skip
            done = step + 1
            if settings.validate_every_steps and done % settings.validate_every_steps == 0 and done < total:
                row["validation_loss"] = validate(
                    model, validation, phase, settings.max_tokens_per_micro_batch
                )
            metrics.add(row)
            task.advance(loss=f"{loss_value:.3f}", tokens_per_s=int(tokens / seconds), padding="0%")
            every = settings.checkpoint_every_steps
            if every and done % every == 0 and done < total and accelerator.is_main_process:
                save_checkpoint(
                    folder, done, trained, optimizer.optimizer, {"identity": identity, "load": load.tolist()}
                )
        validation_loss = validate(model, validation, phase, settings.max_tokens_per_micro_batch)
    metrics.close()
    rows = metrics.rows
    tail = rows[-max(1, len(rows) // 10) :]
    return Outcome(
        steps=total,
        tokens=sum(row["tokens"] for row in rows),
        supervised_tokens=sum(row["supervised_tokens"] for row in rows),
        first_loss=rows[0]["loss"],
        final_loss=sum(row["loss"] for row in tail) / len(tail),
        validation_loss=validation_loss,
        expert_load=tuple(tuple(int(n) for n in layer) for layer in load.tolist()),
        seconds=sum(row["timing"]["seconds"] for row in rows),
    )


def _take_load(model: Any) -> Tensor:
    """Return the (token, expert) pairs counted since the last call, [layers, experts], and reset them."""
    loads = [block.gate.load.clone() for _, block in blocks(model)]
    for _, block in blocks(model):
        block.gate.load.zero_()
    return torch.stack(loads).cpu() if loads else torch.zeros(0, 0)


def _busiest(load: Tensor) -> float | None:
    """Return the largest share of pairs that one expert of a layer got; 1/E when all are equal."""
    if load.numel() == 0:
        return None
    return round(float((load / load.sum(dim=1, keepdim=True).clamp(min=1)).max()), 4)
