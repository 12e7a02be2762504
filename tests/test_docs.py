"""The documentation names only what exists: files, tests, commands, options, recipes, settings, records."""

import re
import runpy
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from bimedix.cli import cli
from bimedix.recipe import read_recipe, shipped_recipes

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "bimedix"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOUR = ROOT / "docs" / "tour.md"
MADE = {"runs", "my_data"}
"""First parts of paths that a reader makes."""

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_COMMAND = re.compile(r"\bbimedix (?=[a-z-])([^\n`#|]*)")


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def code(page: Path) -> Iterator[str]:
    """Yield what stands in fences and between backticks."""
    yield from _FENCE.findall(page.read_text(encoding="utf-8"))
    yield from _SPAN.findall(prose(page))


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


pages = pytest.mark.parametrize("page", PAGES, ids=named)


# --- files and tests ------------------------------------------------------------------------------------


@cache
def first_parts() -> frozenset[str]:
    return frozenset(p.name for folder in (ROOT, PACKAGE) for p in folder.iterdir() if p.name[0] != ".")


def is_project_path(text: str) -> bool:
    """Tell whether code in backticks is meant as a file or folder of the project."""
    if not re.fullmatch(r"[\w.*-]+(/[\w.*-]+)*/?", text) or text.split("/")[0] in MADE:
        return False
    return text.endswith(".py") or ("/" in text and text.split("/")[0] in first_parts())


def paths_missing(page: Path) -> list[str]:
    found = filter(is_project_path, _SPAN.findall(prose(page)))
    return [p for p in found if not any(any(root.glob(p)) for root in (ROOT, PACKAGE))]


@pages
def test_every_path_exists(page: Path) -> None:
    """From the repository's root or from the package, as the pages write them."""
    assert paths_missing(page) == []


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    own = [link for link in _LINK.findall(prose(page)) if "://" not in link]

    assert [link for link in own if not (page.parent / link).exists()] == []


@cache
def defined_tests() -> frozenset[str]:
    files = (ROOT / "tests").rglob("*.py")
    return frozenset(n for f in files for n in re.findall(r"def (test_\w+)", f.read_text(encoding="utf-8")))


@pages
def test_every_test_exists(page: Path) -> None:
    said = {text for text in _SPAN.findall(prose(page)) if re.fullmatch(r"test_\w+", text)}

    assert said - defined_tests() == set()


def test_a_wrong_path_would_be_found(tmp_path: Path) -> None:
    """The reader of pages sees a misspelt file, and leaves alone what is none of the project's."""
    page = tmp_path / "page.md"
    page.write_text(
        "`translate/flaw.py` `mix/settings.py` `records.jsonl` `runs/tiny/x.py` `src/nothing` `a/b`\n"
    )

    assert paths_missing(page) == ["translate/flaw.py", "src/nothing"]


# --- commands and recipes -------------------------------------------------------------------------------


def commands(page: Path) -> list[list[str]]:
    """Return the words after `bimedix` of every command in code."""
    found = (match[1] for text in code(page) for match in _COMMAND.finditer(text.replace("\\\n", " ")))
    return [words for line in found if (words := shlex.split(line.split(" && ")[0], posix=True))]


def complaints(words: list[str]) -> Iterator[str]:
    """Say what in a command does not exist."""
    command = cli.commands.get(words[0])
    if command is None:
        if words[0] not in ("--help", "--version"):
            yield f"no command {words[0]}"
        return
    known = {
        name for p in command.get_params(click.Context(command)) for name in (*p.opts, *p.secondary_opts)
    }
    yield from (f"{words[0]} has no {w}" for w in words[1:] if w.startswith("-") and w not in known)
    given = words[1] if words[0] in ("run", "init", "validate") and len(words) > 1 else ""
    recipe = dict(pairwise(words)).get("--recipe", given)
    if re.fullmatch(r"[a-z_]+", recipe) and recipe not in shipped_recipes():
        yield f"no recipe {recipe}"
    if words[0] == "ls" and len(words) > 1 and words[1] not in next(iter(command.params)).type.choices:
        yield f"ls has no {words[1]}"
    for option, value in pairwise(words):
        if option == "--set":
            read_recipe(Path("tiny"), (value,))  # an unknown key is an error


