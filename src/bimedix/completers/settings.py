"""Which completer a room uses: one table of its recipe, checked without a network."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

from bimedix.completers.base import Completer
from bimedix.completers.prices import Price, find_price, price_date
from bimedix.errors import MissingError, RecipeError, did_you_mean

if TYPE_CHECKING:
    from bimedix.completers.http import HttpEndpoint
    from bimedix.completers.local import LayOut

Kind = Literal["memory", "openai", "anthropic", "local", "recording"]
_FROM = "Paths of a recipe start from its data folder,"
ADDRESSES = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com/v1"}


@dataclass(frozen=True)
class CompleterSettings:
    """One completer, as a recipe describes it."""

    kind: Kind = "memory"
    """memory (offline translation memory), openai (any compatible endpoint), anthropic, local, recording."""
    base_url: str = ""
    """Address of the endpoint, up to and with /v1; empty: the provider's own."""
    model: str = ""
    """Name of the model at the endpoint, or the folder of a local one."""
    key_env: str = ""
    """Name of the environment variable that holds the API key; empty: none is sent."""
    temperature: float = 0.0
    """Rooms write this into their requests; 0 = the most likely answer."""
    max_new_tokens: int = 1024
    """Tokens of an answer, written into requests; a cut answer is asked for again with twice as many."""
    mode: Literal["online", "batch", "auto"] = "online"
    """batch: gathered calls at the provider's batch price, answered within a day (openai, anthropic). auto: a
    batch whenever `batch_from` new calls stand ready and the endpoint has a batch API, else online."""
    parallel: int = 16
    """Calls in flight online at most; the pace, in calls a second, is found out by itself."""
    batch_calls: int = 10_000
    """Calls of one batch at most, and waiting for batches at once. OpenAI takes 50,000, Anthropic 100,000;
    smaller ones come back sooner."""
    batch_from: int = 1_000
    """New calls that have to stand ready for mode auto to send a batch; they are counted after those that
    the ledger answers. Ours: about a minute's work online."""
    budget_usd: float | None = None
    """The most a room may spend in a run folder, resumes included; none: no limit."""
    unpriced: bool = False
    """Go on though the price of the model is not known; the totals then say so."""
    price_in: float | None = None
    """USD per million prompt tokens; goes before the price table. 0 for one's own server."""
    price_out: float | None = None
    """USD per million answer tokens."""
    price_batch: float = 1.0
    """Factor on both by batch, with prices of your own; 0.5 at OpenAI and Anthropic."""
    timeout_s: float = 300.0
    """Seconds for one call."""
    max_wait_s: float = 900.0
    """Seconds a call may be told to wait before the run stops and says when to go on."""
    limit_field: str = "max_tokens"
    """What an OpenAI-compatible endpoint calls its token limit; newer models: max_completion_tokens."""
    extra: dict[str, Any] = field(default_factory=dict)
    """More parameters for the body of every call; part of the call key."""
    leave_out: tuple[str, ...] = ()
    """Parameters that the model refuses, such as temperature; left out of the body, part of the call key."""
    memory: tuple[str, ...] = ()
    """Translation memories of kind `memory`: .tmx, .xlf, or .jsonl of parallel texts."""
    glossary: tuple[str, ...] = ()
    """Glossaries of kind `memory`: .csv with the columns en,ar,category, or TICO-19's."""
    fuzzy_threshold: float = 70.0
    """Least similarity, 0 to 100, of a segment that is taken for a near match."""
    seed: int = 17
    """Fixes the draws of kind `local`; each call draws from (seed, call key)."""
    device: str = "cpu"
    """Where kind `local` runs: cpu, cuda, cuda:1, mps."""
    recording: str = ""
    """The file that kind `recording` answers from."""
    record_to: str = ""
    """A file that every answer is written to, for kind `recording` to answer from later."""


