"""IgakuQA: the Japanese national medical licence exams of 2018 to 2022, and a machine translation.

A line of `2022/116-A.jsonl` (invented):

    {"problem_id": "116A1", "problem_text": "血液を送り出す臓器はどれか。", "choices": ["肝臓", "心臓"],
     "text_only": true, "answer": ["b"], "points": "1"}

`116-A_translate.jsonl` has problem_text_en and choices_en, without text_only: what needs an image is known
from the Japanese file beside it. `116-A_metadata.jsonl` has the category. About 300 questions have two or
three right answers; a few have six or eight choices. Dropped: items that need an image, that have no
choices, or whose answer is a number to be computed.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.records import translated_id
from bimedix.sources.base import (
    Given,
    Options,
    Row,
    Source,
    drop,
    json_list,
    letters_to_indexes,
    multiple_choice,
    origin,
    source_id,
)

NAME, LICENCE = "igakuqa", "none stated; exams of the Japanese Ministry of Health, Labour and Welfare"
ENGLISH = "_translate"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one block of one year."""
    stem = path.stem.removesuffix(ENGLISH)
    metadata = {row.text("problem_id"): row for row in _beside(path, f"{stem}_metadata")}
    japanese = {row.text("problem_id"): row for row in _beside(path, stem) if path.stem != stem}
    for row in json_list(path, options.encoding):
        key = row.text("problem_id")
        yield _question(row, options, metadata.get(key), japanese.get(key))


def _beside(path: Path, stem: str) -> Iterator[Row]:
    other = path.with_name(stem + path.suffix)
    return json_list(other) if other.exists() else iter(())


def _question(row: Row, options: Options, metadata: Row | None, japanese: Row | None) -> Given:
    key, english = row.text("problem_id"), "problem_text_en" in row.values
    end = "_en" if english else ""
    own = source_id(NAME, key)
    item_id = translated_id(own, "en") if english else own
    reason = _unusable(row, japanese or row, f"choices{end}")
    if reason:
        return drop(NAME, row, reason, id=item_id)
    choices = row.texts(f"choices{end}")
    return multiple_choice(
        NAME,
        row,
        id=item_id,
        language=options.language or ("en" if english else "ja"),
        origin=origin(NAME, LICENCE, row, options, key=key),
        question=row.text(f"problem_text{end}"),
        options=choices,
        answers=letters_to_indexes(row.texts("answer"), len(choices), row),
        subject=metadata.optional("category") if metadata else None,
        parents=(own,) if english else (),
    )


def _unusable(row: Row, japanese: Row, choices: str) -> str:
    if japanese.values.get("text_only") is False:
        return "needs an image"
    if not row.texts(choices):
        return "has no options"
    if any(part.replace(".", "").isdigit() for part in row.texts("answer")):
        return "the answer is a number"
    return ""


SOURCE = Source(
    name=NAME,
    title="IgakuQA",
    licence=LICENCE,
    address="https://github.com/jungokasai/IgakuQA",
    languages=("ja", "en"),
    gives="multiple_choice",
    files=tuple(f"20[0-9][0-9]/1[0-9][0-9]-[A-Z]{end}.jsonl" for end in ("", ENGLISH)),
    read=read,
)
