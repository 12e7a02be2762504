"""Write the tables of docs/performance.md from benchmarks/results/*.json.

A result is what a benchmark prints last with `--json`, kept as `benchmarks/results/NAME.json`, or as
`NAME-MACHINE.json` for further machines. The page holds one section per benchmark; the words are written by
hand, what stands between the two markers of a section is written here. A marker may name the figures to show
(`<!-- results of scoring: speedup_* goal_* -->`), else all are. A benchmark without a section gets one, with
the first line of its docstring.

    python benchmarks/_page.py            # writes the page
    python benchmarks/_page.py --check    # fails when the page is not current
"""

import argparse
import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
CLOSING = "\n## Published figures"
"""New sections go before this one."""
_BLOCK = r"<!-- results of {name}(?:: ([^\n]*))? -->\n.*?<!-- end -->"


def benchmark_names(root: Path = ROOT) -> list[str]:
    """Return the benchmarks: scripts whose names begin with a letter."""
    return sorted(path.stem for path in (root / "benchmarks").glob("[a-z]*.py"))


def result_files(name: str, root: Path = ROOT) -> list[Path]:
    """Return the committed results of a benchmark, its own file first."""
    folder = root / "benchmarks" / "results"
    return [path for path in (folder / f"{name}.json",) if path.exists()] + sorted(
        folder.glob(f"{name}-*.json")
    )


def current(page: str, root: Path = ROOT) -> str:
    """Return the page with every section there and every table made anew."""
    for name in benchmark_names(root):
        found = re.search(_BLOCK.format(name=re.escape(name)), page, re.DOTALL)
        if found:
            wanted = found[1] or ""
            page = page[: found.start()] + _block(name, root, wanted) + page[found.end() :]
        else:
            before, closing, after = page.partition(CLOSING)
            page = f"{before.rstrip()}\n\n{_section(name, root)}\n\n{_block(name, root)}\n{closing}{after}"
    return page


def _block(name: str, root: Path, wanted: str = "") -> str:
    files = result_files(name, root)
    told = "\n".join(_table(path, wanted.split() or ["*"]) for path in files) if files else "*Not run yet.*\n"
    return f"<!-- results of {name}{': ' if wanted else ''}{wanted} -->\n{told}\n<!-- end -->"


def _section(name: str, root: Path) -> str:
    source = (root / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
    said = (ast.get_docstring(ast.parse(source)) or name).split("\n\n")[0].replace("\n", " ")
    return f"## {name}\n\n{said}\n\n```\npython benchmarks/{name}.py --json\n```"


def _table(path: Path, patterns: Sequence[str]) -> str:
    told = json.loads(path.read_text(encoding="utf-8"))
    figures = dict(_flat(told["figures"]))
    chosen = dict.fromkeys(name for p in patterns for name in figures if fnmatchcase(name, p))
    rows = [f"| `{name}` | {_shown(figures[name])} |" for name in chosen]
    more = (
        f" {len(figures) - len(chosen)} more figures are in the file." if len(chosen) < len(figures) else ""
    )
    return "\n".join([_conditions(path, told) + more, "", "| figure | value |", "|---|---:|", *rows, ""])


def _conditions(path: Path, told: Mapping[str, Any]) -> str:
    machine = told.get("machine", {})
    parts = [
        str(machine.get("gpu", "")),
        str(machine.get("cpu", "unknown processor")),
        f"{machine.get('cores', '?')} cores, {machine.get('memory_gib', '?')} GiB",
        str(machine.get("system", "")),
        f"load {machine.get('load_1min')}" if machine.get("load_1min") is not None else "",
        ", ".join(f"{package} {version}" for package, version in told.get("versions", {}).items()),
    ]
    return f"`{path.name}`: {'; '.join(part for part in parts if part)}."


def _flat(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name, value), tables inside tables with a dot between their names."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(_shown(entry) for entry in value)
    return str(value).replace("|", "\\|")


def main() -> None:
    """Write the page, or tell whether it is current."""
    options = argparse.ArgumentParser(description="Write the tables of docs/performance.md.")
    options.add_argument("--check", action="store_true", help="Change nothing; fail when it is not current.")
    page = PAGE.read_text(encoding="utf-8")
    wanted = current(page)
    if options.parse_args().check:
        raise SystemExit(0 if page == wanted else f"{PAGE} is not current: run python benchmarks/_page.py")
    PAGE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