def open_completer(settings: CompleterSettings, base: Path, *, lay_out: "LayOut | None" = None) -> Completer:
    """Return the completer that the settings describe; relative paths start at `base`.

    `lay_out` turns messages into a local model's prompt; without it, its own chat template does.

    Raises:
        RecipeError: a setting is missing or does not fit, or the price of the model is not known.
        MissingError: a file, or the environment variable with the key, is not there.
    """
    wrong, missing = _check(settings, base)
    if wrong:
        raise RecipeError("[completer] " + "\n[completer] ".join(wrong))
    if missing:
        raise MissingError("[completer] " + "\n[completer] ".join(missing))
    completer = _open(settings, base, lay_out)
    if not settings.record_to:
        return completer
    from bimedix.completers.recording import Recorder

    return Recorder(completer, base / settings.record_to)


def files_of(settings: CompleterSettings | None) -> tuple[str, ...]:
    """Return the files that a completer answers from, as its settings name them."""
    if settings is None or settings.kind not in ("memory", "recording"):
        return ()
    named = (*settings.memory, *settings.glossary) if settings.kind == "memory" else (settings.recording,)
    return tuple(name for name in named if name)


def check_settings(settings: CompleterSettings, base: Path) -> list[str]:
    """Return what is wrong with the settings, as far as can be told without a network; empty: nothing."""
    wrong, missing = _check(settings, base)
    return wrong + missing


def _check(settings: CompleterSettings, base: Path) -> tuple[list[str], list[str]]:
    """Return (what has to be changed in the recipe, what is not there)."""
    if settings.kind not in get_args(Kind):
        known = get_args(Kind)
        return [
            f"kind = '{settings.kind}'; known: {', '.join(known)}.{did_you_mean(settings.kind, known)}"
        ], []
    wrong = _check_numbers(settings)
    if settings.mode != "online" and settings.kind not in ADDRESSES:
        wrong.append(f"mode = '{settings.mode}' is there for kinds openai and anthropic.")
    paths: tuple[str, ...] = ()
    missing: list[str] = []
    match settings.kind:
        case "memory":
            paths = (*settings.memory, *settings.glossary)
            if not paths:
                wrong.append('kind = \'memory\' needs files: memory = ["my.tmx"], glossary = ["terms.csv"].')
        case "recording":
            paths = (settings.recording,)
        case "local":
            paths = (settings.model,)
        case "openai" | "anthropic":
            wrong += _check_endpoint(settings)
            if settings.key_env and not os.environ.get(settings.key_env):
                missing.append(
                    f"key_env = '{settings.key_env}': the environment holds no such variable, or it is empty."
                    "\n  Set it in the shell that starts the run; the key itself never goes into a recipe."
                )
    name = "recording" if settings.kind == "recording" else "model"
    wrong += [f"kind = '{settings.kind}' needs {name} = \"a path\"." for path in paths if not path]
    missing += [
        f"{base / path}: no such file.\n  {_FROM} {base}."
        for path in paths
        if path and not (base / path).exists()
    ]
    return wrong, missing


def _check_numbers(settings: CompleterSettings) -> list[str]:
    wrong = []
    for name in ("max_new_tokens", "parallel", "batch_calls", "batch_from", "timeout_s", "max_wait_s"):
        if getattr(settings, name) <= 0:
            wrong.append(f"{name} = {getattr(settings, name)}; it has to be above 0.")
    for name in ("temperature", "budget_usd", "price_in", "price_out", "price_batch"):
        if (getattr(settings, name) or 0) < 0:
            wrong.append(f"{name} = {getattr(settings, name)}; it has to be 0 or above.")
    if not 0 < settings.fuzzy_threshold <= 100:
        wrong.append(f"fuzzy_threshold = {settings.fuzzy_threshold:g}; it lies between 0 and 100.")
    return wrong


def _check_endpoint(settings: CompleterSettings) -> list[str]:
    wrong = []
    if settings.mode == "auto" and settings.batch_from > settings.batch_calls:
        wrong.append(
            f"batch_from = {settings.batch_from} calls never stand ready: at most batch_calls = "
            f"{settings.batch_calls} wait at once."
        )
    address = urlsplit(_address(settings))
    if address.scheme not in {"http", "https"} or not address.hostname:
        wrong.append(f"base_url = '{settings.base_url}' is no address such as http://localhost:8000/v1.")
    if address.username or address.password:
        wrong.append("base_url holds a user name or password; use key_env.")
    if not settings.model:
        wrong.append(f"kind = '{settings.kind}' needs model = \"the model's name at the endpoint\".")
    elif _price(settings) is None and (not settings.unpriced or settings.budget_usd is not None):
        wrong.append(
            f"the price of '{settings.model}' at {address.hostname} is not known.\n"
            "  Set price_in and price_out (USD per million tokens; 0 for your own server)"
            + (", or unpriced = true." if settings.budget_usd is None else "; budget_usd needs them.")
        )
    return wrong


