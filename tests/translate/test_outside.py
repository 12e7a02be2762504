"""A scorer in a program of its own: held to the protocol, kept over a kill, and never above a check."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import comet_scorer
import pytest

from bimedix.errors import RecipeError
from bimedix.files import read_records
from bimedix.records import Attempt, Finding, OpenQuestion, Origin, Translation
from bimedix.translate.outside import CACHE, SCORES, OutsideScore, OutsideScores, ScorerError
from bimedix.translate.settings import Outside, Settings, check

SCORER = """
import json, sys
asked = open("asked.log", "a")
print(json.dumps({greeting}), flush=True)
for line in sys.stdin:
    pairs = json.loads(line)["pairs"]
    asked.write(line)
    asked.flush()
    {then}
    print(json.dumps({{"scores": [0.2 if "bad" in p["translation"] else 0.9 for p in pairs]}}), flush=True)
"""
GREETING = {"scorer": "demo", "licence": "CC0", "lowest": 0, "highest": 1}


def scorer(folder: Path, *, greeting: dict[str, object] = GREETING, then: str = "pass") -> Outside:
    (folder / "scorer.py").write_text(SCORER.format(greeting=greeting, then=then))
    return Outside("demo", "CC0", (sys.executable, "scorer.py"), records_at_once=2, timeout_s=20.0)


def translations(count: int = 5) -> list[Translation]:
    """The third one is bad."""
    made = []
    for n in range(count):
        source = OpenQuestion(f"q{n}", "en", Origin("demo"), f"Question {n}?", "A much longer answer.")
        answer = "bad" if n == 2 else f"answer {n}"
        target = OpenQuestion(f"q{n}@ar", "ar", Origin("demo"), f"Q{n}", answer, parents=(f"q{n}",))
        attempt = Attempt(0, {}, 90.0 - n)
        made.append(Translation(target.id, source, target, (attempt,), 0, "accepted"))
    return made


def scored(outside: Outside, folder: Path, given: list[Translation] | None = None) -> list[Translation]:
    return list(OutsideScores(outside, folder, folder).scored(translations() if given is None else given))


def requests(folder: Path) -> int:
    return sum(len(json.loads(line)["pairs"]) for line in (folder / "asked.log").read_text().splitlines())


def test_every_record_gets_a_score_weighted_by_length(tmp_path: Path) -> None:
    """On 0 to 100, beside the judge's; the weakest field is named; nothing is routed without `least`."""
    scores = OutsideScores(scorer(tmp_path), tmp_path, tmp_path)
    given = translations()
    passed = list(scores.scored(given))
    written = list(read_records(tmp_path / SCORES, OutsideScore))

    assert passed == given
    assert [row.id for row in written] == [t.id for t in given]
    assert written[0].score == 90.0
    assert (written[2].weakest, written[2].weakest_score) == ("answer", 20.0)
    assert written[2].score == pytest.approx((11 * 90 + 21 * 20) / 32, abs=1e-3)
    figures = scores.figures()
    assert figures and (figures["scorer"], figures["licence"], figures["records"]) == ("demo", "CC0", 5)


def test_a_low_score_sends_to_a_person_and_no_score_takes_a_finding_back(tmp_path: Path) -> None:
    given = translations()
    failed = Attempt(0, {}, 95.0, findings=(Finding("number", "error", "5 became 50"),))
    given[0] = Translation(
        "q0@ar", given[0].source, given[0].target, (failed,), 0, "review", ("check failed",)
    )
    passed = scored(replace(scorer(tmp_path), least=60.0), tmp_path, given)

    assert [t.route for t in passed] == ["review", "accepted", "review", "accepted", "accepted"]
    assert passed[0].reasons == ("check failed",)
    assert passed[2].reasons == ("outside score below 60",)
    assert passed[2].inclusion_probability == 1.0


def test_equal_fields_are_scored_once_and_a_killed_run_asks_for_the_rest(tmp_path: Path) -> None:
    """Broken off after the first request, with half a line in the file of scores."""
    outside = scorer(tmp_path, then="len(open('asked.log').readlines()) > 1 and sys.exit(3)")
    with pytest.raises(ScorerError, match="broke off"):
        scored(outside, tmp_path)
    with (tmp_path / CACHE).open("a") as cut:
        cut.write('["half a li')
    before = requests(tmp_path)
    passed = scored(scorer(tmp_path), tmp_path)

    assert len(passed) == 5
    assert requests(tmp_path) - before == 6
    assert not (tmp_path / CACHE).exists()


@pytest.mark.parametrize("changes, said", [
    ({"greeting": {**GREETING, "licence": "CC-BY-NC-SA-4.0"}}, "says licence = 'CC-BY-NC-SA-4.0'"),
    ({"greeting": {**GREETING, "scorer": "other"}}, "says name = 'other'"),
    ({"greeting": {**GREETING, "lowest": 2}}, "no range of its scores"),
    ({"greeting": [1]}, "no JSON object"),
    ({"then": "print(json.dumps({'scores': [1]}), flush=True); continue"}, "to 4 pairs"),
    ({"then": "print(json.dumps({'scores': [True] * len(pairs)}), flush=True); continue"}, "gave True"),
    ({"then": "print('{\"scores\": [NaN, NaN, NaN, NaN]}', flush=True); continue"}, "gave nan"),
    ({"then": "print(json.dumps({'error': 'no memory'}), flush=True); continue"}, "no memory"),
    ({"then": "sys.exit('the model is not there')"}, "Its last words: the model is not there"),
])  # fmt: skip
def test_a_scorer_that_does_not_keep_to_the_protocol_is_named(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ScorerError, match=said):
        scored(scorer(tmp_path, **changes), tmp_path)  # type: ignore[arg-type]


def test_a_scorer_that_says_nothing_is_ended(tmp_path: Path) -> None:
    outside = replace(scorer(tmp_path, then="import time; time.sleep(60)"), timeout_s=0.5)
    with pytest.raises(ScorerError, match=r"said nothing for 0\.5 s"):
        scored(outside, tmp_path)


def test_a_scorer_needs_a_licence_and_a_program_that_is_there(tmp_path: Path) -> None:
    """`validate` prints both, and the command that a run would start."""
    with pytest.raises(RecipeError, match="licence is empty"):
        Settings(outside=Outside("demo", "", ("python3",)))
    gone = Settings(outside=Outside("demo", "CC0", ("no-such-program", "-x")))
    there = Settings(outside=scorer(tmp_path))

    assert ("missing", "outside: demo (licence CC0), run as: no-such-program -x: no such program") in check(
        gone, tmp_path
    )
    assert any(level == "ok" and text.startswith("outside: demo") for level, text in check(there, tmp_path))


def test_the_comet_script_speaks_the_protocol() -> None:
    """With a function in the model's place: greeting, scores, and an error that is told."""
    told = io.StringIO()
    pairs = [{"source": "a", "translation": "b"}, {"source": "c", "translation": "d"}]
    asked = io.StringIO(json.dumps({"pairs": pairs}) + "\nnot json\n")
    comet_scorer.serve(dict(GREETING), lambda rows: [0.5 for _ in rows], asked, told)
    lines = [json.loads(line) for line in told.getvalue().splitlines()]

    assert lines[0] == GREETING
    assert lines[1] == {"scores": [0.5, 0.5]}
    assert "JSONDecodeError" in lines[2]["error"]
