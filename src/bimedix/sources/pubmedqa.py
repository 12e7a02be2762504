"""PubMedQA: yes / no / maybe questions on PubMed abstracts.

A row of `ori_pqal.json`, one object keyed by PMID (invented):

    "10000001": {"QUESTION": "Does tea lower blood pressure?", "CONTEXTS": ["We measured ...", "Half ..."],
                 "LABELS": ["METHODS", "RESULTS"], "MESHES": ["Tea"], "YEAR": "2001",
                 "final_decision": "maybe", "LONG_ANSWER": "Tea lowered it a little."}

The copy on the hub has the columns pubid, question, context {contexts, ...}, long_answer, final_decision.
PQA-U has no final_decision: such items come with an empty key. 500 of the 1,000 labelled items are the
official test set; where its list `test_ground_truth.json` lies beside the file, they carry split test.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.languages import language
from bimedix.sources.base import (
    Given,
    Options,
    Row,
    Source,
    json_list,
    json_object,
    multiple_choice,
    origin,
    source_id,
    word_to_indexes,
)

NAME, LICENCE = "pubmedqa", "MIT"
TEST_LIST = "test_ground_truth.json"
DECISIONS = language("en").yes_no_maybe


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one file."""
    beside = path.with_name(TEST_LIST)
    tests = frozenset(json_object(beside).values) if beside.exists() else frozenset()
    for row in json_list(path, options.encoding):
        yield _question(row, options, tests)


def _question(row: Row, options: Options, tests: frozenset[str]) -> Given:
    published = bool(row.key)
    pmid = row.key or row.name_of("pubid")
    if not pmid:
        raise row.error("no PMID: neither the key of the object nor a value 'pubid'.")
    parts = row.texts("CONTEXTS") if published else row.within("context").texts("contexts")
    code = options.language or "en"
    decision = row.optional("final_decision") or ""
    return multiple_choice(
        NAME,
        row,
        id=source_id(NAME, pmid),
        language=code,
        origin=origin(NAME, LICENCE, row, options, key=pmid, split="test" if pmid in tests else ""),
        question=row.text("QUESTION" if published else "question"),
        options=language(code).yes_no_maybe,
        answers=word_to_indexes(decision, DECISIONS, row),
        context="\n".join(parts) or None,
        rationale=row.optional("LONG_ANSWER" if published else "long_answer"),
    )


SOURCE = Source(
    name=NAME,
    title="PubMedQA",
    licence=LICENCE,
    address="https://github.com/pubmedqa/pubmedqa",
    languages=("en",),
    gives="multiple_choice",
    files=("ori_pqal.json", "ori_pqaa.json", "ori_pqau.json", "PubMedQA/pqa_*/*.parquet"),
    read=read,
)
