"""The words in which languages express numbers, frequency, negation, side, ...: data, read once per language.

Each language has a table in `data/<code>.toml`. A form may end in `*` (the word may go on), begin with `*`
(it may begin earlier), with `=` (only the conjunctions of the language may stand before it) or with `~` (an
Arabic verb: the signs of its persons may stand before it).
"""

import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from ahocorasick_rs import AhoCorasick, MatchKind

from bimedix.integrity.folding import Folded, fold
from bimedix.languages import language


class Cue(NamedTuple):
    """A word or phrase that a check looks for, found in a folded text."""

    concept: str
    """Section and name in the table: `numbers.words`, `polarity.negation`, `sides.left`, ..."""
    value: str
    """The key within a concept that has keys (`numbers.words`: "3"), else empty."""
    start: int
    end: int


class Form(NamedTuple):
    """A form to look for, folded, and what it stands for."""

    text: str
    concept: str
    value: str = ""
    open_left: bool = False
    open_right: bool = False
    bare: bool = False
    """Only conjunctions may stand before it."""
    inflected: bool = False
    """Endings of the language may follow: plural, pronouns, feminine."""


class _Affixes(NamedTuple):
    proclitics: frozenset[str]
    conjunctions: frozenset[str]
    endings: frozenset[str]


_NO_AFFIXES = _Affixes(frozenset(), frozenset(), frozenset(("s", "es", "'s")))
_AFFIXES = {
    "ARABIC": _Affixes(
        frozenset(
            "و ف ب ل ك س ال وال فال بال كال لل ولل فلل وب ول فب فل وبال فبال أ وس فس وك ول".replace(
                "أ", "ا"
            ).split()
        ),
        frozenset(("و", "ف")),
        frozenset(
            [
                "ه",
                "ها",
                "ات",
                "ين",
                "ان",
                "ون",
                "ا",
                "ي",
                "يه",
                "هم",
                "تين",
                "تان",
                "اته",
                "ك",
                "كم",
                "نا",
                "هما",
                "تها",
                "ته",
            ]
        ),
    )
}


_NO_CUES = {
    "as_written",
    "duals",
    "halves",
    "quarters",
    "three_quarters",
    "of",
    "within",
    "ones",
    "ratio",
    "rounded_days",
    "between",
    "and",
    "join",
    "range",
    "joins",
    "openers",
    "dangling",
    "per",
    "both",
    "only",
    "letter_words",
    "percent_before",
    "centuries",
    "order",
    "going_on",
    "alternatives",
    "coordinating",
    "attached",
    "each",
    "persons",
    "prefixes",
    "axes",
    "after_units",
    "commands",
    "listing",
    "infinitives",
    "openers_of_commands",
    "forward",
    "rate_before",
    "asks",
}
"""Lists that are read in their own way, not looked for everywhere."""
_INFLECTED = {"routes", "sides", "opposites"}
"""Sections whose forms take the endings of the language."""


