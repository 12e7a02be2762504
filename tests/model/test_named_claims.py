"""Every claim of the engine has a test that names it."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "decisions" / "0010-moe-engine.md"


def test_each_claim_is_named_by_a_test_and_listed():
    """T1 to T23 begin the first line of a test, and the table names a test that exists and says so."""
    named = {}
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r'"""(T\d+):', text):
            test = re.findall(r"def (test_\w+)", text[: found.start()])[-1]
            named.setdefault(found[1], set()).add(test)
    listed = dict(
        re.findall(r"^\| (T\d+) \|.*\| `(\w+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )

    assert sorted(listed, key=lambda name: int(name[1:])) == [f"T{n}" for n in range(1, 24)]
    assert [name for name, test in listed.items() if test not in named.get(name, ())] == []
