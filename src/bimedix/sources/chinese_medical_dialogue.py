"""Chinese medical dialogue data (Toyhom): 792,099 questions and answers of a public consultation site.

CSV files of six departments, encoded GB18030:

    department,title,ask,answer
    心血管科,膝盖响怎么办？,走路时膝盖会响，不痛。,不痛一般不用治疗。

Fields without quotation marks around them may hold some inside, and cells may have several lines.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, csv_rows, origin
from bimedix.sources.texts import open_question

NAME = "chinese_medical_dialogue"
LICENCE = "MIT"
ENCODING = "gb18030"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per row; the title goes before the question unless it is part of it."""
    columns = ("department", "title", "ask", "answer")
    for row in csv_rows(path, columns, encoding=options.encoding or ENCODING):
        title, ask = row.text("title"), row.text("ask")
        question = ask if title in ask else f"{title}\n{ask}"
        place = origin(NAME, LICENCE, row, options)
        yield open_question(
            row,
            place,
            options.language or "zh",
            question,
            row.text("answer"),
            subject=row.text("department"),
        )


SOURCE = Source(
    name=NAME,
    title="Chinese medical dialogue data",
    licence=LICENCE,
    address="https://github.com/Toyhom/Chinese-medical-dialogue-data",
    languages=("zh",),
    gives="open_question",
    files=("样例_*.csv", "*科*.csv", "Data_数据/*/*.csv"),
    read=read,
)
