"""Contamination: training records that hold a test item, whole or in part, and in any language.

Five rules, tried in this order; the first that agrees is reported with the test item's id and the text:

1. lineage: the record comes from a test item (a translation, a chat, a rationale of it);
2. same stem: the normalised questions are equal;
3. same options: the normalised option sets are equal in any order, and the stems are similar;
4. shared n-grams: an 8-gram of words (16 of characters in zh and ja) is shared, and at least half of the
   test text lies in the record in runs of 3 or more tokens, frames aside ("Which of the following ...");
5. similar short stem: a stem under 12 words is alike to 0.9, and an option is equal.

n-grams cannot see short items, and more than half of medical exam questions are short; translation hides
overlap from rules 2 to 5 (arXiv 2406.13236), so only lineage sees across languages.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from bimedix.languages import LANGUAGES
from bimedix.overlap.duplicates import Textual, text_of
from bimedix.records import Conversation, Dialogue, MultipleChoice, OpenQuestion, ParallelText, root_id
from bimedix.text import normalise

Rule = Literal["lineage", "same stem", "same options", "shared n-grams", "similar short stem"]

GRAM = {True: 8, False: 16}
"""Tokens of an n-gram: words where they are spaced, characters where they are not."""
SHORT_STEM = {True: 12, False: 24}
"""Stems with fewer tokens are short: a stem alone then says little without an option."""
LEAST_ALIGNMENT = 0.5
"""Share of the test text's tokens that lie in the record, for rule 4 (FullyOpenMeditron's value)."""
LEAST_ALIGNMENT_OTHER_OPTIONS = 0.8
"""The same where both have options and share none: else another question on the same subject."""
FRAME = 5
"""A run of half an n-gram that more test texts than this hold is an exam's frame, and no evidence; ours."""
RUN = 3
"""Tokens in a row that count towards the alignment: single common words in order are no evidence."""
OPTIONS_STEM_SIMILARITY = 60.0
"""Similarity of stems, 0 to 100, that equal option sets need; ours."""
COMMON_SET = 64
"""An option set of more test items than this (yes, no, maybe) says little: stems then have to reach 90."""
SHORT_STEM_SIMILARITY = 90.0
"""Similarity of short stems, 0 to 100 (edit similarity 0.9)."""
_CANDIDATES = 8

_WORD = re.compile(r"[^\W_]+")
_CHARACTER = re.compile(r"[a-z0-9]+|[^\W_]")
Stems: TypeAlias = tuple[list[str], list[int]]


class Match(Struct, frozen=True):
    """Why a record counts as contaminated."""

    rule: Rule
    test_id: str
    similarity: float
    """0 to 1: of stems for rules 2, 3 and 5, aligned share of the test text for rule 4, else 1."""
    text: str = ""
    """What was found in the record, normalised, cut to 200 characters."""
    span: tuple[int, int] = (0, 0)
    """Where, in code points of the record's normalised text (rule 4), else of its normalised stem."""


def stem_of(record: Textual) -> str:
    """Return the question of a record: of a dialogue the first turn of the patient; nothing of a passage."""
    match record:
        case MultipleChoice() | OpenQuestion():
            return record.question
        case Dialogue():
            return next((turn.text for turn in record.turns if turn.role == "user"), "")
        case Conversation():
            return next((message.content for message in record.messages if message.role == "user"), "")
    return ""


def options_of(record: Textual) -> tuple[str, ...]:
    """Return the texts that an answer can be: the options, or the one answer of an open question."""
    match record:
        case MultipleChoice():
            return record.options
        case OpenQuestion():
            return (record.answer,)
    return ()


def compared(text: str) -> str:
    """Return the words of the normalised text with one space between them; signs fall out."""
    return " ".join(_WORD.findall(normalise(text)))


def tokens(normalised: str, spaced: bool) -> list[str]:
    """Cut a normalised text into words, or into characters where words are not spaced."""
    return (_WORD if spaced else _CHARACTER).findall(normalised)


