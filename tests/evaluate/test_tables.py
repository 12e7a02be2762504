"""The table of results and its renderings, from predictions alone."""

import math
from dataclasses import replace
from random import Random

import msgspec
import pytest

from bimedix.benchmarks import NINE, published_rows
from bimedix.errors import UsageError
from bimedix.evaluate.exports import lm_eval_results, model_index
from bimedix.evaluate.table import Table, make_table
from bimedix.evaluate.tables import rank, read_table, render, render_check, sheets
from bimedix.records import Prediction
from bimedix.statistics import compare_proportions


def prediction(
    name: str, correct: bool, *, code: str = "en", benchmark: str = "exam", model: str = "m", gold: int = 0,
    protocol: str = "letters", options: int = 4, **fields: object,
) -> Prediction:  # fmt: skip
    chosen = gold if correct else (gold + 1) % options
    logs = tuple(0.0 if index == chosen else -2.0 for index in range(options))
    return Prediction(
        name, code, benchmark, model, protocol, options, (gold,), (chosen,), correct, logs, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def nine(share: dict[str, float], *, model: str = "m") -> list[Prediction]:
    """Return predictions on the nine columns in English and Arabic, the first part of the items right."""
    return [
        prediction(
            f"{column}:{n}{suffix}",
            n < round(share[code] * row.items),
            code=code,
            benchmark=column,
            model=model,
        )
        for column, row in NINE.items()
        for code, suffix in (("en", ""), ("ar", "@ar"))
        for n in range(row.items // 10)
    ]  # fmt: skip


def table_of(rows: list[Prediction]) -> Table:
    return make_table(rows, {}, draws=200)


def test_averages_and_bilingual_means_follow_from_the_cells() -> None:
    """macro-9, macro-4 and micro exist per language and for both, with the bilingual mean between them."""
    rows = nine({"en": 0.08, "ar": 0.05})
    table = table_of(rows)
    found = {(row.language, row.name): row for row in table.averages}
    cells = {(row.benchmark, row.language): row.accuracy for row in table.accuracies}

    assert found["en", "macro-9"].value == pytest.approx(sum(cells[c, "en"] for c in NINE) / 9)
    right = sum(row.correct for row in rows if row.language == "ar")
    assert found["ar", "micro"].value == pytest.approx(right / sum(row.items // 10 for row in NINE.values()))
    for name in ("macro-9", "macro-4", "micro"):
        both = found["en+ar", name]
        assert both.value == pytest.approx((found["en", name].value + found["ar", name].value) / 2)
        assert both.low < both.value < both.high


def test_pairs_are_matched_by_the_record_they_come_from() -> None:
    """Ids differ by the language mark; what stands in one language only is left out of the pair."""
    rows = [prediction(f"q:{n}", n % 2 == 0) for n in range(40)]
    rows += [prediction(f"q:{n}@ar", n % 4 == 0, code="ar") for n in range(30)]
    (pair,) = table_of(rows).pairs

    assert (pair.items, pair.first, pair.second) == (30, 0.5, 8 / 30)
    assert pair.agreement == 1 - 7 / 30
    assert pair.p == pytest.approx(2 / 2**7)


def test_languages_whose_items_nobody_linked_are_compared_as_independent_shares() -> None:
    """Translations published without ids still have a bilingual mean, but no McNemar test."""
    rows = [prediction(f"a:{n}", n < 30) for n in range(40)]
    rows += [prediction(f"b:{n}", n < 10, code="ar") for n in range(20)]
    (pair,) = table_of(rows).pairs
    loose = [
        msgspec.structs.replace(row, id=f"other:{row.id}") if row.language == "ar" else row
        for row in nine({"en": 0.08, "ar": 0.05})
    ]
    apart, together = (
        {row.name: row for row in table_of(x).averages if row.language == "en+ar"}
        for x in (loose, nine({"en": 0.08, "ar": 0.05}))
    )

    assert (pair.items, pair.first, pair.second, pair.bilingual) == (20, 0.75, 0.5, 0.625)
    assert pair.agreement is None and pair.p == pytest.approx(compare_proportions(30, 40, 10, 20).p)
    assert apart["macro-9"].value == pytest.approx(together["macro-9"].value)
    assert apart["macro-9"].low > together["macro-9"].low, "the same items rise and fall together"


def test_several_languages_are_averaged_one_each() -> None:
    """As MMedBench: the plain mean of the languages, however many items each has."""
    sizes = {"en": 10, "zh": 40, "ja": 20}
    rows = [
        prediction(f"{code}:{n}", n < 10, code=code, benchmark="mmedbench")
        for code, size in sizes.items()
        for n in range(size)
    ]
    (mean,) = [row for row in table_of(rows).averages if row.name.startswith("mean of languages")]

    assert mean.value == pytest.approx((1 + 1 / 4 + 1 / 2) / 3)
    assert mean.language == "en+ja+zh"


def test_wrong_language_counts_long_replies_only() -> None:
    """A lone letter says nothing of the language; an English sentence under an Arabic question does."""
    texts = ["ب", "الإجابة الصحيحة هي الخيار ب", "The answer is option B", "A"]
    rows = [
        msgspec.structs.replace(prediction(str(n), True, code="ar"), text=text, log_probabilities=())
        for n, text in enumerate(texts)
    ]

    assert table_of(rows).accuracies[0].wrong_language == 0.5


def test_order_control_sees_a_model_that_always_says_a() -> None:
    """Such a model is right when the answer stands under A, and so never in all orders."""
    rows = []
    for n in range(40):
        gold = n % 4
        for by in range(4):
            chosen = by % 4  # what stands under A when options move on by `by`
            logs = tuple(0.0 if index == chosen else -5.0 for index in range(4))
            name = f"letters@{by}" if by else "letters"
            rows.append(
                Prediction(f"q{n}", "en", "exam", "m", name, 4, (gold,), (chosen,), chosen == gold, logs)
            )
    (orders,) = table_of(rows).orders

    assert (orders.mean, orders.worst, orders.always) == (0.25, 0.25, 0.0)
    assert orders.recall_spread == pytest.approx(math.sqrt(3) / 4)


def test_pride_finds_the_answer_under_a_prior() -> None:
    """A model that knows the answer by a little and favours A by a lot is right once the prior is out."""
    rows = []
    for n in range(40):
        gold = n % 4
        for by in range(4):
            logs = [
                (1.0 if index == gold else 0.0) + (3.0 if (index - by) % 4 == 0 else 0.0)
                for index in range(4)
            ]
            chosen = max(range(4), key=lambda index: logs[index])
            name = f"letters@{by}" if by else "letters"
            rows.append(
                Prediction(
                    f"q{n}", "en", "exam", "m", name, 4, (gold,), (chosen,), chosen == gold, tuple(logs)
                )
            )
    (orders,) = table_of(rows).orders

    assert (orders.mean, orders.corrected) == (0.25, 1.0)


def test_two_models_are_compared_on_the_same_items() -> None:
    draw = Random(1)
    rows = [prediction(f"q:{n}", draw.random() < 0.5, model="first") for n in range(100)]
    rows += [prediction(f"q:{n}", draw.random() < 0.8, model="second") for n in range(100)]
    (comparison,) = table_of(rows).comparisons

    assert (comparison.first, comparison.second, comparison.items) == ("first", "second", 100)
    assert comparison.low < comparison.difference < comparison.high < 0
    assert comparison.p < 0.01


def test_quoted_rows_stand_apart_and_carry_setting_and_protocol() -> None:
    """Published rows are marked, noted, and never win a column."""
    table = table_of([*nine({"en": 0.08, "ar": 0.05}), *nine({"en": 0.07, "ar": 0.06}, model="other")])
    sheet = sheets(table, quote=["bimedix-4", "bimedix-3"])[0]

    assert [row[0] for row in sheet.rows] == ["m", "other", "chance", "items"]
    assert sheet.quoted[-1][0] == "BiMediX-Eng (quoted 5)"
    assert sheet.quoted[-1][-3] == "75.4"
    assert "Protocol: EleutherAI" in sheet.notes[0]
    assert {row for row, _ in sheet.best} <= {0, 1}


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex"])
def test_every_form_shows_the_same_cells(form: str) -> None:
    table = table_of(nine({"en": 0.08, "ar": 0.05}))
    text = render(table, form, quote=["bimedix-3"])  # type: ignore[arg-type]
    cell = next(row for row in table.accuracies if (row.benchmark, row.language) == ("medmcqa", "ar"))

    assert f"{100 * cell.accuracy:.1f} [{100 * cell.low:.1f}, {100 * cell.high:.1f}]" in text
    assert "BiMediX-Bi" in text and "quoted" in text


def test_json_reads_back_as_the_same_table() -> None:
    table = table_of(nine({"en": 0.08, "ar": 0.05}))

    assert read_table(msgspec.json.decode(render(table, "json"))) == table


def test_names_cannot_break_out_of_a_cell() -> None:
    """Model names come from files: bars, braces and commands stay text."""
    table = table_of([prediction("q", True, model="a|b\\input{x}_1 <script>")])

    assert "a\\|b\\input{x}_1 &lt;script>" in render(table, "markdown")
    assert r"a|b\textbackslash{}input\{x\}\_1 \textless{}script\textgreater{}" in render(table, "latex")


def test_lm_eval_shape_has_the_same_accuracies() -> None:
    """Task names carry the language; the error is that of a share."""
    table = table_of([prediction(f"q:{n}", n < 6) for n in range(10)])
    results = lm_eval_results(table, "m")["results"]["bimedix_exam_en"]

    assert results["acc,none"] == 0.6
    assert results["acc_stderr,none"] == pytest.approx((0.6 * 0.4 / 9) ** 0.5)


def test_model_card_front_matter_is_yaml_that_the_hub_reads() -> None:
    yaml = pytest.importorskip("yaml")
    table = table_of([prediction(f"q:{n}", n < 6, benchmark="anatomy") for n in range(10)])
    front = yaml.safe_load(model_index(table, "m", name="a: b").strip("-\n"))
    (result,) = front["model-index"][0]["results"]

    assert front["model-index"][0]["name"] == "a: b"
    assert result["metrics"][0]["value"] == 60.0
    assert result["dataset"]["name"] == "MMLU anatomy (10 items)"


def test_unlike_rows_are_not_ranked() -> None:
    """Meditron's row was tuned per benchmark; ranking it with the others takes a word."""
    rows = published_rows("bimedix-4")
    with pytest.raises(UsageError, match=r"setting differs: .*Meditron-70B: fine-tuned per benchmark"):
        rank(rows)

    assert [row.model for row in rank(rows, unlike=True)][:2] == ["BiMediX-Eng", "Med42-70B"]
    assert rank([r for r in rows if r.model != "Meditron-70B"])[0].model == "BiMediX-Eng"
    assert rank([replace(row, values=(math.nan,) * 9) for row in rows]) == []


def test_published_cells_are_tested_as_counts_of_unknown_pairing() -> None:
    """Our cell against a published one gives an unpaired p inside the range of paired ones' reach."""
    rows = [prediction(f"g:{n}", n < 60, benchmark="medical_genetics") for n in range(100)]
    sheet = next(s for s in sheets(table_of(rows), quote=["bimedix-4"]) if s.title.startswith("Against"))
    row = next(row for row in sheet.rows if row[1].startswith("BiMediX-Eng"))

    assert row[5].startswith("-25.0 [")
    assert row[7] == "< 0.001 to 0.001"


def test_bilingual_means_stand_beside_the_papers_table_2() -> None:
    """Quoted bilingual rows are shown with ours, column by column."""
    table = table_of(nine({"en": 0.08, "ar": 0.05}))
    sheet = next(s for s in sheets(table, quote=["bimedix-2"]) if s.title.startswith("Bilingual mean"))
    pair = next(pair for pair in table.pairs if pair.benchmark == "anatomy")

    assert sheet.rows[0][0] == "m, English + Arabic"
    assert sheet.rows[0][sheet.header.index("anatomy")] == f"{100 * pair.bilingual:.1f}"
    assert sheet.quoted[2][:2] == ("BiMediX-Bi (quoted 3)", "70.6")


def test_languages_stand_beside_mmedbenchs_table() -> None:
    """Six columns in MMedBench's order, its printed averages under the mean."""
    rows = [
        prediction(f"{code}:{n}", n < 3, code=code, benchmark="mmedbench")
        for code in ("es", "ja", "en", "ru", "zh", "fr")
        for n in range(9)
    ]
    sheet = next(s for s in sheets(table_of(rows), quote=["mmedbench-accuracy"]) if "by language" in s.title)

    assert sheet.header == ("model", "en", "zh", "ja", "fr", "ru", "es", "mean")
    assert sheet.quoted[1] == (
        "GPT-4 (quoted 2)",
        "78.00",
        "75.07",
        "72.91",
        "56.59",
        "83.62",
        "85.67",
        "74.27",
    )


def test_check_names_the_four_averages_and_says_that_they_are_known() -> None:
    text, as_listed = render_check()

    assert as_listed
    assert all(name in text for name in ("BiMediX-Bi", "57.34", "75.31", "62.86", "Meditron-70B"))
