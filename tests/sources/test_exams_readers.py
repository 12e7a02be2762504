"""Every exam reader on an invented file in the published layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimedix.records import Dropped, MultipleChoice, OpenQuestion
from bimedix.sources import NAMES, SOURCES
from bimedix.sources.base import Given

Write = Callable[[str, Any], Path]
Read = Callable[..., list[Given]]


def _expect(question: str, options: tuple[str, ...], answers: tuple[int, ...], **more: Any) -> dict[str, Any]:
    return {"question": question, "options": options, "answers": answers, **more}


TEA = {"QUESTION": "Does tea help?", "CONTEXTS": ["We asked.", "Half said so."], "LABELS": ["A", "B"],
       "MESHES": [], "YEAR": "2001", "final_decision": "maybe", "LONG_ANSWER": "A little."}  # fmt: skip
CARROT = {"question": "Which vitamin?", "exp": "Ans. D. Vitamin K.", "cop": 4, "opa": "A", "opb": "C",
          "opc": "D", "opd": "K", "subject_name": "Biochemistry", "topic_name": None, "id": "00-01",
          "choice_type": "multi"}  # fmt: skip
SNEEZE = {"question": "He sneezes. Why?", "answer": "Allergy", "meta_info": "step1", "answer_idx": "B",
          "options": {"A": "Gout", "B": "Allergy", "C": "Scurvy", "D": "Rickets"}}  # fmt: skip
PAIRED = {"id": "0a", "question": "Organes pairs ?", "subject_name": "pharmacie", "type": "multiple",
          "answers": {"a": "Reins", "b": "Foie", "c": "Poumons", "d": "Rate", "e": "Coeur"},
          "correct_answers": ["c", "a"], "nbr_correct_answers": 2}  # fmt: skip
SPANISH = {"version": "1.0", "language": "es", "exams": {"Cuaderno_2015_1_B": {
    "name": "Cuaderno_2015_1_B", "category": "biology", "year": "2015", "data": [
        {"qid": "7", "qtext": "¿Cuál bombea?", "ra": "2", "image": "",
         "answers": [{"aid": 1, "atext": "Hígado"}, {"aid": 2, "atext": "Corazón"}]}]}}}  # fmt: skip
JAPANESE = {"problem_id": "116A1", "problem_text": "どれか。", "choices": ["肝臓", "心臓", "脾臓"],
            "text_only": True, "answer": ["c", "b"], "points": "1"}  # fmt: skip

READS: dict[str, tuple[str, Any, str, str, str, dict[str, Any]]] = {
    "pubmedqa": (
        "ori_pqal.json",
        {"101": TEA},
        "pubmedqa:101",
        "en",
        "",
        _expect(
            "Does tea help?",
            ("yes", "no", "maybe"),
            (2,),
            context="We asked.\nHalf said so.",
            rationale="A little.",
        ),
    ),
    "medmcqa": (
        "medmcqa/dev.json",
        json.dumps(CARROT) + "\n",
        "medmcqa:00-01",
        "en",
        "validation",
        _expect("Which vitamin?", ("A", "C", "D", "K"), (3,), rationale="Vitamin K.", subject="Biochemistry"),
    ),
    "medqa": (
        "US/4_options/phrases_no_exclude_test.jsonl",
        [SNEEZE],
        "",
        "en",
        "test",
        _expect("He sneezes. Why?", ("Gout", "Allergy", "Scurvy", "Rickets"), (1,), subject="step1"),
    ),
    "mmlu_medical": (
        "en/test/anatomy_test.csv",
        '"Which, of all?",Heart,Liver,Spleen,"Skin\nand hair",D\n',
        "",
        "en",
        "test",
        _expect("Which, of all?", ("Heart", "Liver", "Spleen", "Skin\nand hair"), (3,), subject="anatomy"),
    ),
    "mmlu_other": (
        "MMLUArabic/test/nutrition_test.csv",
        "أي طعام؟,خيار,أرز,زبدة,دقيق,A\n",
        "",
        "ar",
        "test",
        _expect("أي طعام؟", ("خيار", "أرز", "زبدة", "دقيق"), (0,), subject="nutrition"),
    ),
    "xmedbench": (
        "xmedbench/test/zh.json",
        [
            {
                "question": "哪个泵血？",
                "answer": "(B)",
                "source": "medqa-mcmle",
                "options": "(A) 肝\n(B) 心\nE. coli\n(C) 脾",
            }
        ],
        "",
        "zh",
        "test",
        _expect("哪个泵血？", ("肝", "心\nE. coli", "脾"), (1,)),
    ),
    "exams_arabic": (
        "EXAMS_Arabic/exam_test.jsonl",
        [
            {
                "id": "Islamic Studies-3",
                "question": "ما هو؟",
                "A": "أول",
                "B": "ثان",
                "C": "ثالث",
                "D": "رابع",
                "answer": "C",
            }
        ],
        "exams_arabic:Islamic Studies-3",
        "ar",
        "test",
        _expect("ما هو؟", ("أول", "ثان", "ثالث", "رابع"), (2,), subject="Islamic Studies"),
    ),
    "frenchmedmcqa": (
        "corpus/train.json",
        [PAIRED],
        "frenchmedmcqa:0a",
        "fr",
        "train",
        _expect(
            "Organes pairs ?", ("Reins", "Foie", "Poumons", "Rate", "Coeur"), (0, 2), subject="pharmacie"
        ),
    ),
    "head_qa": (
        "HEAD/HEAD.json",
        SPANISH,
        "head_qa:Cuaderno_2015_1_B:7",
        "es",
        "validation",
        _expect("¿Cuál bombea?", ("Hígado", "Corazón"), (1,), subject="biology"),
    ),
    "igakuqa": (
        "2022/116-A.jsonl",
        [JAPANESE],
        "igakuqa:116A1",
        "ja",
        "",
        _expect("どれか。", ("肝臓", "心臓", "脾臓"), (1, 2)),
    ),
    "rumeddanet": (
        "RuMedDaNet/train_v1.jsonl",
        [{"context": "Сердце бьётся.", "question": "Бьётся ли?", "answer": "нет", "pairID": "ff"}],
        "rumeddanet:ff",
        "ru",
        "train",
        _expect("Бьётся ли?", ("да", "нет"), (1,), context="Сердце бьётся."),
    ),
    "rumedtest": (
        "RuMedTest/private_test_v1.jsonl",
        [{"idx": "fe", "question": "Кто?", "1": "а", "2": "б", "3": "в", "4": "г"}],
        "rumedtest:fe",
        "ru",
        "test",
        _expect("Кто?", ("а", "б", "в", "г"), ()),
    ),
    "mmedbench": (
        "Test/French.jsonl",
        [
            {
                "question": "Pairs ?",
                "options": {"A": "Reins", "B": "Foie", "C": "Poumons", "D": ""},
                "answer_idx": "A,C",
                "rationale": "Deux.",
                "human_checked": True,
                "human_check_passed": False,
            }
        ],
        "",
        "fr",
        "test",
        _expect(
            "Pairs ?",
            ("Reins", "Foie", "Poumons"),
            (0, 2),
            rationale="Deux.",
            human_checked=True,
            human_check_passed=False,
        ),
    ),
    "medarabiq": (
        "multiple-choice-questions.csv",
        "\ufeffQuestion,Answer,Category\n"
        '"أي عضو؟ ا. الكبد\nب. القلب\nج. الجلد\nمن فوق\nه. كلها","ه. كل",Physiology\n',
        "",
        "ar",
        "test",
        _expect("أي عضو؟", ("الكبد", "القلب", "الجلد\nمن فوق", "كلها"), (3,), subject="Physiology"),
    ),
    "arabicmmlu": (
        "ArabicMMLUs.csv",
        "#,ID,Source,Country,Group,Subject,Level,Question,Context,Answer Key,"
        "Option 1,Option 2,Option 3,Option 4,Option 5,is_few_shot\n"
        "5,4,u,Egypt,STEM,Biology,,هل؟,نص,B,صح,خطأ,,,,0\n",
        "arabicmmlu:4",
        "ar",
        "test",
        _expect("هل؟", ("صح", "خطأ"), (1,), context="نص", subject="Biology"),
    ),
    "pmc_llama": (
        "pmc_llama_instructions/release.json",
        [
            {
                "output": "###Rationale: It pumps.\n###Answer: OPTION B IS CORRECT.",
                "source": "medqa_train",
                "instruction": "Answer.",
                "sample_id": 0,
                "input": "###Question: Which pumps?\n###Options:\nA. Liver\nB. Heart\n",
            }
        ],
        "",
        "en",
        "train",
        _expect("Which pumps?", ("Liver", "Heart"), (1,), rationale="It pumps."),
    ),
}


@pytest.mark.parametrize("name", READS)
def test_a_published_row_becomes_a_question(name: str, write: Write, read: Read) -> None:
    """Question, options, key, context and rationale arrive; place, licence, split and language are noted."""
    file, content, key, language, split, fields = READS[name]
    path = write(file, content)
    (found,) = read(name, path)

    assert isinstance(found, MultipleChoice)
    assert {key: getattr(found, key) for key in fields} == fields
    assert (found.language, found.origin.split, found.origin.dataset) == (language, split, name)
    assert found.origin.licence and found.origin.licence in SOURCES[name].licence
    assert found.id == key or (not key and found.id.startswith(f"{name}:"))
    assert any(path.match(pattern) for pattern in SOURCES[name].files)


def test_every_exam_reader_has_an_invented_file() -> None:
    """A source that gives multiple choice cannot be added without a row in this table."""
    exams = {name for name in NAMES if SOURCES[name].gives == "multiple_choice" and SOURCES[name].files}

    assert exams <= set(READS)


@pytest.mark.parametrize("name", READS)
def test_ids_stay_when_a_file_is_read_again(name: str, write: Write, read: Read) -> None:
    file, content, *_ = READS[name]
    path = write(file, content)

    assert read(name, path) == read(name, path)


def test_the_copy_of_pubmedqa_on_the_hub_gives_the_same_question(write: Write, read: Read) -> None:
    """Other column names, a number for the PMID, nested contexts: the same record."""
    hub = {"pubid": 101, "question": TEA["QUESTION"], "context": {"contexts": TEA["CONTEXTS"]},
           "long_answer": TEA["LONG_ANSWER"], "final_decision": "maybe"}  # fmt: skip
    (one,) = read("pubmedqa", write("ori_pqal.json", {"101": TEA}))
    (two,) = read("pubmedqa", write("hub.jsonl", [hub, {**hub, "pubid": 102}]))[:1]

    assert isinstance(one, MultipleChoice) and isinstance(two, MultipleChoice)
    assert (one.id, one.question, one.context, one.answers) == (
        two.id,
        two.question,
        two.context,
        two.answers,
    )


def test_the_official_test_items_of_pubmedqa_are_marked(write: Write, read: Read) -> None:
    """The list of test PMIDs beside the file decides which of the 1,000 items are the test set."""
    write("test_ground_truth.json", {"102": "yes"})
    found = read("pubmedqa", write("ori_pqal.json", {"101": TEA, "102": TEA}))

    assert [item.origin.split for item in found if isinstance(item, MultipleChoice)] == ["", "test"]


def test_questions_without_a_decision_come_with_an_empty_key(write: Write, read: Read) -> None:
    (found,) = read("pubmedqa", write("ori_pqau.json", {"1": {"QUESTION": "Why?", "CONTEXTS": ["Text."]}}))

    assert isinstance(found, MultipleChoice)
    assert found.answers == ()


def test_parquet_is_read_like_json(tmp_path: Path, write: Write, read: Read) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.Table.from_pylist([{**CARROT, "cop": 3}, {**CARROT, "id": "b", "cop": 0}]), tmp_path / "a.parquet"
    )
    found = read("medmcqa", tmp_path / "a.parquet")

    assert [item.answers for item in found if isinstance(item, MultipleChoice)] == [(3,), (0,)]


def test_chinese_and_five_options_are_read_as_medqa(write: Write, read: Read) -> None:
    """The folder of the exam tells the language; five options stay five."""
    five = {"question": "何?", "answer": "戊", "answer_idx": "E",
            "options": dict(zip("ABCDE", "甲乙丙丁戊", strict=True)), "meta_info": "卫生"}  # fmt: skip
    (found,) = read("medqa", write("Mainland/train.jsonl", [five]))

    assert isinstance(found, MultipleChoice)
    assert (found.language, found.options, found.answers) == ("zh", tuple("甲乙丙丁戊"), (4,))


def test_an_english_head_qa_item_names_its_spanish_parent(write: Write, read: Read) -> None:
    """The translation of a test item is a test item: their ids share a root."""
    from bimedix.records import root_id

    (spanish,) = read("head_qa", write("HEAD/HEAD.json", SPANISH))
    (english,) = read("head_qa", write("HEAD_EN/HEAD_EN.json", {**SPANISH, "language": "en"}))

    assert isinstance(english, MultipleChoice)
    assert root_id(english.id) == spanish.id == english.parents[0]
    assert english.id != spanish.id


def test_igakuqa_drops_what_a_text_cannot_ask(write: Write, read: Read) -> None:
    """Images, missing choices and computed numbers are dropped; six and eight choices stay."""
    rows = [
        {**JAPANESE, "problem_id": "1", "text_only": False},
        {**JAPANESE, "problem_id": "2", "choices": []},
        {**JAPANESE, "problem_id": "3", "answer": ["2.5"]},
        {**JAPANESE, "problem_id": "6", "choices": list("abcdef"), "answer": ["f"]},
        {**JAPANESE, "problem_id": "8", "choices": list("abcdefgh"), "answer": ["h"]},
    ]
    found = read("igakuqa", write("2022/116-A.jsonl", rows))

    assert [item.reason for item in found if isinstance(item, Dropped)] == [
        "needs an image", "has no options", "the answer is a number",
    ]  # fmt: skip
    assert [item.answers for item in found if isinstance(item, MultipleChoice)] == [(5,), (7,)]


def test_igakuqa_in_english_knows_images_and_subject_from_beside(write: Write, read: Read) -> None:
    """The translated file does not say which items need an image; the Japanese one does."""
    write("2022/116-A.jsonl", [JAPANESE, {**JAPANESE, "problem_id": "2", "text_only": False}])
    write("2022/116-A_metadata.jsonl", [{"problem_id": "116A1", "category": "循環器"}])
    rows = [{"problem_id": key, "problem_text_en": "Which?", "choices_en": ["skin", "heart"], "answer": ["b"]}
            for key in ("116A1", "2")]  # fmt: skip
    kept, dropped = read("igakuqa", write("2022/116-A_translate.jsonl", rows))

    assert isinstance(kept, MultipleChoice) and isinstance(dropped, Dropped)
    assert (kept.id, kept.language, kept.subject) == ("igakuqa:116A1@en", "en", "循環器")
    assert dropped.reason == "needs an image"


def test_head_qa_drops_items_with_an_image(write: Write, read: Read) -> None:
    exam = SPANISH["exams"]["Cuaderno_2015_1_B"]  # type: ignore[index]
    item = {**exam["data"][0], "image": "./data/img1.png"}
    whole = {**SPANISH, "exams": {"Cuaderno_2015_1_B": {**exam, "data": [item]}}}
    (found,) = read("head_qa", write("HEAD/HEAD.json", whole))

    assert isinstance(found, Dropped)
    assert (found.reason, found.id) == ("needs an image", "head_qa:Cuaderno_2015_1_B:7")


def test_umls_rows_become_open_questions(write: Write, read: Read) -> None:
    """The instruction asks and the input names the term: neither is a question alone."""
    row = {"output": "A muscle that pumps.", "source": "umls", "instruction": "Explain the term.",
           "input": "Heart", "sample_id": None}  # fmt: skip
    (found,) = read("pmc_llama", write("release.json", [row, {**row, "output": ""}]))[:1]

    assert isinstance(found, OpenQuestion)
    assert (found.question, found.answer, found.subject) == (
        "Explain the term.\nHeart",
        "A muscle that pumps.",
        "umls",
    )


def test_wordings_of_one_instruction_share_an_id(write: Write, read: Read) -> None:
    """medqa_train repeats its questions; the room can tell, because the records are equal."""
    row = READS["pmc_llama"][1][0]
    one, two = read("pmc_llama", write("release.json", [row, {**row, "instruction": "Reply."}]))

    assert one.id == two.id


def test_both_languages_of_a_blank_are_read(write: Write, read: Read) -> None:
    """Fill-in items of MedArabiQ come as an Arabic record and its English version."""
    head = "Question - Arabic,Answer - Arabic,Question - English,Answer - English,Category\n"
    text = head + '"املأ ___\nأ. قلب\nب. كبد",ب. كبد,"Fill ___\nA. heart\nB. liver",B. liver,ENT\n'
    arabic, english = read("medarabiq", write("fill-in-the-blank-choices.csv", text))

    assert isinstance(arabic, MultipleChoice) and isinstance(english, MultipleChoice)
    assert english.id == f"{arabic.id}@en"
    assert (arabic.options, english.options) == (("قلب", "كبد"), ("heart", "liver"))
    assert arabic.answers == english.answers == (1,)


def test_talks_of_medarabiq_are_open_questions(write: Write, read: Read) -> None:
    (found,) = read(
        "medarabiq", write("patient-doctor-qa.csv", "Question_description,Answer_details\nلماذا؟,لأن\n")
    )

    assert isinstance(found, OpenQuestion)
    assert (found.question, found.answer, found.origin.split) == ("لماذا؟", "لأن", "test")
