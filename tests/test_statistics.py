"""Statistics against scipy, worked examples and simulation."""

import math
import time

import numpy as np
import pytest
from scipy import stats

from bimedix.errors import ShapeError
from bimedix.statistics import (
    bootstrap_interval,
    calibration,
    cohen_kappa,
    compare_proportions,
    holm,
    kendall_tau_b,
    krippendorff_alpha,
    macro_interval,
    mcnemar_exact,
    minimum_detectable_difference,
    paired_bootstrap,
    pairing_bounds,
    quadratic_weighted_kappa,
    spearman,
    wilson_interval,
)


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (1, 100), (62, 100), (799, 1273), (392, 500)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_interval_equals_scipy(k: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")

    assert wilson_interval(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_interval_of_nothing_is_everything_and_impossible_counts_are_refused() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ShapeError, match="6 right of 5"):
        wilson_interval(6, 5)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (3, 9), (40, 61), (900, 1000), (3000, 3000)])
def test_mcnemar_equals_the_exact_binomial_test(b: int, c: int) -> None:
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0

    assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-8)


def test_unpaired_test_equals_the_chi_square_of_the_table() -> None:
    """A pooled z test squared is the chi square without continuity correction."""
    table = [[799, 1273 - 799], [750, 1273 - 750]]
    comparison = compare_proportions(799, 1273, 750, 1273)

    assert comparison.p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9)
    assert comparison.difference == pytest.approx(49 / 1273)
    assert comparison.interval.low < comparison.difference < comparison.interval.high
    assert compare_proportions(5, 5, 7, 7).p == 1.0


def test_newcombe_interval_of_the_published_example() -> None:
    """Newcombe 1998, Table II: 56/70 - 48/80 gives 0.0524 to 0.3339 by method 10."""
    low, high = compare_proportions(56, 70, 48, 80).interval

    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_unknown_pairing_gives_the_range_of_all_pairings() -> None:
    """Every table with the same margins has its p inside the bounds, and both ends are reached."""
    k1, k2, n = 14, 9, 20
    seen = [mcnemar_exact(k1 - both, k2 - both) for both in range(max(0, k1 + k2 - n), min(k1, k2) + 1)]

    assert pairing_bounds(k1, k2, n) == (min(seen), max(seen))


def test_paired_bootstrap_finds_the_spread_of_the_mean() -> None:
    """The interval is about ± 1.96 standard errors of the paired difference."""
    rng = np.random.default_rng(1)
    first = rng.random(2000) < 0.7
    second = np.where(rng.random(2000) < 0.8, first, rng.random(2000) < 0.5)
    found = paired_bootstrap(first, second, draws=5000)
    error = np.std(first.astype(float) - second, ddof=1) / math.sqrt(2000)

    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert found.interval.high - found.interval.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert found == paired_bootstrap(first, second, draws=5000)


def test_clusters_widen_the_interval_by_their_size() -> None:
    """Ten copies of each item, drawn together, carry no more knowledge than the items themselves."""
    rng = np.random.default_rng(2)
    first, second = rng.random(300) < 0.6, rng.random(300) < 0.5
    single = paired_bootstrap(first, second)
    copied = paired_bootstrap(
        np.repeat(first, 10), np.repeat(second, 10), clusters=[*np.repeat(np.arange(300), 10)]
    )
    naive = paired_bootstrap(np.repeat(first, 10), np.repeat(second, 10))

    assert copied.interval == pytest.approx(single.interval, abs=0.01)
    assert naive.interval.high - naive.interval.low < 0.4 * (copied.interval.high - copied.interval.low)


def test_ten_thousand_bootstraps_of_the_whole_suite_take_under_two_seconds() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random(7045) < 0.6, rng.random(7045) < 0.58
    start = time.process_time()
    paired_bootstrap(first, second, draws=10_000, clusters=[*range(7045)])

    assert time.process_time() - start < 2


def test_paired_tests_hold_their_level_when_there_is_no_difference() -> None:
    """Type-I error at 5 %: McNemar at most 5 % + 3 standard errors, the bootstrap 4 to 6 %."""
    rng = np.random.default_rng(4)
    runs, n = 4000, 400
    mcnemar = bootstrap = 0
    for run in range(runs):
        first, second = rng.random(n) < 0.6, rng.random(n) < 0.6
        mcnemar += mcnemar_exact(int((first & ~second).sum()), int((~first & second).sum())) < 0.05
        bootstrap += paired_bootstrap(first, second, draws=400, seed=run).p < 0.05

    assert mcnemar / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert 0.04 <= bootstrap / runs <= 0.06


