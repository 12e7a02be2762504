"""Queues, the chain of verdicts, rulings, and agreement."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from bimedix.errors import DataError
from bimedix.records import OpenQuestion, Origin, Verdict
from bimedix.review.agreement import Scored, agreement, alignment, grade_of_score, gwet_ac1, propose_threshold
from bimedix.review.chain import append, verify
from bimedix.review.decide import rule
from bimedix.review.queues import Entry, audit_queue, fill_sheets, risk_queue
from bimedix.review.settings import Settings

ONE = Settings()
TWO = Settings(reviews=2, adjudicators=("judge",))
FIXED = OpenQuestion("q@ar", "ar", Origin("x"), "سؤال", "جواب")


def entry(id: str, route: str = "review", errors: int = 0, score: float | None = 80) -> Entry:
    return Entry(id, f"v{id}", route, errors, score, 0.1 if route == "audit" else 1.0)  # type: ignore[arg-type]


def verdict(reviewer: str = "a", decision: str = "approve", **more: object) -> Verdict:
    fixed = FIXED if decision == "fix" else None
    return structs.replace(Verdict("q@ar", "v", reviewer, decision, fixed), **more)  # type: ignore[arg-type]


def test_the_riskiest_come_first_and_audits_in_the_order_drawn() -> None:
    entries = [
        entry("a", score=40),
        entry("b", errors=2),
        entry("c", score=None),
        entry("d", "audit"),
        entry("e", "accepted"),
    ]
    many = [entry(str(n), "audit") for n in range(50)]

    assert [e.id for e in risk_queue(entries, 1)] == ["b", "c", "a"]
    assert [e.id for e in audit_queue(entries, 1)] == ["d"]
    assert audit_queue(many, 1) == audit_queue(many[::-1], 1)
    assert audit_queue(many, 1) != audit_queue(many, 2)


def test_sheets_mix_both_queues_in_an_order_that_tells_nothing() -> None:
    risk = [entry(f"r{n}") for n in range(90)]
    audit = [entry(f"a{n}", "audit") for n in range(10)]
    places = fill_sheets(risk, audit, items=20, sheets=3, seed=1)
    first = [place.queue for place in places if place.sheet == 1]

    assert sorted(first) == ["audit"] * 2 + ["risk"] * 18
    assert first != sorted(first)
    assert first != sorted(first, reverse=True)
    assert len(places) == 100
    assert sum(place.sheet == 0 for place in places) == 40
    assert {place.inclusion_probability for place in places if place.queue == "audit"} == {0.1}


def test_every_item_gets_a_sheet_when_there_are_enough() -> None:
    risk = [entry(f"r{n}") for n in range(95)]
    audit = [entry(f"a{n}", "audit") for n in range(5)]

    assert min(place.sheet for place in fill_sheets(risk, audit, items=10, sheets=20, seed=1)) == 1
    assert fill_sheets([], [], items=10, sheets=20, seed=1) == []


def test_a_chain_grows_by_news_only_and_keeps_changes_of_mind(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(path, [verdict("a"), verdict("b")])
    append(path, [verdict("a"), verdict("b")])
    chain = append(path, [verdict("a", "reject"), verdict("a")])

    assert [(e.event.reviewer, e.event.decision) for e in chain] == [
        ("a", "approve"), ("b", "approve"), ("a", "reject"), ("a", "approve"),
    ]  # fmt: skip
    assert verify(path) == chain
    everything = [verdict("a"), verdict("b"), verdict("a", "reject"), verdict("a")]
    assert append(path, everything) == chain


@pytest.mark.parametrize("harm", ["edit", "delete", "swap", "insert"])
def test_a_harmed_chain_names_its_first_broken_line(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "history.jsonl"
    append(path, [verdict(name) for name in "abcd"])
    lines = path.read_text().splitlines()
    match harm:
        case "edit":
            lines[1] = lines[1].replace("approve", "reject")
        case "delete":
            del lines[1]
        case "swap":
            lines[1], lines[2] = lines[2], lines[1]
        case "insert":
            lines.insert(1, lines[0])
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(DataError, match=r"history\.jsonl:2"):
        verify(path)


def test_a_line_that_a_crash_cut_short_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(path, [verdict("a")])
    with path.open("ab") as out:
        out.write(b'{"number":2,"hash":"12')
    chain = append(path, [verdict("b")])

    assert [e.event.reviewer for e in verify(path)] == ["a", "b"]
    assert len(chain) == 2
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_enough_reviews_that_agree_decide() -> None:
    assert rule([], ONE).state == "unread"
    assert rule([verdict()], ONE).state == "approved"
    assert rule([verdict()], TWO).state == "waiting"
    assert rule([verdict("a"), verdict("a")], TWO).state == "waiting"
    assert rule([verdict("a"), verdict("b")], TWO).state == "approved"


def test_a_dispute_waits_for_a_third_person_and_counts_as_an_error() -> None:
    dispute = [verdict("a"), verdict("b", "reject")]
    ruling = rule(dispute, TWO)

    assert (ruling.state, ruling.grave) == ("disputed", True)
    assert rule([*dispute, verdict("judge", "fix")], TWO).state == "corrected"
    assert rule([*dispute, verdict("c")], TWO).state == "disputed"
    assert rule([verdict("a"), verdict("judge", "reject")], TWO).state == "disputed"


def test_a_reviewer_may_change_their_mind() -> None:
    assert rule([verdict("a", "reject"), verdict("a")], ONE).state == "approved"


@pytest.mark.parametrize(
    ("given", "grave", "grade"),
    [
        (verdict(), False, 3),
        (verdict(decision="fix", severity="minor"), False, 2),
        (verdict(decision="fix"), True, 1),
        (verdict(decision="reject", severity="critical"), True, 0),
    ],
)
def test_what_is_not_called_minor_counts_as_an_error(given: Verdict, grave: bool, grade: int) -> None:
    ruling = rule([given], ONE)

    assert (ruling.grave, ruling.grade) == (grave, grade)


def test_agreement_counts_items_that_two_people_read() -> None:
    pairs = [[verdict("a"), verdict("b")]] * 8 + [[verdict("a"), verdict("b", "reject")]] * 2
    figures = agreement([*pairs, [verdict("a")]])

    assert figures["items"] == 10
    assert figures["same_grade"] == 0.8
    assert figures["labels"] == {"approve": 18, "reject": 2}
    assert figures["alpha_nominal"] < 0 < figures["ac1"]
    assert agreement([[verdict("a")]]) == {"items": 0}


def test_ac1_is_that_of_a_published_table() -> None:
    """Two raters, 125 subjects, counts 118/5/2/0 (Gwet 2008, table 1): AC1 = 0.94."""
    table = [[1.0, 1.0]] * 118 + [[1.0, 2.0]] * 5 + [[2.0, 1.0]] * 2

    assert gwet_ac1(table) == pytest.approx(0.9405, abs=5e-4)


def scored(count: int, good_above: float) -> list[Scored]:
    scores = [50 + 50 * n / count for n in range(count)]
    return [Scored(s, 3 if s >= good_above else 0, s < good_above, 1.0) for s in scores]


def test_a_threshold_is_proposed_only_where_people_confirm_it() -> None:
    """Everything from 80 is good: the proposal lies just below it; too few or bad ones give none."""
    found = propose_threshold(scored(400, 80), 0.95)

    assert found is not None
    assert 77 < found <= 80
    assert propose_threshold(scored(40, 80), 0.95) is None
    assert propose_threshold(scored(400, 101), 0.95) is None
    assert alignment(scored(400, 80))["spearman"] > 0.8


def test_scores_and_grades_are_compared_with_intervals() -> None:
    """A judge who follows people but is a grade too kind: orders agree, the mean error says by how much."""
    grades = [n % 3 for n in range(90)]
    kind = [Scored((50.0, 75.0, 95.0)[g], g, g < 2, 1.0) for g in grades]
    figures = alignment(kind)

    assert [grade_of_score(s) for s in (39.9, 40, 70, 89, 90)] == [0, 1, 2, 2, 3]
    assert figures["spearman"] == figures["kendall_tau_b"] == 1.0
    assert figures["mean_error_in_grades"] == 1.0
    assert figures["mean_error_in_grades_interval"] == [1.0, 1.0]
    assert figures["quadratic_kappa"] < 0.8
    low, high = figures["quadratic_kappa_interval"]
    assert low <= figures["quadratic_kappa"] <= high


def test_alpha_of_two_reviewers_has_its_interval() -> None:
    pairs = [[verdict("a"), verdict("b")]] * 20 + [[verdict("a", "reject"), verdict("b", "reject")]] * 20
    pairs += [[verdict("a"), verdict("b", "reject")]] * 4
    figures = agreement(pairs)
    low, high = figures["alpha_ordinal_interval"]

    assert low < figures["alpha_ordinal"] < high
    assert low > 0.5 and high <= 1.0


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(Exception, match="goal = 0"):
        replace(ONE, goal=0.0)
