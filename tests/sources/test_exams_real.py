"""The exam readers on real samples (folder in BIMEDIX_DATA): each record is read or dropped with a reason."""

from collections import Counter
from pathlib import Path

import pytest

from bimedix.records import Dropped
from bimedix.sources import SOURCES
from bimedix.sources.base import Options
from bimedix.sources.room import claimed, list_files

COUNTS = {
    "exams_arabic": ("exams-arabic", 186, 0),
    "frenchmedmcqa": ("frenchmedmcqa", 729, 0),
    "head_qa": ("head-qa", 2636, 68),
    "medmcqa": ("medmcqa", 1388, 0),
    "medqa": ("medqa-usmle", 428, 0),
    "mmlu_medical": ("mmlu-medical", 1119 - 373 + 30, 0),
    "mmlu_other": ("mmlu-arabic-other", 441, 0),
    "pubmedqa": ("pubmedqa", 300, 0),
    "rumeddanet": ("rumedbench", 351, 0),
    "rumedtest": ("rumedbench", 133, 0),
    "xmedbench": (".", 700 + 373, 0),
}
"""Folder, records that the READMEs state, and how many of them cannot be used. mmlu-medical counts 373 rows
of XMedBench, and leaves out 30 rows in dev files."""


@pytest.mark.parametrize("name", COUNTS)
def test_every_record_that_a_readme_states_is_read_or_dropped(name: str, data: Path) -> None:
    folder, records, dropped = COUNTS[name]
    source = SOURCES[name]
    found = [
        given
        for path in list_files(data / folder)
        if claimed(source, path)
        for given in source.read(path, Options())
    ]

    assert len(found) == records
    assert sum(isinstance(given, Dropped) for given in found) == dropped
    assert {given.language for given in found if not isinstance(given, Dropped)} <= set(source.languages)


def test_no_file_is_claimed_twice_for_the_same_kind_of_record(data: Path) -> None:
    """`auto` would read such a file twice."""
    claims = Counter(
        (path, source.gives)
        for path in list_files(data)
        for source in SOURCES.values()
        if claimed(source, path)
    )

    assert claims
    assert [path.name for (path, _), count in claims.items() if count > 1] == []
