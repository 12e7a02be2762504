"""Frequency and route of a drug, and whether doses kept their own: number, unit, frequency as one tuple."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from bimedix.integrity.folding import Covered
from bimedix.integrity.frequency import DOSE_DIMENSIONS, Frequency, frequencies, match_frequencies
from bimedix.integrity.lexicon import Cue
from bimedix.integrity.numbers import Number
from bimedix.integrity.pair import Findings, Pair, Side
from bimedix.integrity.units import units


def doses(side: Side) -> list[Number]:
    """Return the numbers with a unit that drugs are measured in."""
    known = units()
    return [n for n in side.numbers if n.unit and known[n.unit[0]].dimension in DOSE_DIMENSIONS]


def check_frequency(pair: Pair) -> Findings:
    """Yield a frequency that changed, or that a dose lost."""
    match = match_frequencies(pair)
    lost = [one for one in match.source if one.firm]
    new = [one for one in match.target if one.firm]
    if not lost and not new and len(match.source) == len(match.target) == 1:
        lost = [one for one in match.source if _is_period(pair.source, one)]
        new = [one for one in match.target if _is_period(pair.target, one)]
        if not lost or not new:
            return
    if not lost and not new:
        return
    if lost and (new or match.target):
        new = new or match.target
        what = f"{_show(lost)} a day in the source became {_show(new)}"
        severity = "error"
    elif lost:
        what = f"the frequency ({_show(lost)} a day) is missing from the translation"
        severity = "error" if doses(pair.source) else "warning"
    else:
        what = f"a frequency ({_show(new)} a day) is not in the source"
        severity = "warning"
    yield pair.finding(
        "frequency", "error" if severity == "error" else "warning", what, _spans(lost), _spans(new)
    )


def _is_period(side: Side, one: Frequency) -> bool:
    """Tell whether a frequency is a word for a period alone: weekly, par jour."""
    return any((cue.start, cue.end) == (one.start, one.end) for cue in side.found("frequency.periods"))


def _show(found: list[Frequency]) -> str:
    return ", ".join("-".join(str(rate) for rate in sorted(one.per_day)) + "×" for one in found)


def _spans(found: list[Frequency]) -> list[tuple[int, int]]:
    return [(one.start, one.end) for one in found]


_MOST = 40
"""Doses of one text above which their partners are not told apart."""
ROUTES = (
    "oral", "intravenous", "intramuscular", "subcutaneous", "sublingual", "rectal", "topical", "inhaled",
    "intrathecal", "intranasal", "intradermal", "intraosseous", "transdermal", "vaginal", "ocular", "otic",
    "buccal",
)  # fmt: skip


_STRONG = frozenset({"intravenous", "intramuscular", "intrathecal", "sublingual", "intradermal"})
"""Said of drugs alone; under the skin and by mouth are also said of other things."""

_NEVER_ADDED = frozenset({"intramuscular", "intrathecal", "intradermal", "subcutaneous"})
"""Named by no translator whose source names other routes only: an infusion may be said to be into a vein."""


def routes(side: Side) -> dict[str, list[Cue]]:
    """Return where each route of administration is named; into the muscle cell names none."""
    concepts = {route: f"routes.{route}" for route in ROUTES}
    found = {route: side.cues[concept] for route, concept in concepts.items() if concept in side.cues}
    parts = side.cues.get("routes.lookalikes")
    if not found or not parts:
        return found
    other = Covered(len(side.folded.lower), (cue[2:] for cue in parts))
    named = {route: [cue for cue in cues if not other.meets(*cue[2:])] for route, cues in found.items()}
    return {route: cues for route, cues in named.items() if cues}


def check_route(pair: Pair) -> Findings:
    """Yield a route that changed (PO to IV), or that a dose lost.

    Near words (`inhaled_also`: puffs) say a route that is not named, and none where another one is.
    """
    mine, theirs = routes(pair.source), routes(pair.target)
    lost = [route for route in mine if route not in theirs]
    new = [route for route in theirs if route not in mine]
    if not new:
        lost = [route for route in lost if not pair.target.found(f"routes.{route}_also")]
    strange = [route for route in new if route in _NEVER_ADDED] if mine else []
    if not lost and not strange:
        return
    spans = [(cue.start, cue.end) for route in lost or mine for cue in mine[route]]
    if new:
        other = [(cue.start, cue.end) for route in new for cue in theirs[route]]
        lost = lost or list(mine)
        text = f"{', '.join(lost)} in the source became {', '.join(new)}"
        yield pair.finding("route", "error", text, spans, other)
    else:
        said = doses(pair.source) or _STRONG & set(lost)
        severity = "error" if said and not theirs else "hint"
        text = f"the route ({', '.join(lost)}) is missing from the translation"
        yield pair.finding("route", "error" if severity == "error" else "hint", text, spans)


def check_tuples(pair: Pair) -> Findings:
    """Yield doses that exchanged their frequencies or drugs: each value is there, with another partner."""
    for name, read in (("frequency", _with_frequency), ("drug", _with_drug)):
        mine, theirs = read(pair, pair.source), read(pair, pair.target)
        if len(mine) < 2 or len(mine) != len(theirs) or Counter(mine.values()) == Counter(theirs.values()):
            continue
        if _parts(mine) == _parts(theirs):
            spans = [(dose.start, dose.unit_end) for dose in mine]
            other = [(dose.start, dose.unit_end) for dose in theirs]
            yield pair.finding("dose", "error", f"doses and {name} are paired in another way", spans, other)


def _parts(pairs: dict[Number, tuple[object, object]]) -> tuple[Counter[object], Counter[object]]:
    return Counter(left for left, _ in pairs.values()), Counter(right for _, right in pairs.values())


def _amount(dose: Number) -> tuple[str, Fraction]:
    unit = units()[dose.unit[0]]
    return unit.dimension, unit.to_base(dose.value)


def _with_frequency(pair: Pair, side: Side) -> dict[Number, tuple[object, object]]:
    found = [(one.start, one.end, one.per_day) for one in side.once(frequencies)]
    return _partners(doses(side), found)


def _with_drug(pair: Pair, side: Side) -> dict[Number, tuple[object, object]]:
    if pair.glossary is None:
        return {}
    hits = pair.glossary.source_hits(side) if side is pair.source else pair.glossary.target_hits(side)
    concept = pair.glossary.concept
    return _partners(doses(side), [(cue.start, cue.end, concept(cue.value)) for cue in hits])


def _partners(
    given: list[Number], found: Sequence[tuple[int, int, object]]
) -> dict[Number, tuple[object, object]]:
    """Pair each dose with the nearest of what was found; empty unless all pair up one to one."""
    if len(given) != len(found) or not 2 <= len(given) <= _MOST:
        return {}
    pairs: dict[Number, tuple[object, object]] = {}
    used: set[int] = set()
    for dose in given:
        gaps = [max(start - dose.unit_end, dose.start - end) for start, end, _ in found]
        nearest = min(range(len(found)), key=gaps.__getitem__)
        if nearest in used:
            return {}
        used.add(nearest)
        pairs[dose] = (_amount(dose), found[nearest][2])
    return pairs
