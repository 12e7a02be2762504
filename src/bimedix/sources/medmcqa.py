"""MedMCQA: questions of the Indian entrance exams AIIMS and NEET-PG.

A line of `dev.json`, JSON Lines in spite of its name (invented):

    {"question": "Which vitamin do carrots hold?", "exp": "Ans. A. Vitamin A. Its precursor is carotene.",
     "cop": 1, "opa": "A", "opb": "C", "opc": "D", "opd": "K", "subject_name": "Biochemistry",
     "topic_name": null, "id": "00000000-0000-4000-8000-000000000001", "choice_type": "single"}

`cop` counts from 1 in the published files and from 0 in the copy on the hub. The whole file decides: it
holds a 0 or a 4, else the recipe has to say `index_base`. The key is one option also where choice_type is
multi. No key, or -1, is a private key.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import DataError
from bimedix.sources.base import Given, Options, Row, Source, json_list, multiple_choice, origin, source_id

NAME, LICENCE = "medmcqa", "MIT"
FILES = (
    "train.json", "dev.json", "test.json", "train-*.parquet", "validation-*.parquet", "test-*.parquet",
)  # fmt: skip
_PRIVATE = (None, -1)
_LETTER = r"['‘\"“(]*[a-dA-D]['’\"”)]*(?![A-Za-z])"
_OPENING = re.compile(
    rf"^\W*(?:correct\s+)?ans(?:wer)?\b[\s.:–-]*(?:is\b[\s.:–-]*)?{_LETTER}"
    rf"(?:\s*(?:,|&|and)\s*{_LETTER}(?=\s*[.:,)]))*[\s.:,–-]*(?:i\.?\s?e\b\.?[\s,:]*)?",
    re.IGNORECASE,
)


def strip_answer_letters(explanation: str) -> str:
    """Return the explanation without an opening such as `Ans. C.` or `Answer is 'a' i.e.`.

    About half of the explanations open so. The letter is wrong as soon as options are shuffled or
    relabelled in another script; the text after it stays as it is.
    """
    return _OPENING.sub("", explanation, count=1)


def index_base(path: Path, options: Options) -> int:
    """Return what the first option's number is in this file, 0 or 1, from all its keys.

    Raises:
        DataError: the file holds 0 and 4, contradicts the recipe, or holds neither and the recipe is silent.
    """
    seen = {row.values.get("cop") for row in json_list(path, options.encoding)}.difference(_PRIVATE)
    bases = {base for key, base in ((0, 0), (4, 1)) if key in seen}
    if options.index_base is not None:
        bases.add(options.index_base)
    if len(bases) == 1:
        return bases.pop()
    if not seen:
        return 1
    what = "both 0 and 4, or another base than the recipe" if bases else "neither 0 nor 4"
    keys = ", ".join(sorted(map(str, seen))[:8])
    raise DataError(
        f"{path}: the keys `cop` hold {what}, so the first option's number is not certain.\n"
        f"  Keys: {keys}\n  Say `index_base = 1` (published files) or `index_base = 0` (hub copy)."
    )


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one file; it is read twice."""
    base = index_base(path, options)
    for row in json_list(path, options.encoding):
        yield _question(row, options, base)


def _question(row: Row, options: Options, base: int) -> Given:
    key = row.text("id")
    return multiple_choice(
        NAME,
        row,
        id=source_id(NAME, key),
        language=options.language or "en",
        origin=origin(NAME, LICENCE, row, options, key=key),
        question=row.text("question"),
        options=[row.text(name) for name in ("opa", "opb", "opc", "opd")],
        answers=_answers(row, base),
        rationale=strip_answer_letters(row.optional("exp") or "") or None,
        subject=row.optional("subject_name"),
    )


def _answers(row: Row, base: int) -> tuple[int, ...]:
    cop = row.values.get("cop")
    if cop in _PRIVATE:
        return ()
    if isinstance(cop, bool) or not isinstance(cop, int) or not 0 <= cop - base <= 3:
        raise row.error(f"cop {cop!r} is outside {base}..{base + 3}.")
    return (cop - base,)


SOURCE = Source(
    name=NAME,
    title="MedMCQA",
    licence=LICENCE,
    address="https://github.com/medmcqa/medmcqa",
    languages=("en",),
    gives="multiple_choice",
    files=tuple(f"{folder}/{name}" for folder in ("medmcqa", "medmcqa/data") for name in FILES),
    read=read,
)
