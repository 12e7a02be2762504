"""Bio-MQM: human MQM annotations of machine and human translations of medical abstracts.

`round_two/en2fr/LISN_run1.json`, a JSON list; severities are Critical, Major, Minor and Neutral:

    [{"source": "The knee is swollen.", "target": "Le genoux est gonflé.", "SEG_ID": "1",
      "filename": "en_fr_doc1.txt", "MT_Engine": "LISN_run1", "source_locale": "enus",
      "target_locale": "frfr", "source_errors": [], "target_errors": [{"term": "genoux",
      "startIndex": 3, "endIndex": 8, "error_category": "Linguistic_conventions",
      "error_subcategory": "Grammar", "severity": "Minor"}], "Annotator_ID": "AB", "DOC_ID": "doc1"}]

The end index is that of the last character, and about one in six misses its term by a character or two,
so the term is looked up nearest to where the index points. Neutral remarks cost nothing and become
findings with a hint; terms that the segment does not hold (about 7 in 100: they belong to a neighbour)
become findings with a warning; all other annotations are error spans. `doc_id_splits.json` above the file
gives the split.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from bimedix.files import read_json
from bimedix.records import Attempt, ErrorSpan, Finding, Passage, Translation
from bimedix.sources.base import Given, Options, Row, Source, clean, drop, json_list, origin, source_id
from bimedix.sources.texts import EMPTY_SEGMENT, UNKNOWN_LANGUAGE, known_language

NAME = "bio_mqm"
LICENCE = "Apache-2.0"
Severity = Literal["critical", "major", "minor", "punctuation"]
_SEVERITIES: dict[str, Severity | None] = {
    "critical": "critical", "major": "major", "minor": "minor", "neutral": None,
}  # fmt: skip
_SPLITS = {"dev": "validation", "test": "test", "train": "train"}


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield a translation per segment, system and annotator, with its error spans."""
    splits = _splits_above(path)
    for row in json_list(path, options.encoding):
        yield _translation(row, splits, options)


def _translation(row: Row, splits: dict[tuple[str, str], str], options: Options) -> Given:
    codes = row.text("source_locale")[:2], row.text("target_locale")[:2]
    parts = (*codes, row.text("MT_Engine"), row.text("DOC_ID"), row.text("SEG_ID"), row.text("Annotator_ID"))
    key = "/".join(parts)
    source, target = (known_language(code) for code in codes)
    if not source or not target:
        return drop(NAME, row, UNKNOWN_LANGUAGE, id=source_id(NAME, key), detail=" ".join(codes))
    if not row.text("source") or not row.text("target"):
        return drop(NAME, row, EMPTY_SEGMENT, id=source_id(NAME, key))
    split = splits.get(("-".join(codes), row.text("DOC_ID")), "")
    place = origin(NAME, LICENCE, row, options, key=key, split=split)
    segment = source_id(NAME, "/".join((*codes, row.text("DOC_ID"), row.text("SEG_ID"))))
    shown = Passage(segment, source, place, row.text("source"))
    given = Passage(source_id(NAME, key), target, place, row.text("target"), parents=(segment,))
    attempt = Attempt(
        0,
        {"text": row.text("target")},
        None,
        findings=tuple(_findings(row)),
        spans=tuple(_spans(row)),
        completer=row.text("MT_Engine"),
    )
    return Translation(given.id, shown, given, (attempt,), 0, "audit", ("human MQM annotation",))


def _annotations(row: Row) -> Iterator[tuple[Literal["source", "target"], Row]]:
    sides: tuple[Literal["source", "target"], ...] = ("source", "target")
    for side in sides:
        for error in row.rows(f"{side}_errors"):
            yield side, error


def _severity(error: Row) -> Severity | None:
    """Return the severity; None is Neutral. Minor punctuation has its own, as in MQM's weights."""
    word = error.text("severity").lower()
    if word not in _SEVERITIES:
        raise error.error(f"severity '{error.text('severity')}' is none of Critical, Major, Minor, Neutral.")
    minor = word == "minor" and error.text("error_subcategory").lower() == "punctuation"
    return "punctuation" if minor else _SEVERITIES[word]


def _category(error: Row) -> str:
    return "/".join(filter(None, (error.text("error_category"), error.text("error_subcategory"))))


def _spans(row: Row) -> Iterator[ErrorSpan]:
    for side, error in _annotations(row):
        severity = _severity(error)
        if severity and _place(row.text(side), error):
            yield ErrorSpan(clean(error.text("term")), side, _category(error), severity)


def _findings(row: Row) -> Iterator[Finding]:
    for side, error in _annotations(row):
        span = _place(row.text(side), error)
        if _severity(error) is None or not span:
            yield Finding(
                "human MQM",
                "hint" if span else "warning",
                f"{_category(error)}: {error.text('term')}",
                "text",
                span if side == "source" else (),
                span if side == "target" else (),
            )


def _place(text: str, error: Row) -> tuple[tuple[int, int], ...]:
    """Return (start, end) of the term nearest to its index; nothing when the text does not hold it."""
    term, start = error.text("term"), error.value("startIndex")
    starts = [at for at in range(len(text)) if term and text.startswith(term, at)]
    if not starts or not isinstance(start, int):
        return ()
    at = min(starts, key=lambda found: abs(found - start))
    return ((at, at + len(term)),)


def _splits_above(path: Path) -> dict[tuple[str, str], str]:
    """Return (pair, document) -> split from the nearest `doc_id_splits.json`, or nothing."""
    for folder in path.parents[:5]:
        found = folder / "doc_id_splits.json"
        if found.exists():
            return {
                (pair, document): _SPLITS.get(split, "")
                for pair, by_split in read_json(found).items()
                for split, documents in by_split.items()
                for document in documents
            }
    return {}


SOURCE = Source(
    name=NAME,
    title="Bio-MQM: human MQM annotations of medical translations",
    licence=LICENCE,
    address="https://github.com/amazon-science/bio-mqm-dataset",
    languages=("en", "es", "fr", "ru", "zh"),
    gives="translation",
    files=("round_*/*2*/*.json",),
    read=read,
)
