"""Negation and EXCEPT: neither dropped nor added."""

from bisect import bisect_right

from bimedix.integrity.lexicon import Cue
from bimedix.integrity.pair import Findings, Pair, Side

_FIRM = ("polarity.negation", "polarity.except")
_ANY = (*_FIRM, "polarity.weak", "polarity.idioms")


def check_negation(pair: Pair) -> Findings:
    """Yield sentences whose negation is gone, and sentences that became negative.

    A firm sign (not, EXCEPT, لا, ما عدا) on one side has to meet any sign on the other; weak signs (un-, غير,
    free of) excuse a firm one but need no counterpart themselves. Sentences are compared one by one where
    both sides have the same count, else the whole text.
    """
    source, target = pair.source, pair.target
    source_firm, target_firm = _firm(source), _firm(target)
    if not source_firm and not target_firm:
        return
    source_any, target_any = source.found(*_ANY), target.found(*_ANY)
    cells = _aligned(source, target)
    fewer = _count(source_firm, source) > _count(target_any, target)
    more = _count(target_firm, target) > _count(source_any, source)
    for start, end, other_start, other_end in cells:
        firm = _within(source_firm, start, end)
        their_firm = _within(target_firm, other_start, other_end)
        if fewer and firm and not _within(target_any, other_start, other_end):
            kind = "exception" if firm[0].concept == "polarity.except" else "negation"
            yield pair.finding(
                "negation",
                "error",
                f"the {kind} of the source ({_quote(source, firm)}) is missing from the translation",
                [(cue.start, cue.end) for cue in firm],
            )
        elif more and their_firm and not _within(source_any, start, end):
            yield pair.finding(
                "negation",
                "error",
                f"the translation negates ({_quote(target, their_firm)}), the source does not",
                (),
                [(cue.start, cue.end) for cue in their_firm],
            )


def _count(cues: list[Cue], side: Side) -> int:
    """Count the sentences that hold a cue, so that sentences in another order are no error."""
    return len({bisect_right(side.sentence_ends, cue.start) for cue in cues})


def _firm(side: Side) -> list[Cue]:
    """Return the firm signs that are no part of an idiom such as `not only` or لا سيما."""
    idioms = side.found("polarity.idioms")
    return [
        cue for cue in side.found(*_FIRM) if not any(idiom.start <= cue.start < idiom.end for idiom in idioms)
    ]


def _aligned(source: Side, target: Side) -> list[tuple[int, int, int, int]]:
    ends, other_ends = source.sentence_ends, target.sentence_ends
    if len(ends) != len(other_ends) or len(ends) < 2:
        return [(0, len(source.folded.lower), 0, len(target.folded.lower))]
    starts, other_starts = (0, *ends), (0, *other_ends)
    return list(zip(starts, ends, other_starts, other_ends, strict=False))


def _within(cues: list[Cue], start: int, end: int) -> list[Cue]:
    return [cue for cue in cues if start <= cue.start < end]


def _quote(side: Side, cues: list[Cue]) -> str:
    return ", ".join(dict.fromkeys(side.folded.lower[cue.start : cue.end] for cue in cues))
