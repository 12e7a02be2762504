"""The training room: reads the mix, trains the phases in order, writes base, adapter and figures."""

import resource
import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimedix.errors import DataError
from bimedix.files import RecordWriter, read_json, write_json
from bimedix.progress import Progress
from bimedix.stage import DROPPED, Context, Summary
from bimedix.train.settings import Phase, Settings, base_config, tokenizer_name

if TYPE_CHECKING:
    from bimedix.train.samples import Samples

TRAIN, VALIDATION, PASSAGES = "train.jsonl", "validation.jsonl", "passages.jsonl"


def run(settings: Settings, inputs: dict[str, Path], out: Path, context: Context) -> Summary:
    """Train on `mix/train.jsonl`; `mix/validation.jsonl`, where there is one, gives the validation loss.

    Writes:
        `base/`: the base that was trained or made here, as a plain checkpoint with its tokenizer;
        `adapter/`: the adapters; `metrics.jsonl`: a row per step; `dropped.jsonl`;
        `figures.json`: what the summary holds; `chat.json`: the template, for evaluation and serving.
    Beside the stage's folder: `prepared/`, the tokenised data, and `tracking/`, where trackers are asked for.
    """
    from bimedix.model.load import check_folder, find_model, load_tokenizer, save_model
    from bimedix.model.merge import merge_files
    from bimedix.train.checkpoint import check_checkpoint
    from bimedix.train.devices import make_accelerator, sharing, whole_weights
    from bimedix.train.loop import identity_of
    from bimedix.train.preflight import check_room
    from bimedix.train.samples import Samples

    if (folder := context.base / settings.base).is_dir():
        check_folder(folder)
    accelerator = make_accelerator(settings, context.calls.parent / "tracking")
    first = accelerator.is_main_process
    out.mkdir(parents=True, exist_ok=True)
    folders = _prepare(settings, inputs["mix"], context, accelerator)
    dropped = _keep_dropped(list(folders.values()), out) if first else Counter[str]()
    train, validation, passages = (
        Samples.open(folders[name]) if name in folders else Samples()
        for name in (TRAIN, VALIDATION, PASSAGES)
    )
    if not len(train) and any(phase.data == "conversations" for phase in settings.phases):
        raise DataError(
            f"{inputs['mix'] / TRAIN}: holds no conversation to learn from.\n"
            "  Look into dropped.jsonl of the mix and of this stage for the reasons."
        )
    if not len(validation) and any(phase.patience or phase.keep_best for phase in settings.phases):
        raise DataError(
            f"{inputs['mix'] / VALIDATION}: holds nothing to validate on, which `patience` and `keep_best` "
            "need.\n  Set [mix] validation_share above 0."
        )
    tokens = int(train.lengths.sum())
    context.progress.say(f"train: {len(train):,} samples, {tokens:,} tokens")

    figures: dict[str, Any] = {
        "samples": len(train),
        "passages": len(passages),
        "tokens_per_epoch": tokens,
        "phases": [],
    }
    timing: dict[str, Any] = {"phases": []}
    base_is_ours = settings.base == "tiny" or any(p.mode == "full" for p in settings.phases)
    model: Any = None
    tokenizer = load_tokenizer(tokenizer_name(settings), context.base) if first else None
    accelerator.init_trackers("bimedix")
    if first:
        _settle_base(out)
    accelerator.wait_for_everyone()
    for at, phase in enumerate(settings.phases):
        done_file = out / "phases" / f"{at}.json"
        if done_file.exists():
            saved = read_json(done_file)
            figures["phases"].append(saved["figures"])
            timing["phases"].append(saved["timing"])
            continue
        samples, held_out = (passages, Samples()) if phase.data == "passages" else (train, validation)
        samples = _of_types(samples, phase, inputs["mix"] / TRAIN)
        check_checkpoint(
            out / "checkpoints" / f"phase-{at}", identity_of(settings, at, context.seed, samples)
        )
        config, _ = base_config(settings, context.base)
        if config is not None:
            check_room(settings, phase, config, out, sharing(accelerator))
        if model is None:
            model = _load_base(settings, out, at, context)
        if first and phase.mode == "adapter" and base_is_ours and not (out / "base").exists():
            save_model(model, out / "base", tokenizer)
        saved = _run_phase(model, samples, held_out, settings, at, out, context, accelerator)
        with whole_weights(model):
            if first and phase.mode == "full":
                save_model(model, out / f"base.phase-{at}", tokenizer)
            elif first and not settings.keep_unmerged_only:
                shutil.rmtree(out / "merged", ignore_errors=True)
                base = out / "base" if base_is_ours else find_model(settings.base, context.base)
                merged = merge_files(
                    base, out / "adapter", out / "merged", template=settings.template, tokenizer=tokenizer,
                    base_name=settings.base, progress=context.progress,
                )  # fmt: skip
                saved["figures"]["merge_difference"] = merged.difference
        if first:
            write_json(done_file, saved)
            _settle_base(out)
        accelerator.wait_for_everyone()
        if accelerator.num_processes > 1:
            model = None  # spread over the devices: the next phase begins with what was saved
            accelerator.free_memory()
        figures["phases"].append(saved["figures"])
        timing["phases"].append(saved["timing"])
    accelerator.end_training()
    if first:
        shutil.rmtree(out / "checkpoints", ignore_errors=True)

    figures |= {f"final_{key}": value for key, value in _last(figures["phases"]).items()}
    timing["peak_memory_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)
    if first:
        write_json(out / "figures.json", figures)
        write_json(out / "chat.json", {"template": settings.template})
    return Summary(
        read=len(train) + len(validation) + dropped.total(),
        written=len(train),
        dropped=dict(sorted(dropped.items())),
        figures={**figures, "timing": timing},
    )


def _load_base(settings: Settings, out: Path, at: int, context: Context) -> Any:
    """Return the model that phase `at` begins with: what earlier phases made of it, or the recipe's base."""
    from bimedix.model.load import tiny_model
    from bimedix.model.stream import load_base

    packed = settings.adapter if settings.phases[at].mode == "adapter" else None
    if any((out / "phases" / f"{earlier}.json").exists() for earlier in range(at)):
        return load_base((out / "base").resolve(), packed, dtype=settings.dtype)
    if settings.base == "tiny":
        return tiny_model(settings.tiny)
    return load_base(settings.base, packed, dtype=settings.dtype, base=context.base)


def _of_types(samples: "Samples", phase: Phase, path: Path) -> "Samples":
    """Return the samples of the types that a phase reads.

    Raises:
        DataError: there are none.
    """
    chosen = samples.of_types(phase.types)
    if not len(chosen):
        raise DataError(
            f"{path}: holds no {' or '.join(phase.types) or 'running text'} to train on.\n"
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


def prepare_data(settings: Settings, inputs: dict[str, Path], out: Path, context: Context) -> Summary:
    """Tokenise what training will read, and train nothing: for a machine without an accelerator, beforehand.

    With the same folder, or `[train] prepared`, training finds it.
    """
    folders = _prepared(settings, inputs["mix"], context, context.progress)
    told = {name: read_json(folder / "index.json") for name, folder in folders.items()}
    dropped = Counter[str]()
    for index in told.values():
        dropped.update(index["dropped"])
    samples = sum(index["samples"] for index in told.values())
    figures = {
        name: {key: index[key] for key in ("samples", "tokens", "shards")} for name, index in told.items()
    }
    return Summary(samples + dropped.total(), samples, dict(dropped), {"prepared": figures})


def _prepare(settings: Settings, mix: Path, context: Context, accelerator: Any) -> dict[str, Path]:
    """Return the folders of the tokenised data by file of the mix; the first device makes what is missing.

    Raises:
        DataError: a phase learns from running text, and there is none.
    """
    if accelerator.is_main_process:
        _prepared(settings, mix, context, context.progress)
    accelerator.wait_for_everyone()
    found = _prepared(settings, mix, context, Progress())
    if PASSAGES in found and not read_json(found[PASSAGES] / "index.json")["samples"]:
        raise DataError(
            f"{mix / PASSAGES}: holds no running text to learn from.\n"
            '  Give [curate] documents or passages, or leave out the phase with data = "passages".'
        )
    return found


def _prepared(settings: Settings, mix: Path, context: Context, progress: Progress) -> dict[str, Path]:
    """Return the folders of the tokenised data by file of the mix, made now where they are missing."""
    from bimedix.train.prepare import Encoding, prepare

    root = context.base / settings.prepared if settings.prepared else context.calls.parent / "prepared"
    chats = Encoding(
        tokenizer_name(settings), settings.template, settings.max_tokens_per_sample, settings.long_records,
        base=context.base,
    )  # fmt: skip
    wanted = {name: chats for name in (TRAIN, VALIDATION) if name == TRAIN or (mix / name).exists()}
    if any(phase.data == "passages" for phase in settings.phases):
        wanted[PASSAGES] = replace(chats, kind="passages")
    return {
        name: prepare(mix / name, encoding, root, settings.prepare_processes, progress)
        for name, encoding in wanted.items()
    }


def _keep_dropped(folders: list[Path], out: Path) -> Counter[str]:
    """Write `dropped.jsonl` of the stage; returns the count by reason."""
    from bimedix.train.prepare import dropped_of, shards_of

    counts: Counter[str] = Counter()
    with RecordWriter(out / DROPPED) as writer:
        for folder in folders:
            for record in dropped_of(shards_of(folder)):
                counts[record.reason] += 1
                writer.write(record)
    return counts


def _run_phase(
    model: Any,
    train: "Samples",
    validation: "Samples",
    settings: Settings,
    at: int,
    out: Path,
    context: Context,
    accelerator: Any,
) -> dict[str, Any]:
    """Train one phase; adapters are audited and saved. Returns figures, and timings apart from them."""
    from bimedix.model.adapters import (
        audit_trained,
        count_trainable,
        count_weights,
        fingerprints,
        save_adapter,
    )
    from bimedix.model.blocks import attach
    from bimedix.train.devices import whole_weights
    from bimedix.train.loop import train_phase

    phase = settings.phases[at]
    total = count_weights(model)
    before: dict[str, str] = {}
    if phase.mode == "adapter":
        attach(model, settings.adapter)
        before = fingerprints(model)
    else:
        model.requires_grad_(True)
    trainable = count_trainable(model)
    outcome = train_phase(
        model, train, validation, settings, at, out, context.seed, context.progress, accelerator
    )
    idle = frozenset(
        (layer, expert)
        for layer, loads in enumerate(outcome.expert_load)
        for expert, count in enumerate(loads)
        if count == 0
    )
    if phase.mode == "adapter":
        with whole_weights(model):
            audit_trained(before, fingerprints(model), idle)
            if accelerator.is_main_process:
                save_adapter(model, out / "adapter")
    found = asdict(outcome)
    seconds = found.pop("seconds")
    figures = {
        "mode": phase.mode,
        **{
            key: found[key] for key in ("steps", "tokens", "supervised_tokens", "padding_share", "first_loss")
        },
        "loss": found["final_loss"],
        **{key: found[key] for key in ("validation_loss", "best_step", "stopped_early")},
        "trainable_parameters": trainable,
        "base_parameters": total,
        "trainable_share": round(trainable / total, 6),
        "expert_load": [list(layer) for layer in found["expert_load"]],
        "experts_without_tokens": len(idle),
    }
    timing = {"seconds": round(seconds, 2), "tokens_per_s": round(found["tokens"] / max(seconds, 1e-9), 1)}
    return {"figures": figures, "timing": timing}
