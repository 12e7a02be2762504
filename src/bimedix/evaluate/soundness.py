"""Is a test set fit to be scored: translations beside their sources, and questions beside each other.

A wrong row costs every model the same points and looks like a hard question: of Arabic MMLU, 209 of 1,089
medical rows are no translation of their English row (evaluate-serve.md, section 5).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from bimedix.errors import DataError
from bimedix.evaluate.items import Asked, published_file
from bimedix.files import read_any_records, write_records
from bimedix.integrity import check_pair, check_set
from bimedix.overlap.contamination import TestIndex
from bimedix.overlap.duplicates import Textual
from bimedix.records import Finding, MultipleChoice, Translation, item_fields, root_id
from bimedix.text import normalise

FILE = "integrity.jsonl"
OVERLAP = "overlap"
"""Name of the check that looks for test items in what the model was trained on."""
KEYS_AGREE = 0.95
"""Share of rows of two files whose answer keys have to be the same for them to be taken as translations, row
by row; by chance a quarter of four-option keys agree."""
NAMED = 10
"""Rows that an error message names."""


class Unsound(Struct, frozen=True):
    """One row of a test set and what is wrong with it."""

    id: str
    benchmark: str
    language: str
    source: str
    """Id of the item it was compared with; empty when it was looked at alone."""
    findings: tuple[Finding, ...]
    """Errors and warnings, no hints."""

    @property
    def errors(self) -> tuple[str, ...]:
        """Names of the checks that gave an error, each once."""
        return tuple(dict.fromkeys(f.check for f in self.findings if f.severity == "error"))


class SetReport(Struct, frozen=True):
    """What was found in one test set in one language."""

    benchmark: str
    language: str
    items: int
    paired: int
    """Items that a source in another language stands beside."""
    with_errors: int
    checks: dict[str, int]
    """Items by check that gave an error; one item may count under several."""


Pairs = list[tuple[Asked, Asked]]
"""Source and translation."""


def pair_up(asked: Sequence[Asked]) -> Pairs:
    """Pair the items of each test set across languages: by id without its `@language`, else by row.

    The source is the item that no `@` marks, else the one that was read first. Sets with keys of their own in
    each language (MMLU) are paired row by row of the same file, where `KEYS_AGREE` says that this holds.
    """
    found = {target.key: (source, target) for source, target in _grouped(asked, _by_id)}
    files: dict[tuple[str, ...], Pairs] = {}
    for source, target in _grouped([entry for entry in asked if entry.row], _by_row):
        place = (target.benchmark, source.item.language, target.item.language, *published_file(target.item))
        files.setdefault(place, []).append((source, target))
    for pairs in files.values():
        agree = sum(source.item.answers == target.item.answers for source, target in pairs)
        if agree >= KEYS_AGREE * len(pairs):
            found |= {t.key: (s, t) for s, t in pairs if t.key not in found and s.key not in found}
    return list(found.values())


def _grouped(
    asked: Sequence[Asked], key_of: Callable[[Asked], tuple[str | int, ...]]
) -> Iterator[tuple[Asked, Asked]]:
    groups: dict[tuple[str | int, ...], list[Asked]] = {}
    for entry in asked:
        groups.setdefault(key_of(entry), []).append(entry)
    for group in groups.values():
        source = next((entry for entry in group if "@" not in entry.item.id), group[0])
        yield from ((source, entry) for entry in group if entry.item.language != source.item.language)


def _by_id(entry: Asked) -> tuple[str | int, ...]:
    return entry.benchmark, re.sub("@[^#]*", "", entry.item.id)


def _by_row(entry: Asked) -> tuple[str | int, ...]:
    return entry.benchmark, *published_file(entry.item), entry.row


def examine(asked: Sequence[Asked], training: Iterable[Path] = ()) -> tuple[list[Unsound], list[SetReport]]:
    """Return the rows with findings, in the order asked, and the counts per test set and language.

    Args:
        asked: the items of all test sets.
        training: record files that the model was trained on; what they hold of a test item is found.
    """
    pairs = pair_up(asked)
    found: dict[str, list[Finding]] = {entry.key: [] for entry in asked}
    for source, target in pairs:
        found[target.key] += check_pair(source.item, target.item)
    for key, findings in [*_over_sets(pairs), *_alone(asked), *_overlaps(asked, training)]:
        found[key] += findings
    sources = {target.key: source.item.id for source, target in pairs}
    rows = [
        Unsound(entry.item.id, entry.benchmark, entry.item.language, sources.get(entry.key, ""), kept)
        for entry in asked
        if (kept := tuple(f for f in found[entry.key] if f.severity != "hint"))
    ]
    return rows, _reports(asked, rows, sources)


def _over_sets(pairs: Pairs) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    """Yield what only shows over many rows: one text at unlike questions, echo.

    Test sets of one language pair are taken together: what leaked into one leaked into its neighbours.
    """
    groups: dict[tuple[str, str], Pairs] = {}
    for source, target in pairs:
        groups.setdefault((source.item.language, target.item.language), []).append((source, target))
    for group in groups.values():
        yield from check_set((t.key, _flat(s.item), _flat(t.item)) for s, t in group).items()


def _flat(item: MultipleChoice) -> str:
    return "\n".join(" ".join(text.split()) for text in item_fields(item).values())


def _alone(asked: Sequence[Asked]) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    """Yield keys that point at an empty option, and questions that stand twice in one language."""
    first: dict[tuple[object, ...], Asked] = {}
    for entry in asked:
        item = entry.item
        if not all(text.strip() for text in item.answer_texts):
            yield entry.key, (Finding("key", "error", "the key points at an empty option", "answers"),)
        options = tuple(sorted(normalise(text) for text in item.options))
        place = entry.benchmark, item.language, item.context, normalise(item.question), options
        if (other := first.setdefault(place, entry)) is entry:
            continue
        same = {*map(normalise, item.answer_texts)} == {*map(normalise, other.item.answer_texts)}
        text = f"repeats {other.item.id}" + ("" if same else ", with another answer")
        yield entry.key, (Finding("duplicate", "warning" if same else "error", text),)


def _overlaps(asked: Sequence[Asked], training: Iterable[Path]) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    """Yield the items that a training record holds: by lineage in any language, else by their words.

    With an item its translations are found: who learnt a question in one language knows it in the other.
    """
    index: TestIndex | None = None
    seen: dict[str, Finding] = {}
    for path in training:
        index = index or TestIndex(entry.item for entry in asked)
        for record in read_any_records(path):
            text = record.target if isinstance(record, Translation) else record
            match = index.find(text) if isinstance(text, Textual) else None
            if match:
                told = f"{path.name} holds {match.test_id}: {record.id}, {match.rule}, {match.similarity:.0%}"
                seen.setdefault(root_id(match.test_id), Finding(OVERLAP, "error", told))
    for entry in asked:
        if finding := seen.get(root_id(entry.item.id)):
            yield entry.key, (finding,)


def _reports(asked: Sequence[Asked], rows: Sequence[Unsound], sources: dict[str, str]) -> list[SetReport]:
    items = Counter((entry.benchmark, entry.item.language) for entry in asked)
    paired = Counter((entry.benchmark, entry.item.language) for entry in asked if entry.key in sources)
    reports = []
    for place, count in items.items():
        wrong = [row for row in rows if (row.benchmark, row.language) == place and row.errors]
        checks = Counter(name for row in wrong for name in row.errors)
        ordered = dict(sorted(checks.items(), key=lambda entry: (-entry[1], entry[0])))
        reports.append(SetReport(*place, count, paired[place], len(wrong), ordered))
    return reports


def check_sound(
    asked: Sequence[Asked], out: Path, *, refuse: bool, training: Iterable[Path] = ()
) -> list[SetReport]:
    """Examine the test sets, write `integrity.jsonl`, and return the counts.

    Raises:
        DataError: `refuse` is set and a row has an error; names the first rows.
    """
    rows, reports = examine(asked, training)
    write_records(out / FILE, rows)
    if refuse and (wrong := [row for row in rows if row.errors]):
        raise DataError(_refusal(wrong, out / FILE))
    return reports


def _refusal(wrong: Sequence[Unsound], path: Path) -> str:
    lines = [f"  {row.benchmark}, {row.language}: {row.id}: {_reason(row)}" for row in wrong[:NAMED]]
    more = [f"  and {len(wrong) - NAMED} more"] if len(wrong) > NAMED else []
    head = f"[evaluate] {len(wrong)} rows of the test sets fail an integrity check; all are in {path}."
    mend = '  Mend or leave out these rows, or set `integrity = "report"` to score them all the same.'
    return "\n".join([head, *lines, *more, mend])


def _reason(row: Unsound) -> str:
    first = next(f for f in row.findings if f.severity == "error")
    place = f"{first.field}, " if first.field else ""
    return f"{place}{first.check}: {first.explanation[:160]}"
