"""Integrity checks: what a translation of a medical text must not change, found without a model.

`check_pair` compares an item and its translation, `check_texts` two texts; `CHECKS` is what they run.
`check_set` finds what only shows over many records: one output for many inputs, a leaked prompt example.
"""

from bimedix.integrity.checks import CHECKS, RECORD_CHECKS, SET_CHECKS, Check, check_pair, check_texts
from bimedix.integrity.sets import Limits, check_set
from bimedix.integrity.terms import Glossary, Term

__all__ = [
    "CHECKS", "RECORD_CHECKS", "SET_CHECKS", "Check", "Glossary", "Limits", "Term",
    "check_pair", "check_set", "check_texts",
]  # fmt: skip
