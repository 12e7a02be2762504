"""The room `synthesize` with recorded answers, without a network."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from bimedix.completers.settings import CompleterSettings
from bimedix.errors import MissingError
from bimedix.files import read_any_records, read_records, write_records
from bimedix.prompts.synthesis import gold_ids
from bimedix.records import Dialogue, Dropped, MultipleChoice, Origin
from bimedix.stage import Context
from bimedix.synthesize.room import Provenance, run
from bimedix.synthesize.settings import Settings

BASE = MultipleChoice(
    "exam:0", "en", Origin("exam", split="train"), "A man of 34 has chest pain worse lying flat. Diagnosis?",
    ("Acute pericarditis", "Pulmonary embolism", "Aortic dissection"), (0,), subject="cardiology",
)  # fmt: skip
ITEMS = [structs.replace(BASE, id=f"exam:{n}") for n in range(4)]
TURNS = [
    {"role": "patient", "text": "My chest hurts, worse lying flat."},
    {"role": "doctor", "text": "How old are you?"},
    {"role": "patient", "text": "I am 34."},
    {"role": "doctor", "text": "This is acute pericarditis."},
]
SETTINGS = Settings(
    completer=CompleterSettings(kind="recording", recording="said.jsonl"),
    exchanges=(2,), exchange_shares=(1.0,), tries=2,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """exam:1 never reaches its answer; exam:2 does at the second try; exam:3 is a test item."""
    items = [*ITEMS[:3], structs.replace(ITEMS[3], origin=Origin("exam", split="test"))]
    write_records(tmp_path / "curate" / "records.jsonl", items)
    gold = json.dumps({"answers": sorted(gold_ids(BASE))})
    none = json.dumps({"answers": []})
    lines = []
    for n, tries in ((0, [gold]), (1, [none, none]), (2, [none, gold])):
        for sample, said in enumerate(tries):
            common = {"record_id": f"exam:{n}", "sample": sample}
            lines.append({**common, "purpose": "dialogue", "reply": json.dumps({"turns": TURNS})})
            lines.append({**common, "purpose": "answer-check", "reply": said})
            lines.append({**common, "purpose": "conclusion-check", "reply": gold})
    (tmp_path / "said.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return tmp_path


def test_dialogues_are_kept_dropped_and_traced(folder: Path) -> None:
    context = Context(folder / "calls.sqlite", base=folder)
    summary = run(SETTINGS, {"curate": folder / "curate"}, folder / "out", context)
    kept = list(read_records(folder / "out" / "records.jsonl", Dialogue))
    dropped = list(read_records(folder / "out" / "dropped.jsonl", Dropped))
    traces = list(read_records(folder / "out" / "provenance.jsonl", Provenance))

    assert [record.id for record in kept] == ["exam:0#chat", "exam:2#chat"]
    assert [(drop.id, drop.reason) for drop in dropped] == [
        ("exam:1", "dialogue: does not reach the gold answer")
    ]
    assert [(trace.sample, len(trace.calls)) for trace in traces] == [(0, 3), (1, 3)]
    assert summary.figures["accepted_by_try"] == {"dialogue": {"1": 1, "2": 1}}
    assert summary.figures["doubtful_keys"] == ["exam:1"]
    assert summary.figures["kept_by_group"]["subject: cardiology"] == {"asked": 3, "kept": 2}
    assert summary.figures["left_alone"] == {"split 'test'": 1}


def test_openings_that_repeat_are_capped(folder: Path) -> None:
    """Both dialogues open alike; one may."""
    context = Context(folder / "calls.sqlite", base=folder)
    capped = replace(SETTINGS, same_opening=1)
    run(capped, {"curate": folder / "curate"}, folder / "out", context)
    dropped = {d.id: d for d in read_records(folder / "out" / "dropped.jsonl", Dropped)}

    assert [record.id for record in read_any_records(folder / "out" / "records.jsonl")] == ["exam:0#chat"]
    assert dropped["exam:2#chat"].reason == "opens like others"


def test_a_number_of_items_is_drawn_by_seed_and_more_records_move_few(folder: Path) -> None:
    context = Context(folder / "calls.sqlite", base=folder)
    two = run(replace(SETTINGS, count=2), {"curate": folder / "curate"}, folder / "out", context)
    none = run(replace(SETTINGS, share=0.0), {"curate": folder / "curate"}, folder / "none", context)

    assert two.figures["left_alone"]["not drawn"] == 1
    assert none.figures["left_alone"]["not drawn"] == 3
    assert none.figures["calls"] == 0


def test_without_records_the_room_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="Run `curate` first"):
        run(SETTINGS, {}, tmp_path / "out", Context(tmp_path / "calls.sqlite", base=tmp_path))