def is_spaced(code: str) -> bool:
    """Tell whether words of the language stand between spaces."""
    return LANGUAGES[code].spaced if code in LANGUAGES else True


def roots_of(record: Textual) -> set[str]:
    """Return the heads of the record's lineage."""
    parents = () if isinstance(record, ParallelText) else getattr(record, "parents", ())
    return {root_id(name) for name in (record.id, *parents)}


class TestIndex:
    """Looks up test items by lineage, stem, option set, option and n-gram; each step is a hash look-up.

    Memory: about 1.5 KiB a test item. `find` costs what normalising the record costs.
    """

    __test__ = False

    def __init__(self, items: Iterable[Textual] = ()) -> None:
        self.ids: list[str] = []
        self._choices: list[frozenset[str]] = []
        """Options of multiple-choice items; nothing for others, because free answers cannot be compared."""
        self._roots: dict[str, int] = {}
        self._stems: dict[str, list[int]] = {}
        self._sets: dict[frozenset[str], Stems] = {}
        self._short: dict[str, Stems] = {}
        self._units: dict[str, tuple[int, bool]] = {}
        """Long test texts, normalised: item, and whether words are spaced."""
        self._grams: _Grams | None = None
        for item in items:
            self.add(item)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, item: Textual) -> None:
        """Register a test item."""
        index = len(self.ids)
        spaced = is_spaced(item.language)
        self.ids.append(item.id)
        for root in roots_of(item):
            self._roots.setdefault(root, index)
        options = frozenset(filter(None, map(compared, options_of(item))))
        self._choices.append(_choices(item, options))
        if stem := compared(stem_of(item)):
            self._add_stem(index, stem, options, spaced)
        if text := _long_text(item, spaced):
            self._units.setdefault(text, (index, spaced))
        self._grams = None

    def _add_stem(self, index: int, stem: str, options: frozenset[str], spaced: bool) -> None:
        self._stems.setdefault(stem, []).append(index)
        if len(options) > 1:
            _file(self._sets.setdefault(options, ([], [])), stem, index)
        if len(tokens(stem, spaced)) < SHORT_STEM[spaced]:
            for option in options:
                _file(self._short.setdefault(option, ([], [])), stem, index)

    def find(self, record: Textual) -> Match | None:
        """Return the first rule by which the record holds a test item, or None."""
        if not self.ids:
            return None
        if found := self._by_lineage(record):
            return found
        stem = compared(stem_of(record))
        options = frozenset(filter(None, map(compared, options_of(record))))
        spaced = is_spaced(record.language)
        choices = _choices(record, options)
        if stem:
            found = self._by_stem(stem, choices, spaced) or self._by_options(stem, options)
        found = found or self._by_grams(record, choices, spaced)
        return found or (self._by_short_stem(stem, options) if stem else None)

    def _by_lineage(self, record: Textual) -> Match | None:
        for root in sorted(roots_of(record)):
            if root in self._roots:
                return Match("lineage", self.ids[self._roots[root]], 1.0, root)
        return None

    def _by_stem(self, stem: str, choices: frozenset[str], spaced: bool) -> Match | None:
        """A short stem ("Which is true?") is another question when both have options and share none."""
        short = len(tokens(stem, spaced)) < SHORT_STEM[spaced]
        for index in self._stems.get(stem, ()):
            if not (short and _differ(choices, self._choices[index])):
                return Match("same stem", self.ids[index], 1.0, stem[:200], (0, len(stem)))
        return None

    def _by_options(self, stem: str, options: frozenset[str]) -> Match | None:
        stems = self._sets.get(options) if len(options) > 1 else None
        if stems is None:
            return None
        from rapidfuzz import fuzz

        least = OPTIONS_STEM_SIMILARITY if len(stems[0]) <= COMMON_SET else SHORT_STEM_SIMILARITY
        return self._nearest("same options", stem, stems, fuzz.token_sort_ratio, least)

    def _by_short_stem(self, stem: str, options: frozenset[str]) -> Match | None:
        from rapidfuzz import fuzz

        for option in sorted(options):
            stems = self._short.get(option)
            if stems and (
                found := self._nearest("similar short stem", stem, stems, fuzz.ratio, SHORT_STEM_SIMILARITY)
            ):
                return found
        return None

    def _nearest(self, rule: Rule, stem: str, stems: Stems, scorer: Any, least: float) -> Match | None:
        from rapidfuzz import process

        found = process.extractOne(stem, stems[0], scorer=scorer, score_cutoff=least)
        if found is None:
            return None
        test_id = self.ids[stems[1][found[2]]]
        return Match(rule, test_id, round(found[1] / 100, 4), stem[:200], (0, len(stem)))

    def _by_grams(self, record: Textual, choices: frozenset[str], spaced: bool) -> Match | None:
        if self._grams is None:
            self._grams = _Grams([(text, spaced) for text, (_, spaced) in self._units.items()])
            self._owners = [index for index, _ in self._units.values()]
        text = normalise(text_of(record))
        for unit, share, span in self._grams.find(text, spaced):
            owner = self._owners[unit]
            other = _differ(choices, self._choices[owner])
            if share >= (LEAST_ALIGNMENT_OTHER_OPTIONS if other else LEAST_ALIGNMENT):
                return Match(
                    "shared n-grams", self.ids[owner], round(share, 4), text[slice(*span)][:200], span
                )
        return None


