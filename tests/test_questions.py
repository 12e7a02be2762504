"""How items become chat messages, and how replies are read."""

from pathlib import Path

import msgspec
import pytest

from bimedix.errors import DataError
from bimedix.files import read_any_records
from bimedix.languages import LANGUAGES
from bimedix.prompts.packs import fill, pack
from bimedix.prompts.questions import (
    answer_text,
    is_yes_no_maybe,
    option_labels,
    pack_hash,
    question_message,
    read_answer,
    split_reply,
    to_messages,
)
from bimedix.records import Dialogue, MultipleChoice, OpenQuestion, Origin, Turn
from bimedix.stage import Context

ORIGIN = Origin("made-up")
OPTIONS = {
    "ar": ("الإيبوبروفين", "الأسبرين", "الباراسيتامول", "المورفين"),
    "en": ("ibuprofen", "aspirin", "paracetamol", "morphine"),
    "es": ("ibuprofeno", "aspirina", "paracetamol", "morfina"),
    "fr": ("ibuprofène", "aspirine", "paracétamol", "morphine"),
    "ru": ("ибупрофен", "аспирин", "парацетамол", "морфин"),
    "zh": ("布洛芬", "阿司匹林", "对乙酰氨基酚", "吗啡"),
    "ja": ("イブプロフェン", "アスピリン", "アセトアミノフェン", "モルヒネ"),
}


def choice(code: str, options: tuple[str, ...] | None = None, **fields: object) -> MultipleChoice:
    answers = fields.pop("answers", (1,))
    return MultipleChoice("q", code, ORIGIN, "؟ {options}", options or OPTIONS[code], answers, **fields)  # type: ignore[arg-type]


def read(code: str, text: str, options: tuple[str, ...] | None = None) -> str | None:
    """Return the letters of what was read, or None."""
    found = read_answer(text, choice(code, options))
    return None if found is None else "".join("ABCDEFGH"[index] for index in found)


