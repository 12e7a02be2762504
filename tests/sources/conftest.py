"""Helpers for the tests of readers: invented files in the published layouts, and the real ones if given."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimedix.sources import source
from bimedix.sources.base import Given, Options

Read = Callable[..., list[Given]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    """Write bytes, text, a list of objects (JSON Lines) or any other value (JSON) below the test's folder."""

    def _write(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list) and path.suffix == ".jsonl":
            content = "\n".join(json.dumps(row, ensure_ascii=False) for row in content) + "\n"
        if not isinstance(content, str | bytes):
            content = json.dumps(content, ensure_ascii=False)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


@pytest.fixture
def read() -> Read:
    """Read one file with a source's reader: `read("medqa", path, language="zh")`."""

    def _read(name: str, path: Path, **options: Any) -> list[Given]:
        return list(source(name).read(path, Options(**options)))

    return _read


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real samples that `BIMEDIX_DATA` names; the test is skipped without it."""
    folder = os.environ.get("BIMEDIX_DATA", "")
    if not folder:
        pytest.skip("BIMEDIX_DATA is not set")
    return Path(folder)
