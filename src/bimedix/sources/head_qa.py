"""HEAD-QA: Spanish exams for specialised health staff (2013 to 2017), and their English translation.

`HEAD/HEAD.json` is one object (invented):

    {"version": "1.0", "language": "es", "exams": {"Cuaderno_2013_1_B": {"name": "Cuaderno_2013_1_B",
     "category": "biology", "year": "2013", "data": [{"qid": "1", "qtext": "¿Qué órgano bombea sangre?",
     "ra": "2", "image": "", "answers": [{"aid": 1, "atext": "El hígado"},
     {"aid": 2, "atext": "El corazón"}]}]}}}

`qid` and `ra` are strings, `aid` is a number. Questions of 2013 and 2014 have five options, later ones
four. Items that refer to an image are dropped. The split follows the year, as the authors divide the set
(2013 and 2014 train, 2015 validation, 2016 and 2017 test). An English item has the id of its Spanish one
with `@en`, and names it as its parent.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.languages import LANGUAGES
from bimedix.records import translated_id
from bimedix.sources.base import (
    Given,
    Options,
    Row,
    Source,
    drop,
    json_object,
    multiple_choice,
    origin,
    source_id,
)

NAME, LICENCE = "head_qa", "MIT; cite the ministry and the date 14 January 2019"
WRITTEN_IN = "es"
SPLIT_OF_YEAR = {"2013": "train", "2014": "train", "2015": "validation", "2016": "test", "2017": "test"}
"""Source: Vilares and Gómez-Rodríguez, HEAD-QA (ACL 2019), the supervised setting."""


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of all exams of one language."""
    whole = json_object(path, options.encoding)
    code = options.language or whole.text("language")
    if code not in LANGUAGES:
        raise whole.error(f"'language' is '{code}', which is no known code.")
    exams = whole.within("exams")
    for name in exams.values:
        exam = exams.within(name)
        for item in exam.rows("data"):
            key = f"{name}:{item.text('qid')}"
            yield _question(Row(path, 1, item.values, key), exam, options, code)


def _question(row: Row, exam: Row, options: Options, code: str) -> Given:
    spanish = source_id(NAME, row.key)
    item_id = spanish if code == WRITTEN_IN else translated_id(spanish, code)
    if row.optional("image"):
        return drop(NAME, row, "needs an image", id=item_id)
    choices = list(row.rows("answers"))
    return multiple_choice(
        NAME,
        row,
        id=item_id,
        language=code,
        origin=origin(
            NAME, LICENCE, row, options, key=row.key, split=SPLIT_OF_YEAR.get(exam.name_of("year"), "")
        ),
        question=row.text("qtext"),
        options=[choice.text("atext") for choice in choices],
        answers=_answers(row, [choice.name_of("aid") for choice in choices]),
        subject=exam.optional("category"),
        parents=() if item_id == spanish else (spanish,),
    )


def _answers(row: Row, aids: list[str]) -> tuple[int, ...]:
    right = row.name_of("ra")
    if right not in aids:
        raise row.error(f"ra '{right}' is none of the answer ids {', '.join(aids)}.")
    return (aids.index(right),)


SOURCE = Source(
    name=NAME,
    title="HEAD-QA",
    licence=LICENCE,
    address="https://github.com/aghie/head-qa",
    languages=("es", "en"),
    gives="multiple_choice",
    files=("HEAD/HEAD.json", "HEAD_EN/HEAD_EN.json"),
    read=read,
)
