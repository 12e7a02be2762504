"""Integrity checks: what a translation of a medical text must not change, found without a model.

`check_pair` compares an item and its translation, `check_texts` two texts; `CHECKS` is what they run.
"""

from bimedix.integrity.checks import CHECKS, Check, check_pair, check_texts
from bimedix.integrity.terms import Glossary, Term

__all__ = ["CHECKS", "Check", "Glossary", "Term", "check_pair", "check_texts"]
