"""Scores and what they are worth: a rising curve, a threshold, and the half that it was not chosen on."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimedix.review.agreement import Scored
from bimedix.review.calibration import band, calibrate, halves, isotonic, share_at


def item(score: float, good: bool, weight: float = 1.0, name: str = "") -> Scored:
    return Scored(score, 3 if good else 0, not good, weight, name)


def drawn(count: int, *, seed: int = 1) -> list[Scored]:
    """Items whose chance to be good rises with the score: certain from 80, a coin below."""
    draw = Random(seed)
    scores = [float(draw.randrange(40, 101)) for _ in range(count)]
    return [item(s, s >= 80 or draw.random() < 0.5, name=f"q{n}") for n, s in enumerate(scores)]


def test_neighbours_that_fall_are_pooled() -> None:
    """Worked by hand: 50 good, 60 bad, 70 bad and good, 80 good; the first three scores share one step."""
    curve = isotonic([item(50, True), item(60, False), item(70, False), item(70, True), item(80, True)])

    assert [(s.score, s.good, s.items) for s in curve] == [(50, 0.5, 4), (80, 1.0, 1)]
    assert (share_at(curve, 10), share_at(curve, 79.9), share_at(curve, 80)) == (0.5, 0.5, 1.0)


def test_weights_count_as_so_many_items() -> None:
    assert isotonic([item(50, True, 3), item(60, False, 1)])[0].good == pytest.approx(3 / 4)


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans(), st.floats(1, 20)), min_size=1, max_size=40))
def test_the_curve_rises_and_keeps_the_mean(rows: list[tuple[int, bool, float]]) -> None:
    """Pooling moves no good translation from one side of the sum to the other."""
    scored = [item(*row) for row in rows]
    curve = isotonic(scored)
    shares = [step.good for step in curve]
    fitted = sum(s.weight * share_at(curve, s.score) for s in scored)

    assert shares == sorted(shares)
    assert fitted == pytest.approx(sum(s.weight for s in scored if not s.grave))


def test_halves_share_nothing_and_depend_on_seed_and_id_alone() -> None:
    scored = drawn(101)
    one, two = halves(scored, 17)

    assert sorted([*one, *two]) == sorted(scored)
    assert abs(len(one) - len(two)) < 30
    assert halves(scored[:60], 17) == (
        [s for s in scored[:60] if s in one],
        [s for s in scored[:60] if s in two],
    )
    assert halves(scored, 18) != (one, two)


def test_a_threshold_holds_on_the_half_it_was_not_chosen_on() -> None:
    """The score says something, so the curve is nearer to the verdicts than their mean is."""
    found = calibrate(drawn(1200), 0.95, seed=17)

    assert 75 <= found["threshold"] <= 82
    assert found["checked"]["holds"]
    assert found["checked"]["precision"] >= found["checked"]["at_least"] >= 0.95
    assert found["brier"] < 0.8 * found["brier_of_the_mean"]


def test_a_threshold_that_only_the_first_half_bears_out_does_not_hold() -> None:
    """One half is all good, the other all bad: what was chosen on the one is seen through by the other."""
    scored = [item(90, True, name=f"q{n}") for n in range(400)]
    bad = {s.id for s in halves(scored, 17)[1]}
    found = calibrate([item(90, s.id not in bad, name=s.id) for s in scored], 0.95, seed=17)

    assert found["threshold"] == 90
    assert (found["checked"]["precision"], found["checked"]["holds"]) == (0.0, False)


def test_the_curve_has_a_band_that_narrows_with_items() -> None:
    """It holds the curve, and four times the items make it about half as wide."""
    wide, narrow = ([high - low for low, high in band(drawn(n), [60.0, 90.0], seed=3)] for n in (100, 1600))
    scored = drawn(400)
    curve = isotonic(scored)
    bounds = band(scored, [step.score for step in curve], seed=3)

    assert narrow[0] < 0.6 * wide[0]
    assert all(low <= step.good <= high for step, (low, high) in zip(curve, bounds, strict=True))


def test_too_few_items_are_said_to_be_too_few() -> None:
    assert calibrate(drawn(19), 0.95, seed=17)["told"] == "fewer than 20 items with score and verdict"
