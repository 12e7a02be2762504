"""What has to hold before a mix is written, and near-duplicates in it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bimedix.benchmarks import REGISTERED
from bimedix.errors import BimedixError, MissingError
from bimedix.files import read_any_records, read_records, write_records
from bimedix.mix.repeats import same_facts
from bimedix.mix.room import run
from bimedix.mix.settings import Settings
from bimedix.records import (
    Approval,
    Conversation,
    Dropped,
    MultipleChoice,
    OpenQuestion,
    Origin,
    Passage,
    Record,
    content_hash,
    translated_id,
    with_fields,
)
from bimedix.stage import Context, Summary

SETTINGS = Settings(languages=(), validation_share=0.0)
VIGNETTE = (
    "A 54-year-old man comes to the clinic because of swelling of both legs that began three weeks ago. "
    "He takes warfarin 5 mg once daily for atrial fibrillation and amlodipine 10 mg every morning. His pulse "
    "is 76 per minute and irregular, and pitting oedema reaches the left knee. Urine is clear and serum "
    "creatinine is normal. Which change of his treatment is the most likely to make the swelling go away"
)
OPTIONS = ("Stop amlodipine", "Start furosemide", "Stop warfarin", "Order compression stockings")


def vignette(id: str, text: str = VIGNETTE, answer: int = 0, **changes: Any) -> MultipleChoice:
    origin = changes.pop("origin", Origin("exams", licence="MIT", split="train"))
    return MultipleChoice(id, "en", origin, text + "?", OPTIONS, (answer,), **changes)


def mix(
    folder: Path, curate: Sequence[Record], settings: Settings = SETTINGS, review: Sequence[Record] = ()
) -> Summary:
    inputs = {"curate": folder / "curate"} | ({"review": folder / "review"} if review else {})
    write_records(folder / "curate" / "records.jsonl", curate)
    if review:
        write_records(folder / "review" / "records.jsonl", review)
    return run(settings, inputs, folder / "mix", Context(folder / "calls", base=folder))


def kept(folder: Path) -> set[str]:
    return {record.id for record in read_records(folder / "mix" / "records.jsonl", Conversation)}


def dropped(folder: Path) -> dict[str, tuple[str, str]]:
    rows = read_records(folder / "mix" / "dropped.jsonl", Dropped)
    return {row.id: (row.reason, row.place) for row in rows}


# --- near-duplicates ------------------------------------------------------------------------------------


def test_one_of_two_texts_that_are_nearly_equal_stays(tmp_path: Path) -> None:
    """One word in another spelling; what goes is kept beside, with the id of the one that stays."""
    other = VIGNETTE.replace("oedema", "edema")
    summary = mix(tmp_path, [vignette("b", other), vignette("a")])

    assert kept(tmp_path) == {"a"}
    assert dropped(tmp_path) == {"b": ("nearly repeats another text", "a")}
    assert summary.figures["near_duplicates"]["left_out"] == 1


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("warfarin 5 mg", "warfarin 50 mg"),
        ("warfarin 5 mg", "warfarin 5 mcg"),
        ("54-year-old", "34-year-old"),
        ("three weeks", "five weeks"),
        ("once daily", "twice daily"),
        ("the left knee", "the right knee"),
        ("Urine is clear", "Urine is not clear"),
        ("the most likely", "the least likely"),
    ],
)
def test_variants_are_two_items(tmp_path: Path, was: str, now: str) -> None:
    """Dose, unit, age, time, frequency, side, negation: what such pairs differ in is what they teach."""
    assert was in VIGNETTE
    summary = mix(tmp_path, [vignette("a"), vignette("b", VIGNETTE.replace(was, now))])

    assert kept(tmp_path) == {"a", "b"}
    assert summary.figures["near_duplicates"]["kept_though_alike"] == 1


def test_another_right_answer_is_another_item() -> None:
    assert not same_facts(vignette("a"), vignette("b", answer=1))
    assert same_facts(vignette("a"), vignette("b"))


def test_two_questions_on_one_context_are_two_items(tmp_path: Path) -> None:
    """A long abstract is nearly all of their words; what is asked, or answered, differs."""
    origin = Origin("reading", split="train")
    asked = [
        ("What swells?", "Both legs."),
        ("Which knee?", "Both legs."),
        ("What swells?", "His left knee."),
    ]
    records = [
        OpenQuestion(f"o{n}", "en", origin, question, answer, f"{VIGNETTE}. {VIGNETTE}.")
        for n, (question, answer) in enumerate(asked)
    ]
    mix(tmp_path, records)

    assert kept(tmp_path) == {"o0", "o1", "o2"}


def test_a_pair_stays_whole(tmp_path: Path) -> None:
    """Of two nearly equal items both languages keep the same one, whichever came first."""
    texts = {name: "رجل " * 9 + name for name in ("question", *(f"options.{n}" for n in range(4)))}
    items = [vignette("a"), vignette("b", VIGNETTE.replace("comes", "came"))]
    arabic = [with_fields(i, texts, language="ar", id=translated_id(i.id, "ar")) for i in items]
    settings = replace(SETTINGS, languages=("ar",), ratio=(1.0, 1.0))
    mix(tmp_path, items, settings, review=arabic[::-1])

    assert kept(tmp_path) == {"a", "a@ar"}


def test_passages_are_looked_at_too_and_zero_keeps_all(tmp_path: Path) -> None:
    pages = [Passage(f"p{n}", "en", Origin("web"), f"{VIGNETTE}. {'Indeed. ' * n}") for n in range(2)]
    mix(tmp_path, [vignette("a"), *pages])
    mix(tmp_path / "all", [vignette("a"), *pages], replace(SETTINGS, near_duplicates=0.0))

    assert [r.id for r in read_any_records(tmp_path / "mix" / "passages.jsonl")] == ["p0"]
    assert len(list(read_any_records(tmp_path / "all" / "mix" / "passages.jsonl"))) == 2


def test_a_page_shows_pairs_beside_each_other(tmp_path: Path) -> None:
    """What the model will read, right to left where it is Arabic, and never as markup."""
    items = [vignette("a", "<b>Which</b> of both", parents=("x",)), vignette("c", "Quite another one")]
    texts = {"question": "أي منهما؟"} | {f"options.{n}": f"خيار {n}" for n in range(4)}
    arabic = with_fields(items[0], texts, language="ar", id="a@ar")
    mix(tmp_path, items, replace(SETTINGS, languages=("ar",)), review=[arabic])
    page = (tmp_path / "mix" / "side_by_side.html").read_text(encoding="utf-8")

    assert page.count("<article>") == 2
    assert page.index("a and a@ar") < page.index("no pair in the mix")
    assert "&lt;b&gt;Which&lt;/b&gt;" in page
    assert '<p dir="rtl" lang="ar">' in page
    assert "MIT · from x" in page


# --- test sets ------------------------------------------------------------------------------------------


def test_registered_sets_are_counted_and_absent_ones_named(tmp_path: Path) -> None:
    """One set is whole (a translation adds nothing to it), one is there in part, and the others are named."""
    row = REGISTERED["medical_genetics"]
    whole = [
        vignette(f"g{n}", f"gene {n}", origin=Origin("mmlu_medical", split="test"), subject=row.subject)
        for n in range(row.items)
    ]
    whole.append(structs.replace(whole[0], id="g0@ar", language="ar"))
    part = [vignette("v", "one of many", origin=Origin("medmcqa", split="validation"))]
    summary = mix(tmp_path, [vignette("a"), *whole, *part])
    told = json.loads((tmp_path / "mix" / "decontamination.json").read_text())

    assert told["registered"]["medical_genetics"] == {"questions": 100, "indexed": 100}
    assert told["registered_incomplete"] == ["medmcqa (1 of 4,183)"]
    assert set(told["registered_absent"]) == REGISTERED.keys() - {"medical_genetics", "medmcqa"}
    assert summary.figures["registered_absent"] == told["registered_absent"]


def test_absent_sets_can_be_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"15 registered test sets .* clinical_knowledge, .*mmedbench-es"):
        mix(tmp_path, [vignette("a")], replace(SETTINGS, registered="refuse"))

    assert not list((tmp_path / "mix").glob("*"))


def test_every_registered_set_is_told_by_data_set_split_and_subject() -> None:
    """MMedBench's languages count where they come from as well."""
    assert REGISTERED["mmedbench-zh"].holds("medqa", "test", None)
    assert REGISTERED["mmedbench-zh"].holds("mmedbench", "test", None)
    assert not REGISTERED["medqa_usmle_4"].holds("medqa", "train", None)
    assert not REGISTERED["anatomy"].holds("mmlu_medical", "test", "college biology")
    assert sum(row.items for row in REGISTERED.values()) == 7_045 + 8_518


