"""A phase may read some types of conversations only."""

from array import array
from pathlib import Path

import pytest

from bimedix.errors import DataError
from bimedix.train.data import Sample
from bimedix.train.room import _of_types
from bimedix.train.settings import Phase

SAMPLES = [
    Sample(kind, array("i", [1, 2]), bytes([0, 1]), type=kind) for kind in ("qa", "mcqa", "chat", "mcqa")
]


def test_all_types_are_read_unless_the_phase_names_some() -> None:
    assert _of_types(SAMPLES, Phase(), Path("train.jsonl")) == SAMPLES
    assert [s.type for s in _of_types(SAMPLES, Phase(types=("mcqa",)), Path("train.jsonl"))] == [
        "mcqa",
        "mcqa",
    ]


def test_a_phase_without_its_type_says_where_and_what_to_do() -> None:
    with pytest.raises(DataError, match=r"train\.jsonl: holds no chat .*(?s:.*)types"):
        _of_types(SAMPLES[:2], Phase(types=("chat",)), Path("train.jsonl"))
