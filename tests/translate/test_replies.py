"""The ladder that reads replies: what is found, and what is refused rather than guessed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimedix.prompts.replies import ReplyError, read_object, require_id, text_of

values = st.dictionaries(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",))),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    max_size=5,
)


@given(value=values)
def test_an_object_is_read_whole_fenced_or_in_prose(value: dict[str, object]) -> None:
    """Whatever the strings hold (braces, quotes, fences), the same object comes back."""
    text = json.dumps(value, ensure_ascii=False)

    assert read_object(text) == (value, "whole")
    assert read_object(f"Here you are:\n{text}\nI hope it helps.").value == value


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "Sure!\n```\n{}\n```\nDone."])
def test_a_code_fence_is_stripped_and_counted(fence: str) -> None:
    assert read_object(fence.replace("{}", '{"score": 3}')) == ({"score": 3}, "fence")


def test_thoughts_before_the_reply_are_set_aside() -> None:
    """Reasoning models open with a block that may itself hold JSON."""
    assert read_object('<think>maybe {"score": 1}?</think>\n{"score": 2}') == ({"score": 2}, "whole")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty reply"),
        ("  \n", "empty reply"),
        ('{"a": 1} {"a": 2}', "two objects in one reply"),
        ('```\n{"a": 1}\n```\n```\n{"a": 2}\n```', "two objects in one reply"),
        ('{"a": "half of', "reply is cut"),
        ('{"spans": [{"quote": "x"}, {"quote"', "reply is cut"),
        ("I found 3 errors", "no JSON object in the reply"),
        ("{'a': 1}", "no JSON object in the reply"),
        ("[1, 2]", "no JSON object in the reply"),
        ('{"a": 1, "a": 2}', "doubled keys in the reply"),
        ('{"a": NaN}', "not a number in the reply"),
        ('{"a": "\\ud800"}', "no JSON object in the reply"),
        ("{" * 50_000, "reply is cut"),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, "no JSON object in the reply"),
        ("{}" * 100, "two objects in one reply"),
        ("x" * 1_000_001, "reply too long"),
    ],
)
def test_what_cannot_be_read_for_sure_is_refused_with_a_countable_reason(text: str, reason: str) -> None:
    with pytest.raises(ReplyError) as refusal:
        read_object(text)

    assert refusal.value.reason == reason


def test_a_reply_about_another_text_is_refused() -> None:
    require_id({"id": "a1"}, "id", "a1")

    with pytest.raises(ReplyError, match="another id"):
        require_id({"id": "b2"}, "id", "a1")


def test_a_number_is_not_taken_for_a_text() -> None:
    assert text_of({"why": " because "}, "why") == "because"

    with pytest.raises(ReplyError, match="no text under 'why'"):
        text_of({"why": 3}, "why")