SPELLINGS: list[tuple[str, str, str | None]] = [
    # Arabic
    ("ar", "ب", "B"), ("ar", "ب.", "B"), ("ar", "(ب)", "B"), ("ar", "ب)", "B"), ("ar", "أ", "A"),
    ("ar", "ا", "A"), ("ar", "ألف", "A"), ("ar", "باء", "B"), ("ar", "الإجابة (ب)", "B"),
    ("ar", "الجواب: ب", "B"), ("ar", "الإجابة الصحيحة هي ب", "B"),
    ("ar", "الإجابة الصحيحة هي: ب. الأسبرين", "B"), ("ar", "الإجابة الصحيحة هي الخيار (ج)", "C"),
    ("ar", "الخيار د", "D"), ("ar", "ب. الأسبرين", "B"), ("ar", "ب) الأسبرين لأنه يقلل الألم", "B"),
    ("ar", "**الإجابة:** ج", "C"), ("ar", "الإجابة: أ، ج", "AC"), ("ar", "أ و ج", "AC"),
    ("ar", "الإجابة: أ وج", "AC"), ("ar", "الإجابة: B", "B"), ("ar", "B", "B"),
    ("ar", "الإجابة: ٢", "B"), ("ar", "الإجابة: 3", "C"), ("ar", "٤", "D"), ("ar", "الأسبرين", "B"),
    ("ar", "الاسبرين", "B"), ("ar", "الأَسْبِرِين", "B"), ("ar", "أعتقد أن الأسبرين هو الأنسب", "B"),
    ("ar", "والجواب هو ب", "B"), ("ar", "ب هو الخيار الصحيح", "B"),
    ("ar", "الخيار أ خاطئ. الإجابة: د", "D"),
    ("ar", "شرح طويل عن المرض.\nالإجابة: ب. الأسبرين", "B"),
    ("ar", "الإجابة النهائية: (د) المورفين", "D"), ("ar", "الحرف ب", "B"),
    ("ar", "ب - الأسبرين", "B"), ("ar", "«ب»", "B"), ("ar", "ﺏ", "B"), ("ar", "الإجابة هي بـ", "B"),
    ("ar", "الألم شديد ويحتاج المريض إلى راحة", None), ("ar", "بدون شك", None),
    ("ar", "لا أعرف", None), ("ar", "الإجابة: أ. لا، الإجابة: ب", None),
    ("ar", "الإجابة ليست أ", None), ("ar", "", None), ("ar", "الأسبرين أو المورفين", None),
    ("ar", "د. أحمد فحص المريض", None),
    # English
    ("en", "B", "B"), ("en", "b", "B"), ("en", "B.", "B"), ("en", "(B)", "B"), ("en", "[B]", "B"),
    ("en", "B)", "B"), ("en", "**B**", "B"), ("en", "Answer: B", "B"), ("en", "Answer:B", "B"),
    ("en", "answer - b", "B"), ("en", "The answer is B.", "B"),
    ("en", "The correct answer is (C).", "C"), ("en", "The answer is option D", "D"),
    ("en", "**Answer:** B", "B"), ("en", "**Answer: B. aspirin**", "B"), ("en", "B. aspirin", "B"),
    ("en", "B: aspirin", "B"), ("en", "B aspirin", "B"), ("en", "Option B", "B"),
    ("en", "Option B: aspirin", "B"), ("en", "OPTION B IS CORRECT.", "B"),
    ("en", "OPTION A,C IS CORRECT", "AC"), ("en", "A, C", "AC"), ("en", "A and C", "AC"),
    ("en", "Answer: A, C and D", "ACD"), ("en", "ACD", "ACD"), ("en", "Answer: AC", "AC"),
    ("en", "C is correct", "C"), ("en", "I choose C.", "C"),
    ("en", "The best answer is C because of the liver.", "C"), ("en", "\\boxed{B}", "B"),
    ("en", "$\\boxed{\\text{B}}$", "B"), ("en", "<answer>B</answer>", "B"),
    ("en", '{"answer": "B"}', "B"), ("en", "aspirin", "B"), ("en", "Aspirin.", "B"),
    ("en", "ASPIRIN", "B"), ("en", "The answer is aspirin.", "B"),
    ("en", "It should be treated with aspirin first.", "B"),
    ("en", "A is incorrect. Answer: C", "C"),
    ("en", "Option A is wrong; option B is correct.", "B"),
    ("en", "B. aspirin\n\nExplanation: it thins blood, unlike morphine.", "B"), ("en", "2", "B"),
    ("en", "Answer: 2", "B"),
    ("en", "A. ibuprofen\nB. aspirin\nC. paracetamol\nD. morphine\nAnswer: C", "C"),
    ("en", "ＢＣ", "BC"), ("en", "Ｂ", "B"),
    ("en", "###Rationale: pain.\n###Answer: OPTION B IS CORRECT.", "B"),
    ("en", "Answer: A. ibuprofen; C. paracetamol", "AC"),
    ("en", "Answer: A patient needs rest", None), ("en", "A patient needs rest", None),
    ("en", "a", "A"), ("en", "B cells are involved", None),
    ("en", "The answer is B-cell mediated", None), ("en", "The answer is not B", None),
    ("en", "A is not the correct answer", None), ("en", "The incorrect answer is A", None),
    ("en", "B or C?\nAnswer: B", "B"), ("en", "Answer: B\nAnswer: C", None),
    ("en", "A. ibuprofen\nB. aspirin\nC. paracetamol\nD. morphine", None),
    ("en", "aspirin or morphine", None), ("en", "After 2 days the pain goes", None),
    ("en", "1. Rest\n2. Drink", None), ("en", "E", None), ("en", "Answer: E", None),
    ("en", "E. coli", None), ("en", "C. difficile is likely", None),
    ("en", "I would take 2 tablets", None), ("en", "Answer: 2.5 mg", None),
    ("en", "I do not know", None),
    # Spanish, French
    ("es", "Respuesta: B", "B"), ("es", "La respuesta correcta es la C.", "C"),
    ("es", "La respuesta correcta es C", "C"), ("es", "La respuesta correcta es la opción C", "C"),
    ("es", "b) aspirina", "B"), ("es", "La opción B es correcta", "B"),
    ("es", "La respuesta es a) ibuprofeno", "A"), ("es", "A y C", "AC"),
    ("es", "A un paciente se le da reposo", None),
    ("es", "La respuesta a la pregunta no es clara", None), ("es", "Aspirina", "B"),
    ("es", "opción D", "D"), ("fr", "Réponse : C", "C"), ("fr", "La bonne réponse est la C", "C"),
    ("fr", "Réponses : A, C et D", "ACD"), ("fr", "Les bonnes réponses sont A et C.", "AC"),
    ("fr", "c'est difficile", None), ("fr", "d'origine virale", None),
    ("fr", "La réponse a été donnée", None), ("fr", "ACD", "ACD"), ("fr", "proposition B", "B"),
    ("fr", "Paracetamol", None), ("fr", "paracétamol", "C"),
    ("fr", "La proposition B est exacte", "B"), ("fr", "B : aspirine", "B"),
    # Russian
    ("ru", "Ответ: B", "B"), ("ru", "Ответ: В", "B"), ("ru", "С", "C"), ("ru", "А", "A"),
    ("ru", "А, С", "AC"), ("ru", "Правильный ответ: С. парацетамол", "C"),
    ("ru", "Правильный ответ — D", "D"), ("ru", "аспирин", "B"), ("ru", "Вариант B", "B"),
    ("ru", "Ответ в таблице", None), ("ru", "в больнице", None), ("ru", "Ответ: Б", None),
    ("ru", "B верно", "B"), ("ru", "Ответ не B", None), ("ru", "с болью", None),
    # Chinese, Japanese
    ("zh", "B", "B"), ("zh", "选项B", "B"), ("zh", "答案：B", "B"), ("zh", "答案是B。", "B"),
    ("zh", "正确答案是Ｂ", "B"), ("zh", "答案是B因为它能止痛", "B"), ("zh", "故选B", "B"),
    ("zh", "因此选C。", "C"), ("zh", "答案：ABD", "ABD"), ("zh", "答案：A、C", "AC"),
    ("zh", "阿司匹林", "B"), ("zh", "B．阿司匹林", "B"), ("zh", "（B）", "B"),
    ("zh", "B是正确的", "B"), ("zh", "应该用阿司匹林治疗", "B"), ("zh", "维生素C缺乏", None),
    ("zh", "不知道", None), ("zh", "答案不是B", None), ("zh", "B选项错误，正确答案：D", "D"),
    ("zh", "A和C", "AC"), ("ja", "答えはb", "B"), ("ja", "答え：B", "B"),
    ("ja", "正解はCです。", "C"), ("ja", "選択肢Bが正しい", "B"), ("ja", "Ｂ", "B"),
    ("ja", "bとd", "BD"), ("ja", "アスピリン", "B"), ("ja", "正解はBとDです", "BD"),
    ("ja", "b アスピリン", "B"), ("ja", "答えは「B」です", "B"), ("ja", "ビタミンCが不足", None),
    ("ja", "わかりません", None), ("ja", "Bが正解", "B"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "expected"), SPELLINGS)
