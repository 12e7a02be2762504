"""Negation and EXCEPT: neither dropped nor added."""

from bisect import bisect_right

from bimedix.integrity.folding import Covered
from bimedix.integrity.lexicon import Cue
from bimedix.integrity.pair import Findings, Pair, Side

_FIRM = ("polarity.negation", "polarity.except")
_ANY = (*_FIRM, "polarity.weak", "polarity.idioms")


def check_negation(pair: Pair) -> Findings:
    """Yield sentences whose negation is gone, and sentences that became negative.

    Each firm sign (not, EXCEPT, لا, ما عدا) has to meet some sign on the other side; weak signs (un-, غير,
    free of) excuse a firm one and need no counterpart themselves. Human translations of TICO-19 never have
    fewer signs in Arabic, Spanish or French than there are firm ones in English (0 of 106 negated segments
    each). Added negation is looked for sentence by sentence where both sides have as many sentences.
    """
    source, target = pair.source, pair.target
    source_firm, target_firm = _firm(source), _firm(target)
    if not source_firm and not target_firm:
        return
    source_any, target_any = source.found(*_ANY), target.found(*_ANY)
    dropped = len(source_firm) > len(target_any)
    added = _count(target_firm, target) > _count(source_any, source)
    if not dropped and not added:
        return
    lost, new = [], []
    for start, end, other_start, other_end in _aligned(source, target):
        firm, there = _within(source_firm, start, end), _within(target_any, other_start, other_end)
        lost += firm if len(firm) > len(there) else []
        their_firm = _within(target_firm, other_start, other_end)
        new += their_firm if not _within(source_any, start, end) else []
    if dropped:
        lost = lost or source_firm
        kind = "exception" if lost[0].concept == "polarity.except" else "negation"
        text = f"the {kind} of the source ({_quote(source, lost)}) is missing from the translation"
        yield pair.finding("negation", "error", text, [(cue.start, cue.end) for cue in lost])
    elif added and new:
        text = f"the translation negates ({_quote(target, new)}), the source does not"
        yield pair.finding("negation", "error", text, (), [(cue.start, cue.end) for cue in new])


def _count(cues: list[Cue], side: Side) -> int:
    """Count the sentences that hold a cue, so that sentences in another order are no error."""
    return len({bisect_right(side.sentence_ends, cue.start) for cue in cues})


def _firm(side: Side) -> list[Cue]:
    """Return the firm signs that are no part of an idiom such as `not only` or لا سيما."""
    idioms = Covered(len(side.folded.lower), ((cue.start, cue.end) for cue in side.found("polarity.idioms")))
    return [cue for cue in side.found(*_FIRM) if not idioms.meets(cue.start, cue.start + 1)]


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
