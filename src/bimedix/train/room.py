"""The training room: reads the mix, trains the phases in order, writes base, adapter and figures."""

import resource
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimedix.errors import DataError
from bimedix.files import RecordWriter, read_json, write_json
from bimedix.progress import Progress
from bimedix.stage import DROPPED, Context, Summary
from bimedix.train.settings import Phase, Settings, base_config, tokenizer_name

if TYPE_CHECKING:
    from bimedix.train.loop import Outcome
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
    from bimedix.model.load import check_folder, load_tokenizer
    from bimedix.train.devices import make_accelerator

    if (folder := context.base / settings.base).is_dir():
        check_folder(folder)
    accelerator = make_accelerator(settings, context.calls.parent / "tracking")
    first = accelerator.is_main_process
    out.mkdir(parents=True, exist_ok=True)
    folders = _prepare(settings, inputs["mix"], context, accelerator)
    dropped = _keep_dropped(list(folders.values()), out) if first else Counter[str]()
    work = _Work(settings, context, inputs["mix"], out, accelerator, *_open(settings, inputs["mix"], folders))
    if first:
        work.tokenizer = load_tokenizer(tokenizer_name(settings), context.base)
    tokens = int(work.train.lengths.sum())
    context.progress.say(f"train: {len(work.train):,} samples, {tokens:,} tokens")

    accelerator.init_trackers("bimedix")
    if first:
        _settle_base(out)
    accelerator.wait_for_everyone()
    saved = [_phase_once(work, at) for at in range(len(settings.phases))]
    accelerator.end_training()

    phases = [one["figures"] for one in saved]
    figures = {
        "samples": len(work.train),
        "passages": len(work.passages),
        "tokens_per_epoch": tokens,
        "phases": phases,
        **{f"final_{key}": phases[-1].get(key) for key in ("loss", "validation_loss")},
    }
    timing = {
        "phases": [one["timing"] for one in saved],
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
    }
    if first:
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
        write_json(out / "figures.json", figures)
        write_json(out / "chat.json", {"template": settings.template})
    return Summary(
        read=len(work.train) + len(work.validation) + dropped.total(),
        written=len(work.train),
        dropped=dict(sorted(dropped.items())),
        figures={**figures, "timing": timing},
    )


@dataclass
class _Work:
    """A run of the stage: what its phases share, and the model that goes from one to the next."""

    settings: Settings
    context: Context
    mix: Path
    out: Path
    accelerator: Any
    train: "Samples"
    validation: "Samples"
    passages: "Samples"
    tokenizer: Any = None
    """Of the first device, which saves."""
    model: Any = None

    @property
    def base_is_ours(self) -> bool:
        """Tell whether the run makes its base or trains it, so that no other place has it."""
        return self.settings.base == "tiny" or any(p.mode == "full" for p in self.settings.phases)


def _open(settings: Settings, mix: Path, folders: dict[str, Path]) -> tuple["Samples", "Samples", "Samples"]:
    """Return the samples to train on, to validate on, and of running text.

    Raises:
        DataError: a phase needs some, and there are none.
    """
    from bimedix.train.samples import Samples

    train, validation, passages = (
        Samples.open(folders[name]) if name in folders else Samples()
        for name in (TRAIN, VALIDATION, PASSAGES)
    )
    if not len(train) and any(phase.data == "conversations" for phase in settings.phases):
        raise DataError(
            f"{mix / TRAIN}: holds no conversation to learn from.\n"
            "  Look into dropped.jsonl of the mix and of this stage for the reasons."
        )
    if not len(validation) and any(phase.patience or phase.keep_best for phase in settings.phases):
        raise DataError(
            f"{mix / VALIDATION}: holds nothing to validate on, which `patience` and `keep_best` "
            "need.\n  Set [mix] validation_share above 0."
        )
    return train, validation, passages


def _phase_once(work: _Work, at: int) -> dict[str, Any]:
    """Return figures and timings of phase `at`, which runs now unless it is done."""
    done_file = work.out / "phases" / f"{at}.json"
    if done_file.exists():
        found: dict[str, Any] = read_json(done_file)
        return found
    _before_phase(work, at)
    saved = _run_phase(work, at)
    difference = _save_weights(work, at)
    if difference is not None:
        saved["figures"]["merge_difference"] = difference
    if work.accelerator.is_main_process:
        write_json(done_file, saved)
        _settle_base(work.out)
    work.accelerator.wait_for_everyone()
    if work.accelerator.num_processes > 1:
        work.model = None  # spread over the devices: the next phase begins with what was saved
        work.accelerator.free_memory()
    return saved


