"""Samples as training sees them: columns in memory, tokens and marks in memory-mapped files."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from bimedix.train.data import fill_rows
from bimedix.train.prepare import read_index, shards_of

MAPPED_FILES = 256
"""Files that are mapped at a time; each holds one of the process's open files."""


@lru_cache(MAPPED_FILES)
def _mapped(path: Path) -> Any:
    return np.load(path, mmap_mode="r")


class Samples:
    """Encoded samples of prepared shards; only the columns below are held in memory."""

    def __init__(self, shards: Sequence[Path] = ()) -> None:
        indexes = [read_index(shard) for shard in shards]
        self.ids: list[str] = [name for index in indexes for name in index.ids]
        self.lengths: Any = np.array([n for index in indexes for n in index.lengths], dtype=np.int64)
        """Tokens of every sample, [N]."""
        self.types: list[str] = [name for index in indexes for name in index.types]
        self._supervised: Any = np.array([n for i in indexes for n in i.supervised], dtype=np.int64)
        self._shards = list(shards)
        self._shard: Any = np.repeat(np.arange(len(shards)), [len(index.ids) for index in indexes])
        starts: list[Any] = [
            np.cumsum([0, *index.lengths[:-1]]) if index.lengths else [] for index in indexes
        ]
        self._start: Any = np.concatenate([*starts, np.zeros(0)]).astype(np.int64)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the samples of a prepared folder."""
        return cls(shards_of(folder))

    def __len__(self) -> int:
        return len(self.ids)

    def of_types(self, types: Sequence[str]) -> "Samples":
        """Return those of the given types; all of them when none is given."""
        if not types:
            return self
        at = [index for index, kind in enumerate(self.types) if kind in types]
        chosen = Samples()
        chosen.ids, chosen.types = [self.ids[i] for i in at], [self.types[i] for i in at]
        chosen.lengths, chosen._supervised = self.lengths[at], self._supervised[at]
        chosen._shard, chosen._start = self._shard[at], self._start[at]
        chosen._shards = self._shards
        return chosen

    def document(self, index: int, supervise: Literal["replies", "all"]) -> tuple[Any, Any]:
        """Return (ids, marks of what bears loss) of one sample."""
        start = int(self._start[index])
        span = slice(start, start + int(self.lengths[index]))
        shard = self._shards[int(self._shard[index])]
        tokens = _mapped(shard / "tokens.npy")[span]
        marks = np.ones(len(tokens), np.uint8) if supervise == "all" else _mapped(shard / "marks.npy")[span]
        return tokens, marks

    def supervised(self, index: int, supervise: Literal["replies", "all"]) -> int:
        """Count the rows of a sample that bear loss: the first token is predicted from nothing."""
        return int(self.lengths[index]) - 1 if supervise == "all" else int(self._supervised[index])


class Units:
    """What an optimizer step draws: single samples, or rows into which samples were packed beforehand."""

    def __init__(self, samples: Samples, row_tokens: int | None) -> None:
        """Args: row_tokens: tokens of a row that is packed beforehand; None draws single samples."""
        self._samples = samples
        self._rows = None if row_tokens is None else fill_rows(samples.lengths.tolist(), row_tokens)
        self.ids = samples.ids if self._rows is None else [samples.ids[row[0]] for row in self._rows]
        """One per unit; of a row, that of its first sample."""

    def __len__(self) -> int:
        return len(self.ids)

    def members(self, units: Sequence[int]) -> list[int]:
        """Return the samples of units."""
        if self._rows is None:
            return list(units)
        return [index for unit in units for index in self._rows[unit]]

    def micro_batches(self, units: Sequence[int], budget: int) -> list[list[int]]:
        """Return groups of samples that go through together: rows, or what fits into `budget` tokens."""
        if self._rows is not None:
            return [self._rows[unit] for unit in units]
        groups = fill_rows([int(self._samples.lengths[unit]) for unit in units], budget)
        return [[units[at] for at in group] for group in groups]
