"""The quick form of comparison text: one replacement per kind of character, and none over ASCII."""

import random

import pytest

from bimedix.text import _comparison_table, normalise, script_shares


def test_a_replacement_is_never_replaced_again() -> None:
    """Otherwise the result would depend on the order in which characters are taken."""
    table = _comparison_table()

    assert not [char for char, into in table.items() if set(into) & table.keys()]


@pytest.mark.parametrize("text", ["Aspirin  5 MG\n", "الأَدْوِيـَة ٥٫٢ ملغ", "ﻻ", "１０² ١٬٠٠٠", "Straße İ", ""])
def test_normalising_twice_changes_nothing(text: str) -> None:
    """ASCII, Arabic with marks, ligatures, powers, special casing, empty."""
    assert normalise(normalise(text)) == normalise(text)


def test_ascii_takes_the_same_way_as_any_text() -> None:
    """The short cut for ASCII gives what the long way gives, seen by adding a letter that needs it."""
    draw = random.Random(17)
    for _ in range(200):
        text = "".join(draw.choices([chr(point) for point in range(128)], k=30)) + "x"

        assert normalise(text) == normalise(text + "\u00e9").removesuffix("\u00e9")


def test_shares_count_every_letter() -> None:
    """Repeated letters weigh as often as they occur; digits and signs do not."""
    assert script_shares("ааа b 12 ,") == {"CYRILLIC": 0.75, "LATIN": 0.25}
