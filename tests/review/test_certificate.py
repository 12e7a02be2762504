"""The certificate: the table of its source, and simulations of what it promises."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bimedix.errors import UsageError
from bimedix.review.certificate import (
    capital,
    capital_path,
    certify,
    certify_strata,
    reviews_needed,
    upper_bound,
)


@pytest.mark.parametrize(
    ("p0", "needed"),
    [
        (0.05, [78, 126, 168, 206, 242]),
        (0.02, [197, 318, 424, 520, 610]),
        (0.01, [396, 638, 851, 1044, 1224]),
        (0.005, [794, 1278, 1705, 2091, 2451]),
    ],
)
def test_reviews_needed_are_those_of_the_table(p0: float, needed: list[int]) -> None:
    """data.md, section 4.3, for 0 to 4 errors at alpha 0.05."""
    assert [reviews_needed(p0, errors) for errors in range(5)] == needed


@pytest.mark.parametrize(("n", "k", "bound"), [(100, 0, 3.9), (500, 0, 0.8), (500, 2, 1.7), (1000, 5, 1.4)])
def test_upper_bounds_are_those_of_the_text(n: int, k: int, bound: float) -> None:
    """Errors first, so that no earlier look gave a lower bound."""
    assert 100 * upper_bound([1] * k + [0] * (n - k)) == pytest.approx(bound, abs=0.05)


@pytest.mark.parametrize(
    ("population", "needed"), [(500, 163), (1000, 179), (2000, 188), (5000, 193), (20000, 196)]
)
def test_a_finite_set_needs_fewer_reviews(population: int, needed: int) -> None:
    path = list(capital_path([0] * needed, population, 0.02))

    assert path[-2] < 20 <= path[-1]


def false_certificates(trials: int, looks: int, population: int | None, seed: int) -> float:
    """Share of trials at a true share of exactly 2 % in which the capital ever reached 20."""
    draw = random.Random(seed)
    wrong = 0
    for _ in range(trials):
        if population:
            items = [1] * round(population * 0.02) + [0] * round(population * 0.98)
            outcomes = draw.sample(items, looks)
            wrong += any(value >= 20 for value in capital_path(outcomes, population, 0.02))
        else:
            errors = 0
            for n in range(1, looks + 1):
                errors += draw.random() < 0.02
                if n >= 150 and n % 5 == 0 and capital(n, errors, 0.02) >= 20:
                    wrong += 1
                    break
    return wrong / trials


@pytest.mark.parametrize("population", [None, 500])
def test_looking_often_gives_no_false_certificates(population: int | None) -> None:
    """At a true share of 2 % at most alpha + 3 standard errors of the runs certify "below 2 %"."""
    trials = 300
    share = false_certificates(trials, 400, population, seed=7)

    assert share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


@pytest.mark.slow
@pytest.mark.parametrize("population", [None, 1000])
def test_the_bound_is_valid_but_not_lavish(population: int | None) -> None:
    """2,000 runs: close to alpha, never above it by more than 3 standard errors."""
    share = false_certificates(2000, 900, population, seed=11)

    assert 0.02 < share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_strata_hold_all_at_once() -> None:
    """Three strata at exactly 2 %: at most alpha + 3 standard errors of the runs certify any one of them."""
    draw, trials, wrong = random.Random(5), 200, 0
    for _ in range(trials):
        paths = (capital_path(draw.sample([1] * 8 + [0] * 392, 320), 400, 0.02) for _ in range(3))
        wrong += any(value >= 3 / 0.05 for path in paths for value in path)

    assert wrong / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_a_stratum_pays_for_its_company() -> None:
    """Alone 179 clean reviews of 1,000 certify 2 %; as one of two it takes alpha / 2, and so more of them."""
    clean = ([0] * 179, 1000)
    alone = certify_strata({"a": clean})
    both = certify_strata({"a": clean, "b": ([0] * 300, 3000)})

    assert (alone.certified, both.certified) == (True, False)
    assert both.strata["a"].bound > alone.bound == alone.strata["a"].bound
    assert both.strata["b"].certified
    assert "with 97.5% confidence" in both.strata["a"].told()
    assert "with 95% confidence" in alone.strata["a"].told()
    assert both.bound == pytest.approx(0.25 * both.strata["a"].bound + 0.75 * both.strata["b"].bound)


def test_when_an_error_is_certain_nothing_is_bet() -> None:
    """2 items, 1 of them wrong under the claim: after a clean first draw the second one must be wrong."""
    first, second = capital_path([0, 0], 2, 0.5)

    assert first == second
    assert certify([0, 0], 2, goal=0.5).errors == 0


def test_more_errors_than_the_claim_allows_can_never_be_certified() -> None:
    path = list(capital_path([1, 1, 1, *[0] * 97], 100, 0.02))

    assert path[-1] == 0.0


@settings(max_examples=30, deadline=None)
@given(outcomes=st.lists(st.integers(0, 1), max_size=60), more=st.lists(st.integers(0, 1), max_size=10))
def test_the_bound_never_rises_again(outcomes: list[int], more: list[int]) -> None:
    """Valid at all times at once, so what was certified stays certified."""
    assert upper_bound([*outcomes, *more]) <= upper_bound(outcomes) + 1e-9


def test_a_certificate_says_how_far_it_is() -> None:
    soon = certify([0] * 150, 1000)
    done = certify([0] * (150 + soon.reviews_to_go), 1000)

    assert not soon.certified
    assert soon.reviews_to_go == 29
    assert done.certified
    assert "29 more clean reviews reach 2.0%" in soon.told()


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(UsageError, match="3 errors among 2"):
        capital(2, 3, 0.02)
