"""Choosing, cutting and counting: pure functions against their definitions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimedix.mix.figures import Words, stop_words
from bimedix.mix.segments import segments_of, windows
from bimedix.mix.select import balance, draw, nearest_prefix, pair_key
from bimedix.mix.units import with_unit
from bimedix.records import Origin, Passage
from bimedix.tokens import count_tokens, token_starts

SIZES = st.lists(st.integers(1, 1000), min_size=1, max_size=60)


@given(sizes=SIZES, budget=st.floats(0, 40000))
def test_the_nearest_prefix_is_nearest(sizes: list[int], budget: float) -> None:
    """No other number of records from the front comes nearer to the budget."""
    kept = nearest_prefix(np.array(sizes), budget)
    gaps = [abs(sum(sizes[:count]) - budget) for count in range(len(sizes) + 1)]

    assert gaps[kept] == pytest.approx(min(gaps))


@given(target=SIZES, source=SIZES, parts=st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_one_side_stays_whole_and_the_other_is_within_a_record(
    target: list[int], source: list[int], parts: tuple[int, int]
) -> None:
    """Whatever the sizes and the ratio."""
    kept = balance(np.array(target), np.array(source), *map(float, parts))
    sums = sum(target[: kept[0]]) / parts[0], sum(source[: kept[1]]) / parts[1]
    largest = max(max(target) / parts[0], max(source) / parts[1])

    assert kept[0] == len(target) or kept[1] == len(source)
    assert abs(sums[0] - sums[1]) <= largest


def test_draws_depend_on_seed_purpose_and_key() -> None:
    """Three different draws, each the same whenever it is asked for, evenly spread over 64 bits."""
    draws = [draw(17, "order", f"id:{n}") for n in range(4000)]

    assert draw(17, "order", "id:3") == draws[3]
    assert draws[3] not in (draw(18, "order", "id:3"), draw(17, "pair", "id:3"))
    assert sum(draws) / 4000 / 2**64 == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("id", "key"),
    [
        ("q:1@ar", "q:1"),
        ("q:1#chat@ar", "q:1#chat"),
        ("q:1@ar#chat", "q:1#chat"),
        ("q:1", "q:1"),
        ("q%40:1@zh-CN", "q%40:1"),
    ],
)
def test_an_item_and_its_translations_share_a_key(id: str, key: str) -> None:
    """Marks of language fall out; a chat made of an item is not its translation."""
    assert pair_key(id) == key


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (131_800_000, "131.8 M"),
        (423_800, "423.8 K"),
        (632_300_000, "632.3 M"),
        (1_311_600, "1.3 M"),
        (812, "812"),
        (0, "0"),
        (999_960, "1.0 M"),
        (999_940, "999.9 K"),
        (25_490_000_000, "25.5 B"),
        (4.72, "4.7"),
    ],
)
def test_units_are_written_by_code(value: float, printed: str) -> None:
    """Millions are M and thousands K; what rounds up to 1000 K is 1.0 M."""
    assert with_unit(value) == printed


# --- segments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (5, [(0, 5)]),
        (2047, [(0, 2047)]),
        (2048, [(0, 2048)]),
        (2049, [(0, 2048), (1, 2049)]),
        (3584, [(0, 2048), (1536, 3584)]),
        (3585, [(0, 2048), (1536, 3584), (1537, 3585)]),
        (6000, [(0, 2048), (1536, 3584), (3072, 5120), (3952, 6000)]),
    ],
)
def test_as_released_windows(count: int, expected: list[tuple[int, int]]) -> None:
    """Stride 3/4 L, full windows while one more token follows, then the last L tokens."""
    assert windows(count, 2048, mode="as_released") == expected


def test_as_released_a_long_text_is_trained_on_four_thirds() -> None:
    """A document of n tokens, n much larger than L, costs 4/3 n."""
    count = 2048 * 500

    assert sum(e - s for s, e in windows(count, 2048, mode="as_released")) / count == pytest.approx(
        4 / 3, rel=0.01
    )


@given(count=st.integers(1, 5000), length=st.integers(2, 600), overlap=st.integers(0, 100))
def test_corrected_windows_cover_every_token_once_but_for_the_overlap(
    count: int, length: int, overlap: int
) -> None:
    """Neighbours share exactly `overlap` tokens, none is longer than L, none lies inside another."""
    overlap = min(overlap, length - 1)
    found = windows(count, length, overlap=overlap)

    assert found[0][0] == 0 and found[-1][1] == count
    assert all(end - start <= length for start, end in found)
    assert all(a[1] - b[0] == overlap and a[1] < b[1] for a, b in pairwise(found))


@pytest.mark.parametrize(
    "text", ["ارتفاع ضغط الدم 𓀀 مرض", "  two  spaces\nand 5 mg", "糖尿病患者𠮷", "▁ <0x41>"]
)
def test_tokens_begin_where_the_text_is_cut(text: str) -> None:
    """One start per token, ascending, and segments of one to three tokens join to the text."""
    starts = token_starts(text)
    assert len(starts) == count_tokens(text)
    assert starts == sorted(starts) and starts[0] == 0

    for length in (1, 2, 3):
        passage = Passage("p:1", "ar", Origin("book"), text)
        pieces = segments_of(passage, length, mode="corrected", overlap=0)
        assert "".join(piece.text for piece, _ in pieces) == text


# --- words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["ar", "en", "es", "fr", "ru", "zh", "ja"])
def test_each_language_has_stop_words(code: str) -> None:
    """A list per language; zh and ja need few, because characters of grammar end a run."""
    assert len(stop_words(code)) >= (80 if code not in ("zh", "ja") else 10)


def test_languages_without_spaces_count_neighbouring_characters() -> None:
    """糖尿病 gives 糖尿 and 尿病; particles and hiragana end a run."""
    words = Words()
    words.add(Passage("p:1", "zh", Origin("book"), "糖尿病的治疗"))
    words.add(Passage("p:2", "ja", Origin("book"), "糖尿病の治療をする"))

    assert [row["word"] for row in words.most_frequent("zh", 9)] == sorted(["糖尿", "尿病", "治疗"])
    assert [row["word"] for row in words.most_frequent("ja", 9)] == sorted(["糖尿", "尿病", "治療"])
