"""`bimedix export`: records and trained models into the formats that other tools read."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from bimedix.errors import MissingError, UsageError, did_you_mean
from bimedix.files import Tally, read_any_records, write_parquet, write_records
from bimedix.formats import FORMATS, format_named
from bimedix.model.places import PEFT_CARD, find_parts
from bimedix.model.settings import MergeBase
from bimedix.progress import Progress
from bimedix.records import Translation

PLAIN: dict[str, Callable[[Path, Iterator[Struct]], Tally]] = {
    "records": write_records,
    "parquet": write_parquet,
}
LM_EVAL = "lm-eval"
NAMES = (*PLAIN, *FORMATS, LM_EVAL)
ModelForm = Literal["merged", "peft", "peft-fused"]
MODEL_FORMS: tuple[ModelForm, ...] = ("merged", "peft", "peft-fused")
"""A plain checkpoint with the adapters added in; adapters for PEFT, per expert or fused as from 0.19 on."""


def export_records(source: Path, target: Path, form: str, *, bare: bool = False) -> Tally:
    """Write the records of a file in another format; of translations, their best target.

    `lm-eval` fills a folder with tasks for lm-evaluation-harness; all others write a file.

    Args:
        bare: only the format's own keys, without the extra key that carries what it has no place for.

    Raises:
        UsageError: no such format, or the target is the source.
    """
    if form not in NAMES:
        known = (*NAMES, *MODEL_FORMS)
        raise UsageError(
            f"--to {form}: no such format.{did_you_mean(form, known)}\n  Known: {', '.join(known)}."
        )
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target}: is the file that is read.\n  Name another one.")
    if form in PLAIN:
        return PLAIN[form](target, _exported(source, whole=True))
    if form == LM_EVAL:
        from bimedix.evaluate.harness import write_tasks

        return write_tasks(target, _exported(source, whole=False))
    return format_named(form).write(target, _exported(source, whole=False), bare=bare)


def _exported(source: Path, *, whole: bool) -> Iterator[Struct]:
    for record in read_any_records(source):
        if whole or not isinstance(record, Translation):
            yield record
        elif record.target is not None:
            yield record.target


def export_model(
    source: Path, target: Path, form: ModelForm, *, over: MergeBase = "auto", progress: Progress
) -> str:
    """Write a trained model for other tools; returns what was done, in a line.

    Args:
        source: folder of a run, of a training stage, or of adapters.
        target: folder to write.
        form: one of `MODEL_FORMS`.
        over: of `merged`: add to the base as `stored` or `dequantised`; `auto`: as it was trained over.
        progress: told shard by shard.

    Raises:
        MissingError: there is no model, or no adapters.
        UsageError: the target is there.
    """
    from bimedix.model.layouts import convert_adapter
    from bimedix.model.load import find_model
    from bimedix.model.merge import merge_files

    parts = find_parts(source)
    if parts.adapter is None:
        raise MissingError(f"{source}: holds no adapters; its model is a plain one already: {parts.base}.")
    base = find_model(parts.base)
    name = parts.base if parts.base.count("/") == 1 else base.name
    if form == "merged":
        found = merge_files(
            base, parts.adapter, target, over=over, template=parts.template, base_name=name, progress=progress
        )
        return (
            f"{found.matrices:,} matrices merged over {found.base}; logits differ from base plus adapters by "
            f"{found.difference:.1e} at most, relative to the largest: {target}"
        )
    if target.exists():
        raise UsageError(f"{target}: is there already.\n  Name another folder, or remove it first.")
    if (parts.adapter / PEFT_CARD).exists():
        raise UsageError(f"{parts.adapter}: is an adapter of PEFT already.")
    count = convert_adapter(
        base, parts.adapter, target, "fused" if form == "peft-fused" else "experts", parts.base
    )
    return f"{count:,} pairs written for PEFT: {target}"
