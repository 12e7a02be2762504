"""The rival arms of benchmarks/calls.py: what is left out is named, with the reason."""

import argparse
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def calls() -> Iterator[ModuleType]:
    before = sys.path.copy()
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    yield import_module("calls")
    sys.path[:] = before


def test_arms_without_a_python_are_left_out_by_name(
    calls: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No environment given: no figures of peers, and each arm is named with the option it needs."""
    monkeypatch.setattr(calls, "billed", lambda _: pytest.fail("nothing is asked of the stub"))
    figures = calls.measure_peers({}, "http://127.0.0.1:9/v1", tmp_path, 2, "hash")

    assert figures == {
        "left_out": [
            "curator (no --peer-python curator=PATH)",
            "datatrove (no --peer-python datatrove=PATH)",
            "datatrove_unkept (no --peer-python datatrove=PATH)",
        ]
    }


def test_a_peer_that_does_not_run_is_left_out_with_its_reason(calls: ModuleType, tmp_path: Path) -> None:
    """A Python without the package, and one that is not there."""
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(["a"]))
    bare = tmp_path / "bare"
    bare.write_text("#!/bin/sh\necho 'ModuleNotFoundError: no curator' >&2\nexit 1\n")
    bare.chmod(0o755)
    said = calls.run_peer("curator", str(bare), "http://127.0.0.1:9/v1", tmp_path / "a", prompts)
    missing = calls.run_peer("curator", str(tmp_path / "none"), "x", tmp_path / "b", prompts)

    assert said == "ModuleNotFoundError: no curator"
    assert "No such file" in missing


def test_a_peer_with_other_answers_stops_the_run(
    calls: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures of unlike work are not compared."""
    monkeypatch.setattr(calls, "billed", lambda _: 0)
    monkeypatch.setattr(calls, "run_peer", lambda *_: {"records_per_s": 1.0, "hash": "other"})

    with pytest.raises(SystemExit, match="curator did not give the same answers"):
        calls.measure_peers({"curator": sys.executable}, "x", tmp_path, 2, "ours")


def test_an_unknown_peer_is_named_with_those_known(calls: ModuleType) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="curator, datatrove"):
        calls.read_peer("other=/bin/python")
    assert calls.read_peer("datatrove=/x/python") == ("datatrove", "/x/python")
