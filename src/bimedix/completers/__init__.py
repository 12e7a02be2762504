"""Completers: whatever answers a request (an endpoint, a local model, a recording, a translation memory).

A room never calls one. It writes a *talk*: a generator that yields requests and is sent replies, pure and
testable without a network. `run_talks` drives many talks at once, keeps every answer in the call ledger
before anyone reads it, and never pays for the same call twice.

`runner` and the endpoints are imported where they are used: aiohttp and sqlite3 take their time, and a
recipe that is only checked needs neither.
"""

from bimedix.completers.base import Completer, Job, Reply, Request, Talk

__all__ = ["Completer", "Job", "Reply", "Request", "Talk"]