def test_reads_planted_spellings(code: str, text: str, expected: str | None) -> None:
    """Each spelling is read as the options it names; what names none, or several, is not read."""
    assert read(code, text) == expected


YES_NO = {code: row.yes_no_maybe for code, row in LANGUAGES.items()}
WORD_SPELLINGS = [
    ("ar", "نعم", 0), ("ar", "لا", 1), ("ar", "ربما.", 2), ("ar", "نعم، يقلل الدواء الألم", 0),
    ("ar", "الإجابة: لا", 1), ("ar", "الإجابة هي نعم", 0), ("ar", "لا يوجد دليل كاف", None),
    ("ar", "نعمة", None), ("ar", "لا، بل نعم\nالإجابة: نعم", None), ("en", "Yes", 0),
    ("en", "no.", 1), ("en", "Maybe", 2), ("en", "Yes, it does.", 0),
    ("en", "There is no difference", None), ("en", "Answer: no", 1),
    ("en", "The answer is maybe.", 2), ("en", "No evidence was found", None), ("en", "**yes**", 0),
    ("es", "Sí", 0), ("es", "si", 0), ("es", "No, porque", 1), ("es", "Respuesta: quizás", 2),
    ("fr", "Oui.", 0), ("fr", "Réponse : non", 1), ("fr", "peut-être", 2), ("ru", "Да", 0),
    ("ru", "нет", 1), ("ru", "Ответ: возможно", 2), ("zh", "是", 0), ("zh", "答案：否", 1),
    ("zh", "答案是否", 1), ("zh", "可能", 2), ("ja", "はい", 0), ("ja", "いいえ、違います", 1),
    ("ja", "答え：不明", 2), ("ja", "はいしゃ", None),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "expected"), WORD_SPELLINGS)
