"""COVID-QA FAQ in English beside its unreviewed machine translation into Arabic.

The file of `covid_faq_ar`; each row gives a pair for the question and one for the answer:

    question "Should I wash my hands?"  question_ar "هل أغسل يدي؟"

Nobody has checked the Arabic: the licence field of every record says so, so that such pairs never pass as
references.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, csv_rows, origin, source_id
from bimedix.sources.covid_faq_ar import ADDRESS, COLUMNS, FILES
from bimedix.sources.texts import parallel

NAME = "covid_faq_ar_pairs"
LICENCE = "Apache-2.0; Arabic side: unreviewed machine translation"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield two pairs per row: question and answer."""
    for row in csv_rows(path, COLUMNS, encoding=options.encoding):
        for side in ("question", "answer"):
            key = f"{row.text('')}/{side}"
            place = origin(NAME, LICENCE, row, options, key=key)
            target = ("ar", row.text(f"{side}_ar"))
            yield parallel(row, place, ("en", row.text(side)), target, id=source_id(NAME, key))


SOURCE = Source(
    name=NAME,
    title="COVID-QA FAQ (English beside machine-translated Arabic)",
    licence=LICENCE,
    address=ADDRESS,
    languages=("en", "ar"),
    gives="parallel_text",
    files=FILES,
    read=read,
)