def _choices(record: Textual, options: frozenset[str]) -> frozenset[str]:
    return options if isinstance(record, MultipleChoice) else frozenset()


def _differ(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    """Tell whether both have options to choose from, and none in common."""
    return bool(ours and theirs and not ours & theirs)


def _file(stems: Stems, stem: str, index: int) -> None:
    stems[0].append(stem)
    stems[1].append(index)


def _long_text(item: Textual, spaced: bool) -> str:
    """Return the normalised question (or whole text, where there is none) if n-grams can see it, else ""."""
    text = normalise(stem_of(item) or text_of(item))
    return text if len(tokens(text, spaced)) >= SHORT_STEM[spaced] else ""


class _Grams:
    """A sorted table of n-gram hashes, with a bitmap before it that answers most look-ups.

    Hashes only name candidates; tokens decide, so a collision or another hash seed changes nothing.
    """

    def __init__(self, units: list[tuple[str, bool]]) -> None:
        import numpy as np

        self._units = units
        parts = [np.unique(_gram_hashes(tokens(text, spaced), GRAM[spaced])) for text, spaced in units]
        hashes = np.concatenate(parts) if parts else np.zeros(0, np.uint64)
        owners = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
        kept = ~_among(hashes, _common(hashes))
        order = np.argsort(hashes[kept], kind="stable")
        self._hashes, self._owners = hashes[kept][order], owners[kept][order]
        halves = [np.unique(_gram_hashes(tokens(text, spaced), GRAM[spaced] // 2)) for text, spaced in units]
        self._frames = _common(np.concatenate(halves) if halves else np.zeros(0, np.uint64))
        self._bitmap = np.zeros(1 << 24, np.bool_)
        self._bitmap[self._hashes >> np.uint64(40)] = True

    def find(self, text: str, spaced: bool) -> list[tuple[int, float, tuple[int, int]]]:
        """Return unit, aligned share of it and span in `text`, best aligned first, 8 at most."""
        import numpy as np

        pieces = tokens(text, spaced)
        size = GRAM[spaced]
        grams = _gram_hashes(pieces, size)
        places = np.flatnonzero(self._bitmap[grams >> np.uint64(40)])
        if not len(places):
            return []
        shared = self._shared(grams, places)
        ranked = sorted(shared.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:_CANDIDATES]
        found = []
        for unit, at in ranked:
            theirs = tokens(*self._units[unit])
            content = self._content(theirs, self._units[unit][1])
            low, high = max(0, at[0] - len(theirs)), at[-1] + size + len(theirs)
            if not _may_align(theirs, set(pieces[low:high]), content, size):
                continue
            share = alignment(theirs, pieces[low:high], content)
            found.append((unit, share, _span(text, spaced, at[0], at[-1] + size)))
        return sorted(found, key=lambda row: (-row[1], row[0]))

    def _content(self, pieces: list[str], spaced: bool) -> list[bool]:
        """Tell which tokens of a test text belong to no frame."""
        content = [True] * len(pieces)
        size = GRAM[spaced] // 2
        for start in _among(_gram_hashes(pieces, size), self._frames).nonzero()[0].tolist():
            content[start : start + size] = [False] * size
        return content

    def _shared(self, grams: Any, places: Any) -> dict[int, list[int]]:
        """Return the places of shared n-grams by unit."""
        import numpy as np

        starts = np.searchsorted(self._hashes, grams[places], "left")
        ends = np.searchsorted(self._hashes, grams[places], "right")
        shared: dict[int, list[int]] = {}
        for place, start, end in zip(places.tolist(), starts.tolist(), ends.tolist(), strict=True):
            for unit in self._owners[start:end].tolist():
                shared.setdefault(unit, []).append(place)
        return shared


def _may_align(test: list[str], record: set[str], content: list[bool], least: int) -> bool:
    """Tell whether enough of the test's own words occur in the record at all; cheap, before the alignment."""
    own = [piece for piece, counts in zip(test, content, strict=True) if counts]
    return len(own) >= least and sum(piece in record for piece in own) >= LEAST_ALIGNMENT * len(own)


def _common(hashes: Any) -> Any:
    """Return, sorted, the hashes that more than FRAME test texts have."""
    import numpy as np

    different, counts = np.unique(hashes, return_counts=True)
    return different[counts > FRAME]


def _among(values: Any, table: Any) -> Any:
    """Tell for each value whether the sorted table holds it."""
    import numpy as np

    if not len(table):
        return np.zeros(len(values), np.bool_)
    return table[np.minimum(np.searchsorted(table, values), len(table) - 1)] == values


def _gram_hashes(pieces: list[str], size: int) -> Any:
    """Return a 64-bit hash for each run of `size` tokens; empty when there are fewer."""
    import numpy as np

    return rolled(np.fromiter(map(hash, pieces), np.int64, len(pieces)).view(np.uint64), size)


def rolled(single: Any, size: int) -> Any:
    """Return a 64-bit hash for each run of `size` hashes of tokens; empty when there are fewer."""
    import numpy as np

    count = len(single) - size + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    mixed = np.zeros(count, np.uint64)
    for offset in range(size):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + single[offset : offset + count]
    mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)


def alignment(test: list[str], record: list[str], content: list[bool] | None = None) -> float:
    """Return the share of the test's tokens that lie in the record, in order, in runs of at least 3.

    Args:
        test: tokens of the test text.
        record: tokens of the record, or of the part of it that is looked at.
        content: which of the test's tokens count; all by default.
    """
    from rapidfuzz.distance import LCSseq

    content = content or [True] * len(test)
    blocks = [
        (block.src_start, block.src_end) for block in LCSseq.opcodes(test, record) if block.tag == "equal"
    ]
    runs = sum(sum(content[start:end]) for start, end in blocks if end - start >= RUN)
    return runs / max(sum(content), 1)


def _span(text: str, spaced: bool, first: int, last: int) -> tuple[int, int]:
    """Return the code points from token `first` to before token `last`."""
    spans = [found.span() for found in (_WORD if spaced else _CHARACTER).finditer(text)]
    return spans[first][0], spans[min(last, len(spans)) - 1][1]


def count_rules(matches: Iterable[Match]) -> dict[str, int]:
    """Return how many matches each rule gave."""
    return dict(sorted(Counter(match.rule for match in matches).items()))
