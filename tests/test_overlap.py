"""Overlap: exact repeats, and test items that hide in training records."""

import random

import pytest

from bimedix.overlap.contamination import Match, TestIndex, alignment
from bimedix.overlap.duplicates import Seen, text_key
from bimedix.records import (
    Conversation,
    Dialogue,
    Message,
    MultipleChoice,
    OpenQuestion,
    Origin,
    Passage,
    Turn,
)

HERE = Origin("made-up")
VIGNETTE = (
    "A 54-year-old woman is brought to the clinic by her husband because of progressive difficulty "
    "swallowing over the last three weeks; she now avoids solid meals entirely and has lost nine kilograms."
)
LONG = MultipleChoice(
    "exam:1", "en", HERE, VIGNETTE, ("Achalasia", "Oesophageal carcinoma", "Scleroderma", "Web"), (1,)
)
SHORT = MultipleChoice(
    "exam:2", "en", HERE, "Not a monomeric intermediate filament:",
    ("Vimentin", "Keratin", "Tubulin", "Desmin"), (2,),
)  # fmt: skip
YES_NO = MultipleChoice("exam:3", "en", HERE, "Does aspirin lower fever in adults?", ("yes", "no"), (0,))
CHINESE = MultipleChoice(
    "exam:4", "zh", HERE, "患者男性五十四岁,近三周出现进行性吞咽困难,体重下降九公斤,首先考虑的诊断是什么",
    ("食管癌", "贲门失弛缓症"), (0,),
)  # fmt: skip
INDEX = TestIndex([LONG, SHORT, YES_NO, CHINESE])


def rule(match: Match | None) -> tuple[str, str] | None:
    return (match.rule, match.test_id) if match else None


# --- contamination --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        OpenQuestion("exam:1@ar", "ar", HERE, "سؤال", "جواب", parents=("exam:1",)),
        Dialogue("chat:9", "en", HERE, (Turn("assistant", "Hello"),), parents=("exam:1#chat",)),
        Passage("exam:1#rationale@ar", "ar", HERE, "شرح"),
    ],
)
def test_whatever_comes_from_a_test_item_is_a_test_item(record: OpenQuestion | Dialogue | Passage) -> None:
    """Translations, chats and rationales are found by lineage, in any language, whatever their text."""
    assert rule(INDEX.find(record)) == ("lineage", "exam:1")


def test_an_equal_stem_is_found_through_case_signs_and_another_form() -> None:
    """The multiple-choice question asked as an open one, in other case and punctuation."""
    record = OpenQuestion("x:1", "en", HERE, VIGNETTE.upper().replace(",", " -"), "Unknown")

    assert rule(INDEX.find(record)) == ("same stem", "exam:1")


def test_shuffled_options_with_a_reworded_stem_are_found() -> None:
    """Equal option sets in any order need stems that are alike to 0.6 only."""
    record = MultipleChoice(
        "x:1", "en", HERE, "Which of these is not a monomeric intermediate filament?",
        ("Desmin", "tubulin", "Vimentin.", "Keratin"), (1,),
    )  # fmt: skip

    assert rule(INDEX.find(record)) == ("same options", "exam:2")


def test_equal_options_under_an_unrelated_stem_are_another_question() -> None:
    """The same four proteins, asked about something else in other words."""
    record = MultipleChoice("x:1", "en", HERE, "Hair consists mostly of", SHORT.options[::-1], (2,))

    assert INDEX.find(record) is None


def test_a_vignette_inside_a_long_text_is_found_with_its_place() -> None:
    """A passage that quotes the stem with small changes: 8-grams propose, the alignment decides."""
    quoted = VIGNETTE.replace("54-year-old", "55 year old").replace("entirely", "altogether")
    record = Passage("x:1", "en", HERE, f"Case report. {'Filler words stand here. ' * 20}{quoted} The end.")
    found = INDEX.find(record)

    assert rule(found) == ("shared n-grams", "exam:1")
    assert found is not None and 0.5 <= found.similarity < 1
    assert found.text.startswith("year old woman is brought to the clinic")


def test_chinese_is_compared_by_characters() -> None:
    """16 characters in a row are the n-gram where words are not spaced."""
    record = Passage(
        "x:1", "zh", HERE, "病例报告。" + CHINESE.question.replace("五十四", "五十") + "。请讨论。"
    )

    assert rule(INDEX.find(record)) == ("shared n-grams", "exam:4")


def test_a_short_stem_with_an_edit_and_an_equal_option_is_found() -> None:
    """n-grams are blind below 12 words; edit similarity of 0.9 and one option are not."""
    record = OpenQuestion("x:1", "en", HERE, "Not a monomeric intermediate filaments", "Tubulin")

    assert rule(INDEX.find(record)) == ("similar short stem", "exam:2")


def test_a_similar_short_stem_without_a_common_option_is_another_question() -> None:
    """Another answer to nearly the same words: nothing of the test leaks."""
    record = OpenQuestion("x:1", "en", HERE, "Not a monomeric intermediate filaments", "Collagen")

    assert INDEX.find(record) is None


def test_a_short_stem_that_many_exams_use_is_no_evidence_by_itself() -> None:
    """`Which is true?` with other options is another question; with an equal option it is the test's."""
    index = TestIndex([MultipleChoice("t:1", "en", HERE, "Which is true?", ("Iron is a metal", "x"), (0,))])
    other = MultipleChoice("x:1", "en", HERE, "Which is true?", ("Zinc is a gas", "Lead is light"), (0,))
    same = MultipleChoice("x:2", "en", HERE, "Which is true?", ("Iron is a metal", "Lead is light"), (0,))

    assert index.find(other) is None
    assert rule(index.find(same)) == ("same stem", "t:1")


