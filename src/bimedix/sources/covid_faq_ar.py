"""COVID-QA, questions and answers of health agencies in English, the column pairs of the Arabic copy.

`faqs/MT_ar_faq_covidbert.csv` (213 rows); cells have several lines, `answer_html` holds HTML and is not
used; the first column has no name and holds the row's number:

    ,question,answer,answer_html,link,name,source,category,country,region,city,lang,last_update,question_ar,answer_ar
    0,Should I wash my hands?,"Yes, often.","<p>Yes, often.</p>",https://example.org,FAQ,Agency,Prevention,USA,,,en,2020/03/17,هل أغسل يدي؟,"نعم، كثيرا."

The Arabic columns are machine translations nobody has read; the source `covid_faq_ar_pairs` gives them.
"""  # noqa: E501

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, csv_rows, origin, source_id
from bimedix.sources.texts import known_language, open_question

NAME = "covid_faq_ar"
LICENCE = "Apache-2.0; texts belong to the agencies"
COLUMNS = ("", "question", "answer", "category", "lang", "question_ar", "answer_ar")
FILES = ("MT_ar_faq_covidbert.csv",)
ADDRESS = "https://github.com/deepset-ai/COVID-QA"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the English question and answer of each row; the category is its subject."""
    for row in csv_rows(path, COLUMNS, encoding=options.encoding):
        key = row.text("")
        yield open_question(
            row,
            origin(NAME, LICENCE, row, options, key=key),
            options.language or known_language(row.text("lang")) or "en",
            row.text("question"),
            row.text("answer"),
            id=source_id(NAME, key),
            subject=row.text("category"),
        )


SOURCE = Source(
    name=NAME,
    title="COVID-QA FAQ (English side)",
    licence=LICENCE,
    address=ADDRESS,
    languages=("en",),
    gives="open_question",
    files=FILES,
    read=read,
)
