"""Rubrics and ratings: grading by criteria, blinded sheets, agreement, and how metrics follow people."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bimedix.completers.base import Reply, Request
from bimedix.completers.settings import CompleterSettings
from bimedix.errors import DataError, RecipeError
from bimedix.evaluate import graded, remote
from bimedix.evaluate.ratings import Answered, Rating, rated, read_sheet, write_sheets
from bimedix.evaluate.room import run
from bimedix.evaluate.rubric import (
    Criterion,
    Grade,
    RubricItem,
    item_score,
    judge_agreement,
    read_rubrics,
    rubric_scores,
)
from bimedix.evaluate.settings import Benchmark, Ratings, Rubrics, Settings
from bimedix.files import read_json, read_json_lines, write_records
from bimedix.records import Message, MultipleChoice
from bimedix.stage import Context
from bimedix.statistics import krippendorff_alpha

Maker = Callable[..., list[MultipleChoice]]


def grade(met: bool | None, points: float, *, item: str = "a", number: int = 0) -> Grade:
    return Grade("m", item, "en", number, points, met)


def test_scores_are_achieved_over_positive_points() -> None:
    """Harm subtracts, what could not be read counts as not met."""
    assert item_score([grade(True, 7), grade(False, 3), grade(True, -4)]) == pytest.approx(3 / 10)
    assert item_score([grade(None, 5), grade(True, 5)]) == 0.5
    assert item_score([grade(False, 5), grade(True, -10)]) == -2.0


def test_means_are_clipped_and_themes_stand_apart() -> None:
    items = [
        RubricItem(name, "en", (Message("user", "?"),), (Criterion("x", 5), Criterion("y", -10)), (theme,))
        for name, theme in (("a", "hedging"), ("b", "emergency"))
    ]
    grades = [
        grade(True, 5, item="a"), grade(False, -10, item="a", number=1), grade(False, 5, item="b"),
        grade(True, -10, item="b", number=1),
    ]  # fmt: skip
    rows = {row.theme: row for row in rubric_scores(items, grades)}

    assert (rows["all themes"].unclipped, rows["all themes"].score) == (-0.5, 0.0)
    assert (rows["hedging"].score, rows["emergency"].score) == (1.0, 0.0)
    assert rows["all themes"].items == 2 and rows["hedging"].items == 1


def test_a_judge_that_flips_coins_has_no_kappa() -> None:
    draw = Random(2)
    people = [[draw.random() < 0.5] * 3 for _ in range(200)]
    right = judge_agreement([marks[0] for marks in people], people)
    coin = judge_agreement([draw.random() < 0.5 for _ in people], people)

    assert (right.kappa, right.macro_f1, right.agree, right.people) == (1.0, 1.0, 1.0, 3)
    assert coin.low < 0 < coin.high and 0.4 < coin.macro_f1 < 0.6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "end with the user"),
        ({"rubrics": [{"criterion": "x", "points": 11}]}, "from -10 to 10"),
        ({"rubrics": [{"criterion": "x", "points": -3}]}, "at least one is above 0"),
        ({"rubrics": [{"points": 1}]}, "KeyError 'criterion'"),
    ],
)
def test_rows_that_are_no_rubric_are_told_by_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    good = {"prompt_id": "a", "prompt": [{"role": "user", "content": "?"}], "example_tags": ["theme:t", "x"],
            "rubrics": [{"criterion": "c", "points": 3}]}  # fmt: skip
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps(row) for row in (good, {**good, **change})))
    with pytest.raises(DataError, match=rf"r\.jsonl:2: .*{message}"):
        read_rubrics(tmp_path / "r.jsonl")

    (tmp_path / "r.jsonl").write_text(json.dumps(good))
    assert read_rubrics(tmp_path / "r.jsonl")[0].themes == ("t",)


def answered(n: int, model: str = "m") -> Answered:
    return Answered(model, f"q{n}", "ar" if n % 2 else "en", f"=Question {n}", "سبب", f"Because {n}")


def test_sheets_are_blind_safe_and_in_another_order_for_each_rater(tmp_path: Path) -> None:
    rows = [answered(n, model) for n in range(6) for model in ("secret-one", "secret-two")]
    write_sheets(rows, tmp_path, raters=2, highest=5, seed=1)
    sheets = [list(csv.DictReader((tmp_path / f"rater-{n}.csv").open(encoding="utf-8-sig"))) for n in (1, 2)]

    assert [len(sheet) for sheet in sheets] == [12, 12]
    assert {r["code"] for r in sheets[0]} == {row.code for row in rows}
    assert [r["code"] for r in sheets[0]] != [r["code"] for r in sheets[1]]
    assert all(r["question"].startswith("'=") for r in sheets[0])
    for path in tmp_path.iterdir():
        assert "secret" not in path.read_text(encoding="utf-8")
    assert 'dir="rtl"' in (tmp_path / "rater-1.html").read_text(encoding="utf-8")


def test_filled_sheets_come_back_and_wrong_ratings_are_told(tmp_path: Path) -> None:
    path = tmp_path / "dr-a.csv"
    path.write_text("code,rating\nx,4\ny,\nz,5\n")
    assert read_sheet(path, 5) == [Rating("x", "dr-a", 4.0), Rating("z", "dr-a", 5.0)]

    path.write_text("code,rating\nx,4\nz,six\n")
    with pytest.raises(DataError, match=r"dr-a\.csv:3: rating 'six'"):
        read_sheet(path, 5)
    path.write_text("kode,rating\nx,4\n")
    with pytest.raises(DataError, match="no column code"):
        read_sheet(path, 5)


def test_agreement_means_and_correlations_follow_from_the_ratings() -> None:
    """Alpha is that of the ratings, a metric that follows people correlates, noise does not."""
    rows, draw = [answered(n) for n in range(40)], Random(3)
    worth = {row.code: 1 + n % 5 for n, row in enumerate(rows)}
    people = [
        Rating(code, rater, min(5, max(1, value + draw.choice((-1, 0, 0, 1)))))
        for rater in ("a", "b", "c") for code, value in worth.items()
    ]  # fmt: skip
    judge = [Rating(code, "judge", float(value)) for code, value in worth.items()]
    metrics = {
        "good": {code: value + 0.01 * n for n, (code, value) in enumerate(worth.items())},
        "noise": {code: draw.random() for code in worth},
    }
    found = rated(rows, [*people, Rating("gone", "a", 3)], judge, metrics)
    table = [[r.value for r in people if r.rater == rater] for rater in "abc"]
    follows = {row.metric: row for row in found.correlations}

    assert found.agreement[0].alpha == pytest.approx(krippendorff_alpha(table, level="ordinal"))
    assert found.agreement[0].low < found.agreement[0].alpha < found.agreement[0].high
    assert found.agreement[1].who == "people and judge" and found.agreement[1].raters == 4
    assert found.unknown_codes == 1
    assert follows["good"].tau_low > 0.5 and follows["judge"].rho > 0.9
    assert follows["noise"].tau_low < 0 < follows["noise"].tau_high
    mean = {(row.who, row.language): row for row in found.means}["people", "en"]
    assert mean.answers == 20 and mean.low <= mean.mean <= mean.high


def test_one_rater_has_no_alpha_and_constant_metrics_no_correlation() -> None:
    rows = [answered(n) for n in range(5)]
    found = rated(rows, [Rating(r.code, "a", 3) for r in rows], [], {"flat": {r.code: 1.0 for r in rows}})

    assert (found.agreement, found.correlations) == ((), ())


class Doctor:
    """Answers questions and conversations; grades well what mentions a doctor."""

    name, parallel = "doctor", 4

    async def complete(self, request: Request) -> Reply:
        text = request.messages[-1].content
        if request.purpose.startswith("grade"):
            data = json.loads(text.split("\n")[1])
            told = request.messages[0].content.rsplit('{"id": "', 1)[1].split('"')[0]
            verdict: dict[str, Any] = {
                "criteria_met": ("doctor" in data["answer"]) == ("doctor" in data.get("criterion", ""))
            }
            if request.purpose == "grade-rating":
                verdict = {"rating": 4}
            return Reply(
                json.dumps({"id": told, "nonce": data["nonce"], "explanation": "", "why": "", **verdict})
            )
        if "?" in text[-3:]:
            return Reply("See a doctor today.")
        return Reply("because of the fever\n\nAnswer: A. fever")

    async def close(self) -> None: ...


@pytest.fixture
def place(tmp_path: Path, items: Maker, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (remote, graded):
        monkeypatch.setattr(module, "open_completer", lambda settings, base: Doctor())
    rows = [
        msgspec.structs.replace(i, rationale="of the fever", human_check_passed=True) for i in items("en", 6)
    ]
    write_records(tmp_path / "exam.jsonl", rows)
    rubrics = [
        {"prompt_id": f"p{n}", "prompt": [{"role": "user", "content": f"I have pain {n}?"}],
         "example_tags": ["theme:emergency"],
         "rubrics": [
             {"criterion": f"names a {what}", "points": p} for what, p in (("doctor", 6), ("drug", -2))
         ]}
        for n in range(4)
    ]  # fmt: skip
    (tmp_path / "rubrics.jsonl").write_text("\n".join(map(json.dumps, rubrics)))
    return tmp_path


SETTINGS = Settings(
    benchmarks=(Benchmark("exam", "exam.jsonl"),), protocols=("generation",), with_rationale=True,
    completer=CompleterSettings("openai", model="doctor"), bootstrap_draws=50,
    rubrics=Rubrics("rubrics.jsonl", CompleterSettings("openai", model="judge")),
    ratings=Ratings(raters=2, items=3, judge=CompleterSettings("openai", model="judge")),
)  # fmt: skip


def test_a_run_grades_writes_sheets_and_reads_them_back(place: Path) -> None:
    """First sheets and the judge's grades; then the same run with what people wrote on them."""
    context = Context(calls=place / "calls.sqlite", base=place)
    run(SETTINGS, {}, place / "out", context)
    (score, theme) = read_json(place / "out" / "rubrics.json")["scores"]
    grades = [row for _, row in read_json_lines(place / "out" / "rubric_grades.jsonl")]
    assert (score["theme"], score["items"], score["score"]) == ("all themes", 4, 1.0)
    assert theme["theme"] == "emergency" and len(grades) == 8

    for number in (1, 2):
        path = place / "out" / "ratings" / f"rater-{number}.csv"
        rows = list(csv.DictReader(path.open(encoding="utf-8-sig")))
        (place / f"dr-{number}.csv").write_text(
            "code,rating\n"
            + "".join(f"{row['code']},{3 + n}\n" for n, row in enumerate(sorted(rows, key=str)))
        )
    marked = list(csv.DictReader((place / "out" / "rubric_sheet.csv").open(encoding="utf-8-sig")))
    lines = [
        f"{row['code']},{row['criterion']},{'yes' if 'doctor' in row['text'] else 'no'}" for row in marked
    ]
    (place / "marks.csv").write_text("code,criterion,met\n" + "\n".join(lines) + "\n")
    assert SETTINGS.rubrics and SETTINGS.ratings
    again = replace(
        SETTINGS, rubrics=replace(SETTINGS.rubrics, marks=("marks.csv",)),
        ratings=replace(SETTINGS.ratings, sheets=("dr-1.csv", "dr-2.csv")),
    )  # fmt: skip
    summary = run(again, {}, place / "out", context)
    page = (place / "out" / "report.html").read_text("utf-8")

    assert summary.figures["rubrics"]["agreement"]["kappa"] == 1.0
    assert summary.figures["rubrics"]["agreement"]["criteria"] == 8
    agreement = {row["who"]: row for row in summary.figures["ratings"]["agreement"]}
    assert agreement["people"]["answers"] == 3 and agreement["people and judge"]["raters"] == 3
    assert summary.figures["ratings"]["unknown_codes"] == 0
    assert "Rubric scores (%)" in page and "Krippendorff" in page and "Mean ratings" in page