# --- licences -------------------------------------------------------------------------------------------


def licensed() -> list[Record]:
    origin = Origin("forum", licence="not stated", split="train")
    held = Origin("exams", licence="secret", split="test")
    question = OpenQuestion("f", "en", origin, "What helps against a cough?", "Honey does.")
    return [vignette("a"), question, vignette("t", "held out", origin=held)]


def test_a_licence_that_is_not_allowed_stops_the_mix_by_name(tmp_path: Path) -> None:
    """Held-out items are not mixed, so their licence does not matter."""
    with pytest.raises(BimedixError, match=r"forum: 'not stated' \(1\)") as refusal:
        mix(tmp_path, licensed(), replace(SETTINGS, allow_licences=("MIT",)))

    assert "secret" not in str(refusal.value)
    assert not list((tmp_path / "mix").glob("*"))


def test_other_licences_can_be_left_out_instead(tmp_path: Path) -> None:
    mix(tmp_path, licensed(), replace(SETTINGS, allow_licences=("MIT",), other_licences="drop"))

    assert kept(tmp_path) == {"a"}
    assert dropped(tmp_path)["f"][0] == "licence is not allowed"


# --- approvals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["changed", "added", "none"])
def test_a_change_after_the_review_voids_the_approval(tmp_path: Path, harm: str) -> None:
    reviewed = vignette("r", "approved as it is", human_checked=True)
    approval = Approval("r", content_hash(reviewed), "approved")
    write_records(tmp_path / "review" / "approvals.jsonl", [approval])
    given = [structs.replace(reviewed, answers=(1,)) if harm == "changed" else reviewed]
    given += [vignette("s", "slipped in")] if harm == "added" else []
    if harm == "none":
        mix(tmp_path, [], review=given)
        assert json.loads((tmp_path / "mix" / "decontamination.json").read_text())["approvals_checked"] == 1
        return
    with pytest.raises(BimedixError, match=r"1 reviewed records .*: [rs]\."):
        mix(tmp_path, [], review=given)

    assert not list((tmp_path / "mix").glob("*"))


def test_a_mix_of_nothing_says_so_in_its_figures(tmp_path: Path) -> None:
    """Every record is a test item: no text is left to compare, and nothing breaks."""
    held = Origin("exams", split="test")
    summary = mix(tmp_path, [vignette("a", origin=held)])

    assert summary.written == 0
    assert summary.figures["near_duplicates"]["texts_compared"] == 0
