"""The training room: reads the mix, trains the phases in order, writes base, adapter and figures."""

import resource
import shutil
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimedix.errors import DataError
from bimedix.files import RecordWriter, read_json, read_records, write_json
from bimedix.prompts.chat import TOKENIZER, MixtralPieces
from bimedix.records import Conversation, Dropped, Passage
from bimedix.stage import DROPPED, Context, Summary
from bimedix.train.settings import Phase, Settings

if TYPE_CHECKING:
    from bimedix.train.data import Sample


def run(settings: Settings, inputs: dict[str, Path], out: Path, context: Context) -> Summary:
    """Train on `mix/train.jsonl`; `mix/validation.jsonl`, where there is one, gives the validation loss.

    Writes:
        `base/`: the base that was trained or made here, as a plain checkpoint with its tokenizer;
        `adapter/`: the adapters; `metrics.jsonl`: a row per step; `dropped.jsonl`;
        `figures.json`: what the summary holds; `chat.json`: the template, for evaluation and serving.
    """
    import torch
    from accelerate import PartialState

    from bimedix.model.load import load_tokenizer, save_model

    devices = PartialState(cpu=not torch.cuda.is_available())
    first = devices.is_main_process
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(_tokenizer_name(settings), context.base)
    counts: Counter[str] = Counter()
    with RecordWriter(out / DROPPED) if first else nullcontext() as dropped:

        def drop(record: Dropped) -> None:
            counts[record.reason] += 1
            if dropped:
                dropped.write(record)

        train = _read(inputs["mix"] / "train.jsonl", settings, tokenizer, drop)
        validation_file = inputs["mix"] / "validation.jsonl"
        validation = _read(validation_file, settings, tokenizer, drop) if validation_file.exists() else []
    passages = _read_passages(inputs["mix"] / "passages.jsonl", settings, tokenizer)
    if not train and any(phase.data == "conversations" for phase in settings.phases):
        raise DataError(
            f"{inputs['mix'] / 'train.jsonl'}: holds no conversation to learn from.\n"
            "  Look into dropped.jsonl of the mix and of this stage for the reasons."
        )
    context.progress.say(f"train: {len(train):,} samples, {sum(map(len, train)):,} tokens")

    figures: dict[str, Any] = {
        "samples": len(train),
        "passages": len(passages),
        "tokens_per_epoch": sum(map(len, train)),
        "samples_cut": sum(s.was_cut for s in train),
        "phases": [],
    }
    timing: dict[str, Any] = {"phases": []}
    base_is_ours = settings.base == "tiny" or any(p.mode == "full" for p in settings.phases)
    model: Any = None
    if first:
        _settle_base(out)
    devices.wait_for_everyone()
    for at, phase in enumerate(settings.phases):
        done_file = out / "phases" / f"{at}.json"
        if done_file.exists():
            saved = read_json(done_file)
            figures["phases"].append(saved["figures"])
            timing["phases"].append(saved["timing"])
            continue
        if model is None:
            model = _load_base(settings, out, at, context)
        if first and phase.mode == "adapter" and base_is_ours and not (out / "base").exists():
            save_model(model, out / "base", tokenizer)
        samples, held_out = (passages, []) if phase.data == "passages" else (train, validation)
        samples = _of_types(samples, phase, inputs["mix"] / "train.jsonl")
        saved = _run_phase(model, samples, held_out, settings, at, out, context, writes=first)
        if first:
            if phase.mode == "full":
                save_model(model, out / f"base.phase-{at}", tokenizer)
            elif not settings.keep_unmerged_only:
                from bimedix.model.adapters import merge

                saved["figures"]["merge_difference"] = merge(model, out / "merged", tokenizer)
            write_json(done_file, saved)
            _settle_base(out)
        devices.wait_for_everyone()
        figures["phases"].append(saved["figures"])
        timing["phases"].append(saved["timing"])
    if first:
        shutil.rmtree(out / "checkpoints", ignore_errors=True)

    figures |= {f"final_{key}": value for key, value in _last(figures["phases"]).items()}
    timing["peak_memory_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)
    if first:
        write_json(out / "figures.json", figures)
        write_json(out / "chat.json", {"template": settings.template})
    return Summary(
        read=len(train) + len(validation) + sum(counts.values()),
        written=len(train),
        dropped=dict(sorted(counts.items())),
        figures={**figures, "timing": timing},
    )


def _load_base(settings: Settings, out: Path, at: int, context: Context) -> Any:
    """Return the model that phase `at` begins with: what earlier phases made of it, or the recipe's base."""
    from bimedix.model.load import load_model, tiny_model

    if any((out / "phases" / f"{earlier}.json").exists() for earlier in range(at)):
        return load_model((out / "base").resolve(), dtype=settings.dtype)
    if settings.base == "tiny":
        return tiny_model(settings.tiny)
    return load_model(settings.base, dtype=settings.dtype, base=context.base)


def _of_types(samples: "list[Sample]", phase: Phase, path: Path) -> "list[Sample]":
    """Return the samples of the types that a phase reads.

    Raises:
        DataError: there are none.
    """
    chosen = [sample for sample in samples if not phase.types or sample.type in phase.types]
    if not chosen:
        raise DataError(
            f"{path}: holds no {' or '.join(phase.types)} to train on.\n"
            "  Change `types` of the phase, or give the mix such records."
        )
    return chosen


def _settle_base(out: Path) -> None:
    """Put the base of a phase that is done in its place, and remove one of a phase that is not.

    Between the two the phase is marked as done: a run that is killed at any moment begins a phase with the
    weights that the phase before it left.
    """
    for folder in out.glob("base.phase-*"):
        if not (out / "phases" / f"{folder.name.removeprefix('base.phase-')}.json").exists():
            shutil.rmtree(folder)
            continue
        shutil.rmtree(out / "base", ignore_errors=True)
        folder.rename(out / "base")


def _last(phases: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: phases[-1].get(key) for key in ("loss", "validation_loss")}


def _tokenizer_name(settings: Settings) -> str:
    return settings.tokenizer or ("mixtral" if settings.base == "tiny" else settings.base)


def _read(path: Path, settings: Settings, tokenizer: Any, drop: Any) -> "list[Sample]":
    from bimedix.train.data import encode_samples

    records = read_records(path, Conversation)
    limit = settings.max_tokens_per_sample
    pieces = _encoder(settings, tokenizer)
    return list(encode_samples(records, pieces, settings.template, limit, drop))


def _encoder(settings: Settings, tokenizer: Any) -> Any:
    """Return what encodes texts: Mixtral's by sentencepiece, the same ids in less than half the time."""
    built_in = _tokenizer_name(settings) == "mixtral" and settings.template != TOKENIZER
    return MixtralPieces() if built_in else tokenizer


def _read_passages(path: Path, settings: Settings, tokenizer: Any) -> "list[Sample]":
    """Return the running text of the mix, where a phase learns from it."""
    from bimedix.train.data import encode_passages

    if all(phase.data != "passages" for phase in settings.phases):
        return []
    found = list(encode_passages(read_records(path, Passage), tokenizer, settings.max_tokens_per_sample))
    if not found:
        raise DataError(
            f"{path}: holds no running text to learn from.\n"
            '  Give [curate] documents or passages, or leave out the phase with data = "passages".'
        )
    return found


def _run_phase(
    model: Any,
    train: "list[Sample]",
    validation: "list[Sample]",
    settings: Settings,
    at: int,
    out: Path,
    context: Context,
    *,
    writes: bool,
) -> dict[str, Any]:
    """Train one phase; adapters are audited and saved. Returns figures, and timings apart from them."""
    from bimedix.model.adapters import audit_trained, count_trainable, fingerprints, save_adapter
    from bimedix.model.blocks import attach
    from bimedix.train.loop import train_phase

    phase = settings.phases[at]
    total = sum(p.numel() for p in model.parameters())
    before: dict[str, str] = {}
    if phase.mode == "adapter":
        attach(model, settings.adapter)
        before = fingerprints(model)
    else:
        model.requires_grad_(True)
    trainable = count_trainable(model)
    outcome = train_phase(model, train, validation, settings, at, out, context.seed, context.progress)
    idle = frozenset(
        (layer, expert)
        for layer, loads in enumerate(outcome.expert_load)
        for expert, count in enumerate(loads)
        if count == 0
    )
    if phase.mode == "adapter":
        audit_trained(before, fingerprints(model), idle)
        if writes:
            save_adapter(model, out / "adapter")
    found = asdict(outcome)
    seconds = found.pop("seconds")
    figures = {
        "mode": phase.mode,
        **{key: found[key] for key in ("steps", "tokens", "supervised_tokens", "first_loss")},
        "loss": found["final_loss"],
        "validation_loss": found["validation_loss"],
        "trainable_parameters": trainable,
        "base_parameters": total,
        "trainable_share": round(trainable / total, 6),
        "expert_load": found["expert_load"],
        "experts_without_tokens": len(idle),
        "padding_share": 0.0,
    }
    timing = {"seconds": round(seconds, 2), "tokens_per_s": round(found["tokens"] / max(seconds, 1e-9), 1)}
    return {"figures": figures, "timing": timing}
