"""The set written together with the checks: recall class by class, and silence on right translations."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from contrast import GLOSSARY, OPTION_CLASSES, PER_CLASS, TEXT_CLASSES, Case, errors, negatives

from bimedix.integrity import check_pair
from bimedix.records import content_hash, item_fields

CLASSES = (*TEXT_CLASSES, *OPTION_CLASSES)
FROZEN = "988801c1d9a5f44f5ff420fb30021bff"
"""Hash of all pairs: a change of the set is a decision, and figures before and after do not compare."""


def found(case: Case) -> set[str]:
    """Return the checks that give an error."""
    findings = check_pair(case.source, case.target, GLOSSARY)
    return {finding.check for finding in findings if finding.severity == "error"}


def test_the_set_is_frozen() -> None:
    """The pairs are the same on every machine, more than 20 classes of at least 50."""
    pairs = [
        [case.name, item_fields(case.source), item_fields(case.target)] for case in (*errors(), *negatives())
    ]

    assert len(CLASSES) >= 20 and PER_CLASS >= 50
    assert content_hash(pairs) == FROZEN


@pytest.mark.parametrize("name", CLASSES)
def test_recall_of_each_class(name: str) -> None:
    """95 % for number, unit, option, key, letter and cut; 80 % for the others."""
    strict = name.split()[0] in {"number", "unit", "option", "key", "letter", "cut"}
    cases = list(errors(name))
    recall = sum(bool(found(case) & case.checks) for case in cases) / len(cases)

    assert recall >= (0.95 if strict else 0.80)


def test_right_translations_pass() -> None:
    """Rewordings and the right sides of the pairs give no error in at least 98 of 100."""
    cases = list(negatives())
    alarms = [case.name for case in cases if found(case)]

    assert len(cases) >= 500
    assert len(alarms) <= 0.02 * len(cases)