def _address(settings: CompleterSettings) -> str:
    return settings.base_url or ADDRESSES.get(settings.kind, "")


def _price(settings: CompleterSettings) -> Price | None:
    if settings.price_in is not None or settings.price_out is not None:
        return Price(settings.price_in or 0.0, settings.price_out or 0.0, batch=settings.price_batch)
    return find_price(_address(settings), settings.model)


def _price_told(settings: CompleterSettings) -> str:
    """Say what tokens cost, and since when that is known."""
    price = _price(settings)
    if price is None:
        return "price not known"
    told = f"{price.input:g} USD per million tokens in, {price.output:g} out"
    if settings.mode != "online":
        told += f" (x {price.batch:g} by batch)"
    if settings.price_in is not None or settings.price_out is not None:
        return f"{told}, as the recipe has it"
    return f"{told}, as of {price_date(_address(settings), settings.model)}"


def _open(settings: CompleterSettings, base: Path, lay_out: "LayOut | None") -> Completer:
    match settings.kind:
        case "memory":
            from bimedix.completers.memory import MemoryCompleter

            return MemoryCompleter(
                tuple(base / path for path in settings.memory),
                tuple(base / path for path in settings.glossary),
                threshold=settings.fuzzy_threshold,
            )
        case "recording":
            from bimedix.completers.recording import RecordingCompleter

            return RecordingCompleter(base / settings.recording)
        case "local":
            from bimedix.completers.local import LocalCompleter

            return LocalCompleter(
                base / settings.model, lay_out=lay_out, seed=settings.seed, device=settings.device
            )
        case _:
            return _open_endpoint(settings)


def _open_endpoint(settings: CompleterSettings) -> Completer:
    shared: dict[str, Any] = {
        "key": os.environ.get(settings.key_env, "") if settings.key_env else "",
        "parallel": settings.parallel,
        "price": _price(settings),
        "timeout_s": settings.timeout_s,
        "max_wait_s": settings.max_wait_s,
        "extra": settings.extra,
        "leave_out": settings.leave_out,
    }
    online: HttpEndpoint
    if settings.kind == "anthropic":
        from bimedix.completers.anthropic import AnthropicCompleter

        online = AnthropicCompleter(_address(settings), settings.model, **shared)
    else:
        from bimedix.completers.openai import OpenAiCompleter

        shared["limit_field"] = settings.limit_field
        online = OpenAiCompleter(_address(settings), settings.model, **shared)
    return online if settings.mode == "online" else _batched(online, settings)


def _batched(online: "HttpEndpoint", settings: CompleterSettings) -> Completer:
    from bimedix.completers.batch import BatchCompleter
    from bimedix.completers.batch_api import POLL_S, AnthropicBatches, BatchApi, OpenAiBatches

    shape: type[BatchApi] = AnthropicBatches if settings.kind == "anthropic" else OpenAiBatches
    least = settings.batch_from if settings.mode == "auto" else 1
    return BatchCompleter(online, shape(online, poll_s=POLL_S), calls=settings.batch_calls, batch_from=least)


def check(settings: CompleterSettings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell what `bimedix validate` should know of a completer, without a network."""
    wrong, missing = _check(settings, base)
    yield from (("error", text) for text in wrong)
    yield from (("missing", text) for text in missing)
    if wrong or missing:
        return
    if settings.kind in ADDRESSES:
        limit = "no limit" if settings.budget_usd is None else f"at most {settings.budget_usd:g} USD"
        host = urlsplit(_address(settings)).hostname
        yield "ok", f"{settings.kind}: {settings.model} at {host}, {limit}; {_price_told(settings)}"
    else:
        named = settings.model or ", ".join(files_of(settings))
        yield "ok", f"{settings.kind}: {named}"
