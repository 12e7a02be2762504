"""Shared by all tests: the folder of real records, and quiet libraries."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimedix.completers.base import Reply, Request, Talk

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real records that BIMEDIX_DATA names; tests that need it skip without."""
    folder = os.environ.get("BIMEDIX_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("BIMEDIX_DATA names no folder of real records")
    return Path(folder)


Answerer = Callable[[Request], Reply | str]


@pytest.fixture
def drive() -> Callable[[Talk[Any], Answerer], tuple[Any, list[Request]]]:
    """Return a function that runs a talk to its end and gives (result, requests in order)."""

    def run(talk: Talk[Any], answer: Answerer) -> tuple[Any, list[Request]]:
        seen: list[Request] = []
        try:
            requests = next(talk)
            while True:
                replies = []
                for request in requests:
                    seen.append(request)
                    reply = answer(request)
                    ready = reply if isinstance(reply, Reply) else Reply(reply, "script", key=f"k{len(seen)}")
                    replies.append(ready)
                requests = talk.send(tuple(replies))
        except StopIteration as end:
            return end.value, seen

    return run
