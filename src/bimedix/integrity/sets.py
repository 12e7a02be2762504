"""What only shows over a whole set: one output for many inputs, a leaked prompt example, echo, collapse.

GPT-translated Arabic MMLU replaced a fifth of its medical questions by the example of its prompt, keys kept;
each such row looks like a fine sentence, and only its neighbours give it away (bimedix.md, section 10).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from bimedix.integrity.folding import fold
from bimedix.records import Finding

_WORD = re.compile(r"[^\W_\u3040-\u9fff]+|[\u3040-\u9fff]+")
_SALT = tuple(range(1, 33))
_PRIME = (1 << 61) - 1


@dataclass(frozen=True)
class Limits:
    """Where alike ends and unlike begins; Jaccard shares of word sets, 0 to 1."""

    alike: float = 0.6
    """Targets at least this alike are one output (data.md, section 2.2)."""
    unlike: float = 0.35
    """Their sources have to be less alike than this."""
    template: float = 0.5
    """Share of a group's common words that puts another row into the group."""
    fewest_words: int = 5
    """Shorter targets (Yes, aspirin) may well be the same."""
    group: int = 3
    """From this many rows on it is an error; fewer are a warning."""


@dataclass(frozen=True)
class _Row:
    id: str
    source: str
    target: str
    source_words: frozenset[str]
    target_words: frozenset[str]


def check_set(
    pairs: Iterable[tuple[str, str, str]], *, examples: Iterable[str] = (), limits: Limits | None = None
) -> dict[str, tuple[Finding, ...]]:
    """Return findings by id for (id, source text, target text); rows without one are left out.

    Texts may hold a whole item, one field a line. `examples` are the texts of the prompt's examples in the
    target language, or their canary phrases.
    """
    bounds = limits or Limits()
    rows = [_Row(key, s, t, shingles(s), shingles(t)) for key, s, t in pairs]
    found: dict[str, list[Finding]] = defaultdict(list)
    for key, finding in (
        *_repeated(rows, bounds),
        *_leaked(rows, [fold(example).lower for example in examples], bounds),
        *_echoed(rows),
        *_collapsed(rows),
    ):
        found[key].append(finding)
    return {key: tuple(findings) for key, findings in found.items()}


def shingles(text: str) -> frozenset[str]:
    """Return the words of a text, folded; pairs of characters where words are not spaced."""
    words: set[str] = set()
    for word in _WORD.findall(fold(text).lower):
        if "\u3040" <= word[0] <= "\u9fff" and len(word) > 1:
            words.update(word[at : at + 2] for at in range(len(word) - 1))
        else:
            words.add(word)
    return frozenset(words)


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Return the share of words that two sets have in common; 0 when one is empty."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared) if shared else 0.0


def _repeated(rows: Sequence[_Row], limits: Limits) -> Iterator[tuple[str, Finding]]:
    """Yield rows whose target is that of rows with other sources."""
    long = [row for row in rows if len(row.target_words) >= limits.fewest_words]
    parent = list(range(len(long)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for one, other in _candidates([row.target_words for row in long]):
        a, b = long[one], long[other]
        if root(one) == root(other) or jaccard(a.target_words, b.target_words) < limits.alike:
            continue
        if jaccard(a.source_words, b.source_words) < limits.unlike:
            parent[root(one)] = root(other)
    groups: dict[int, list[_Row]] = defaultdict(list)
    for index, row in enumerate(long):
        groups[root(index)].append(row)
    for group in [group for group in groups.values() if len(group) > 1]:
        members = _with_template(group, long, limits) if len(group) >= limits.group else group
        severity = "error" if len(members) >= limits.group else "warning"
        for row in members:
            yield (
                row.id,
                Finding(
                    "repeated",
                    "error" if severity == "error" else "warning",
                    f"nearly the same translation stands at {len(members)} records with unlike sources",
                    "",
                    (),
                    ((0, len(row.target)),),
                ),
            )


def _with_template(group: list[_Row], rows: Sequence[_Row], limits: Limits) -> list[_Row]:
    """Add the rows that share most of the words which the group has in common, in another wording."""
    counts = Counter(word for row in group for word in row.target_words)
    template = frozenset(word for word, count in counts.items() if count >= len(group) / 2)
    everywhere = Counter(word for row in rows for word in row.target_words & template)
    telling = frozenset(word for word in template if everywhere[word] <= 2 * counts[word])
    if len(telling) < limits.fewest_words:
        return group
    inside = {row.id for row in group}
    more = [
        row
        for row in rows
        if row.id not in inside and len(row.target_words & telling) >= limits.template * len(telling)
    ]
    return [*group, *more]


def _candidates(sets: Sequence[frozenset[str]]) -> Iterator[tuple[int, int]]:
    """Yield pairs that may be alike: MinHash, 16 bands of 2; a bucket compares with its last eight.

    Two sets of Jaccard 0.6 meet with probability 1 - (1 - 0.36)^16 > 0.999.
    """
    import numpy as np

    words: dict[str, int] = {}
    factors = np.array([(7919 * salt * salt + 104729 * salt + 1) | 1 for salt in _SALT], dtype=np.uint64)
    spread = np.uint64(0x9E3779B97F4A7C15)
    buckets: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    seen: set[tuple[int, int]] = set()
    for index, members in enumerate(sets):
        numbers = np.array(
            [words.setdefault(word, len(words) + 1) for word in sorted(members)], dtype=np.uint64
        )
        mixed = (numbers[:, None] * spread) ^ (numbers[:, None] * factors[None, :] * spread >> np.uint64(7))
        mixed *= factors[None, :]
        mixed ^= mixed >> np.uint64(31)
        mixed *= spread
        signature = mixed.min(axis=0).tolist()
        for band in range(16):
            bucket = buckets[(band, signature[2 * band], signature[2 * band + 1])]
            for other in bucket[-8:]:
                if (other, index) not in seen:
                    seen.add((other, index))
                    yield other, index
            bucket.append(index)


def _leaked(rows: Sequence[_Row], examples: Sequence[str], limits: Limits) -> Iterator[tuple[str, Finding]]:
    """Yield rows that hold an example of the prompt, word for word or nearly."""
    known = [(example, shingles(example)) for example in examples if example.strip()]
    for row in rows if known else ():
        lower = fold(row.target).lower
        for example, words in known:
            source_lower = fold(row.source).lower
            exact = example.strip() in lower and example.strip() not in source_lower
            near = len(words) >= limits.fewest_words and jaccard(words, row.target_words) >= limits.alike
            if exact or near:
                yield row.id, Finding("leak", "error", "an example of the prompt stands in the translation")
                break


def _echoed(rows: Sequence[_Row]) -> Iterator[tuple[str, Finding]]:
    for row in rows:
        if len(row.source_words) >= 4 and row.source_words == row.target_words:
            yield row.id, Finding("echo", "error", "the translation repeats the source")


def _collapsed(rows: Sequence[_Row]) -> Iterator[tuple[str, Finding]]:
    """Yield rows in which lines (options) that differ in the source are equal in the translation."""
    for row in rows:
        mine, theirs = row.source.splitlines(), row.target.splitlines()
        if len(mine) != len(theirs) or len(mine) < 2:
            continue
        folded = [
            (" ".join(fold(a).lower.split()), " ".join(fold(b).lower.split()))
            for a, b in zip(mine, theirs, strict=True)
        ]
        if any(a != c and b == d != "" for (a, b), (c, d) in combinations(folded, 2)):
            yield row.id, Finding("option", "error", "lines that differ in the source are equal here")
