"""Settings of completers: what `validate` says, what is opened."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bimedix.completers import Request
from bimedix.completers.prices import _table, find_price
from bimedix.completers.recording import Recorder
from bimedix.completers.settings import CompleterSettings, check, check_settings, open_completer
from bimedix.errors import MissingError, RecipeError
from bimedix.records import Message

GOOD = CompleterSettings(kind="openai", model="gpt-4o-mini")


@pytest.mark.parametrize("settings, said", [
    (CompleterSettings(kind="opena"), "Did you mean 'openai'"),  # type: ignore[arg-type]
    (CompleterSettings(), "needs files"),
    (CompleterSettings(memory=("no.tmx",)), "no.tmx: no such file"),
    (CompleterSettings(kind="recording"), "needs recording"),
    (CompleterSettings(kind="local", model="gone"), "gone: no such file"),
    (CompleterSettings(kind="openai"), "needs model"),
    (CompleterSettings(kind="openai", model="unheard-of"), "price_in and price_out"),
    (CompleterSettings(kind="openai", model="m", unpriced=True, budget_usd=1.0), "budget_usd needs them"),
    (CompleterSettings(kind="openai", model="gpt-4o-mini", base_url="https://proxy.test/v1"), "not known"),
    (CompleterSettings(kind="openai", model="gpt-4o-mini", key_env="NO_SUCH_KEY"), "NO_SUCH_KEY"),
    (CompleterSettings(kind="openai", model="m", unpriced=True, base_url="localhost:1"), "is no address"),
    (CompleterSettings(kind="openai", model="m", unpriced=True, base_url="http://a:b@c/v1"), "use key_env"),
    (CompleterSettings(kind="openai", model="gpt-4o-mini", parallel=0), "parallel = 0"),
    (CompleterSettings(kind="openai", model="gpt-4o-mini", price_in=-1.0), "price_in = -1.0"),
    (CompleterSettings(memory=("x",), fuzzy_threshold=0), "fuzzy_threshold = 0"),
])  # fmt: skip
def test_what_is_wrong_is_said_without_a_network(
    settings: CompleterSettings, said: str, tmp_path: Path
) -> None:
    assert said in "\n".join(check_settings(settings, tmp_path))
    with pytest.raises((RecipeError, MissingError), match=r"^\[completer\] "):
        open_completer(settings, tmp_path)


@pytest.mark.parametrize("settings", [
    GOOD,
    CompleterSettings(kind="openai", model="m", unpriced=True, base_url="http://localhost:8000/v1"),
    CompleterSettings(kind="openai", model="m", price_in=0.0, base_url="http://h/v1", budget_usd=1.0),
    CompleterSettings(kind="anthropic", model="claude-3-haiku-20240307"),
    CompleterSettings(glossary=("g.csv",)),
    CompleterSettings(kind="recording", recording="r.jsonl"),
])  # fmt: skip
def test_good_settings_open(settings: CompleterSettings, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("en,ar\n")
    (tmp_path / "r.jsonl").write_text("")

    assert check_settings(settings, tmp_path) == []
    assert open_completer(settings, tmp_path).name.startswith(settings.kind)


def test_the_name_tells_address_model_and_extra_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-1")
    settings = CompleterSettings(kind="openai", model="gpt-4o", key_env="MY_KEY", extra={"top_p": 0.5})

    assert open_completer(settings, Path()).name == 'openai:https://api.openai.com/v1#gpt-4o?{"top_p":0.5}'


def test_record_to_wraps_the_completer(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("en,ar\n")
    settings = CompleterSettings(glossary=("g.csv",), record_to="out.jsonl")

    assert isinstance(open_completer(settings, tmp_path), Recorder)


def test_parameters_that_a_model_refuses_are_left_out_and_change_the_name() -> None:
    """Reasoning models answer 400 to a temperature."""
    for kind in ("openai", "anthropic"):
        settings = CompleterSettings(kind=kind, model="m", price_in=0.0, leave_out=("temperature",))  # type: ignore[arg-type]
        completer = open_completer(settings, Path())
        body = completer.body(Request((Message("user", "x"),), "p", "r"))  # type: ignore[attr-defined]

        assert completer.name.endswith("#m!temperature")
        assert "temperature" not in body
        assert body["max_tokens"] == 1024


def test_the_price_is_told_with_its_date(tmp_path: Path) -> None:
    [(_, told)] = check(CompleterSettings(kind="anthropic", model="claude-haiku-4-5", mode="batch"), tmp_path)
    [(_, own)] = check(CompleterSettings(kind="openai", model="m", price_in=0.0), tmp_path)

    assert "1 USD per million tokens in, 5 out (x 0.5 by batch), as of 20" in told
    assert "as the recipe has it" in own


def test_every_price_names_its_source_and_date() -> None:
    """One row a model, cached input below fresh, a year in front of the date."""
    rows = _table().price

    assert len({(row.host, row.model) for row in rows}) == len(rows) > 20
    assert all(row.source and re.fullmatch(r"20\d\d-\d\d(-\d\d)?", row.as_of) for row in rows)
    assert all((row.cached or 0) < row.input < row.output for row in rows)


@pytest.mark.parametrize("address, model, known", [
    ("https://api.openai.com/v1", "gpt-4o-mini", True),
    ("https://api.openai.com/v1", "gpt-4o-mini-2024-07-18", True),
    ("https://api.openai.com/v1", "gpt-4o-mini-tuned", False),
    ("https://gateway.test/v1", "gpt-4o-mini", False),
    ("https://api.anthropic.com/v1", "claude-sonnet-4-20250514", True),
    ("https://api.anthropic.com/v1", "claude-haiku-5-5", False),
])  # fmt: skip
def test_prices_hold_for_a_model_and_its_dated_versions_at_their_own_address(
    address: str, model: str, known: bool
) -> None:
    assert (find_price(address, model) is not None) == known


def test_settings_load_quickly() -> None:
    """A recipe is checked without aiohttp, torch or sqlite."""
    code = (
        "import sys, bimedix.completers.settings; print({'aiohttp', 'torch', 'sqlite3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
