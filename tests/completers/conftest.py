"""The stub endpoint, one process per test module."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from stub import clear, running_stub


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Address of a stub without latency or cap."""
    with running_stub() as address:
        yield address


@pytest.fixture
def address(endpoint: str) -> str:
    """The stub with an empty ledger."""
    clear(endpoint)
    return endpoint