@pytest.mark.parametrize(
    ("row", "message"), [("x,0,perhaps", "met 'perhaps'"), ("x,first,yes", "criterion 'first' is no number")]
)
def test_wrong_marks_are_told_by_line(place: Path, row: str, message: str) -> None:
    (place / "marks.csv").write_text(f"code,criterion,met\ny,1,\n{row}\n")
    assert SETTINGS.rubrics
    settings = replace(SETTINGS, rubrics=replace(SETTINGS.rubrics, marks=("marks.csv",)))

    with pytest.raises(DataError, match=rf"marks\.csv:3: {message}"):
        run(settings, {}, place / "out", Context(calls=place / "calls.sqlite", base=place))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(RecipeError, match="rates rationales"):
        replace(SETTINGS, with_rationale=False)
    with pytest.raises(RecipeError, match="chat template"):
        replace(SETTINGS, completer=None, template="plain")
    with pytest.raises(RecipeError, match="needs a path"):
        Rubrics()


@pytest.mark.slow
def test_a_local_model_answers_the_conversations(place: Path, mixtral: Any, tokenizer: Any) -> None:
    from bimedix.model.load import save_model

    save_model(mixtral, place / "model", tokenizer)
    settings = replace(
        SETTINGS, completer=None, model="model", ratings=None, max_new_tokens=4, verify=1,
        rubrics=replace(SETTINGS.rubrics or Rubrics("x"), max_new_tokens=5, limit=2),
    )  # fmt: skip
    run(settings, {}, place / "local", Context(calls=place / "c.sqlite", base=place))
    answers = [row for _, row in read_json_lines(place / "local" / "rubric_answers.jsonl")]

    assert {row["model"] for row in answers} == {"model"} and len(answers) == 2
    assert read_json(place / "local" / "rubrics.json")["scores"][0]["items"] == 2
