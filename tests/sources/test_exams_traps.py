"""Files that are not what they claim are refused with their line; useless items are dropped with a reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimedix.errors import DataError, MissingError
from bimedix.records import Dropped, MultipleChoice
from bimedix.sources.base import Given
from bimedix.sources.medmcqa import strip_answer_letters

Write = Callable[[str, Any], Path]
Read = Callable[..., list[Given]]

ROW = {"question": "Which?", "exp": None, "opa": "a", "opb": "b", "opc": "c", "opd": "d", "subject_name": "S"}


def _lines(*cops: int | None) -> str:
    return "\n".join(json.dumps({**ROW, "id": str(n), "cop": cop}) for n, cop in enumerate(cops))


def _answers(found: list[Given]) -> list[tuple[int, ...]]:
    return [item.answers for item in found if isinstance(item, MultipleChoice)]


@pytest.mark.parametrize(
    ("cops", "base", "answers"),
    [
        ((1, 4, 2), None, [(0,), (3,), (1,)]),
        ((0, 3, 1), None, [(0,), (3,), (1,)]),
        ((1, 2), 1, [(0,), (1,)]),
        ((1, 2), 0, [(1,), (2,)]),
        ((-1, None), None, [(), ()]),
    ],
)
def test_the_whole_file_decides_where_keys_start(
    write: Write, read: Read, cops: tuple[int | None, ...], base: int | None, answers: list[tuple[int, ...]]
) -> None:
    """A 4 means counting from 1, a 0 from 0; without either the recipe has to say."""
    assert _answers(read("medmcqa", write("dev.json", _lines(*cops)), index_base=base)) == answers


@pytest.mark.parametrize(
    ("cops", "base", "seen"),
    [
        ((1, 2), None, "neither 0 nor 4"),
        ((0, 4), None, "both 0 and 4"),
        ((1, 4), 0, "another base than the recipe"),
        ((4, 5), None, r"dev.json:2: cop 5 is outside 1..4"),
    ],
)
def test_keys_that_cannot_be_placed_are_refused(
    write: Write, read: Read, cops: tuple[int, ...], base: int | None, seen: str
) -> None:
    with pytest.raises(DataError, match=seen):
        read("medmcqa", write("dev.json", _lines(*cops)), index_base=base)


@pytest.mark.parametrize(
    ("explanation", "kept"),
    [
        ("Ans. C. Middle: it is largest", "Middle: it is largest"),
        ("Answer- B (Third nerve) is right", "(Third nerve) is right"),
        ("Ans is 'a' i.e. Water", "Water"),
        ("Answer--A. Small heads", "Small heads"),
        ("Ans: A and C. Both", "Both"),
        ("Ans. b) two years", "two years"),
        ("(Ans. D) Cortisone", "Cortisone"),
        ("Answers differ by country", "Answers differ by country"),
        ("Ans. Wearing gloves", "Ans. Wearing gloves"),
        ("Ans. C", ""),
        ("Vitamin C is right", "Vitamin C is right"),
    ],
)
def test_stale_answer_letters_leave_an_explanation(explanation: str, kept: str) -> None:
    """The letter would be wrong after shuffling; words that only begin like one stay."""
    assert strip_answer_letters(explanation) == kept


def test_an_answer_that_is_not_its_option_stops_medqa(write: Write, read: Read) -> None:
    row = {"question": "Why?", "answer": "Gout", "answer_idx": "B", "options": {"A": "Gout", "B": "Flu"}}

    with pytest.raises(DataError, match=r"test.jsonl:2: answer 'Gout' is not the option B"):
        read("medqa", write("US/test.jsonl", [{**row, "answer": "Flu"}, row]))


def test_a_folder_that_tells_no_exam_needs_a_language(write: Write, read: Read) -> None:
    row = {"question": "Why?", "answer": "Flu", "answer_idx": "B", "options": {"A": "Gout", "B": "Flu"}}
    path = write("other/test.jsonl", [row])

    with pytest.raises(DataError, match="Say `language"):
        read("medqa", path)
    assert read("medqa", path, language="en")[0].language == "en"  # type: ignore[union-attr]


def test_the_first_question_of_mmlu_is_not_a_header(write: Write, read: Read) -> None:
    """XMedBench lost one item that way; a row of column names, as some copies have, is still one."""
    text = "Which?,a,b,c,d,A\nWhat?,a,b,c,d,B\n"
    plain = read("mmlu_medical", write("en/test/anatomy_test.csv", text))
    headed = read("mmlu_medical", write("en/dev/anatomy_dev.csv", "question,A,B,C,D,answer\n" + text))

    assert _answers(plain) == _answers(headed) == [(0,), (1,)]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Which?,a,b,c,d,A\nWhat, then?,a,b,c,d,B\n", "2: 7 cells; 6 are needed"),
        ("Which?,a,b,c,d,A\nWhat?,a,b,c,B,d\n", "2: answer 'd.*' is not|2: answer"),
        ("Which?,a,b,c,d,E\n", "1: answer 'E' is not one of the options A, B, C, D"),
    ],
)
def test_misparsed_rows_of_mmlu_are_named(write: Write, read: Read, text: str, seen: str) -> None:
    path = write("en/test/anatomy_test.csv", text.replace(",B,d\n", ",B,none\n"))

    with pytest.raises(DataError, match=seen):
        read("mmlu_medical", path)


@pytest.mark.parametrize(
    ("text", "code"), [("Which?,a,b,c,d,A\n", "en"), ("أي عضو؟,قلب,كبد,جلد,دم,A\n", "ar")]
)
def test_the_script_tells_the_language_of_mmlu(write: Write, read: Read, text: str, code: str) -> None:
    (found,) = read("mmlu_medical", write("data/test/anatomy_test.csv", text))

    assert found.language == code  # type: ignore[union-attr]


def test_a_script_that_tells_nothing_needs_a_language(write: Write, read: Read) -> None:
    with pytest.raises(DataError, match="neither folder nor script"):
        read("mmlu_medical", write("data/test/anatomy_test.csv", "哪个？,心,肝,脾,血,A\n"))


def test_gb18030_is_read_when_the_recipe_says_so(write: Write, read: Read) -> None:
    rows = [{"question": "哪个？", "options": "(A) 心\n(B) 肝", "answer": "(A)", "source": "demo"}]
    path = write("xmedbench/test/zh.json", json.dumps(rows, ensure_ascii=False).encode("gb18030"))

    with pytest.raises(DataError, match="GB18030"):
        read("xmedbench", path)
    assert read("xmedbench", path, encoding="gb18030")[0].question == "哪个？"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["pubmedqa", "medmcqa", "head_qa", "medarabiq", "xmedbench"])
def test_a_pointer_in_place_of_data_is_told(write: Write, read: Read, name: str) -> None:
    """Two of the published files are Git LFS pointers for whoever clones without LFS."""
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"

    with pytest.raises(MissingError, match="git lfs pull"):
        read(name, write("test/zh.json", text))


def test_a_wrong_key_is_named_with_the_nearest(write: Write, read: Read) -> None:
    row = {"idn": "x", "question": "?", "A": "a", "B": "b", "C": "c", "D": "d", "answer": "A"}

    with pytest.raises(DataError, match=r"e.jsonl:1: no key 'id'. Did you mean 'idn'"):
        read("exams_arabic", write("exams-arabic/e.jsonl", [row]))


def test_a_stated_number_of_right_answers_has_to_hold(write: Write, read: Read) -> None:
    row = {"id": "1", "question": "?", "answers": {"a": "x", "b": "y"}, "correct_answers": ["a"],
           "nbr_correct_answers": 2}  # fmt: skip

    with pytest.raises(DataError, match="1 right answers, and 'nbr_correct_answers' says 2"):
        read("frenchmedmcqa", write("corpus/train.json", [row]))


def test_a_right_answer_that_is_no_option_stops_head_qa(write: Write, read: Read) -> None:
    item = {"qid": "9", "qtext": "?", "ra": "3", "image": "", "answers": [{"aid": 1, "atext": "a"}]}
    whole = {"language": "es", "exams": {"E": {"year": "2013", "category": "c", "data": [item]}}}

    with pytest.raises(DataError, match=r"\[E:9\] ra '3' is none of the answer ids 1"):
        read("head_qa", write("HEAD/HEAD.json", whole))


def test_an_answer_word_outside_the_table_stops_the_file(write: Write, read: Read) -> None:
    row = {"context": "c", "question": "?", "answer": "может", "pairID": "1"}

    with pytest.raises(DataError, match="answer 'может' is not one of да, нет"):
        read("rumeddanet", write("RuMedDaNet/dev.jsonl", [row]))


def test_empty_answers_and_options_are_dropped_with_their_reason(write: Write, read: Read) -> None:
    """An option whose letters were cut out is empty; an answer that names no option helps nobody."""
    cut = {"question": "?", "options": "(A) \n(B) قلب", "answer": "(B)", "source": "demo"}
    (empty,) = read("xmedbench", write("xmedbench/test/ar.json", [cut]))
    text = 'Question,Answer,Category\n"؟\nأ. قلب\nب. كبد",ج. دم,x\n'
    (nameless,) = read("medarabiq", write("multiple-choice-questions.csv", text))

    assert isinstance(empty, Dropped) and isinstance(nameless, Dropped)
    assert (empty.reason, nameless.reason) == ("an option is empty", "the answer names no option")
    assert json.loads(empty.record) == cut


def test_answers_of_pmc_llama_without_a_letter_are_dropped(write: Write, read: Read) -> None:
    row = {"output": "Heart, I think.", "source": "medmcqa", "instruction": "?", "sample_id": None,
           "input": "###Question: Which?\n###Options:\nA. Liver\nB. Heart\n"}  # fmt: skip
    (found,) = read("pmc_llama", write("release.json", [row, row]))[:1]

    assert isinstance(found, Dropped)
    assert (found.reason, found.detail) == ("the answer names no option", "Heart, I think.")
