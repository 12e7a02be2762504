"""The page of an evaluation: its figures follow from the single answers; in English and in Arabic."""

import html
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimedix.benchmarks import NINE
from bimedix.evaluate.cells import Sheet
from bimedix.evaluate.efficiency import Speed, efficiency_sheets
from bimedix.evaluate.labels import labels
from bimedix.evaluate.page import PARTS, recompute, render_page
from bimedix.evaluate.ratings import Rated, rating_sheets
from bimedix.evaluate.rationales import Similarity
from bimedix.evaluate.reasons import rationale_sheets
from bimedix.evaluate.room import run
from bimedix.evaluate.rubric import JudgeAgreement, rubric_sheets
from bimedix.evaluate.settings import Benchmark, Settings
from bimedix.evaluate.sheets import sheets
from bimedix.evaluate.table import Table, make_table
from bimedix.evaluate.tables import read_table
from bimedix.files import hash_file, read_json, write_records
from bimedix.records import MultipleChoice, Prediction
from bimedix.stage import Context

Maker = Callable[..., list[MultipleChoice]]
ARABIC = re.compile("[\u0600-\u06ff]")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, items: Maker, mixtral: Any, tokenizer: Any) -> Path:
    """A finished evaluation of a tiny model in two languages."""
    from bimedix.model.load import save_model

    base = tmp_path_factory.mktemp("page")
    write_records(base / "items.jsonl", [*items("en", 30), *items("ar", 24)])
    save_model(mixtral, base / "model", tokenizer)
    settings = Settings(
        benchmarks=(Benchmark("exam", "items.jsonl"),), model="model", protocols=("letters", "options"),
        verify=2, bootstrap_draws=100, page_languages=("en", "ar"),
    )  # fmt: skip
    run(settings, {}, base / "out", Context(calls=base / "calls.sqlite", base=base))
    return base / "out"