def _samples_of(work: _Work, at: int) -> "Samples":
    phase = work.settings.phases[at]
    return _of_types(work.passages if phase.data == "passages" else work.train, phase, work.mix / TRAIN)


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


def _before_phase(work: _Work, at: int) -> None:
    """Check what can be checked beforehand, then load the model and keep the base that adapters need."""
    from bimedix.model.load import save_model
    from bimedix.train.checkpoint import check_checkpoint
    from bimedix.train.devices import sharing
    from bimedix.train.loop import identity_of
    from bimedix.train.preflight import check_room

    settings, phase, out = work.settings, work.settings.phases[at], work.out
    identity = identity_of(settings, at, work.context.seed, _samples_of(work, at))
    check_checkpoint(out / "checkpoints" / f"phase-{at}", identity)
    config, _ = base_config(settings, work.context.base)
    if config is not None:
        check_room(settings, phase, config, out, sharing(work.accelerator))
    if work.model is None:
        work.model = _load_base(settings, out, at, work.context)
    adapts_ours = phase.mode == "adapter" and work.base_is_ours
    if work.accelerator.is_main_process and adapts_ours and not (out / "base").exists():
        save_model(work.model, out / "base", work.tokenizer)


def _save_weights(work: _Work, at: int) -> float | None:
    """Save the base that a phase made, or base and adapters merged; returns what their logits differ by."""
    from bimedix.model.load import find_model, save_model
    from bimedix.model.merge import merge_files
    from bimedix.train.devices import whole_weights

    settings, out = work.settings, work.out
    with whole_weights(work.model):
        if not work.accelerator.is_main_process:
            return None
        if settings.phases[at].mode == "full":
            save_model(work.model, out / f"base.phase-{at}", work.tokenizer)
            return None
        if settings.keep_unmerged_only:
            return None
        shutil.rmtree(out / "merged", ignore_errors=True)
        base = out / "base" if work.base_is_ours else find_model(settings.base, work.context.base)
        return merge_files(
            base, out / "adapter", out / "merged", template=settings.template, tokenizer=work.tokenizer,
            base_name=settings.base, progress=work.context.progress,
        ).difference  # fmt: skip


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


def _run_phase(work: _Work, at: int) -> dict[str, Any]:
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
    from bimedix.train.samples import Samples

    model, phase = work.model, work.settings.phases[at]
    total = count_weights(model)
    before: dict[str, str] = {}
    if phase.mode == "adapter":
        attach(model, work.settings.adapter)
        before = fingerprints(model)
    else:
        model.requires_grad_(True)
    trainable = count_trainable(model)
    held_out = Samples() if phase.data == "passages" else work.validation
    outcome = train_phase(
        model, _samples_of(work, at), held_out, work.settings, at, work.out, work.context.seed,
        work.context.progress, work.accelerator,
    )  # fmt: skip
    idle = outcome.idle_experts()
    if phase.mode == "adapter":
        with whole_weights(model):
            audit_trained(before, fingerprints(model), idle)
            if work.accelerator.is_main_process:
                save_adapter(model, work.out / "adapter")
    return _told(outcome, phase, total, trainable, len(idle))


def _told(outcome: "Outcome", phase: Phase, total: int, trainable: int, idle: int) -> dict[str, Any]:
    """Return the figures of a phase, which a repeated run gives again, and its timings, which it does not."""
    found = asdict(outcome)
    seconds, loss = found.pop("seconds"), found.pop("final_loss")
    counts = ("steps", "tokens", "supervised_tokens", "padding_share", "first_loss")
    figures = {
        "mode": phase.mode,
        **{key: found[key] for key in counts},
        "loss": loss,
        **{key: found[key] for key in ("validation_loss", "best_step", "stopped_early")},
        "trainable_parameters": trainable,
        "base_parameters": total,
        "trainable_share": round(trainable / total, 6),
        "expert_load": [list(layer) for layer in found["expert_load"]],
        "experts_without_tokens": idle,
    }
    timing = {"seconds": round(seconds, 2), "tokens_per_s": round(found["tokens"] / max(seconds, 1e-9), 1)}
    return {"figures": figures, "timing": timing}