@pages
def test_every_command_option_and_recipe_exists(page: Path) -> None:
    """As `bimedix --help` and `bimedix ls recipes` have them; `--set` names real keys."""
    assert [told for words in commands(page) for told in complaints(words)] == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("shew runs/tiny", "no command shew"),
        ("run tiny --untill mix", "run has no --untill"),
        ("run tyny", "no recipe tyny"),
        ("ls recipe", "ls has no recipe"),
        ("run tiny --until mix", ""),
    ],
)
def test_a_wrong_command_would_be_found(line: str, told: str) -> None:
    assert list(complaints(line.split())) == ([told] if told else [])


def test_the_pages_show_commands() -> None:
    """The reader of commands finds those of the README, so the tests above are about something."""
    shown = {words[0] for words in commands(ROOT / "README.md")}

    assert {"run", "show", "chat", "init", "validate", "ls"} <= shown


# --- what the papers' page promises ---------------------------------------------------------------------


def test_every_contradiction_has_a_ruling() -> None:
    """C1 to C21 and D1 to D10, one row each."""
    rows = re.findall(
        r"^\| ([CD]\d+) \|", (ROOT / "docs" / "papers.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert rows == [f"C{n}" for n in range(1, 22)] + [f"D{n}" for n in range(1, 11)]


# --- performance ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def performance() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "_page.py"))


def test_the_page_of_figures_is_current(performance: dict[str, Any]) -> None:
    """A section per benchmark, with the tables of the committed results; benchmarks/_page.py makes it."""
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")

    assert page == performance["current"](page), "run python benchmarks/_page.py"


def test_results_become_a_table_with_their_conditions(performance: dict[str, Any], tmp_path: Path) -> None:
    """Nested figures by name, other machines beside, an unmeasured benchmark said to be so."""
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    for name in ("fast", "slow"):
        (tmp_path / "benchmarks" / f"{name}.py").write_text(f'"""How {name} it is.\n\nMore."""\n')
    told = (
        '{"figures": {"a_s": 0.12345, "by": {"n": 12000}, "ok": true}, "machine": {"cpu": "X", "cores": 2}}'
    )
    (results / "fast.json").write_text(told)
    (results / "fast-large.json").write_text(told.replace('"X"', '"Y"'))
    page = performance["current"]("# Performance\n", tmp_path)

    assert "## fast\n\nHow fast it is.\n" in page and "python benchmarks/fast.py --json" in page
    assert page.count("| `a_s` | 0.1235 |\n| `by.n` | 12,000 |\n| `ok` | yes |") == 2
    assert page.index("`fast.json`: X; 2 cores") < page.index("`fast-large.json`: Y; 2 cores")
    assert page.endswith("<!-- results of slow -->\n*Not run yet.*\n\n<!-- end -->\n")
    assert performance["current"](page, tmp_path) == page
    fewer = performance["current"](page.replace("of fast -->", "of fast: ok by.* -->"), tmp_path)
    assert (
        fewer.count(
            "1 more figures are in the file.\n\n| figure | value |\n|---|---:|\n| `ok` | yes |\n| `by.n`"
        )
        == 2
    )


# --- the tour -------------------------------------------------------------------------------------------


def shown_blocks() -> list[tuple[str, list[str]]]:
    """Return (command, output) of the tour's blocks on stages up to the mix."""
    blocks = re.findall(
        r"^```console\n\$ bimedix (.*)\n((?:.*\n)*?)```", TOUR.read_text("utf-8"), re.MULTILINE
    )
    return [(command, text.splitlines()) for command, text in blocks if re.search(r"/0[1-6]_", command)]


def agrees(shown: list[str], printed: list[str]) -> bool:
    """Compare an output that was shortened, where `…` stands for any lines, with a whole one."""
    pattern = "".join(r"(?:.*\n)*" if line == "…" else re.escape(line) + "\n" for line in shown)
    return re.fullmatch(pattern, "".join(line.rstrip() + "\n" for line in printed)) is not None


@pytest.mark.slow
def test_the_tour_shows_what_the_demo_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo is run up to the mix, and every shown output compared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    done = CliRunner().invoke(cli, ["run", "tiny", "--until", "mix", "--quiet"])
    assert done.exit_code == 0, done.output
    blocks = shown_blocks()

    assert len(blocks) >= 6
    for command, shown in blocks:
        printed = CliRunner().invoke(cli, shlex.split(command)).stdout.splitlines()
        assert agrees(shown, printed), "\n".join([command, *printed])