def cells(page: str, title: str) -> list[list[str]]:
    """Return the texts of the rows of a table of the page."""
    body = page.partition(html.escape(title))[2].partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body)]
    return [[html.unescape(re.sub("<[^>]+>", "", text)) for text in row] for row in rows]


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson 1927, written out once more."""
    z = 1.959963984540054
    centre, half = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
    return (centre - half) / (n + z * z), (centre + half) / (n + z * z)


@pytest.mark.parametrize(("code", "name"), [("en", "English"), ("ar", "Arabic")])
@pytest.mark.parametrize("protocol", ["letters", "options"])
def test_cells_of_the_page_follow_from_the_file_of_single_answers(
    out: Path, code: str, name: str, protocol: str
) -> None:
    """Counted from the JSON lines alone: accuracy and interval of each cell, and the bilingual mean."""
    rows = [json.loads(line) for line in (out / "records.jsonl").read_text("utf-8").splitlines()]
    page = (out / "report.html").read_text("utf-8")
    right = {
        language: {r["id"].split("@")[0]: r["correct"] for r in rows if (r["language"], r["protocol"]) == key}
        for language, key in {"en": ("en", protocol), "ar": ("ar", protocol)}.items()
    }
    k, n = sum(right[code].values()), len(right[code])
    low, high = wilson(k, n)
    both = [i for i in right["en"] if i in right["ar"]]
    bilingual = sum(right[language][i] for language in ("en", "ar") for i in both) / 2 / len(both)

    shown = cells(page, f"Accuracy, {name}, by {protocol} (%)")
    assert shown[0] == ["model", f"{100 * k / n:.1f} [{100 * low:.1f}, {100 * high:.1f}]"]
    pairs = {row[2]: row for row in cells(page, "English and the other language, item by item (%)")}
    assert pairs[protocol][3] == str(len(both))
    assert pairs[protocol][6] == f"{100 * bilingual:.1f}"


def test_the_whole_table_can_be_made_again_from_the_single_answers(out: Path) -> None:
    """Averages, tests, calibration and all; the page names the file and its hash."""
    told = read_table(read_json(out / "table.json"))

    assert recompute(out) == told
    assert told.about["items"] == {"file": "records.jsonl", "blake2b": hash_file(out / "records.jsonl")}
    assert hash_file(out / "records.jsonl")[:16] in (out / "report.html").read_text("utf-8")


def answers(model: str = "m") -> list[Prediction]:
    """Nine columns in two languages, a tenth of their size, with honest doubt."""
    out = []
    for column, row in NINE.items():
        for code, suffix in (("en", ""), ("ar", "@ar")):
            for n in range(row.items // 10):
                good = (n * 7 + len(code)) % 10 < (7 if code == "en" else 5)
                logs = tuple(-1.0 - (index > 0) for index in range(4))
                gold = 0 if good else 1
                out.append(
                    Prediction(
                        f"{column}:{n}{suffix}", code, column, model, "letters", 4, (gold,), (0,), good, logs
                    )
                )
    return out


@pytest.fixture(scope="module")
def nine() -> Table:
    return make_table([*answers(), *answers("نموذج طبي"), *answers("<b>x</b>")], {}, draws=50)


def test_the_page_keeps_to_itself_and_escapes_names(nine: Table) -> None:
    page = render_page(nine, quote=["bimedix-2", "bimedix-3", "bimedix-4"])

    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page and "src=" not in page and "<script" not in page
    assert "<b>x" not in page and "&lt;b&gt;x" in page
    assert '<td dir="rtl">نموذج طبي</td>' in page
    assert page.count("<svg") == 5
    assert "BiMediX-Bi: 57.6" in page, "published figures stand in the plot"


def beside() -> list[Sheet]:
    """Return the sheets of everything beside accuracy, with nothing in them."""
    nobody = JudgeAgreement(2, 1, 0.0, 0.0, 0.0, 0.0, 0.0)
    similar = Similarity("bimedix", "ROUGE-L", "en", 1, 0.5, 0.4, 0.6, "")
    return [
        *efficiency_sheets(Speed((), (), (), 0.64)),
        *rubric_sheets([], nobody),
        *rating_sheets(Rated((), (), (), 0)),
        *rationale_sheets({"m": [similar]}),
    ]


def test_a_page_in_arabic_runs_from_the_right_and_leaves_no_english_heading(nine: Table) -> None:
    """Whatever sheet there is, its headings and notes are listed; only names of measures stay Latin."""
    told = labels("ar")
    page = render_page(nine, code="ar")
    same = {
        "p",
        "ECE",
        "Brier",
        "PriDe",
        "medmcqa",
        "medqa_usmle_4",
        "pubmedqa",
        "macro-9",
        "macro-4",
        "micro",
        "mmedbench",
        "tau-b",
        "rho",
        "macro F1",
        "",
    }
    mmedbench = [
        Prediction(f"{c}:{n}", c, "mmedbench", "m", "letters", 4, (0,), (n % 2,), n % 2 == 0, (0.0, -1.0))
        for c in ("en", "zh", "ja") for n in range(4)
    ]  # fmt: skip
    found = [*sheets(nine), *sheets(make_table(mmedbench, {}, draws=10))]
    found += [sheet for sheet in beside() if "Table 5" not in sheet.title]
    texts = {text for sheet in found for text in (sheet.title, *sheet.header, *sheet.notes)}
    texts |= set(PARTS.values())

    assert '<html lang="ar" dir="rtl">' in page
    assert [t for t in texts if not ARABIC.search(told(t)) and t not in same | {"en", "zh", "ja"}] == []
    assert "المعرفة السريرية" in page and 'direction="rtl"' in page


def test_calibration_stands_with_its_interval(nine: Table) -> None:
    """The bins hold all items and give the error; the interval holds it."""
    row = nine.accuracies[0]
    gap = sum(b.items * abs(b.confidence - b.accuracy) for b in row.calibration_bins) / row.items

    assert sum(b.items for b in row.calibration_bins) == row.items
    assert row.expected_calibration_error == pytest.approx(gap)
    assert row.calibration_low is not None and row.calibration_high is not None
    assert row.calibration_low <= gap <= row.calibration_high


def test_an_honest_model_is_not_called_dishonest() -> None:
    """Answers that come true as often as stated: the interval of the error reaches down to nothing."""
    from random import Random

    from bimedix.evaluate.reliability import error_interval

    lows, highs = [], []
    for seed in range(20):
        draw = Random(seed)
        top = [draw.uniform(0.3, 1) for _ in range(300)]
        low, high = error_interval(top, [draw.random() < p for p in top], draws=200, seed=seed)
        lows.append(low)
        highs.append(high)

    assert sum(low == 0 for low in lows) >= 16
    assert max(highs) < 0.15
    apart = error_interval([0.9] * 200, [True, False] * 100, draws=200)
    assert apart.low > 0.3 and apart.high < 0.5
