"""Prompts of translation and judging, and the readers of their replies."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimedix.integrity.checks import check_pair
from bimedix.languages import LANGUAGES
from bimedix.prompts.data import data_block
from bimedix.prompts.judging import (
    ask_judge,
    mqm_penalty,
    read_judgment,
    standing_spans,
)
from bimedix.prompts.replies import ReplyError
from bimedix.prompts.translation import (
    Surroundings,
    example,
    prompt_hash,
    read_fields,
    revise_messages,
    text_id,
    translate_messages,
)
from bimedix.records import MultipleChoice, Origin, with_fields

EXAMPLE_ITEM = MultipleChoice(
    "e",
    "en",
    Origin("prompt"),
    example("en").fields["question"],
    tuple(example("en").fields.values())[1:],
    (3,),
)
FIELDS = {"question": "Give 5 mg of warfarin?", "options.0": "Yes", "options.1": "No"}
ARABIC = {"question": "هل يُعطى 5 ملغ من الوارفارين؟", "options.0": "نعم", "options.1": "لا"}


def reply(fields: object, **keys: object) -> str:
    return json.dumps({"fields": fields, **keys}, ensure_ascii=False)


@given(text=st.text(st.characters(exclude_categories=("Cs",))))
def test_no_text_can_close_its_own_data_block(text: str) -> None:
    """Whatever a record says, its block has the closing line once, as the last one."""
    lines = data_block({"text": text}).split("\n")

    assert len(lines) == 3
    assert lines[0] == lines[2]
    assert json.loads(lines[1]) == {"text": text}


@pytest.mark.parametrize("source", LANGUAGES)
@pytest.mark.parametrize("target", LANGUAGES)
def test_every_pair_of_languages_has_a_prompt_without_open_blanks(source: str, target: str) -> None:
    system = translate_messages({"text": "x"}, source, target)[0].content

    assert "$" not in system
    assert LANGUAGES[target].name in system
    assert text_id(source, target, {"text": "x"}) in system


def test_a_prompt_holds_fields_glossary_and_neighbours_as_data_only() -> None:
    around = Surroundings("Before.", "After.", (("warfarin", "وارفارين"),))
    system, user = translate_messages(FIELDS, "en", "ar", around)
    data = json.loads(user.content.split("\n")[1])

    assert data == {
        "fields": FIELDS, "before": "Before.", "after": "After.", "glossary": [["warfarin", "وارفارين"]],
    }  # fmt: skip
    assert "warfarin" not in system.content


def test_a_revision_shows_the_current_text_and_its_problems() -> None:
    user = revise_messages(FIELDS, ARABIC, ("question: 5 mg became 50 mg",), "en", "ar")[1]
    data = json.loads(user.content.split("\n")[1])

    assert data["current"] == ARABIC
    assert data["problems"] == ["question: 5 mg became 50 mg"]


def test_the_hash_of_a_prompt_changes_with_task_and_pair_alone() -> None:
    hashes = {
        prompt_hash(*key)
        for key in [("translate", "en", "ar"), ("revise", "en", "ar"), ("translate", "en", "zh")]
    }

    assert len(hashes) == 3


def test_fields_are_read_in_the_order_they_were_sent() -> None:
    mixed = dict(reversed(ARABIC.items()))

    assert list(read_fields(reply(mixed), tuple(FIELDS)).fields) == list(FIELDS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (reply({k: v for k, v in ARABIC.items() if k != "options.1"}), "fields are missing from the reply"),
        (reply(ARABIC | {"answer": "B"}), "reply has fields that were not sent"),
        (reply(ARABIC | {"options.0": "  "}), "a field of the reply is empty"),
        (reply(ARABIC | {"options.0": 5}), "a field of the reply is no text"),
        (reply(list(ARABIC.values())), "reply has no 'fields'"),
        (reply(ARABIC, id="someone else"), "reply has another id"),
    ],
)
def test_a_translation_is_refused_unless_it_has_exactly_the_fields(text: str, reason: str) -> None:
    with pytest.raises(ReplyError) as refusal:
        read_fields(text, tuple(FIELDS), "right")

    assert refusal.value.reason == reason


QUESTION = ask_judge(FIELDS, ARABIC, "en", "ar", salt="s")


def judgment(score: object = 90, spans: object = (), **keys: object) -> str:
    value = {"id": QUESTION.id, "nonce": QUESTION.nonce, "spans": spans, "score": score}
    return json.dumps(value | keys, ensure_ascii=False)


def span(quote: str, severity: str = "major", side: str = "target") -> dict[str, str]:
    return {"quote": quote, "side": side, "category": "dose", "severity": severity, "why": "wrong"}


def test_equal_texts_ask_the_same_and_samples_ask_apart() -> None:
    again = ask_judge(FIELDS, ARABIC, "en", "ar", salt="s")
    other = ask_judge(FIELDS, ARABIC, "en", "ar", salt="s", sample=1)

    assert again == QUESTION
    assert other.id == QUESTION.id
    assert other.nonce != QUESTION.nonce
    assert other.messages[1].content.index('"target"') < other.messages[1].content.index('"source"')
    assert ask_judge(FIELDS, ARABIC, "en", "ar", salt="t").nonce != QUESTION.nonce


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (judgment(101), "score outside 0 to 100"),
        (judgment(-5), "score outside 0 to 100"),
        (judgment("95/100"), "score is no number"),
        (judgment("٩٥"), "score is no number"),
        (judgment(True), "score is no number"),
        (judgment(None), "score is no number"),
        (judgment(90, nonce="forged"), "reply has another nonce"),
        (judgment(90, id="other"), "reply has another id"),
        (judgment(90, "none"), "judgment has no 'spans'"),
        ("I found 3 errors. 95", "no JSON object in the reply"),
    ],
)
def test_a_score_counts_only_in_its_schema(text: str, reason: str) -> None:
    with pytest.raises(ReplyError) as refusal:
        read_judgment(text, QUESTION, FIELDS, ARABIC)

    assert refusal.value.reason == reason


def test_a_fractional_score_is_kept_as_it_is() -> None:
    assert read_judgment(judgment(92.5), QUESTION, FIELDS, ARABIC).score == 92.5


def test_spans_that_quote_nothing_of_the_text_are_dropped_and_counted() -> None:
    """A quote may differ in vowel signs; one that the judge made up may not stand."""
    spans = [span("5 ملغ"), span("يعطى"), span("50 ملغ"), span("warfarin"), span("warfarin", side="source")]
    spans += [span("نعم", severity="awful"), span("")]
    read = read_judgment(judgment(80, spans), QUESTION, FIELDS, ARABIC)

    assert [s.quote for s in read.spans] == ["5 ملغ", "يعطى", "warfarin"]
    assert (read.quotes_not_found, read.spans_refused) == (3, 1)


def test_severities_weigh_25_5_1_and_a_tenth() -> None:
    spans = [span("نعم", "critical"), span("لا", "major"), span("5", "minor"), span("؟", "punctuation")]
    read = read_judgment(judgment(10, spans), QUESTION, FIELDS, ARABIC)

    assert mqm_penalty(read.spans) == pytest.approx(31.1)


def test_a_span_stands_when_two_judges_name_it() -> None:
    """One judge quotes more words than the other; the worse severity is kept."""
    first = read_judgment(judgment(80, [span("5 ملغ", "minor"), span("نعم")]), QUESTION, FIELDS, ARABIC)
    second = read_judgment(judgment(80, [span("5 ملغ من الوارفارين", "critical")]), QUESTION, FIELDS, ARABIC)

    assert [(s.quote, s.severity) for s in standing_spans([first, second])] == [
        ("5 ملغ من الوارفارين", "critical")
    ]
    assert len(standing_spans([first])) == 2


@pytest.mark.parametrize("source", LANGUAGES)
@pytest.mark.parametrize("target", LANGUAGES)
def test_the_example_is_itself_a_right_translation_with_a_canary(source: str, target: str) -> None:
    """The same question in every language passes the checks of any translation; both sides are shown."""
    ours, theirs = (
        with_fields(EXAMPLE_ITEM, example(code).fields, language=code, id=f"e@{code}")
        for code in (source, target)
    )
    system = translate_messages({"text": "x"}, source, target)[0].content

    assert source == target or [f for f in check_pair(ours, theirs) if f.severity == "error"] == []
    for code in (source, target):
        assert example(code).canary in example(code).fields["question"]
        assert example(code).canary in system
