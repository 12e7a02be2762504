"""`bimedix convert`: memories and glossaries from one form into another, for the tools of translators."""

from collections.abc import Iterator
from pathlib import Path

from bimedix.completers.exchange import (
    GLOSSARIES,
    MEMORIES,
    read_memory,
    read_term_list,
    write_memory,
    write_term_list,
)
from bimedix.errors import UsageError
from bimedix.files import require_file
from bimedix.records import Origin, ParallelText


def convert(source: Path, target: Path, codes: tuple[str, str]) -> int:
    """Write what `source` holds in both languages as the kind of file that `target` names; returns how much.

    Raises:
        UsageError: a memory cannot become a glossary, or the other way round, or a name is of neither.
        MissingError, DataError: `source` is not there, or broken; names the line.
    """
    for kinds in (MEMORIES, GLOSSARIES):
        if source.suffix in kinds and target.suffix in kinds:
            require_file(source)
            if kinds is GLOSSARIES:
                return write_term_list(target, read_term_list(source, *codes), *codes)
            return write_memory(target, _segments(source, codes))
    raise UsageError(
        f"{source.name} to {target.name}: memories are {', '.join(MEMORIES)}, glossaries "
        f"{', '.join(GLOSSARIES)}; one is not made of the other."
    )


def _segments(path: Path, codes: tuple[str, str]) -> Iterator[ParallelText]:
    for unit in read_memory(path):
        if codes[0] in unit.texts and codes[1] in unit.texts:
            texts = unit.texts[codes[0]], unit.texts[codes[1]]
            yield ParallelText(
                unit.id, codes[0], Origin(path.stem, f"{path.name}:{unit.line}"), *texts, codes[1]
            )
