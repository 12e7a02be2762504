"""Readers of dialogues: who speaks, misspelled tags, lines without a tag, talks of one side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimedix.records import Dialogue, Dropped
from bimedix.sources.base import Given
from bimedix.sources.texts import role_of

Write = Callable[[str, Any], Path]
Read = Callable[..., list[Given]]
MTS = "ID,section_header,section_text,dialogue\n"


@pytest.mark.parametrize(
    ("tag", "role"),
    [
        ("Doctor", "assistant"),
        ("Docotr_2", "assistant"),
        ("Guest_clinican", "assistant"),
        ("Guest_clinician", "assistant"),
        ("Patient", "user"),
        ("patient_guest", "user"),
        ("Gest_family", "user"),
        ("Guest_family_1", "user"),
        ("Guest family", "user"),
        ("Note", None),
        ("Medications", None),
    ],
)
def test_a_speaker_is_known_by_tag_number_or_slip(tag: str, role: str | None) -> None:
    assert role_of(tag) == role


def test_lines_become_turns_and_untagged_lines_go_on(write: Write, read: Read) -> None:
    talk = (
        '7,CC,Knee.,"Docotr_2: What brings you? \r\nPatient: My knee.\r\nNote: it clicks.\r\n'
        'Guest_family: He fell."\n'
    )
    (found,) = read("mts_dialog", write("MTS-Dialog-ValidationSet.csv", "\ufeff" + MTS + talk))

    assert isinstance(found, Dialogue)
    assert [(turn.role, turn.text) for turn in found.turns] == [
        ("assistant", "What brings you?"),
        ("user", "My knee.\nNote: it clicks."),
        ("user", "He fell."),
    ]
    assert (found.id, found.subject, found.origin.split) == ("mts_dialog:ValidationSet/7", "CC", "validation")


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        ("Doctor: Hello.\nDoctor: Anyone?", "one speaker only"),
        ("Doctor: How is she?\nGuest_clinician: Well.", "no patient speaks"),
        ("Patient: Hello?\nGuest_family: Hello?", "no doctor speaks"),
        ("Hello.\nDoctor: Yes?\nPatient: No.", "begins without a speaker"),
        ("", "begins without a speaker"),
    ],
)
def test_talks_of_one_side_are_dropped_with_the_reason(
    talk: str, reason: str, write: Write, read: Read
) -> None:
    (found,) = read("mts_dialog", write("MTS-Dialog-TrainingSet.csv", f'{MTS}1,CC,x,"{talk}"\n'))

    assert isinstance(found, Dropped)
    assert (found.reason, found.id) == (reason, "mts_dialog:TrainingSet/1")
    assert found.place.endswith("MTS-Dialog-TrainingSet.csv:2")


def test_tagged_lines_of_a_visit_become_turns(write: Write, read: Read) -> None:
    rows = (
        "dataset,encounter_id,dialogue,note\n"
        'aci,D2N900,"[doctor] hi , sit down .\n[patient] my knee [left] hurts .\nyeah .\n\n'
        '[doctor] okay .","CC\n\nKnee."\n'
    )
    (found,) = read("aci_bench", write("challenge_data/train.csv", rows))

    assert isinstance(found, Dialogue)
    assert [turn.text for turn in found.turns] == [
        "hi , sit down .",
        "my knee [left] hurts .\nyeah .",
        "okay .",
    ]
    assert (found.id, found.subject, found.origin.split) == ("aci_bench:D2N900", "aci", "train")
