"""Drugs: named in the translation as in the source, by letters or by sound, and none for another.

A table holds international names with other names and brands; what is not in it, a glossary of the caller may
add. Arabic, Cyrillic, Japanese and Latin names are known by their sound, too (`sounds.py`).
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import combinations, pairwise
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from bimedix.integrity.folding import fold
from bimedix.integrity.lexicon import Cue, Form, Matcher, longest_of
from bimedix.integrity.pair import Findings, Pair, Severity, Side
from bimedix.integrity.sounds import consonants
from bimedix.integrity.terms import DRUG
from bimedix.languages import language

_WORD = re.compile(r"[^\W\d_]{4,}")
_PREFIXES = ("وال", "بال", "كال", "فال", "لل", "ال", "و", "ف", "ب", "ل", "ك")
_ALIKE = 0.75
"""Share of consonants in common from which a word of the translation may be the drug looked for."""
_FEWEST = 4
"""Consonants that a name needs to be known by its sound alone."""


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    text = files("bimedix.integrity").joinpath("data", "drugs.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def names_of(drug: str) -> list[str]:
    """Return the international name and the others in Latin letters, abbreviations left out."""
    return [name for name in (drug, *_table()[drug]["names"]) if not name.isupper()]


def _heard_as(name: str) -> set[str]:
    """Return how a name may sound: an English w is heard as a vowel or as a v."""
    lower = fold(name).lower
    return {consonants(lower), consonants(lower.replace("w", "v"))}


_SALTS = frozenset(
    consonants(salt)
    for salt in ("sulfate", "phosphate", "acetate", "chloride", "citrate", "maleate", "tartrate")
)
"""How salts sound: сульфат is no zoloft."""


class DrugReader:
    """Finds drugs in texts of one language."""

    def __init__(self, code: str) -> None:
        row = language(code)
        self.code = row.code
        self.spoken = row.script in ("LATIN", "ARABIC", "CYRILLIC")
        """Names are written by their sound, or as they are."""
        self.by_sound = self.spoken and self.code != "en"
        self._names = Matcher(code, self._forms())
        self._known = lru_cache(maxsize=65536)(self._by_sound)
        self._sounds = {
            heard: drug
            for own in (False, True)  # the drug's own name over a brand that sounds alike: morphine, Marevan
            for drug in _table()
            for form in names_of(drug)
            if (form.lower() == drug.lower()) is own
            for heard in _heard_as(form)
            if len(heard) >= _FEWEST and heard not in _SALTS
        }

    def _forms(self) -> Iterator[Form]:
        for drug, row in _table().items():
            for form in (*names_of(drug), *row.get("other", ()), *row.get(self.code, ())):
                yield Form(fold(form).lower, "drug", drug, inflected=form.isascii())

    def read(self, side: Side) -> list[Cue]:
        """Return the drugs of a text with their table names as values, in reading order."""
        found = list(self._names.cues(side.folded).get("drug", []))
        if self.by_sound:
            taken = {cue.start for cue in found}
            found += [cue for cue in self._heard(side.folded.lower) if cue.start not in taken]
        return longest_of(found)

    def _heard(self, lower: str) -> Iterator[Cue]:
        for match in _WORD.finditer(lower):
            drug = self._known(match.group())
            if drug:
                yield Cue("drug", drug, match.start(), match.end())

    def _by_sound(self, word: str) -> str | None:
        """Return the drug that a word sounds like."""
        heard = (consonants(word[start:]) for start in _stems(word))
        known = (self._sounds.get(sound) for sound in heard if len(sound) >= _FEWEST)
        return next(filter(None, known), None)


def _stems(word: str) -> Iterator[int]:
    """Yield where the name may begin in a word: after none, or after each of the Arabic prefixes."""
    yield 0
    for prefix in _PREFIXES if word[0] > "\u0600" else ():
        if word.startswith(prefix) and len(word) - len(prefix) >= 4:
            yield len(prefix)


@cache
def drug_reader(code: str) -> DrugReader:
    """Return the reader of a language (`es-LA` gives `es`)."""
    return DrugReader(code)


def sounds_like(names: Iterable[str], side: Side, others: Sequence[Cue] = (), *, whole: bool = False) -> bool:
    """Tell whether a word of a text may be of one of these names, in another spelling; or each word of it.

    Words of other drugs are left out: erythromycin is no spelling of azithromycin.
    """
    if not drug_reader(side.code).by_sound:
        return False
    taken = {cue.start for cue in others}
    words = [word.group() for word in _WORD.finditer(side.folded.lower) if word.start() not in taken]
    spoken = [*words, *(a + b for a, b in pairwise(words))]  # أسيتيل سيستئين
    there = {consonants(word[at:]) for word in spoken for at in _stems(word)}

    def alike(word: str) -> bool:
        heard = [sound for sound in _heard_as(word) if len(sound) > 1]
        return any(Levenshtein.normalized_similarity(a, b) >= _ALIKE for a in heard for b in there)

    every = all if whole else any
    return any(every(alike(word) for word in name.split()) for name in names)


def _begun(names: Iterable[str], side: Side, others: Sequence[tuple[int, int]]) -> bool:
    """Tell whether a word holds the sound of a name, or begins like it: dopaminérgico, antiinsulínico, litio.

    Derived words and endings of a language's own say the drug in a way that no table has. Words of other
    drugs are left out.
    """
    if not drug_reader(side.code).by_sound:
        return False
    words = list(_WORD.finditer(side.folded.lower))
    free = [w.group() for w in words if not any(start < w.end() and w.start() < end for start, end in others)]
    there = {consonants(word[at:]) for word in free for at in _stems(word)}
    return any(_alike(heard, word) for name in names for heard in _heard_as(name) for word in there)


def _alike(heard: str, word: str) -> bool:
    """Tell whether a word holds the sounds of a name but the last, or is the name without its last sound."""
    stem = heard[:-1]
    return (len(stem) >= 3 and stem in word) or (len(word) > 1 and word == stem)


_NAME = re.compile(r"(?<=[\w,;:(][ (])[A-ZА-Я][^\W\d_]{3,}|(?<=[«\"])[^\W\d_]{4,}(?=[»\"])")


def _brands(pair: Pair) -> bool:
    """Tell whether the translation has a name of its own, which may be a brand of the drug: a word with a
    capital letter within a sentence or in quotes, which is not in the source.
    """
    source = pair.source.folded.lower
    return any(name.lower() not in source for name in _NAME.findall(pair.target.folded.cased))


class Named(NamedTuple):
    """A drug of a text and the names it is looked for by on the other side."""

    cue: Cue
    names: tuple[str, ...]
    sure: bool
    """Its names in the other language are known: by sound, or by the caller's glossary beside the table."""


