"""The report: text is escaped and in order, plots hold their values, cards are made from records."""

from types import SimpleNamespace

import pytest

from bimedix.figures.page import Markup, block, cell, table
from bimedix.figures.plots import bars, histogram, lines
from bimedix.report.cards import _front, _size
from bimedix.report.facts import held_against
from bimedix.report.sections import _outside, training_section


def test_record_text_cannot_become_markup() -> None:
    html = table(("a",), [("<script>alert(1)</script>",), (Markup("<b>ours</b>"),)])

    assert "<script>" not in html
    assert "<b>ours</b>" in html


@pytest.mark.parametrize(
    ("text", "isolated"),
    [
        ("خذ 5–10 mg مرتين يوميًا", '<bdi dir="ltr">5–10 mg</bdi>'),
        ("الألم (40)", '<bdi dir="ltr">40</bdi>'),
        ("المرض (COVID-19) معدٍ", '<bdi dir="ltr">COVID-19</bdi>'),
        ("The Arabic words ألم في الصدر stand for pain in the chest", '<bdi dir="rtl">ألم في الصدر</bdi>'),
    ],
)
def test_runs_against_the_direction_are_isolated_without_open_parentheses(text: str, isolated: str) -> None:
    assert isolated in block(text)


@pytest.mark.parametrize("value", [12, 3.5, "98.6 [92.7, 99.8]", "29.7 K", "88.3 %", "362.2 s"])
def test_numbers_stand_at_the_end_of_their_cell(value: object) -> None:
    assert 'class="n"' in cell(value)


@pytest.mark.parametrize("value", ["01 sources", "1: all weights", "BiMediX-Bi", "0-shot, not stated"])
def test_words_stand_at_the_start(value: str) -> None:
    assert 'class="n"' not in cell(value)


def test_bars_print_their_values_and_name_their_series() -> None:
    svg = bars({"English": {"base": 26.0, "tuned": 98.6}, "العربية": {"base": 27.0}}, unit="%")

    assert svg.count("<rect") == 3 + 2
    assert "98.6" in svg and "العربية" in svg


def test_the_last_bin_of_a_histogram_holds_its_upper_edge() -> None:
    svg = histogram({"score": [0.0, 99.0, 100.0]}, edges=(0, 50, 100), unit="records")

    assert ">2<" in svg and ">1<" in svg


def test_a_plot_without_points_is_left_out() -> None:
    assert lines({}, x="steps", y="loss") == ""


def test_front_matter_is_yaml_with_json_values() -> None:
    assert _front(language=["ar", "en"], tags=["a"]) == '---\nlanguage: ["ar", "en"]\ntags: ["a"]\n---\n'


@pytest.mark.parametrize(
    ("samples", "name"), [(233, "n<1K"), (1_000, "1K<n<10K"), (1_311_600, "1M<n<10M"), (10**8, "n>10M")]
)
def test_sizes_follow_the_hub_s_classes(samples: int, name: str) -> None:
    assert _size(samples) == name


def test_an_outside_scorer_is_named_with_its_licence() -> None:
    """Its name comes from a recipe and cannot become markup."""
    told = {
        "scorer": "<b>x</b>", "licence": "CC-BY-NC-SA-4.0", "records": 12, "mean": 81.25,
        "sent_to_review": 3, "spearman_with_judge": None,
    }  # fmt: skip
    text = _outside(told)

    assert "&lt;b&gt;x&lt;/b&gt; (licence of the scorer: CC-BY-NC-SA-4.0)" in text
    assert "3 sent to review" in text
    assert _outside(None) == ""


def test_what_a_mix_was_not_held_against_is_said() -> None:
    """Absent test sets by name, sets in part with their share, near-duplicates and variants that stay."""
    told = {
        "on": True, "checked": 1_000, "test_items": 130, "dropped_by_rule": {"lineage": 2, "same stem": 1},
        "registered": {"a": {}, "b": {}, "c": {}}, "registered_absent": ["a"],
        "registered_incomplete": ["b (20 of 4,183)"],
    }  # fmt: skip
    near = {"least_share_of_runs": 0.8, "left_out": 7, "kept_though_alike": 4, "texts_compared": 30}
    said = held_against(told, near)

    assert said[0] == (
        "1,000 records were held against 130 test items; 3 held one and were left out "
        "(lineage 2, same stem 1)."
    )
    assert said[1:4] == [
        "Of the registered test sets 1 were there as a whole.",
        "There in part: b (20 of 4,183).",
        "Absent, so that a leak from them would not show: a.",
    ]
    assert said[4].startswith("7 near-duplicates were left out; 4 pairs read alike")
    assert held_against({"on": False}, None) == ["Not held against any test set: `decontaminate` is off."]
    assert held_against(None, None) == []


def test_the_loss_on_held_back_data_is_a_line_of_its_own() -> None:
    """Where a phase was validated as it went on; a phase without validations has one line."""
    phase = {
        "mode": "full", "steps": 2, "tokens": 9, "supervised_tokens": 4, "trainable_parameters": 5,
        "trainable_share": 1.0, "loss": 2.0, "validation_loss": 2.5,
    }  # fmt: skip
    steps = [
        {"phase": 0, "step": 1, "loss": 3.0, "validation_loss": 3.5},
        {"phase": 0, "step": 2, "loss": 2.0},
    ]
    run = SimpleNamespace(
        figures=lambda room: {"phases": [phase]},
        rows=lambda room, name: steps,
        recipe=SimpleNamespace(rooms={"train": SimpleNamespace(base="other")}),
    )
    told = training_section(run)  # type: ignore[arg-type]

    assert told.count("<polyline") == 2
    assert "1: all weights, held back" in told
    steps[0].pop("validation_loss")
    assert training_section(run).count("<polyline") == 1  # type: ignore[arg-type]