@cache
def table(code: str) -> dict[str, Any]:
    """Return the table of a language as its file has it, empty without one; `any` is what all share."""
    name = code if code == "any" else language(code).code
    file = files("bimedix.integrity").joinpath("data", f"{name}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


@cache
def plain_forms(code: str, section: str, name: str) -> tuple[str, ...]:
    """Return the folded forms of a list such as `surface.openers`."""
    return tuple(fold(form).lower for form in table(code).get(section, {}).get(name, ()))


def _forms(code: str) -> Iterator[Form]:
    persons = tuple(table(code).get("polarity", {}).get("persons", ()))
    for section, names in (*table(code).items(), *table("any").items()):
        for name, entry in names.items():
            concept = f"{section}.{name}"
            groups = entry.items() if isinstance(entry, dict) else [("", entry)]
            for value, written in groups:
                for form, verb in _persons(written if isinstance(written, list) else [written], persons):
                    core = form.removeprefix("=").strip("*")
                    yield Form(
                        fold(core).lower,
                        concept,
                        value,
                        form.startswith("*"),
                        form.endswith("*"),
                        form.startswith("="),
                        verb or section in _INFLECTED,
                    )


def _persons(forms: Iterable[str], signs: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """Write out the persons of Arabic verbs, and tell what is one: `~متنع` is يمتنع, تمتنع, نمتنع, امتنع."""
    for form in forms:
        if not signs or not form.startswith("~"):
            yield form, False
            continue
        yield from ((person + form.removeprefix("~"), True) for person in ("", *signs))


class Matcher:
    """Finds many forms in a text at once, as whole words with the affixes that the language allows."""

    def __init__(self, code: str, forms: Iterable[Form]) -> None:
        row = language(code)
        self.code = row.code
        self.spaced = row.spaced
        self._affixes = _AFFIXES.get(row.script, _NO_AFFIXES)
        by_text: dict[str, list[Form]] = {}
        for form in forms:
            by_text.setdefault(form.text, []).append(form)
        self._forms = list(by_text.values())
        self._go_on = [any(form.open_right or form.inflected for form in same) for same in self._forms]
        """By index of the form: whether letters may follow one of them."""
        self._automaton = AhoCorasick(list(by_text), matchkind=MatchKind.Standard) if by_text else None

    def cues(self, text: Folded) -> dict[str, list[Cue]]:
        """Find every form in the text, by concept, left to right, the longest where two overlap."""
        found: dict[str, list[Cue]] = {}
        if self._automaton is None:
            return found
        lower = text.lower
        for index, start, end in self._automaton.find_matches_as_indexes(lower, overlapping=True):
            goes_on = end < len(lower) and self._joined(lower[end - 1], lower[end])
            if goes_on and not self._go_on[index]:
                continue
            begun = start > 0 and self._joined(lower[start - 1], lower[start])
            for form in self._forms[index]:
                if (not goes_on or self._may_go_on(lower, end, form)) and (
                    not begun or self._may_begin_earlier(lower, start, form)
                ):
                    found.setdefault(form.concept, []).append(Cue(form.concept, form.value, start, end))
        return {concept: longest_of(cues) for concept, cues in found.items()}

    def _may_go_on(self, lower: str, end: int, form: Form) -> bool:
        return form.open_right or (form.inflected and self._is_ending(lower, end))

    def _may_begin_earlier(self, lower: str, start: int, form: Form) -> bool:
        if form.open_left:
            return True
        allowed = self._affixes.conjunctions if form.bare else self._affixes.proclitics
        if not allowed:
            return False
        begin = start
        while begin and start - begin < 4 and lower[begin - 1].isalpha():
            begin -= 1
        return lower[begin:start] in allowed

    def _is_ending(self, lower: str, at: int) -> bool:
        stop = at
        while stop < len(lower) and stop - at < 5 and (lower[stop].isalpha() or lower[stop] == "'"):
            stop += 1
        return lower[at:stop] in self._affixes.endings

    def _joined(self, left: str, right: str) -> bool:
        """Tell whether two neighbouring characters belong to one word."""
        if not (left.isalnum() and right.isalnum()):
            return False
        return self.spaced or (left < "\u0250" and right < "\u0250" and left.isalpha() == right.isalpha())


def longest_of(cues: list[Cue]) -> list[Cue]:
    """Keep, of cues that overlap, the one that starts first and is longest."""
    if len(cues) == 1:
        return cues
    kept: list[Cue] = []
    for cue in sorted(cues, key=lambda cue: (cue.start, -cue.end)):
        if not kept or cue.start >= kept[-1].end:
            kept.append(cue)
    return kept


@cache
def lexicon(code: str) -> Matcher:
    """Return all forms of a language's table in one matcher (`es-LA` gives `es`)."""
    return Matcher(code, (form for form in _forms(code) if form.concept.split(".")[1] not in _NO_CUES))
