"""A driver for talks: no network, no ledger, replies by a plain function."""

from collections.abc import Callable
from typing import Any

import pytest

from bimedix.completers.base import Reply, Request, Talk

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
