"""iCliniq: questions of patients and answers of doctors, in the three forms in which copies go round.

The original `iCliniq-10k.json` (7,321 rows), a JSON list; only the doctor's answer is kept, the other
two were written by models:

    {"input": "My knee clicks.", "answer_icliniq": "Clicking alone is harmless.",
     "answer_chatgpt": "...", "answer_chatdoctor": "..."}

The chat form, JSON Lines:

    {"chat": [{"input": [{"role": "user", "content": "My knee clicks."}], "ideal": "It is harmless."}]}

The meddialog form, a JSON list; `Description` is the title of the post:

    {"id": 1, "Description": "Q. Is a clicking knee a problem?", "Patient": "My knee clicks.",
     "Doctor": "It is harmless. For more information consult a specialist online --> https://site/x"}
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.records import Origin
from bimedix.sources.base import Given, Options, Row, Source, json_list, origin, source_id
from bimedix.sources.boilerplate import substituted_names, without_boilerplate
from bimedix.sources.texts import open_question

NAME = "icliniq"
LICENCE = "not stated; copyright icliniq.com"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per question and answer, whatever the form of the copy."""
    for row in json_list(path, options.encoding):
        place, language = origin(NAME, LICENCE, row, options), options.language or "en"
        if "answer_icliniq" in row.values:
            answer = without_boilerplate(row.text("answer_icliniq"))
            yield open_question(row, place, language, row.text("input"), answer)
        elif "chat" in row.values:
            for part in row.rows("chat"):
                yield _from_chat(part, place, language)
        elif "Doctor" in row.values:
            yield _from_meddialog(row, place, language)
        else:
            raise row.error(
                f"keys {', '.join(row.values)}: none of the three forms of iCliniq.\n"
                "  They have the key 'answer_icliniq', 'chat' or 'Doctor'."
            )


def _from_chat(row: Row, place: Origin, language: str) -> Given:
    """Take the last message of the patient as the question and what was said before as its context."""
    said = [(part.text("role"), part.text("content")) for part in row.rows("input")]
    said = [(role, text) for role, text in said if role != "system"]
    before = "\n".join(f"{role}: {text}" for role, text in said[:-1])
    question = said[-1][1] if said else ""
    answer = without_boilerplate(row.text("ideal"))
    return open_question(row, place, language, question, answer, context=before or None)


def _from_meddialog(row: Row, place: Origin, language: str) -> Given:
    key = row.values.get("id")
    return open_question(
        row,
        place,
        language,
        row.text("Patient") or (row.optional("Description") or "").removeprefix("Q.").strip(),
        without_boilerplate(row.text("Doctor")),
        id="" if key is None else source_id(NAME, f"{row.path.stem}/{key}"),
        context=(row.optional("Description") if row.text("Patient") else None),
    )


SOURCE = Source(
    name=NAME,
    title="iCliniq",
    licence=LICENCE,
    address="https://github.com/Kent0n-Li/ChatDoctor",
    languages=("en",),
    gives="open_question",
    files=("iCliniq-10k*.json", "train_2kchat.jsonl", "en_medical_dialog.json"),
    read=read,
    notices={"Chat Doctor in place of a name": substituted_names},
)
