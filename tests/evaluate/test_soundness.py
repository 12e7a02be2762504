"""Test sets are looked at before they are scored. The last test needs BIMEDIX_DATA."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bimedix.errors import DataError
from bimedix.evaluate.items import Asked, read_items
from bimedix.evaluate.settings import Benchmark
from bimedix.evaluate.sheets import sheets
from bimedix.evaluate.soundness import FILE, Unsound, check_sound, examine, pair_up
from bimedix.evaluate.table import make_table
from bimedix.files import read_records, write_records
from bimedix.records import Conversation, Message, MultipleChoice, Origin, Prediction

DATA = Path(os.environ.get("BIMEDIX_DATA", "/nowhere"))
ORIGIN = Origin("made-up", split="test")
EN = MultipleChoice(
    "q:1", "en", ORIGIN, "A man takes aspirin 100 mg daily. Which organ is at risk?",
    ("The stomach", "The lung", "The skin"), (0,),
)  # fmt: skip
AR = structs.replace(
    EN, id="q:1@ar", language="ar", question="رجل يتناول الأسبرين 100 ملغ يوميا. أي عضو معرض للخطر؟",
    options=("المعدة", "الرئة", "الجلد"),
)  # fmt: skip


def asked(*items: MultipleChoice) -> list[Asked]:
    return [Asked("exam", "", item) for item in items]


def errors(*items: MultipleChoice) -> dict[str, tuple[str, ...]]:
    return {row.id: row.errors for row in examine(asked(*items))[0]}


def test_a_sound_pair_has_no_findings() -> None:
    rows, reports = examine(asked(EN, AR))

    assert rows == []
    assert [(r.language, r.items, r.paired, r.with_errors) for r in reports] == [
        ("en", 1, 0, 0),
        ("ar", 1, 1, 0),
    ]


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("number", {"question": AR.question.replace("100", "1000")}),
        ("key", {"answers": (2,)}),
        ("option", {"options": ("المعدة", "المعدة", "الجلد")}),
        ("echo", {"question": EN.question}),
    ],
)
def test_a_translation_that_changed_the_question_is_found(check: str, change: dict[str, object]) -> None:
    assert check in errors(EN, structs.replace(AR, **change))["q:1@ar"]


def test_an_answer_to_nothing_and_a_question_asked_twice_are_found_in_one_language() -> None:
    """The same options in another order are the same question; another key for it is an error."""
    empty = structs.replace(EN, id="q:2", question="Which one?", options=("", "a", "b"))
    twice = structs.replace(EN, id="q:3", options=EN.options[::-1], answers=(2,))
    other = structs.replace(EN, id="q:4", answers=(1,))

    assert errors(EN, empty, twice, other) == {"q:2": ("key",), "q:3": (), "q:4": ("duplicate",)}


def test_one_text_at_many_questions_is_found_across_test_sets() -> None:
    """What a leaked prompt example leaves: a fine sentence that only its neighbours give away."""
    texts = (
        "A man has a swollen knee after a fall.", "Which hormone lowers glucose in blood?",
        "Name the vessel that leaves the left ventricle.", "Vitamin C is needed to make collagen.",
    )  # fmt: skip
    leaked = "كيف يمكن كشف انتحال العناوين في شبكة الحاسوب الكبيرة؟"
    entries = [
        Asked(f"exam {n // 2}", "", structs.replace(item, id=f"q:{n}{mark}", question=text))
        for n, source in enumerate(texts)
        for item, mark, text in ((EN, "", source), (AR, "@ar", leaked))
    ]

    rows, _ = examine([*entries, *asked(structs.replace(EN, id="q:9"), structs.replace(AR, id="q:9@ar"))])

    assert [row.id for row in rows if "repeated" in row.errors] == [f"q:{n}@ar" for n in range(4)]


def test_rows_are_pairs_where_keys_of_the_files_agree(items: Callable[..., list[MultipleChoice]]) -> None:
    """Sets without common ids are joined by place in the file, never when the keys say otherwise."""

    def file(code: str, shift: int = 0) -> list[Asked]:
        origin = Origin("set", "test/anatomy.csv:1", split="test")
        rows = [
            structs.replace(item, id=f"{code}-{n}", origin=origin) for n, item in enumerate(items(code, 12))
        ]
        return [Asked("exam", "", item, (n + shift) % 12 + 1) for n, item in enumerate(rows)]

    pairs = pair_up([*file("en"), *file("ar")])

    assert [(a.item.id, b.item.id) for a, b in pairs] == [(f"en-{n}", f"ar-{n}") for n in range(12)]
    assert pair_up([*file("en"), *file("ar", shift=1)]) == []


def test_findings_are_written_and_refused_by_name(tmp_path: Path) -> None:
    wrong = structs.replace(AR, answers=(2,))

    (_, report) = check_sound(asked(EN, wrong), tmp_path, refuse=False)
    assert (report.with_errors, report.checks) == (1, {"key": 1})
    (row,) = read_records(tmp_path / FILE, Unsound)
    assert (row.id, row.source, row.findings[0].check) == ("q:1@ar", "q:1", "key")
    with pytest.raises(DataError, match=r"1 rows(.|\n)*exam, ar: q:1@ar: answers, key: the answer key is"):
        check_sound(asked(EN, wrong), tmp_path, refuse=True)
    check_sound(asked(EN, AR), tmp_path, refuse=True)


@pytest.mark.parametrize(
    "learnt",
    [
        structs.replace(AR, id="train:7@ar", origin=Origin("elsewhere")),
        Conversation("chat:1", "fr", Origin("elsewhere"), (Message("user", "?"),), "qa", parents=("q:1",)),
    ],
)
def test_what_the_model_was_trained_on_is_found_in_any_language(tmp_path: Path, learnt: Any) -> None:
    """By its words or by lineage; an item that was learnt in one language counts as known in the other."""
    other = structs.replace(
        EN, id="q:2", question="Which vitamin is made in sunlit skin?", options=("D", "K")
    )
    write_records(tmp_path / "train.jsonl", [learnt])

    rows, reports = examine(asked(EN, AR, other), [tmp_path / "train.jsonl"])

    assert {row.id: row.errors for row in rows} == {"q:1": ("overlap",), "q:1@ar": ("overlap",)}
    assert sum(report.checks.get("overlap", 0) for report in reports) == 2


def test_the_table_says_how_many_items_fail() -> None:
    _, reports = examine(asked(EN, structs.replace(AR, answers=(2,))))
    row = Prediction("q:1@ar", "ar", "exam", "m", "letters", 3, (2,), (2,), True, (-3.0, -2.0, -1.0))
    about = {"integrity": [structs.asdict(report) for report in reports]}

    notes = sheets(make_table([row], {"exam": ""}, draws=10, about=about))[0].notes
    assert notes[-1].startswith("exam: 1 of 1 items fail an integrity check (key 1)")


def test_the_table_says_how_scores_were_taken() -> None:
    """What the tie guard took is always there; cut prompts and joined borders where there are any."""
    row = Prediction("q:1@ar", "ar", "exam", "m", "letters", 3, (2,), (2,), True, (-3.0, -2.0, -1.0))
    runs = {
        "m, exam, ar, letters": {"requests": 40, "guarded": 0, "cut": 3},
        "m, exam, en, letters": {"requests": 40, "guarded": 7},
        "m, other, ar, letters": {"requests": 60, "guarded": 2, "cut": 0},
    }

    notes = sheets(make_table([row], {"exam": ""}, draws=10, about={"runs": runs}))[0].notes
    assert [note for note in notes if note.startswith("m: ")] == [
        "m: 2 of 100 prompts scored again alone, because the best two options were close.",
        "m: 3 of 100 prompts longer than the model reads, which lost their beginning.",
    ]


@pytest.mark.skipif(not DATA.is_dir(), reason="BIMEDIX_DATA is not set")
def test_rows_of_arabic_mmlu_that_are_no_translation_are_found(tmp_path: Path) -> None:
    """At least 95 % of the rows about address spoofing, at most 3 % of the others; English rows pass."""
    from bimedix.sources.base import Options
    from bimedix.sources.mmlu_medical import read

    records = [
        record
        for code in ("en", "ar")
        for path in sorted((DATA / "mmlu-medical" / code / "test").glob("*.csv"))
        for record in read(path, Options())
        if isinstance(record, MultipleChoice)
    ]
    write_records(tmp_path / "mmlu.jsonl", records)
    entries = [
        entry
        for subject in dict.fromkeys(record.subject for record in records)
        for entry in read_items(
            Benchmark(str(subject), "mmlu.jsonl", subject=str(subject)),
            tmp_path / "mmlu.jsonl",
            lambda dropped: None,
        )
    ]
    arabic = [entry.item for entry in entries if entry.item.language == "ar"]
    unrelated = {item.id for item in arabic if _about_addresses(" ".join(item.options))}
    rows, reports = examine(entries)
    repeated = {row.id for row in rows if any(f.check == "repeated" for f in row.findings)}
    failed = {row.id for row in rows if row.errors and row.language == "ar"}

    assert len(unrelated) > 50
    assert sum(report.paired for report in reports) == len(arabic)
    assert not any(report.with_errors for report in reports if report.language == "en")
    assert len(unrelated & repeated) >= 0.95 * len(unrelated)
    assert len(unrelated & failed) >= 0.95 * len(unrelated)
    assert len(repeated - unrelated) <= 0.03 * (len(arabic) - len(unrelated))


def _about_addresses(options: str) -> bool:
    """Tell an option list that names addresses together with a firewall or intrusion detection."""
    return bool(re.search("عنوان|عناوين", options) and re.search("جدار|الاختراق|التسلل|حماية", options))
