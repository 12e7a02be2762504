"""The page for judging a sample by eye."""

from bimedix.records import (
    Attempt,
    ErrorSpan,
    Finding,
    MultipleChoice,
    OpenQuestion,
    Origin,
    Translation,
    with_fields,
)
from bimedix.translate.side_by_side import draw_sample, side_by_side

SOURCE = OpenQuestion("q", "en", Origin("demo"), "Is 5 mg <b>right</b>?", "Yes.")
TARGET = OpenQuestion("q@ar", "ar", Origin("demo"), "هل 50 mg صحيحة؟", "نعم.")
BEST = Attempt(
    0, {}, 62, findings=(Finding("numbers", "error", "5 became 50", "question", ((3, 7),), ((3, 8),)),),
    spans=(ErrorSpan("نعم", "target", "register", "minor", "blunt"),),
)  # fmt: skip


def translation(id: str = "q@ar") -> Translation:
    return Translation(id, SOURCE, TARGET, (BEST,), 0, "review", ("check failed: numbers",))


def test_findings_and_error_spans_are_drawn_on_both_sides() -> None:
    shown = side_by_side([translation()])

    assert '<mark class="error" title="numbers: 5 became 50">5 mg</mark>' in shown
    assert '<bdi dir="ltr"><mark class="error" title="numbers: 5 became 50">50 mg</mark></bdi>' in shown
    assert '<mark class="warning" title="register: blunt">نعم</mark>' in shown
    assert "&lt;b&gt;right&lt;/b&gt;" in shown
    assert '<p dir="rtl" lang="ar">' in shown


def test_the_page_says_where_they_go_and_which_options_are_right() -> None:
    source = MultipleChoice("m", "en", Origin("demo"), "Which?", ("Yes", "No"), (1,))
    fields = {"question": "أي منها؟", "options.0": "نعم", "options.1": "لا"}
    target = with_fields(source, fields, language="ar", id="m@ar")
    choice = Translation("m@ar", source, target, (BEST,), 0, "accepted")
    shown = side_by_side([translation(), choice])

    assert "2 translations: 1 accepted · 1 review · 1 check failed: numbers" in shown
    assert "options.1 ✓" in shown
    assert "options.0 ✓" not in shown


def test_the_sample_depends_on_seed_and_ids_alone() -> None:
    everything = [translation(f"q{n}@ar") for n in range(100)]
    drawn = draw_sample(everything, 10, seed=1)

    assert drawn == draw_sample(reversed(everything), 10, seed=1)
    assert {t.id for t in drawn} != {t.id for t in draw_sample(everything, 10, seed=2)}
