"""Cutting long records and joining them again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimedix.translate.parts import cut, join

TEXTS = st.text(st.sampled_from("ab Cd.?!\n  ؟اب。，1"), max_size=400)


@given(text=TEXTS, title=TEXTS, limit=st.integers(5, 80), code=st.sampled_from(["en", "ar", "zh"]))
def test_parts_joined_untranslated_are_the_record_but_for_spaces_between_pieces(
    text: str, title: str, limit: int, code: str
) -> None:
    """Nothing is lost or doubled, whatever the text; zh to zh leaves out spaces between sentences."""
    fields = {"title": title, "text": text}
    parts = cut(fields, code, limit)
    joined = join(parts, [part.fields for part in parts], code, code)
    rebuilt = {
        name: "".join(p.lead + p.core + p.trail for part in parts for p in part.pieces if p.field == name)
        for name in fields
    }

    assert rebuilt == fields
    for name in fields:
        assert "".join(joined.get(name, "").split()) == "".join(fields[name].split())
    if code == "en":
        assert joined == fields


@given(text=TEXTS, limit=st.integers(20, 80))
def test_no_part_is_longer_than_the_limit(text: str, limit: int) -> None:
    for part in cut({"text": text}, "en", limit):
        assert sum(map(len, part.fields.values())) <= limit or "\n" * 3 in text or not text.strip()


def test_a_record_that_fits_is_one_part_with_all_its_fields() -> None:
    (part,) = cut({"question": "Which?", "options.0": " a "}, "en", 100)

    assert part.fields == {"question": "Which?", "options.0": " a "}
    assert (part.before, part.after) == ("", "")


@pytest.mark.parametrize(
    ("source", "target", "text", "translated", "joined"),
    [
        ("en", "zh", "One one. Two two.", ["一。", "二。"], "一。二。"),
        ("zh", "en", "一一一一一一一一。二二二二二二二。", ["One.", "Two."], "One. Two."),
        ("en", "ar", "One one.\n\nTwo two.", ["واحد.", "اثنان."], "واحد.\n\nاثنان."),
    ],
)
def test_gaps_between_pieces_follow_the_target_language(
    source: str, target: str, text: str, translated: list[str], joined: str
) -> None:
    parts = cut({"text": text}, source, 10)
    names = [piece.name for part in parts for piece in part.pieces]
    texts = dict(zip(names, translated, strict=True))

    assert join(parts, [texts] * len(parts), source, target) == {"text": joined}