def test_reads_yes_no_and_maybe_as_words(code: str, text: str, expected: int | None) -> None:
    """A word counts where it opens the reply, is a line, or follows a statement; not inside running text."""
    found = read_answer(text, choice(code, YES_NO[code]))

    assert found == (None if expected is None else (expected,))


@pytest.mark.parametrize("code", sorted(LANGUAGES))
@pytest.mark.parametrize("answers", [(0,), (1,), (3,), (0, 2), (1, 2, 3)])
@pytest.mark.parametrize("with_rationale", [False, True])
def test_every_language_reads_back_what_it_writes(
    code: str, answers: tuple[int, ...], with_rationale: bool
) -> None:
    """The assistant's turn of any item is read as the item's own key."""
    item = choice(code, answers=answers, rationale=f"{OPTIONS[code][2]}: {OPTIONS[code][0]}.")
    asked, reply = to_messages(item, with_rationale=with_rationale)

    assert read_answer(reply.content, item) == answers
    assert (OPTIONS[code][2] + ":" in reply.content) == with_rationale
    assert all(line in asked.content for line in OPTIONS[code])


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_a_reply_is_cut_into_rationale_and_answer(code: str) -> None:
    """The last line that states an answer ends the rationale, whatever stands in it before."""
    item = choice(code, rationale=f"{OPTIONS[code][2]}.\n\n{OPTIONS[code][0]}.")
    reply = to_messages(item, with_rationale=True)[1].content
    rationale, answer = split_reply(reply, code)

    assert rationale == item.rationale
    assert read_answer(answer, item) == (1,)
    assert split_reply(OPTIONS[code][2], code) == (OPTIONS[code][2], "")


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_yes_no_items_are_asked_and_answered_with_the_word(code: str) -> None:
    """A yes/no/maybe item shows its words, no letters, and answers with the word alone."""
    item = choice(code, YES_NO[code], answers=(1,))

    assert is_yes_no_maybe(item)
    assert answer_text(item) == YES_NO[code][1]
    assert "A. " not in question_message(item).content and "أ. " not in question_message(item).content
    assert read_answer(answer_text(item), item) == (1,)


def test_arabic_options_carry_abjad_letters() -> None:
    """Labels follow the language table; the answer is label, point, text."""
    item = choice("ar", ("واحد", "اثنان", "ثلاثة", "أربعة", "خمسة"), answers=(4,))

    assert option_labels(item) == ("أ", "ب", "ج", "د", "هـ")
    assert answer_text(item) == "هـ. خمسة"
    assert "هـ. خمسة" in question_message(item).content.splitlines()
    assert read_answer("هـ", item) == read_answer("ه", item) == (4,)


def test_braces_in_records_stay_text() -> None:
    """A question that quotes a slot of the frame is not filled again."""
    item = choice("en", context="{instruction} {0} {missing}")
    asked = question_message(item).content

    assert "Context: {instruction} {0} {missing}" in asked
    assert "Question: ؟ {options}" in asked
    assert fill("{question}", {"question": "{options}", "options": "x"}) == "{options}"


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_prompts_of_a_language_begin_alike(code: str) -> None:
    """The instruction comes first, so that all questions of a test set share it as a prefix."""
    first, second = (
        question_message(msgspec.structs.replace(choice(code), question=text)).content
        for text in ("xx", "yy")
    )
    shared = next(n for n, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)

    assert pack(code).frames["ask_letter"] in first[:shared]


def test_context_is_left_out_with_its_label() -> None:
    """Items without context show no empty heading."""
    assert "Context" not in question_message(choice("en")).content
    assert (
        "\n\nContext: An abstract.\n\nQuestion: "
        in question_message(choice("en", context="An abstract.")).content
    )


def test_rationale_is_asked_for_only_where_there_is_one() -> None:
    """An item without a rationale is laid out without, so no model learns to promise a reason it lacks."""
    plain = to_messages(choice("fr"), with_rationale=True)

    assert plain == to_messages(choice("fr"))


