"""Readers of open questions: each source's keys, and what is wrong with its rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bimedix.errors import DataError
from bimedix.records import Dropped, OpenQuestion
from bimedix.sources.base import Given
from bimedix.sources.boilerplate import substitutions, without_boilerplate

Write = Callable[[str, Any], Path]
Read = Callable[..., list[Given]]
ASKED = "If you are a doctor, please answer the medical questions based on the patient's description."


def open_questions(given: list[Given]) -> list[OpenQuestion]:
    assert all(isinstance(record, OpenQuestion) for record in given), given
    return [record for record in given if isinstance(record, OpenQuestion)]


def reasons(given: list[Given]) -> list[str]:
    return [record.reason if isinstance(record, Dropped) else "" for record in given]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("healthcaremagic", "HealthCareMagic-100k.json"),
        ("chatdoctor5k", "chatdoctor5k.json"),
        ("medical_meadow", "medical_meadow_medical_flashcards.json"),
    ],
)
def test_instruction_rows_give_the_input_as_question(name: str, file: str, write: Write, read: Read) -> None:
    """The constant instruction is not kept; rows without a question or an answer are dropped."""
    rows = [
        {"instruction": ASKED, "input": "My\u00a0ear itches.", "output": "Leave it alone."},
        {"instruction": ASKED, "input": "My knee clicks.", "output": " "},
        {"instruction": "", "input": "", "output": "Yes."},
        {"instruction": "What is a boil?", "input": "", "output": "An infected follicle."},
    ]
    given = read(name, write(file, rows))

    assert reasons(given) == ["", "empty answer", "empty question", ""]
    first, last = open_questions([given[0], given[3]])
    assert (first.question, first.answer, first.language) == ("My ear itches.", "Leave it alone.", "en")
    assert last.question == "What is a boil?"
    assert isinstance(given[1], Dropped) and "knee" in given[1].record and file in given[1].place


def test_indented_json_with_a_missing_key_is_refused_at_its_line(write: Write, read: Read) -> None:
    text = '[\n      {\n            "instruction": "x",\n            "input": "y"\n      }\n]'

    with pytest.raises(DataError, match=r"chatdoctor5k\.json:2: no key 'output'"):
        read("chatdoctor5k", write("chatdoctor5k.json", text))


def test_flashcards_are_told_from_wikidoc(write: Write, read: Read) -> None:
    row = [{"instruction": "Answer this question truthfully", "input": "Why?", "output": "So."}]
    names = ("medical_flashcards", "wikidoc", "wikidoc_patient_information", "small")
    subjects = [
        open_questions(read("medical_meadow", write(f"medical_meadow_{name}.json", row)))[0].subject
        for name in names
    ]

    assert subjects == ["flashcards", "wikidoc", "patient information", "patient information"]


ICLINIQ = {
    "original": ("iCliniq-10k.json", [
        {"input": "My knee clicks.", "answer_icliniq": "It is harmless.", "answer_chatgpt": "no",
         "answer_chatdoctor": "no"}]),
    "chat": ("train_2kchat.jsonl", [
        {"chat": [{"input": [{"role": "system", "content": "Be a doctor."},
                             {"role": "user", "content": "My knee clicks."}], "ideal": "It is harmless."}]}]),
    "meddialog": ("en_medical_dialog.json", [
        {"id": 4, "Description": "Q. Is it bad?", "Patient": "My knee clicks.", "Doctor":
         "It is harmless. For more information consult an orthopedist online --> https://site/x?y=1"}]),
}  # fmt: skip


@pytest.mark.parametrize("form", ICLINIQ)
def test_all_three_forms_of_icliniq_give_the_doctors_answer(form: str, write: Write, read: Read) -> None:
    (found,) = open_questions(read("icliniq", write(*ICLINIQ[form])))

    assert (found.question, found.answer) == ("My knee clicks.", "It is harmless.")
    assert found.context == ("Q. Is it bad?" if form == "meddialog" else None)


def test_what_was_said_before_is_the_context_of_a_chat(write: Write, read: Read) -> None:
    said = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "My knee."}]  # fmt: skip
    (found,) = open_questions(
        read("icliniq", write("train_2kchat.jsonl", [{"chat": [{"input": said, "ideal": "Rest it."}]}]))
    )

    assert (found.context, found.question) == ("user: Hi.\nassistant: Yes?", "My knee.")


def test_an_unknown_form_of_icliniq_is_refused(write: Write, read: Read) -> None:
    with pytest.raises(DataError, match="none of the three forms"):
        read("icliniq", write("iCliniq-10k.json", [{"question": "x", "answer": "y"}]))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Rest. For more information consult a pediatrician online --> https://x.com/ask", "Rest."),
        ("Rest. For further doubts consult a sexologist online -->https://x.com", "Rest."),
        ("Rest.\nRevert after the investigations to a doctor online. --> http://x.com/a", "Rest."),
        ("Rest. --> https://x.com/ask", "Rest."),
        ("Read https://who.int/knee for more information. Rest.",
         "Read https://who.int/knee for more information. Rest."),
        ("You can order the brace online.", "You can order the brace online."),
        ("For more details see a doctor.", "For more details see a doctor."),
    ],
)  # fmt: skip
def test_advertisements_are_cut_and_nothing_else(text: str, left: str) -> None:
    assert without_boilerplate(text) == left


def test_substituted_names_are_counted() -> None:
    assert substitutions("Hello, welcome to Chat Doctor. other  ChatDoctor.  So") == 2
    assert substitutions("I chat with my doctor.") == 0


def test_chinese_rows_are_read_as_gb18030_with_stray_quotation_marks(write: Write, read: Read) -> None:
    """A mark inside a field without quotes is text; a title within the question is not repeated."""
    text = (
        "department,title,ask,answer\n"
        '骨科,膝盖响怎么办？,医生说是"正常",不用治疗。\n'
        '骨科,膝盖肿了,膝盖肿了怎么办,"休息。\n\n抬高。"\n'
        "骨科,疼,疼怎么办, \n"
    )
    path = write("样例_骨科.csv", text.encode("gb18030"))
    given = read("chinese_medical_dialogue", path)

    first, second = open_questions(given[:2])
    assert first.question == '膝盖响怎么办？\n医生说是"正常"'
    assert (second.question, second.answer) == ("膝盖肿了怎么办", "休息。\n\n抬高。")
    assert (first.language, first.subject) == ("zh", "骨科")
    assert reasons(given) == ["", "", "empty answer"]
    assert given[2].place.endswith(":6")  # type: ignore[union-attr]


def test_a_utf8_copy_of_chinese_rows_needs_its_encoding_named(write: Write, read: Read) -> None:
    path = write("内科.csv", "department,title,ask,answer\n内科,热,发热？,休息。\n")

    assert open_questions(read("chinese_medical_dialogue", path, encoding="utf-8"))[0].answer == "休息。"


def test_arabic_posts_keep_their_kinds(write: Write, read: Read) -> None:
    header = "question\tanswer\tfinal_QT\tfinal_AS\n"
    path = write("Train_Dev.tsv", "\ufeff" + header + "لا أنام\tراجع طبيبا\t['A', 'D']\t['1', '2']\n")
    (found,) = open_questions(read("mentalqa", path))

    assert (found.language, found.subject, found.origin.split) == ("ar", "A,D", "train")


def test_unlabelled_arabic_test_questions_are_refused(write: Write, read: Read) -> None:
    """They come without a header, so that a reader that guesses would eat the first question."""
    with pytest.raises(DataError, match="no column 'question'"):
        read("mentalqa", write("Train_Dev.tsv", "لا أنام\nأشعر بالقلق\n"))


FAQ = (
    ",question,answer,answer_html,link,name,source,category,country,region,city,lang,last_update,"
    "question_ar,answer_ar\n"
    '3,Wash hands?,"Yes.\nOften, too.","<p>Yes.</p>","\nhttps://x",F,A,Prevention,USA,,,en,2020,'
    'هل أغسل؟,"نعم.\nكثيرا."\n'
    "4,Masks?,Yes.,<p></p>,https://x,F,A,Prevention,USA,,,en,2020,الكمامة؟,\n"
)


def test_questions_of_agencies_are_read_over_several_lines(write: Write, read: Read) -> None:
    found = open_questions(read("covid_faq_ar", write("MT_ar_faq_covidbert.csv", FAQ)))

    assert [record.id for record in found] == ["covid_faq_ar:3", "covid_faq_ar:4"]
    assert (found[0].answer, found[0].subject, found[0].language) == ("Yes.\nOften, too.", "Prevention", "en")


def test_machine_translated_pairs_say_so(write: Write, read: Read) -> None:
    given = read("covid_faq_ar_pairs", write("MT_ar_faq_covidbert.csv", FAQ))

    assert reasons(given) == ["", "", "", "empty segment"]
    assert all("machine translation" in record.origin.licence for record in given[:3])  # type: ignore[union-attr]
    assert given[1].target == "نعم.\nكثيرا."  # type: ignore[union-attr]


def test_complaints_are_answered_by_their_code(write: Write, read: Read) -> None:
    rows = [{"idx": "q1", "symptoms": "Боль в колене", "code": "M17"}, {"idx": "q2", "symptoms": "Жар"}]
    given = read("rumedtop3", write("RuMedTop3/test_v1.jsonl", rows))

    (found,) = open_questions(given[:1])
    assert (found.id, found.answer, found.language, found.origin.split) == (
        "rumedtop3:q1", "M17", "ru", "test",
    )  # fmt: skip
    assert reasons(given)[1] == "empty answer"


HEADER = ["Question", "Focus (Drug)", "Question Type", "Answer", "Section Title", "URL"]


def sheet(path: Path, *rows: list[Any]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def test_a_spreadsheet_is_read_by_its_header(tmp_path: Path, read: Read) -> None:
    rows = [
        HEADER,
        ["how long does x last", "x", "Action", "About 6 hours.", "Use", "https://x"],
        [None] * 6,
        ["x and y", "x", "Interaction", None, "", ""],
        ["how long does x last", "x", "Action", 6, "Use", "https://x"],
    ]
    given = read("medicationqa", sheet(tmp_path / "m.xlsx", *rows))

    assert reasons(given) == ["", "empty answer", ""]
    assert [record.id for record in given] == [f"medicationqa:row/{number}" for number in (2, 4, 5)]
    assert [record.answer for record in open_questions([given[0], given[2]])] == ["About 6 hours.", "6"]


def test_a_spreadsheet_without_a_column_is_refused(tmp_path: Path, read: Read) -> None:
    with pytest.raises(DataError, match=r"m\.xlsx:1: no column 'Answer'"):
        read("medicationqa", sheet(tmp_path / "m.xlsx", [*HEADER[:3], "Answers", *HEADER[4:]]))


def test_a_spreadsheet_with_a_password_is_named_as_such(write: Write, read: Read) -> None:
    with pytest.raises(DataError, match="protected by a password"):
        read("medicationqa", write("m.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)))


SQUAD = {
    "data": [{"title": "Knee", "paragraphs": [{"context": "The knee is a joint.", "qas": [
        {"id": "k1", "question": "What is it?", "answers": [{"text": "a joint", "answer_start": 12}] * 2},
        {"id": "k2", "question": "How old?", "answers": []},
        {"id": "k3", "question": "Why?", "answers": [{"text": "x", "answer_start": 0}],
         "is_impossible": True}]}]}]}  # fmt: skip


def test_questions_about_a_paragraph_carry_it(write: Write, read: Read) -> None:
    given = read("xquad", write("xquad.zh.json", SQUAD))

    (found,) = open_questions(given[:1])
    assert (found.id, found.language, found.answer) == ("xquad:k1/zh", "zh", "a joint")
    assert (found.context, found.subject) == ("The knee is a joint.", "Knee")
    assert reasons(given) == ["", "the text holds no answer", "the text holds no answer"]


def test_a_file_name_without_a_known_language_asks_for_it(write: Write, read: Read) -> None:
    path = write("xquad.vi.json", SQUAD)

    with pytest.raises(DataError, match="give `language`"):
        read("xquad", path)
    assert read("xquad", path, language="en")[0].id == "xquad:k1/en"


def test_the_title_before_a_japanese_paragraph_is_taken_off(write: Write, read: Read) -> None:
    answers = [{"text": "関節", "answer_start": 10}]
    squad = {"data": [{"paragraphs": [{"context": "膝 [SEP] 膝は関節である。", "qas": [
        {"id": "a1", "question": "膝は何か。", "answers": answers, "is_impossible": False}]}]}]}  # fmt: skip
    (found,) = open_questions(read("jsquad", write("jsquad-v1.3/valid-v1.3.json", squad)))

    assert (found.context, found.subject, found.language) == ("膝は関節である。", "膝", "ja")
    assert found.origin.split == "validation"
