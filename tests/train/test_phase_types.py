"""A phase may read some types of conversations only."""

from array import array
from pathlib import Path

import pytest

from bimedix.errors import DataError
from bimedix.train.data import Sample
from bimedix.train.prepare import save_samples
from bimedix.train.room import _of_types
from bimedix.train.samples import Samples
from bimedix.train.settings import Phase


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    """Return samples of two types, told apart by their tokens."""
    made = [
        Sample(f"{at}", array("i", [1, at + 2]), bytes([0, 1]), type=kind)
        for at, kind in enumerate(("qa", "mcqa", "qa", "mcqa"))
    ]
    save_samples(tmp_path, made)
    return Samples([tmp_path])


def test_all_types_are_read_unless_the_phase_names_some(samples: Samples) -> None:
    chosen = _of_types(samples, Phase(types=("mcqa",)), Path("train.jsonl"))

    assert _of_types(samples, Phase(), Path("train.jsonl")) is samples
    assert (chosen.ids, chosen.types) == (["1", "3"], ["mcqa", "mcqa"])
    assert [chosen.document(i, "replies")[0].tolist() for i in range(2)] == [[1, 3], [1, 5]]


def test_a_phase_without_its_type_says_where_and_what_to_do(samples: Samples) -> None:
    with pytest.raises(DataError, match=r"train\.jsonl: holds no chat .*(?s:.*)types"):
        _of_types(samples, Phase(types=("chat",)), Path("train.jsonl"))
