"""The medical keyword filter of MMedC: the rule as it was released, and a corrected one.

As released (MMedLM, arXiv 2402.13963, `data_collection/filtering/filter.py`):

1. both groups are united before lower-casing, so `SIDA` and `Sida` stay two keywords;
2. a keyword is long with over 10 characters, or over 5 and several words;
3. a long one counts wherever it is a substring, also inside words;
4. (an early exit that never changes the verdict)
5. a short one counts where it equals a piece between white space: `cancer,` is missed;
6. accepted when distinct keywords and characters of hits by characters of text reach both thresholds;
7. an empty text is rejected.

All languages take this branch; `as_released_cjk` is the one for zh and ja as it was meant. Nested keywords
count twice. Corrected: NFC and case-folding, words between Unicode borders, longest first without overlap,
so that density lies in [0, 1]; substrings in zh and ja; Arabic normalised, its clitics stripped; and some
keywords that are not generic. A decision is a pure function of text and list; both rules scan the text once,
by Aho-Corasick.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Literal
from unicodedata import normalize

from msgspec import Struct

from bimedix.curate.lists import KeywordList
from bimedix.text import normalise

Mode = Literal["corrected", "as_released", "as_released_cjk"]
Span = tuple[int, int, int]
"""Index of the keyword, start and end in code points."""


class Decision(Struct, frozen=True):
    """What the filter says about a text, and why."""

    accepted: bool
    count: int
    """Distinct keywords found."""
    density: float
    """Characters of hits by characters of the text. Corrected: in [0, 1]. As released it can exceed 1."""
    reason: str
    """Empty when accepted, else which threshold was missed; short and countable."""
    hits: tuple[tuple[str, int], ...]
    """Keyword (as it was compared) and occurrences, most frequent first."""


TOO_FEW = "too few medical keywords"
TOO_THIN = "medical keywords too sparse"
TOO_FEW_AND_THIN = "medical keywords too few and too sparse"
TOO_GENERIC = "only generic medical keywords"


def decide(text: str, words: KeywordList, *, mode: Mode = "corrected", least_specific: int = 2) -> Decision:
    """Tell whether a text is medical.

    Args:
        text: the text, as it is.
        words: the keyword list of its language, with the thresholds.
        mode: `corrected`; `as_released`: steps 1 to 7 of the released code as it runs, in every language
            by the branch for spaced ones; `as_released_cjk`: its branch for zh and ja as it was meant.
        least_specific: distinct keywords that are not generic which a text needs; corrected mode only.
    """
    if mode == "corrected":
        return _decide_corrected(text, _corrected_matcher(words), words, least_specific)
    if mode == "as_released":
        return _decide_as_released(text, _released_matcher(words), words)
    return _decide_as_released_cjk(text, _released_matcher(words), words)


@dataclass(frozen=True)
class _Matcher:
    """The automaton of a list, and what belongs to each of its patterns, by index."""

    automaton: Any
    patterns: tuple[str, ...]
    weights: tuple[int, ...]
    """How often the pattern stands in the list; 1 in corrected mode."""
    flags: tuple[bool, ...]
    """As released: the keyword is long. Corrected: it is generic."""
    prefixes: frozenset[str] = frozenset()
    prefix_lengths: tuple[int, ...] = ()


def _automaton(patterns: Iterable[str]) -> Any:
    from ahocorasick_rs import AhoCorasick, Implementation

    return AhoCorasick(list(patterns), implementation=Implementation.DFA, store_patterns=False)


def _judged(count: int, density: float, words: KeywordList, specific: bool, hits: Counter[str]) -> Decision:
    few, thin = count < words.count, density < words.density
    reason = TOO_FEW_AND_THIN if few and thin else TOO_FEW if few else TOO_THIN if thin else ""
    reason = reason or ("" if specific else TOO_GENERIC)
    found = tuple(sorted(hits.items(), key=lambda hit: (-hit[1], hit[0])))
    return Decision(not reason, count, density, reason, found)


# --- as released ----------------------------------------------------------------------------------------


def is_long(keyword: str) -> bool:
    """Tell whether a keyword is long as released: over 10 characters, or over 5 and several words."""
    return len(keyword) > 10 or (len(keyword) > 5 and len(keyword.split()) > 1)


@lru_cache(maxsize=64)
def _released_matcher(words: KeywordList) -> _Matcher:
    """Steps 1 and 2: the union of both groups, made before lower-casing, so `SIDA` and `Sida` count twice."""
    listed = Counter(word.lower() for word in {*words.medical, *words.biology})
    patterns = tuple(sorted(listed))
    return _Matcher(
        _automaton(patterns),
        patterns,
        tuple(listed[pattern] for pattern in patterns),
        tuple(is_long(pattern) for pattern in patterns),
    )


def _decide_as_released(text: str, matcher: _Matcher, words: KeywordList) -> Decision:
    """Steps 3 to 7: long keywords as substrings, short ones equal to a word between white space."""
    low = text.lower()
    hits: Counter[str] = Counter()
    ends = [0] * len(matcher.patterns)
    for index, start, end in matcher.automaton.find_matches_as_indexes(low, overlapping=True):
        if matcher.flags[index]:
            if start >= ends[index]:
                ends[index] = end
                hits[matcher.patterns[index]] += 1
        elif _stands_alone(low, start, end) and not _holds_space(matcher.patterns[index]):
            hits[matcher.patterns[index]] += 1
    return _released_decision(text, hits, matcher, words)


def _decide_as_released_cjk(text: str, matcher: _Matcher, words: KeywordList) -> Decision:
    """Every keyword as a substring, the text not lower-cased: lower-cased `dna` never meets `DNA`."""
    hits: Counter[str] = Counter()
    ends = [0] * len(matcher.patterns)
    for index, start, end in matcher.automaton.find_matches_as_indexes(text, overlapping=True):
        if start >= ends[index]:
            ends[index] = end
            hits[matcher.patterns[index]] += 1
    return _released_decision(text, hits, matcher, words)


def _released_decision(text: str, hits: Counter[str], matcher: _Matcher, words: KeywordList) -> Decision:
    weight = dict(zip(matcher.patterns, matcher.weights, strict=True))
    count = sum(weight[word] for word in hits)
    characters = sum(weight[word] * times * len(word) for word, times in hits.items())
    return _judged(count, characters / len(text) if text else 0.0, words, True, hits)


def _stands_alone(text: str, start: int, end: int) -> bool:
    return (start == 0 or text[start - 1].isspace()) and (end == len(text) or text[end].isspace())


def _holds_space(pattern: str) -> bool:
    return len(pattern.split()) > 1


# --- corrected ------------------------------------------------------------------------------------------


def fold(text: str, words: KeywordList) -> str:
    """Return the form in which texts and keywords are compared: NFC and case-folded, or normalised."""
    if words.fold == "comparison":
        return normalise(text)
    return normalize("NFC", normalize("NFC", text).casefold())


@lru_cache(maxsize=64)
def _corrected_matcher(words: KeywordList) -> _Matcher:
    generic = {fold(word, words) for word in words.generic}
    patterns = tuple(sorted({fold(word, words) for word in (*words.medical, *words.biology)}))
    prefixes = frozenset(fold(prefix, words) for prefix in words.prefixes)
    return _Matcher(
        _automaton(patterns),
        patterns,
        (1,) * len(patterns),
        tuple(pattern in generic for pattern in patterns),
        prefixes,
        tuple(sorted({len(prefix) for prefix in prefixes})),
    )


def _decide_corrected(text: str, matcher: _Matcher, words: KeywordList, least_specific: int) -> Decision:
    folded = fold(text, words)
    spans = matcher.automaton.find_matches_as_indexes(folded, overlapping=True)
    if words.spaced:
        spans = [span for span in spans if _is_word(folded, span[1], span[2], matcher)]
    kept = without_overlap(spans)
    indexes = Counter([span[0] for span in kept])
    covered = sum([end - start for _, start, end in kept])
    specific = sum(not matcher.flags[index] for index in indexes)
    hits = Counter({matcher.patterns[index]: times for index, times in indexes.items()})
    density = covered / len(folded) if folded else 0.0
    return _judged(len(hits), density, words, specific >= least_specific, hits)


def _is_word(text: str, start: int, end: int, matcher: _Matcher) -> bool:
    """Tell whether no letter or digit touches the span, but for prefixes of the language before it."""
    if end < len(text) and text[end].isalnum():
        return False
    if start == 0 or not text[start - 1].isalnum():
        return True
    return any(_stands_before(text, start, length, matcher) for length in matcher.prefix_lengths)


def _stands_before(text: str, start: int, length: int, matcher: _Matcher) -> bool:
    """Tell whether a known prefix of this length opens the word that the keyword at `start` ends."""
    before = start - length
    return (
        before >= 0
        and text[before:start] in matcher.prefixes
        and (before == 0 or not text[before - 1].isalnum())
    )


def without_overlap(spans: list[Span]) -> list[Span]:
    """Keep spans longest first, the earlier of two equal ones, and none that overlaps one that is kept."""
    spans = sorted(spans, key=itemgetter(1))
    kept: list[Span] = []
    cluster: list[Span] = []
    reach = -1
    for span in spans:
        if span[1] >= reach and cluster:
            kept += cluster if len(cluster) == 1 else _longest_first(cluster)
            cluster = []
        cluster.append(span)
        reach = max(reach, span[2])
    return kept + (cluster if len(cluster) < 2 else _longest_first(cluster))


def _longest_first(cluster: list[Span]) -> list[Span]:
    kept: list[Span] = []
    for span in sorted(cluster, key=lambda span: (span[1] - span[2], span[1])):
        if all(span[2] <= other[1] or other[2] <= span[1] for other in kept):
            kept.append(span)
    return kept