def test_talks_are_laid_out_so_that_templates_take_them() -> None:
    """The user opens, sides alternate, an answer ends: what records of real visits do not always do."""
    turns = (
        Turn("assistant", "Come in."), Turn("user", "My head hurts."), Turn("user", "Since Monday."),
        Turn("assistant", "Rest."), Turn("assistant", "Drink."), Turn("user", "Thanks."),
    )  # fmt: skip

    messages = to_messages(Dialogue("d", "en", ORIGIN, turns))

    assert [(m.role, m.content) for m in messages] == [
        ("user", "My head hurts.\nSince Monday."),
        ("assistant", "Rest.\nDrink."),
    ]
    with pytest.raises(DataError, match="nobody answers"):
        to_messages(Dialogue("d", "en", ORIGIN, (Turn("assistant", "Come in."), Turn("user", "Hello."))))


def test_dialogues_and_open_questions_become_messages() -> None:
    """Turns map one to one; an open question is asked bare, its context before it."""
    talk = Dialogue("d", "ar", ORIGIN, (Turn("user", "عندي صداع"), Turn("assistant", "منذ متى؟")))
    question = OpenQuestion("o", "en", ORIGIN, "What is asthma?", "A disease.", context="Lungs.")

    assert [(m.role, m.content) for m in to_messages(talk)] == [
        ("user", "عندي صداع"),
        ("assistant", "منذ متى؟"),
    ]
    assert [m.content for m in to_messages(question)] == ["Lungs.\n\nWhat is asthma?", "A disease."]


def test_items_without_a_key_can_be_asked_but_not_answered() -> None:
    """Private keys are an error that names the item."""
    item = choice("en", answers=())

    assert question_message(item).content
    with pytest.raises(DataError, match="q: has no answer key"):
        to_messages(item)


def test_option_text_that_is_a_letter_pair_is_not_two_letters() -> None:
    """Blood group AB is an option, not options A and B."""
    groups = ("A", "B", "AB", "0")

    assert read("en", "AB", groups) == "C"
    assert read("en", "Answer: C. AB", groups) == "C"


def test_digits_are_labels_only_where_options_are_no_numbers() -> None:
    """`2` names the option whose text is 2, not the second one."""
    assert read("en", "Answer: 2", ("4", "3", "2", "1")) == "C"


def test_binomial_names_are_not_labels() -> None:
    """`E. coli` is the bacterium, also where a fifth option exists; after a label it is that option."""
    germs = ("S. aureus", "E. coli", "B. cereus", "C. difficile", "none of them")

    assert read("en", "E. coli", germs) == "B"
    assert read("en", "B. E. coli", germs) == "B"
    assert read("en", "The answer is C. difficile", germs) == "D"


def test_letters_follow_the_labels_that_were_shown() -> None:
    """With А Б В Г on show, В is the third option; with Latin labels it is a look-alike of B."""
    item = choice("ru")

    assert read_answer("Ответ: В", item) == (1,)
    assert read_answer("Ответ: В", item, labels=("А", "Б", "В", "Г")) == (2,)


def test_normalisation_never_merges_two_options() -> None:
    """Options that only differ in hamza are told apart by plain spelling."""
    item = choice("ar", ("فأر", "فار", "كلب"))

    assert read_answer("فأر", item) == (0,)
    assert read_answer("فار", item) == (1,)


def test_pack_hashes_differ_and_packs_have_the_same_sections() -> None:
    """Every language has a whole pack, and its hash tells it apart."""
    assert len({pack_hash(code) for code in LANGUAGES}) == len(LANGUAGES)
    assert len({tuple(sorted((*pack(code).frames, *pack(code).lists))) for code in LANGUAGES}) == 1


@pytest.mark.slow
def test_real_exam_items_read_back_as_their_key(real_data: Path, tmp_path: Path) -> None:
    """Every real question of thirteen exam sets in five languages: answers and bare labels are read back."""
    from bimedix.sources.room import run
    from bimedix.sources.settings import DataSet, Settings

    run(Settings(data=(DataSet(path="."),), limit=200), {}, tmp_path, Context(tmp_path / "c", base=real_data))
    items = [
        item
        for item in read_any_records(tmp_path / "records.jsonl")
        if isinstance(item, MultipleChoice) and item.answers
    ]
    wrong = [item.id for item in items if read_answer(answer_text(item), item) != item.answers]
    unlabelled = [
        (item.id, label)
        for item in items
        for index, label in enumerate(option_labels(item))
        if read_answer(label, item) != (index,)
    ]

    assert len(items) > 500
    assert (wrong, unlabelled) == ([], [])
