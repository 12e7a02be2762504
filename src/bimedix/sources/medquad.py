"""MedQuAD: 47,457 questions and answers from twelve sites of the National Institutes of Health.

One XML file per topic, in folders such as `1_CancerGov_QA`:

    <Document id="0000001" source="CancerGov" url="https://example.org">
    <Focus>Boils</Focus>
    <QAPairs><QAPair pid="1">
      <Question qid="0000001-1" qtype="treatment">How are boils treated?</Question>
      <Answer>With warm compresses.</Answer></QAPair></QAPairs></Document>

Every answer is empty in the folders 10, 11 and 12, for copyright; those pairs are dropped. Several files
of a folder share one `id`, so ids of records are made of the site, the file's name and `pid`.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Row, Source, origin, source_id
from bimedix.sources.markup import elements, text_of
from bimedix.sources.texts import open_question

NAME = "medquad"
LICENCE = "CC-BY-4.0"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per pair; the focus of the document is its subject."""
    for line, document in elements(path, "Document", "Document"):
        site = document.get("source", "")
        for pair in document.iter("QAPair"):
            question = pair.find("Question")
            values = {
                "qid": question.get("qid", "") if question is not None else "",
                "qtype": question.get("qtype", "") if question is not None else "",
                "question": text_of(question),
                "answer": text_of(pair.find("Answer")),
                "url": document.get("url", ""),
            }
            row = Row(path, line, values)
            key = f"{site}/{path.stem}-{pair.get('pid', '')}"
            yield open_question(
                row,
                origin(NAME, LICENCE, row, options, key=key),
                options.language or "en",
                values["question"],
                values["answer"],
                id=source_id(NAME, key),
                subject=text_of(document.find("Focus")),
            )


SOURCE = Source(
    name=NAME,
    title="MedQuAD",
    licence=LICENCE,
    address="https://github.com/abachaa/MedQuAD",
    languages=("en",),
    gives="open_question",
    files=("*_QA/*.xml", "*_QA_XML/*.xml"),
    read=read,
)
