"""The command line: answers at once, without torch; errors are messages with exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bimedix.cli import cli

ROOT = Path(__file__).resolve().parents[1]
LIGHT = (
    ["--help"],
    ["ls", "sources"],
    ["ls", "recipes"],
    ["ls", "checks"],
    ["ls", "schema"],
    ["validate", "tiny"],
)


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_looking_needs_no_torch_and_little_time(arguments: list[str]) -> None:
    """Under half a second of processor time, with torch installed but never imported."""
    program = (
        "import sys, time\n"
        f"sys.argv = ['bimedix', *{arguments!r}]\n"
        "from bimedix.cli import main\n"
        "code = 0\n"
        "try:\n    main()\nexcept SystemExit as end:\n    code = end.code or 0\n"
        "heavy = {'torch', 'transformers', 'pyarrow'} & set(sys.modules)\n"
        "print(time.process_time(), sorted(heavy), code, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    seconds, rest = done.stderr.splitlines()[-1].split(" ", 1)

    assert rest == "[] 0"
    assert float(seconds) < 0.5


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"])

    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) > 4


@pytest.mark.parametrize("what", ["recipes", "sources", "languages", "checks", "benchmarks"])
def test_lists_are_rows_with_a_head(what: str) -> None:
    rows = json.loads(CliRunner().invoke(cli, ["ls", what, "--json"]).output)

    assert len(rows) > 2
    assert {len(row) for row in rows} == {len(rows[0])}


def test_a_recipe_is_copied_so_that_it_still_finds_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli, ["init", "tiny", "mine.toml"]).exit_code == 0

    checked = CliRunner().invoke(cli, ["validate", "mine.toml", "--json"])

    assert {line["level"] for line in json.loads(checked.output)} == {"ok"}
