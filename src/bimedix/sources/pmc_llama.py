"""Instructions of PMC-LLaMA: exams in prompt form, consumer questions, and terms and relations of UMLS.

A row of `release.json` (invented):

    {"output": "###Answer: OPTION B IS CORRECT.", "source": "medqa_train", "instruction": "Answer.",
     "input": "###Question: Which organ pumps blood?\\n###Options:\\nA. Liver\\nB. Heart\\n", "sample_id": 0}

`source` is medqa_train, medmcqa, pubmedqa.ori_pqaa, liveqa, medicationqa, umls or umls_relation. Rows with
options become multiple choice; `###Rationale:` before the answer becomes the rationale. All others become
open questions; a row of UMLS asks in its instruction and gives the term in its input. medqa_train repeats
each question with several wordings of the instruction: such rows have equal content and are counted as
repeats.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from bimedix.records import OpenQuestion, Origin, content_id
from bimedix.sources.base import (
    LETTERS,
    Given,
    Options,
    Row,
    Source,
    clean,
    cut_options,
    drop,
    json_list,
    letters_to_indexes,
    multiple_choice,
    origin,
)

NAME, LICENCE = "pmc_llama", "openrail (tag; the parts have licences of their own)"
LABELS = {letter: number for number, letter in enumerate(LETTERS)}
_SECTION = re.compile(r"(?m)^[ \t]*###[ \t]*([^:\n]+):")
_RIGHT = re.compile(r"OPTION\s+([A-H])\s+IS\s+CORRECT", re.IGNORECASE)


def sections(text: str) -> dict[str, str]:
    """Return the parts of `###Name: text` by name in lower case; text before the first under ``""``."""
    pieces = _SECTION.split(text)
    named = zip(pieces[1::2], pieces[2::2], strict=True)
    return {"": clean(pieces[0])} | {name.strip().lower(): clean(part) for name, part in named}


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the items of one file."""
    for row in json_list(path, options.encoding):
        asked = sections(row.text("input"))
        yield _choice(row, options, asked) if "options" in asked else _open(row, options, asked)


def _choice(row: Row, options: Options, asked: dict[str, str]) -> Given:
    part, question = row.text("source"), asked.get("question", "")
    texts = [text for _, text in cut_options(asked["options"], LABELS)[1]]
    right = _RIGHT.search(row.text("output"))
    item_id = content_id(NAME, part, question, *texts)
    if right is None:
        return drop(NAME, row, "the answer names no option", id=item_id, detail=row.text("output")[:200])
    return multiple_choice(
        NAME,
        row,
        id=item_id,
        language=options.language or "en",
        origin=_origin(row, options, part),
        question=question,
        options=texts,
        answers=letters_to_indexes([right[1]], len(texts), row),
        context=asked.get("context") or None,
        rationale=sections(row.text("output")).get("rationale") or None,
        subject=None,
    )


def _open(row: Row, options: Options, asked: dict[str, str]) -> Given:
    part, answer = row.text("source"), row.text("output")
    question = asked.get("question") or asked[""]
    if part.startswith("umls"):
        question = clean(f"{row.text('instruction')}\n{question}")
    given = {name: text for name, text in sections(answer).items() if text}
    if list(given) == ["answer"]:
        answer = given["answer"]
    item_id = content_id(NAME, part, question, answer)
    if not question or not answer:
        return drop(NAME, row, "the question or the answer is empty", id=item_id)
    context = asked.get("context") or None
    code = options.language or "en"
    return OpenQuestion(item_id, code, _origin(row, options, part), question, answer, context, part)


def _origin(row: Row, options: Options, part: str) -> Origin:
    key = f"{part} {row.name_of('sample_id') or row.place}"
    return origin(NAME, LICENCE, row, options, key=key, split="train")


SOURCE = Source(
    name=NAME,
    title="PMC-LLaMA instructions (UMLS and others)",
    licence=LICENCE,
    address="https://huggingface.co/datasets/axiong/pmc_llama_instructions",
    languages=("en",),
    gives="open_question",
    files=(
        "pmc_llama_instructions/*.json",
        "pmc_llama_instructions/*/*.parquet",
        "pmc_llama_instructions/*.parquet",
    ),
    read=read,
)
