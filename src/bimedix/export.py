"""`bimedix export`: records into the formats that other tools read."""

from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from bimedix.errors import UsageError, did_you_mean
from bimedix.files import Tally, read_any_records, write_parquet, write_records
from bimedix.formats import FORMATS, format_named
from bimedix.records import Translation

PLAIN: dict[str, Callable[[Path, Iterator[Struct]], Tally]] = {
    "records": write_records,
    "parquet": write_parquet,
}
LM_EVAL = "lm-eval"
NAMES = (*PLAIN, *FORMATS, LM_EVAL)


def export_records(source: Path, target: Path, form: str, *, bare: bool = False) -> Tally:
    """Write the records of a file in another format; of translations, their best target.

    `lm-eval` fills a folder with tasks for lm-evaluation-harness; all others write a file.

    Args:
        bare: only the format's own keys, without the extra key that carries what it has no place for.

    Raises:
        UsageError: no such format, or the target is the source.
    """
    if form not in NAMES:
        raise UsageError(
            f"--to {form}: no such format.{did_you_mean(form, NAMES)}\n  Known: {', '.join(NAMES)}."
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
