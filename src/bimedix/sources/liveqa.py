"""LiveQA medical task of TREC 2017: questions sent to the National Library of Medicine, with answers.

`TREC-2017-LiveQA-Medical-Test*.xml`:

    <LiveQA2017-Medical-Test-Set-Full>
    <NLM-QUESTION qid="TQ1">
      <Original-Question qfile="1.xml.txt">
        <SUBJECT>knee</SUBJECT><MESSAGE>Why does my knee click?</MESSAGE></Original-Question>
      <NIST-PARAPHRASE>Why do knees click?</NIST-PARAPHRASE>
      <ANNOTATIONS><FOCUS fid="F1" fcategory="(Problem)">knee</FOCUS></ANNOTATIONS>
      <ReferenceAnswers>
        <ReferenceAnswer aid="TQ1_A1"><ANSWER>Gas in the joint.</ANSWER>
          <AnswerURL>https://example.org</AnswerURL></ReferenceAnswer>
      </ReferenceAnswers>
    </NLM-QUESTION></LiveQA2017-Medical-Test-Set-Full>

Three answers are tagged `RefAnswer`, one question has `qFile`; a question with several reference answers
gives a record for each. Judgments of other answers (`*-qrels-*.txt`) are read by `read_judgments`.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from bimedix.errors import DataError
from bimedix.files import read_lines
from bimedix.sources.base import Given, Options, Row, Source, drop, origin, source_id
from bimedix.sources.markup import elements, text_of
from bimedix.sources.texts import EMPTY_ANSWER, open_question

NAME = "liveqa"
LICENCE = "not stated; answers quote third parties"
ROOT = "LiveQA2017-Medical-Test-Set-Full"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per reference answer; a question without one is dropped."""
    for line, element in elements(path, ROOT, "NLM-QUESTION"):
        values = _question(element)
        row = Row(path, line, values)
        if not values["qid"]:
            raise row.error("an NLM-QUESTION without qid.")
        answers = list(_answers(element))
        if not answers:
            yield drop(NAME, row, EMPTY_ANSWER, id=source_id(NAME, values["qid"]))
        for number, (key, answer) in enumerate(answers, start=1):
            key = key or f"{values['qid']}_A{number}"
            yield open_question(
                row,
                origin(NAME, LICENCE, row, options, key=key, split="test"),
                options.language or "en",
                values["message"] or values["paraphrase"] or values["subject"],
                answer,
                id=source_id(NAME, key),
                context=values["subject"] if values["message"] or values["paraphrase"] else None,
                subject=values["focus"],
            )


def _question(element: Element) -> dict[str, str]:
    original = element.find("Original-Question")
    return {
        "qid": element.get("qid", ""),
        "qfile": (original.get("qfile") or original.get("qFile") or "") if original is not None else "",
        "subject": text_of(element.find("Original-Question/SUBJECT")),
        "message": text_of(element.find("Original-Question/MESSAGE")),
        "paraphrase": text_of(element.find("NIST-PARAPHRASE")),
        "focus": text_of(element.find("ANNOTATIONS/FOCUS")),
    }


def _answers(element: Element) -> Iterator[tuple[str, str]]:
    """Yield (aid, answer) of every reference answer that has a text."""
    for tag in ("ReferenceAnswer", "RefAnswer"):
        for found in element.iter(tag):
            inner = found.find("ANSWER")
            text = text_of(inner) if inner is not None else text_of(found)
            if text:
                yield found.get("aid", ""), text


def read_judgments(path: Path) -> Iterator[tuple[str, int, str]]:
    """Yield (question, judgment 1 to 4, answer) of a qrels file: 1 incorrect, 4 excellent.

    Raises:
        DataError: a line is not three words, or its judgment no number from -2 to 4.
    """
    for number, line in read_lines(path):
        words = line.decode("utf-8", "replace").split()
        if len(words) != 3 or words[1] not in {"-2", "-1", "0", "1", "2", "3", "4"}:
            raise DataError(f"{path}:{number}: 'question judgment answer' is needed; seen: {words[:4]}.")
        yield words[0], int(words[1]), words[2]


SOURCE = Source(
    name=NAME,
    title="TREC 2017 LiveQA, medical task",
    licence=LICENCE,
    address="https://github.com/abachaa/LiveQA_MedicalTask_TREC2017",
    languages=("en",),
    gives="open_question",
    files=("TREC-2017-LiveQA-Medical-*.xml", "TestDataset/*.xml"),
    read=read,
)