def named(pair: Pair, side: Side) -> dict[str, Named]:
    """Return the drugs of one side by name: those of the table, and the drugs of the glossary."""
    other = pair.target if side is pair.source else pair.source
    known = drug_reader(other.code)
    found: dict[str, Named] = {}
    terms = list(_of_glossary(pair, side))
    listed = {_same_drug(source) for _, source, _ in terms}
    for cue in drug_reader(side.code).read(side):
        in_table = known.code in _table()[cue.value] and cue.value in listed
        sure = known.by_sound or known.code == "en" or in_table
        found.setdefault(cue.value, Named(cue, tuple(names_of(cue.value)), sure))
    for cue, source, category in terms:
        drug = _same_drug(source)
        if category == DRUG:
            found.setdefault(drug or source, Named(cue, (source,), known.by_sound))
    return found


def _of_glossary(pair: Pair, side: Side) -> Iterator[tuple[Cue, str, str]]:
    if pair.glossary is None:
        return
    glossary = pair.glossary
    for cue in glossary.source_hits(side) if side is pair.source else glossary.target_hits(side):
        term = glossary.terms[glossary.concept(cue.value)]
        yield cue, term.source, term.category


@cache
def _same_drug(name: str) -> str | None:
    """Return the table's name for a drug."""
    lower = fold(name).lower
    return next((drug for drug in _table() if lower in (form.lower() for form in names_of(drug))), None)


def check_drugs(pair: Pair) -> Findings:
    """Yield drugs that fell out, became others, or stand in another sentence than in the source."""
    mine, theirs = named(pair, pair.source), named(pair, pair.target)
    known = [one.cue for drug, one in mine.items() if drug in theirs or one.sure]
    new = [d for d in theirs if d not in mine and not sounds_like(theirs[d].names, pair.source, known)]
    instead = [theirs[drug].cue for drug in new]
    lost = [
        drug
        for drug in mine
        if drug not in theirs and not sounds_like(mine[drug].names, pair.target, instead, whole=bool(new))
    ]
    named_here = [_span(theirs[other].cue) for other in new]
    for drug, other in zip(lost, new, strict=False):
        spans = [_span(mine[drug].cue)], [_span(theirs[other].cue)]
        severity: Severity = "warning" if _begun(mine[drug].names, pair.target, named_here) else "error"
        yield pair.finding("drug", severity, f"'{drug}' became '{other}'", *spans)
    for drug in lost[len(new) :]:
        text = f"'{drug}' is not named in the translation"
        said = _begun(mine[drug].names, pair.target, named_here) or _brands(pair)
        severity = "warning" if said else "error" if mine[drug].sure else "hint"
        yield pair.finding("drug", severity, text, [_span(mine[drug].cue)])
    if not lost and _moved(pair, mine, theirs):
        cues = [one.cue for one in mine.values()], [one.cue for one in theirs.values()]
        yield pair.finding(
            "drug", "error", "drugs have changed places", *([_span(c) for c in s] for s in cues)
        )


def _moved(pair: Pair, mine: dict[str, Named], theirs: dict[str, Named]) -> bool:
    """Tell whether two drugs have changed sentences."""
    both = [drug for drug in mine if drug in theirs]
    if len(both) < 2:
        return False
    ends, other_ends = pair.source.sentence_ends, pair.target.sentence_ends
    if len(ends) != len(other_ends) or len(ends) < 2:
        return False
    places = [
        (bisect_right(ends, mine[drug].cue.start), bisect_right(other_ends, theirs[drug].cue.start))
        for drug in both
    ]
    return any(a == d != b == c for (a, b), (c, d) in combinations(places, 2))


def _span(cue: Cue) -> tuple[int, int]:
    return cue.start, cue.end
