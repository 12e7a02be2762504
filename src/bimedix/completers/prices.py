"""Prices: a dated table in `prices.toml`, and what a call costs by it."""

import tomllib
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct


class Price(Struct, frozen=True):
    """List price of a model, in USD per million tokens."""

    input: float
    output: float
    cached: float | None = None
    """Input tokens read from the provider's cache; None: at the price of input."""
    batch: float = 1.0
    """Factor on all of it in the batch API."""


class _Row(Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    model: str
    input: float
    output: float
    as_of: str
    source: str
    cached: float | None = None
    batch: float = 1.0


class _Table(Struct, frozen=True):
    note: str
    price: tuple[_Row, ...]


def price_date(base_url: str, model: str) -> str:
    """Return the day that the table's price of a model is of; empty when the table has none."""
    row = _find(base_url, model)
    return row.as_of if row else ""


@cache
def _table() -> _Table:
    text = Path(__file__).with_name("prices.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _Table)


def find_price(base_url: str, model: str) -> Price | None:
    """Return the price of a model at its provider's own address; None when the table has none.

    A dated name (`NAME-2024-07-18`, `NAME-20250514`) takes the price of its name.
    """
    row = _find(base_url, model)
    return Price(row.input, row.output, row.cached, row.batch) if row else None


def _find(base_url: str, model: str) -> _Row | None:
    host = urlsplit(base_url).hostname or ""
    rows = [row for row in _table().price if row.host == host and _is_version(model, row.model)]
    return max(rows, key=lambda row: len(row.model), default=None)


def _is_version(model: str, name: str) -> bool:
    rest = model.removeprefix(name)
    return model == name or (model.startswith(name + "-20") and rest.replace("-", "").isdigit())


def cost_usd(price: Price, tokens_in: int, tokens_out: int, tokens_cached: int = 0) -> float:
    """Return what a call costs online; `tokens_cached` are among `tokens_in`."""
    cached = price.input if price.cached is None else price.cached
    fresh = max(0, tokens_in - tokens_cached)
    return (fresh * price.input + tokens_cached * cached + tokens_out * price.output) / 1e6
