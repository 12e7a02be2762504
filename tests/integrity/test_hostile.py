"""Texts that nobody would write: long runs, broken characters, floods. Nothing crashes, nothing hangs."""

import time

import pytest

from bimedix.integrity import check_pair, check_set, check_texts
from bimedix.records import Origin, Passage

FLOODS = {
    "digits": "1" * 20_000,
    "arabic digits": "٣" * 20_000 + " ملغ",
    "letters": "a" * 20_000,
    "hyphens": "a-" * 10_000,
    "identifiers": "a1-" * 7_000,
    "combining marks": "ا" + "\u064b" * 20_000,
    "numbers": "1 " * 5_000,
    "lists": "1,2." * 5_000,
    "brackets": "(" * 20_000,
    "frequencies": "every 8 hours " * 500,
    "surrogates": "\ud800 10 mg \x00" * 500,
    "powers": "10^99999999 10⁹⁹⁹⁹⁹⁹⁹⁹ " * 200,
    "isolates": "\u2068" * 20_000,
}


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("code", ["ar", "zh"])
def test_floods_take_seconds_at_most(name: str, code: str) -> None:
    """Both as source and as translation."""
    start = time.process_time()
    text = FLOODS[name]
    check_texts(text, text[: len(text) // 2], "en", code)
    check_texts("Give 10 mg.", text, "en", code)

    assert time.process_time() - start < 5


def test_half_a_pair_of_a_character_is_an_error() -> None:
    """A lone surrogate is no text."""
    found = check_texts("Give 10 mg.", "أعط \ud800 10 ملغ.", "en", "ar")

    assert "characters" in {finding.check for finding in found}


def test_empty_texts_are_handled() -> None:
    """Nothing against nothing is fine; something against nothing is cut."""
    assert check_texts("", "", "en", "ar") == ()
    assert check_texts("  ", "نص", "en", "ar") == ()
    assert check_set([("1", "", ""), ("2", "x", "")]) == {}


def test_items_of_different_kinds_do_not_match() -> None:
    """A field that one side lacks is an error of structure."""
    whole = Passage("1", "en", Origin("own"), "The text.", title="Title")
    part = Passage("1", "ar", Origin("own"), "النص.")

    assert [(f.check, f.field) for f in check_pair(whole, part)] == [("structure", "title")]
    assert [(f.check, f.field) for f in check_pair(part, whole)] == [("structure", "title")]