def test_clustered_bootstrap_holds_its_level_where_the_plain_one_does_not() -> None:
    """Items of one passage are right or wrong together: drawn one by one, every second null is a finding."""
    rng = np.random.default_rng(6)
    runs, passages, each = 1000, 80, 5
    clusters = np.repeat(np.arange(passages), each)
    clustered = plain = 0
    for run in range(runs):
        first, second = (np.repeat(rng.random(passages) < 0.6, each) for _ in range(2))
        clustered += paired_bootstrap(first, second, clusters=[*clusters], draws=400, seed=run).p < 0.05
        plain += paired_bootstrap(first, second, draws=400, seed=run).p < 0.05

    assert 0.035 <= clustered / runs <= 0.075
    assert plain / runs > 0.3


def test_holm_equals_the_step_down_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_minimum_detectable_difference_has_the_power_it_claims() -> None:
    """A simulated difference of that size is found in about 80 of 100 tests."""
    rng = np.random.default_rng(5)
    d = minimum_detectable_difference(500, share=0.6)
    found = [
        compare_proportions(int(a), 500, int(b), 500).p < 0.05
        for a, b in zip(
            rng.binomial(500, 0.6 + d / 2, 2000), rng.binomial(500, 0.6 - d / 2, 2000), strict=True
        )
    ]

    assert np.mean(found) == pytest.approx(0.8, abs=0.03)
    assert minimum_detectable_difference(500, variance_ratio=0.3) < 0.6 * minimum_detectable_difference(500)


def test_rank_correlations_equal_scipy_with_ties() -> None:
    rng = np.random.default_rng(6)
    a = rng.integers(0, 8, 120)
    b = a + rng.integers(0, 6, 120)

    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert kendall_tau_b(a, b) == pytest.approx(stats.kendalltau(a, b).statistic, abs=1e-12)
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3])) and math.isnan(kendall_tau_b([1, 1], [1, 2]))


def test_bootstrap_interval_of_a_correlation_covers_it() -> None:
    rng = np.random.default_rng(7)
    a = rng.normal(size=150)
    b = a + rng.normal(size=150)
    low, high = bootstrap_interval(spearman, a, b, draws=300)

    assert low < spearman(a, b) < high
    assert high - low < 0.3


def test_kappas_of_worked_examples() -> None:
    """Cohen's 2 x 2 example (20, 5, 10, 15) has kappa 0.4; weighted kappa counts near misses for less."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15

    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa([1, 2, 3], [1, 2, 3], weights="quadratic") == 1.0
    near, far = [2, 3, 3, 4], [4, 1, 3, 1]
    assert cohen_kappa([1, 2, 3, 4], near, weights="quadratic") > cohen_kappa(
        [1, 2, 3, 4], far, weights="quadratic"
    )
    assert quadratic_weighted_kappa([1, 2, 3, 4, 2], [1, 2, 3, 3, 4]) == pytest.approx(
        cohen_kappa([1, 2, 3, 4, 2], [1, 2, 3, 3, 4], weights="quadratic")
    )


def test_krippendorff_alpha_of_the_published_example() -> None:
    """Krippendorff 2011, section C: 4 observers, 12 units; nominal .743, ordinal .815, interval .849."""
    n = None
    ratings = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, n, n, n],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, n, 3],
        [n, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, n],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, n],
    ]

    assert krippendorff_alpha(ratings, level="nominal") == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(ratings, level="ordinal") == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha(ratings, level="interval") == pytest.approx(0.849, abs=5e-4)
    assert math.isnan(krippendorff_alpha([[1, None], [None, 2]]))


def test_macro_interval_matches_the_published_width() -> None:
    """The nine-column mean of 7,045 items has an interval of about ± 1.8 to 2.2 points."""
    items = [265, 144, 173, 100, 272, 135, 4183, 1273, 500]
    low, high = macro_interval([(round(0.73 * n), n) for n in items])

    assert 0.018 <= (high - low) / 2 <= 0.022


def test_calibration_of_a_coin_and_of_a_boaster() -> None:
    """Honest halves have no error; certainty that is right half of the time is off by a half."""
    honest = calibration([(0.5, 0.5)] * 4, [0, 1, 0, 1])
    boast = calibration([(1.0, 0.0)] * 4, [0, 1, 0, 1])

    assert honest.brier == 0.5
    assert (boast.expected_error, boast.brier) == (0.5, 1.0)
