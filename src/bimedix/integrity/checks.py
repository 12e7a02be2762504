"""The register of checks, and the two functions that run it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bimedix.integrity import doses, drugs, options, polarity, quantities, sides, surface, terms
from bimedix.integrity.pair import Findings, Pair, Severity, Side
from bimedix.integrity.terms import Glossary
from bimedix.records import Finding, Item, MultipleChoice, item_fields

RECORD_CHECKS = {
    "unit": "units are kept or converted exactly; read with the numbers",
    "option": "as many options, none empty, none equal that differ in the source",
    "key": "the answer key is that of the source, by index",
    "structure": "the same kind of record with the same fields",
}
"""What `check_pair` reports besides the names of `CHECKS`: error, or hint where the source is to blame."""
SET_CHECKS = {
    "repeated": "one output for many unlike inputs",
    "leak": "an example of the prompt stands in the translation",
    "echo": "the translation repeats the source",
    "option": "lines that differ in the source are equal",
}
"""What `check_set` reports."""
GlossaryLike: TypeAlias = Glossary | Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Check:
    """One row of the register."""

    name: str
    """Goes into `Finding.check`; one function may report under several names."""
    run: Callable[[Pair], Findings]
    severity: Severity
    """The gravest it gives."""
    about: str
    """One line for `bimedix ls checks`."""


CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check("number", quantities.check_numbers, "error", "every number is there, with the same value"),
        Check("frequency", doses.check_frequency, "error", "how often a drug is given, in times per day"),
        Check("route", doses.check_route, "error", "by which way a drug is given"),
        Check("dose", doses.check_tuples, "error", "each dose keeps its own frequency and drug"),
        Check("drug", drugs.check_drugs, "error", "each drug is named, by letters or by sound, and no other"),
        Check("term", terms.check_terms, "warning", "no term became another (needs a glossary)"),
        Check("identifier", terms.check_identifiers, "error", "names with digits keep them: B12, CD4, IL-6"),
        Check("side", sides.check_sides, "error", "left / right, before / after and other opposites kept"),
        Check("negation", polarity.check_negation, "error", "negation and EXCEPT neither dropped nor added"),
        Check("catch-all", options.check_catch_all, "error", "all / none of the above kept apart"),
        Check("letter", options.check_letters, "error", "references to options name the same options"),
        Check("echo", surface.check_echo, "error", "the translation does not repeat the source"),
        Check("residue", surface.check_residue, "error", "no words of the source are left untranslated"),
        Check(
            "stripped", surface.check_stripped, "error", "Latin names, genes and units have not fallen out"
        ),
        Check("cut", surface.check_cut, "error", "the translation goes to the end"),
        Check("surplus", surface.check_surplus, "warning", "no sentence was added"),
        Check("chatter", surface.check_chatter, "error", "no fences and no words around the translation"),
        Check("characters", surface.check_characters, "error", "no broken characters, no bidi overrides"),
    )
}
"""Text checks by name, in the order they run."""


def check_texts(
    source: str,
    target: str,
    source_language: str,
    target_language: str,
    field: str = "",
    glossary: GlossaryLike | None = None,
) -> tuple[Finding, ...]:
    """Compare a text and its translation; spans are code points of the texts as given.

    A glossary is a `Glossary`, or a mapping from source form to target form or forms, which is made into one
    on each call: build it once where there are many pairs. An empty translation gives one finding.
    """
    known = _glossary(glossary, source_language, target_language)
    pair = Pair(Side(source, source_language), Side(target, target_language), field, known)
    if not target.strip():
        return (pair.finding("cut", "error", "the translation is empty"),) if source.strip() else ()
    return tuple(finding for check in CHECKS.values() for finding in check.run(pair))


def _glossary(given: GlossaryLike | None, source: str, target: str) -> Glossary | None:
    return given if given is None or isinstance(given, Glossary) else Glossary.of(given, source, target)


def check_pair(source: Item, target: Item, glossary: GlossaryLike | None = None) -> tuple[Finding, ...]:
    """Compare an item and its translation, field by field, and the options and key of a question.

    A field that one side lacks is an error of its own.
    """
    found: list[Finding] = []
    if type(source) is not type(target):
        return (Finding("structure", "error", f"{type(source).__name__} became {type(target).__name__}"),)
    if isinstance(source, MultipleChoice) and isinstance(target, MultipleChoice):
        found += options.check_options(source, target)
    mine, theirs = item_fields(source), item_fields(target)
    known = _glossary(glossary, source.language, target.language)
    for field, text in mine.items():
        if field in theirs:
            found += check_texts(text, theirs[field], source.language, target.language, field, known)
        elif not field.startswith("options."):
            found.append(Finding("structure", "error", "the field is missing from the translation", field))
    found += [
        Finding("structure", "error", "the field is not in the source", field)
        for field in theirs
        if field not in mine and not field.startswith("options.")
    ]
    return tuple(found)
