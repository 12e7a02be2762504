"""Keep-best, stopping and routing as pure functions."""

from dataclasses import replace

from bimedix.records import Attempt, Finding
from bimedix.translate.routing import best_of, route_of, stop_reason
from bimedix.translate.settings import Settings

SETTINGS = Settings()
ERROR = Finding("numbers", "error", "5 became 50")
HINT = Finding("terms", "hint", "term not found")


def version(score: float | None, *findings: Finding, scores: tuple[float, ...] = ()) -> Attempt:
    return Attempt(0, {}, score, scores, findings)


def test_fewest_errors_win_then_score_then_the_earlier_one() -> None:
    attempts = [version(80, ERROR), version(70, HINT), version(99, ERROR, ERROR), version(70)]

    assert best_of(attempts) == 1


def test_mending_an_error_counts_as_gain_but_a_swing_ends_the_loop() -> None:
    """80 / 70 / 80: the second version mended a check, so the loop went on; then it swings."""
    attempts = [version(80, ERROR, ERROR), version(70, ERROR)]

    assert stop_reason(attempts, SETTINGS) == ""
    assert stop_reason([*attempts, version(80, ERROR)], SETTINGS) == "scores swing"


def test_audits_are_a_uniform_share_that_more_records_do_not_move() -> None:
    """2,000 accepted records: about one in ten is drawn, and always the same ones."""
    settings = replace(SETTINGS, audit_share=0.1)
    routes = {key: route_of(version(95), settings, id=key, seed=3, flags=()) for key in map(str, range(2000))}
    drawn = [key for key, routing in routes.items() if routing.route == "audit"]

    assert 150 < len(drawn) < 250
    assert routes[drawn[0]].inclusion_probability == 0.1
    assert {r.inclusion_probability for r in routes.values() if r.route == "accepted"} == {0.9}
    assert route_of(version(95), settings, id=drawn[0], seed=3, flags=()).route == "audit"
    assert any(route_of(version(95), settings, id=key, seed=4, flags=()).route != "audit" for key in drawn)


def test_all_weak_versions_go_to_review_whatever_the_draw() -> None:
    settings = replace(SETTINGS, audit_share=1.0)
    weak = version(50, ERROR, scores=(30, 50, 60))
    routing = route_of(weak, settings, id="x", seed=1, flags=("the text speaks to the model",))

    assert routing == (
        "review",
        (
            "check failed: numbers",
            "score below the threshold",
            "judges are apart",
            "the text speaks to the model",
        ),
        1.0,
    )
    assert route_of(version(95, HINT), settings, id="x", seed=1, flags=()).route == "audit"
