"""The demo's sample: enough of it, in two languages that agree, and its generated files are current."""

from collections import Counter

import build_samples
import pytest
from build_samples import SAMPLES, files, memory_segments, read_rows, to_item

from bimedix.completers.tmx import read_glossary
from bimedix.integrity import check_pair
from bimedix.records import item_fields

ROWS = read_rows()


def test_there_are_records_of_all_three_types_and_terms_enough() -> None:
    """What the demo promises: 150 English records and 300 terms at least."""
    kinds = Counter(row["kind"] for row in ROWS)
    terms = (SAMPLES / "glossary.en-ar.csv").read_text(encoding="utf-8").splitlines()[1:]

    assert sum(kinds.values()) >= 150
    assert set(kinds) == {"multiple_choice", "open_question", "dialogue"}
    assert len({line.split(",")[0] for line in terms}) >= 300


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_the_arabic_of_a_record_passes_the_checks_of_any_translation(row: dict[str, object]) -> None:
    source, target = to_item(row, "en"), to_item(row, "ar")

    assert [f for f in check_pair(source, target) if f.severity == "error"] == []
    assert item_fields(source).keys() == item_fields(target).keys()


@pytest.mark.parametrize("name", sorted(files(ROWS)))
def test_generated_files_are_current(name: str) -> None:
    """Run scripts/build_samples.py after editing the bilingual file."""
    assert (SAMPLES / name).read_bytes() == files(ROWS)[name]


def test_the_memory_has_the_planned_gaps() -> None:
    """Some questions are missing and some hold another number, so that the loop revises and routes."""
    full = {
        f"{row['id']}:{name}": text for row in ROWS for name, text in item_fields(to_item(row, "en")).items()
    }
    held = memory_segments(ROWS)
    questions = {key for key in full if key.endswith(":question")}

    assert sum(full[key] != text for key, text, _ in held) >= 10
    assert len(questions - {key for key, _, _ in held}) >= 8
    assert all(full[key] == text for key, text, _ in held if _is_test(key))


def _is_test(key: str) -> bool:
    split = {row["id"]: row.get("split", "train") for row in ROWS}
    return split[key.split(":")[0]] == "test"


def test_the_glossary_reads_and_has_one_form_per_drug() -> None:
    terms = list(read_glossary(SAMPLES / "glossary.en-ar.csv", "en", "ar"))

    assert len(terms) >= 300


def test_a_number_is_changed_on_both_sides_alike() -> None:
    assert build_samples.with_other_number("Take 5 mg.", "خذ ٥ ملغ.") == ("Take 6 mg.", "خذ ٦ ملغ.")
    assert build_samples.with_other_number("5 and 5", "5 و5") is None
