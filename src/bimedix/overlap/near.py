"""Near-duplicates: texts that share nearly all runs of five words (characters in zh and ja).

MinHash proposes, the texts themselves decide: 120 minima in 20 bands of 6, so that a pair of Jaccard 0.8
meets in at least one band with probability 0.998, and then the exact Jaccard of the runs is taken. What may
not be merged though it reads alike, such as another dose, is the caller's to say. Source: data.md, section 5;
Broder, On the resemblance and containment of documents (1997).
"""

import hashlib
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from bimedix.overlap.contamination import is_spaced, rolled, tokens
from bimedix.overlap.duplicates import Textual, text_of
from bimedix.text import normalise

RUN = 5
"""Tokens of a run: words where they are spaced, characters where they are not."""
BANDS, ROWS = 20, 6
_HEADS = 8
"""Texts of one bucket that a further one is compared with; a bucket of more is a frame of many texts."""
_CACHED = 4_096
_MOST_WORDS = 1_000_000
_CHUNK = 4_096


class _WordHashes(dict[str, int]):
    """64-bit hashes of words, the same on every machine; forgets when it has grown too large."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_WORDS:
            self.clear()
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        value = self[word] = int.from_bytes(digest, "little")
        return value


_hashes = _WordHashes()


def runs_of(record: Textual) -> Any:
    """Return the sorted, different hashes of all runs of a record's text; a short text is one run."""
    import numpy as np

    return np.unique(_all_runs(record))


def _all_runs(record: Textual) -> Any:
    import numpy as np

    pieces = tokens(normalise(text_of(record)), is_spaced(record.language))
    single = np.fromiter(map(_hashes.__getitem__, pieces), np.uint64, len(pieces))
    return rolled(single, min(RUN, max(len(pieces), 1)))


def jaccard(ours: Any, theirs: Any) -> float:
    """Return the share of runs that two sorted sets have in common, 0 to 1."""
    import numpy as np

    shared = len(np.intersect1d(ours, theirs, assume_unique=True))
    return shared / max(len(ours) + len(theirs) - shared, 1)


@cache
def _permutations() -> tuple[Any, Any, Any]:
    """Return odd factors and masks of the minima, and odd factors that join the rows of a band."""
    import numpy as np

    drawn = hashlib.shake_256(b"bimedix near-duplicates").digest(8 * (BANDS * ROWS + ROWS))
    numbers = np.frombuffer(drawn, np.uint64)
    factors = (numbers[: BANDS * ROWS] >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    masks = numbers[: BANDS * ROWS].astype(np.uint32)
    return factors, masks, numbers[BANDS * ROWS :] | np.uint64(1)


def band_keys(runs: Any, language: str) -> Any:
    """Return a 64-bit key per band; two texts of one language that share a key are worth comparing."""
    import numpy as np

    factors, masks, joins = _permutations()
    short = (runs >> np.uint64(32)).astype(np.uint32)
    minima = np.full(BANDS * ROWS, np.iinfo(np.uint32).max, np.uint32)
    for start in range(0, len(short), _CHUNK):
        mixed = (short[start : start + _CHUNK, None] * factors) ^ masks
        minima = np.minimum(minima, mixed.min(axis=0))
    keys = (minima.astype(np.uint64).reshape(BANDS, ROWS) * joins).sum(axis=1, dtype=np.uint64)
    keys ^= np.uint64(_hashes[language])
    return keys ^ (keys >> np.uint64(31))


class _Known(NamedTuple):
    record: Textual
    runs: Any


@dataclass
class NearDuplicates:
    """Takes records in, and gives the groups of those that repeat each other: 170 bytes a record."""

    least: float
    """Jaccard of the runs from which two texts are one, 0 to 1."""
    compared: int = 0
    """Pairs whose texts were compared."""
    kept_apart: int = 0
    """Pairs alike enough that differ in something that counts."""
    _keys: "array[int]" = field(default_factory=lambda: array("Q"))
    _places: "array[int]" = field(default_factory=lambda: array("Q"))

    def add(self, record: Textual, place: int) -> None:
        """Take a record; `place` is where its text can be read again."""
        runs = _all_runs(record)
        if len(runs):
            self._keys.frombytes(band_keys(runs, record.language).tobytes())
            self._places.append(place)

    def groups(
        self, read: Callable[[int], Textual], same: Callable[[Textual, Textual], bool]
    ) -> Iterator[list[int]]:
        """Yield the places of records that are one text, two or more a group, in the order they came.

        Args:
            read: returns the record at a place.
            same: tells whether two records that are alike may be merged at all.
        """
        parent: dict[int, int] = {}

        def root(index: int) -> int:
            while (above := parent.get(index, index)) != index:
                parent[index] = index = parent.get(above, above)
            return index

        look = _Reader(lambda index: read(self._places[index]))
        apart: set[tuple[int, int]] = set()
        for bucket in self._buckets():
            heads: list[int] = []
            for index in bucket:
                for head in heads:
                    pair = (head, index)
                    if root(head) == root(index):
                        break
                    if pair not in apart and self._alike(look, pair, same):
                        parent[max(root(head), root(index))] = min(root(head), root(index))
                        break
                    apart.add(pair)
                else:
                    heads = [*heads, index][-_HEADS:]
        found: dict[int, list[int]] = defaultdict(list)
        for index in sorted(parent):
            found[root(index)].append(index)
        for first in sorted(found):
            members = sorted({first, *found[first]})
            yield [self._places[index] for index in members]

    def _buckets(self) -> Iterator[list[int]]:
        """Yield the records that share a key, band by band, in the order they came."""
        import numpy as np

        table = np.frombuffer(self._keys, np.uint64).reshape(-1, BANDS)
        for band in range(BANDS):
            column = table[:, band]
            order = np.argsort(column, kind="stable")
            borders = np.flatnonzero(np.diff(column[order])) + 1
            starts, ends = [0, *borders.tolist()], [*borders.tolist(), len(order)]
            for start, end in zip(starts, ends, strict=True):
                if end - start > 1:
                    yield order[start:end].tolist()

    def _alike(
        self, look: "_Reader", pair: tuple[int, int], same: Callable[[Textual, Textual], bool]
    ) -> bool:
        one, other = look(pair[0]), look(pair[1])
        self.compared += 1
        if jaccard(one.runs, other.runs) < self.least:
            return False
        if same(one.record, other.record):
            return True
        self.kept_apart += 1
        return False


class _Reader:
    """Reads records again and keeps the last ones."""

    def __init__(self, read: Callable[[int], Textual]) -> None:
        self._read = read
        self._last: OrderedDict[int, _Known] = OrderedDict()

    def __call__(self, index: int) -> _Known:
        if index in self._last:
            self._last.move_to_end(index)
            return self._last[index]
        record = self._read(index)
        known = self._last[index] = _Known(record, runs_of(record))
        if len(self._last) > _CACHED:
            self._last.popitem(last=False)
        return known