def test_the_frame_of_an_exam_is_no_overlap() -> None:
    """Words that more than five test stems share do not make another question of the same exam a leak."""
    frame = "Parmi les propositions suivantes concernant la pharmacologie clinique indiquer celles exactes :"
    tests = [
        MultipleChoice(
            f"t:{n}", "fr", HERE, f"{frame} {drug} agit en combien de jours", (f"a{n}", f"b{n}"), (0,)
        )
        for n, drug in enumerate(
            ("kétamine", "morphine", "codéine", "aspirine", "insuline", "digoxine", "warfarine")
        )
    ]
    record = MultipleChoice("x:1", "fr", HERE, f"{frame} le lithium passe le placenta", ("oui", "non"), (0,))

    assert TestIndex(tests).find(record) is None


def test_a_question_on_the_same_subject_with_other_options_is_kept() -> None:
    """Half of the words in common: a leak for a text, none for a question that has no option in common."""
    index = TestIndex([
        MultipleChoice(
            "t:1", "en", HERE,
            "Proton pump inhibitors given by mouth for four weeks or more are used to treat which ulcer?",
            ("peptic", "venous"), (0,),
        )
    ])  # fmt: skip
    stem = "Proton pump inhibitors given by mouth for four weeks or more cause loss of which vitamin?"

    assert index.find(MultipleChoice("x:1", "en", HERE, stem, ("B12", "C"), (0,))) is None
    assert rule(index.find(Passage("x:2", "en", HERE, stem))) == ("shared n-grams", "t:1")


def test_yes_and_no_are_an_option_set_of_many_questions() -> None:
    """100 yes/no tests: another yes/no question with a somewhat similar stem is not one of them."""
    tests = [
        MultipleChoice(
            f"t:{n}", "en", HERE, f"Does drug number {n} help in disease {n * 7}?", ("yes", "no"), (0,)
        )
        for n in range(100)
    ]
    record = MultipleChoice(
        "x:1", "en", HERE, "Does drug therapy help people in heart disease?", ("no", "yes"), (0,)
    )

    assert TestIndex(tests).find(record) is None


def test_dialogues_and_conversations_are_looked_at_by_their_first_question() -> None:
    """A patient who opens with the stem."""
    dialogue = Dialogue("x:1", "en", HERE, (Turn("user", VIGNETTE), Turn("assistant", "Cancer.")))
    laid_out = Conversation("x:2", "en", HERE, (Message("user", VIGNETTE), Message("assistant", "?")), "qa")

    assert rule(INDEX.find(dialogue)) == rule(INDEX.find(laid_out)) == ("same stem", "exam:1")


def test_an_empty_index_finds_nothing() -> None:
    """No registered test, no match, no error."""
    assert TestIndex().find(LONG) is None


WORDS = (
    "renal",
    "hepatic",
    "cardiac",
    "fever",
    "dose",
    "serum",
    "biopsy",
    "lesion",
    "acute",
    "vein",
    "cough",
)


def planted(seed: int) -> tuple[MultipleChoice, MultipleChoice]:
    """Return a made-up test item of 6 to 40 words and a leak of it: options shuffled, a word changed."""
    draw = random.Random(f"planted:{seed}")
    stem = [f"{draw.choice(WORDS)}{draw.randrange(90)}" for _ in range(draw.randrange(6, 40))]
    options = [f"{draw.choice(WORDS)} {draw.randrange(999)}" for _ in range(4)]
    test = MultipleChoice(f"t:{seed}", "en", HERE, " ".join(stem), tuple(options), (0,))
    draw.shuffle(options)
    stem[draw.randrange(len(stem))] = draw.choice(WORDS)
    return test, MultipleChoice(f"x:{seed}", "en", HERE, " ".join(stem).title(), tuple(options), (0,))


def test_planted_leaks_are_found_and_innocent_items_are_not() -> None:
    """300 shuffled and changed leaks, short and long, among 300 others: at least 95 %, and no false alarm."""
    pairs = [planted(seed) for seed in range(300)]
    index = TestIndex([test for test, _ in pairs])
    found = [index.find(leak) for _, leak in pairs]
    hits = sum(m is not None and m.test_id == test.id for m, (test, _) in zip(found, pairs, strict=True))

    assert hits / len(pairs) >= 0.95
    assert not [seed for seed in range(1000, 1300) if index.find(planted(seed)[1])]


def test_alignment_counts_runs_only() -> None:
    """Single words in common, however many, are no alignment; a run of three is."""
    assert alignment(list("abcdef"), list("axbxcxd")) == 0.0
    assert alignment(list("abcdef"), list("xabcyf")) == 0.5


# --- repeats --------------------------------------------------------------------------------------------


def test_doses_and_kinds_of_text_keep_records_apart() -> None:
    """5 mg and 50 mg differ; so do a text in the question and the same in the answer."""
    first = OpenQuestion("a", "en", HERE, "warfarin 5 mg", "yes")

    assert text_key(first) == text_key(OpenQuestion("b", "en", HERE, "Warfarin ٥ mg", "Yes"))
    assert text_key(first) != text_key(OpenQuestion("b", "en", HERE, "warfarin 50 mg", "yes"))
    assert text_key(first) != text_key(OpenQuestion("b", "en", HERE, "warfarin 5", "mg yes"))


def test_the_first_of_several_repeats_is_named() -> None:
    """The third repeats the first, not the second; a rationale does not make a question new."""
    seen = Seen()
    again = MultipleChoice("b", "en", HERE, LONG.question, LONG.options, (1,), rationale="Because.")

    assert seen.check(LONG) is None
    assert [seen.check(again), seen.check(LONG)] == [seen.check(again)] * 2
    assert (seen.check(again) or pytest.fail()).first == "exam:1"
