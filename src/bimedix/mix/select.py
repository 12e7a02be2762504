"""Which candidates are kept, in which order: pure functions of columns, ratio and seed.

Every draw is a hash of (seed, purpose, key), never a step of a generator, so one record more moves no
other one.
"""

import hashlib
import re
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bimedix.draws import uniform_draw
from bimedix.mix.settings import Basis, Settings

Column: TypeAlias = Any
"""A numpy array with one value per candidate."""

TRAIN, VALIDATION = 0, 1
KEPT, BY_RATIO, PAIRED, REPEATED = 0, 1, 2, 3
"""Fate of a candidate: kept; left out by the ratio; its pair is in the mix instead; a near-duplicate."""
_LANGUAGE_MARK = re.compile(r"@[A-Za-z-]+")


def draw(seed: int, purpose: str, key: str) -> int:
    """Return 64 bits that depend on (seed, purpose, key) alone."""
    digest = hashlib.blake2b(f"{seed}:{purpose}:{key}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def pair_key(id: str) -> str:
    """Return the id without marks of language: an item and its translations share it."""
    return _LANGUAGE_MARK.sub("", id)


@dataclass
class Candidates:
    """Everything known of the candidates that is needed to choose: about 60 bytes each."""

    order: "array[int]" = field(default_factory=lambda: array("Q"))
    """draw(seed, "order", hash of the record): the place in the mix."""
    pair: "array[int]" = field(default_factory=lambda: array("Q"))
    """Hash of the pair key."""
    split: "array[int]" = field(default_factory=lambda: array("B"))
    type: "array[int]" = field(default_factory=lambda: array("H"))
    language: "array[int]" = field(default_factory=lambda: array("H"))
    source: "array[int]" = field(default_factory=lambda: array("H"))
    turns: "array[int]" = field(default_factory=lambda: array("L"))
    tokens: "array[int]" = field(default_factory=lambda: array("Q"))
    characters: "array[int]" = field(default_factory=lambda: array("Q"))
    offset: "array[int]" = field(default_factory=lambda: array("Q"))
    """Where the item lies in the spool."""
    names: dict[str, list[str]] = field(default_factory=lambda: {"type": [], "language": [], "source": []})
    """Names behind the numbers of those columns."""
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.order)

    def number(self, column: str, name: str) -> int:
        """Return the number that stands for a name in a column."""
        known = self._numbers.get((column, name))
        if known is None:
            known = self._numbers[column, name] = len(self.names[column])
            self.names[column].append(name)
        return known

    def values(self, column: str) -> Column:
        """Return a column as a numpy array."""
        import numpy as np

        found = getattr(self, column)
        return np.frombuffer(found, dtype=f"u{found.itemsize}") if len(found) else np.zeros(0, np.uint64)

    def sizes(self, basis: Basis) -> Column:
        """Return what a candidate counts for in a ratio."""
        import numpy as np

        return np.ones(len(self), np.uint64) if basis == "samples" else self.values(basis)

    def of_languages(self, codes: Sequence[str]) -> Column:
        """Tell per candidate whether its language is one of `codes`."""
        import numpy as np

        numbers = [n for n, name in enumerate(self.names["language"]) if name in codes]
        return np.isin(self.values("language"), numbers)


def choose(
    candidates: Candidates, settings: Settings, seed: int, repeats: Collection[int] = ()
) -> tuple[Column, Column]:
    """Return the fate of each candidate (KEPT, BY_RATIO, ...), and all of them in the mix's order.

    Args:
        repeats: places in the spool of the near-duplicates that give way.
    """
    import numpy as np

    ranked = np.lexsort((np.arange(len(candidates)), candidates.values("order")))
    fate = np.full(len(candidates), KEPT, np.uint8)
    fate[np.isin(candidates.values("offset"), np.array(sorted(repeats), np.uint64))] = REPEATED
    if settings.pairs == "apart":
        fate[_paired(candidates, settings, seed, fate)] = PAIRED
    if settings.languages:
        for pool in _pools(candidates, settings.per_type):
            _balance(pool[ranked], ranked, fate, candidates, settings)
    return fate, ranked


def _pools(candidates: Candidates, per_type: bool) -> list[Column]:
    """Return the sets within which the ratio holds: each split, and each type where asked."""
    splits = candidates.values("split")
    pools = [splits == number for number in (TRAIN, VALIDATION)]
    if per_type:
        types = candidates.values("type")
        pools = [pool & (types == n) for pool in pools for n in range(len(candidates.names["type"]))]
    return [pool for pool in pools if pool.any()]


def _balance(
    in_pool: Column, ranked: Column, fate: Column, candidates: Candidates, settings: Settings
) -> None:
    """Mark what is over the ratio in one pool; the side that is short stays whole."""
    rows = ranked[in_pool]
    rows = rows[fate[rows] == KEPT]
    sizes = candidates.sizes(settings.basis)
    targets = candidates.of_languages(settings.languages)
    target, source = rows[targets[rows]], rows[~targets[rows]]
    kept_target, kept_source = balance(sizes[target], sizes[source], settings.ratio[0], settings.ratio[1])
    fate[target[kept_target:]] = BY_RATIO
    fate[source[kept_source:]] = BY_RATIO


def balance(target: Column, source: Column, parts_target: float, parts_source: float) -> tuple[int, int]:
    """Return how many of each side to keep, from the front, so that their sizes stand in the ratio.

    The sum of the longer side comes as near to the ratio as whole records allow.
    """
    total_target, total_source = int(target.sum()), int(source.sum())
    if parts_target == 0 or parts_source == 0:
        return (0 if parts_target == 0 else len(target)), (0 if parts_source == 0 else len(source))
    if total_target * parts_source <= total_source * parts_target:
        return len(target), nearest_prefix(source, total_target * parts_source / parts_target)
    return nearest_prefix(target, total_source * parts_target / parts_source), len(source)


def nearest_prefix(sizes: Column, budget: float) -> int:
    """Return how many sizes from the front add up nearest to the budget; the shorter of two equal ones."""
    import numpy as np

    sums = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    after = int(np.searchsorted(sums, budget, "left"))
    if after == len(sums):
        return len(sizes)
    return after if after == 0 or sums[after] - budget < budget - sums[after - 1] else after - 1


def _paired(candidates: Candidates, settings: Settings, seed: int, fate: Column) -> Column:
    """Return the rows that give way to another language's version of the same item.

    Of each pair the target's side stays with the chance that the ratio gives it.
    """
    import numpy as np

    leaving = []
    share = settings.ratio[0] / sum(settings.ratio)
    targets = candidates.of_languages(settings.languages)
    for everyone in _groups(candidates.values("pair")):
        rows = everyone[fate[everyone] == KEPT]
        if len(rows) < 2:
            continue
        key = str(int(candidates.pair[rows[0]]))
        sides = [rows[targets[rows]], rows[~targets[rows]]]
        staying = sides[0 if uniform_draw(seed, "pair", key) < share else 1]
        if not len(staying):
            staying = rows
        names = sorted(
            staying.tolist(), key=lambda row: candidates.names["language"][candidates.language[row]]
        )
        stays = names[draw(seed, "pair-language", key) % len(names)]
        leaving += [row for row in rows.tolist() if row != stays]
    return np.array(leaving, np.int64)


def _groups(keys: Column) -> list[Column]:
    """Return the rows of each key that occurs more than once."""
    import numpy as np

    ranked = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(np.diff(keys[ranked])) + 1
    return [rows for rows in np.split(ranked, borders) if len(rows) > 1]
