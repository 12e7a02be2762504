"""Speed and memory by language: measured figures, an estimate beside them, and the published ones.

Table 5 of BiMediX prints latency and tokens per second of an analytic tool, as if measured. Here a row is
either measured (medians of real answers, with intervals) or an estimate (bytes that have to be read for a
token, a stated share of the memory's bandwidth) and says which. Source: moe.md, section 5.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from bimedix.benchmarks import published_rows
from bimedix.evaluate.cells import EFFICIENCY, Sheet, language_name
from bimedix.evaluate.labels import Told
from bimedix.figures.intervals import Point, intervals
from bimedix.model.arithmetic import (
    NF4_BITS,
    Shape,
    active_parameters,
    decode_bytes,
    known_config,
    shape_of,
    weight_bytes,
)
from bimedix.statistics import bootstrap_interval

EFFICIENCY_FILE = "efficiency.json"
KEY_BYTES = 2
"""Bytes of a key or value in the cache: bf16."""
FORMATS: Mapping[str, float] = {"bf16": 16.0, "int8 + scales": 8.25, "nf4": NF4_BITS["bfloat16"]}
"""Bits per weight of attention and experts; a bf16 scale per 64 weights."""
BATCHES = (1, 4, 16)
GB = 1e9


class Card(Struct, frozen=True):
    """What an estimate has to know of a device."""

    name: str
    bandwidth: float
    """Bytes per second that its memory gives."""
    memory: float
    """Bytes; infinite where nobody asks."""


CARDS = {"a100-80": Card("A100-80GB", 2.04e12, 80 * GB), "h200": Card("H200", 4.8e12, 141 * GB)}
"""Bandwidth and memory of the data sheets."""


class Timed(Struct, frozen=True):
    """One answer and when its parts came; seconds from the moment it was asked for."""

    model: str
    id: str
    language: str
    warm_up: bool
    """Before measuring: in the file, in no figure."""
    prompt_tokens: int
    """0: the endpoint did not tell."""
    tokens: int
    """Tokens of the answer; 0: the endpoint did not tell."""
    characters: int
    first_token_s: float
    total_s: float


class Loaded(Struct, frozen=True):
    """A model as it lay in memory."""

    model: str
    device: str
    dtype: str
    weight_bytes: int
    """Of all parameters and buffers."""
    resident_bytes: int
    """Of the process on a CPU, of the allocator on an accelerator, after the answers; 0: not known."""
    peak_bytes: int
    first_answer_s: float
    """The first answer of all, before anything is warm."""
    bandwidth: float = 0.0
    """Bytes per second that this machine reads from its memory, measured; 0: not measured."""


class Measured(Struct, frozen=True):
    """A median over answers, with its interval."""

    value: float
    low: float
    high: float


class Efficiency(Struct, frozen=True):
    """How fast a model answers in one language."""

    model: str
    language: str
    answers: int
    first_token_s: Measured
    tokens_per_s: Measured | None
    """After the first token; None: no tokens were told, or no answer had two."""
    characters_per_s: Measured | None
    """Over the whole answer; None: no answer had any."""
    answer_s: Measured
    characters_per_token: float | None
    """Of all answers together."""


class Estimate(Struct, frozen=True):
    """Tokens per second that reading weights and cache allows; not a measurement."""

    model: str
    device: str
    format: str
    batch: int
    active_parameters: int
    bytes_per_step: float
    """Weights of the experts that a batch hits, expected, and everybody's cache."""
    weight_bytes: float
    fits: bool
    """The weights fit into the device's memory."""
    share_of_bandwidth: float
    tokens_per_s: float
    """Of one answer; a batch writes so many times as much."""


class Speed(Struct, frozen=True):
    """All figures of a run, the estimates apart from what was measured."""

    measured: tuple[Efficiency, ...]
    loaded: tuple[Loaded, ...]
    estimates: tuple[Estimate, ...]
    share_of_bandwidth: float


def summarise(
    rows: Iterable[Timed], *, draws: int = 1_000, seed: int = 17, confidence: float = 0.95
) -> list[Efficiency]:
    """Return the medians of answers by model and language, warm-up left out."""
    cells: dict[tuple[str, str], list[Timed]] = {}
    for row in rows:
        if not row.warm_up:
            cells.setdefault((row.model, row.language), []).append(row)

    def median(values: Sequence[float]) -> Measured:
        low, high = bootstrap_interval(_median, values, draws=draws, seed=seed, confidence=confidence)
        return Measured(_median(values), low, high)

    return [_efficiency(*key, mine, median) for key, mine in cells.items()]


def _efficiency(
    model: str, language: str, rows: Sequence[Timed], median: Callable[[Sequence[float]], Measured]
) -> Efficiency:
    later = [
        (row.tokens - 1) / (row.total_s - row.first_token_s)
        for row in rows
        if row.tokens > 1 and row.total_s > row.first_token_s
    ]
    characters = [row.characters / row.total_s for row in rows if row.characters]
    tokens = sum(row.tokens for row in rows)
    return Efficiency(
        model, language, len(rows),
        first_token_s=median([row.first_token_s for row in rows]),
        tokens_per_s=median(later) if later else None,
        characters_per_s=median(characters) if characters else None,
        answer_s=median([row.total_s for row in rows]),
        characters_per_token=sum(row.characters for row in rows) / tokens if tokens else None,
    )  # fmt: skip


def _median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


# --- the estimate


def estimate(
    name: str, shape: Shape, card: Card, format: str, bits: float, *, batch: int, context: int, share: float
) -> Estimate:
    """Return what one decoding step reads, and the rate that follows.

    Args:
        name: of the model.
        shape: its sizes.
        card: where it runs.
        format: name of the weights' format.
        bits: per weight of attention and experts.
        batch: answers written at once; more of them hit more experts.
        context: tokens in the cache of each.
        share: share of the bandwidth that decoding reaches.
    """
    cache = 2 * shape.layers * shape.kv_heads * shape.head_dim * KEY_BYTES * context * batch
    wider = shape.vocab * shape.hidden * max(0.0, bits / 8 - 2)  # the head, counted as bf16, in float32
    read = decode_bytes(shape, bits, batch) + wider + cache
    whole = weight_bytes(shape, bits) + wider * (1 if shape.tied else 2)
    return Estimate(
        name, card.name, format, batch, active_parameters(shape), read, whole, whole <= card.memory, share,
        share * card.bandwidth / read,
    )  # fmt: skip


def paper_estimates(share: float, *, context: int = 512) -> list[Estimate]:
    """Return the corrected estimate of Table 5's last row: Mixtral 8x7B by device, format and batch."""
    shape = shape_of(known_config("mixtral_8x7b"))
    return [
        estimate("Mixtral-8x7B", shape, card, name, bits, batch=batch, context=context, share=share)
        for card in CARDS.values()
        for name, bits in FORMATS.items()
        for batch in BATCHES
    ]


# --- for people


def efficiency_sheets(speed: Speed) -> list[Sheet]:
    """Return measured figures, memory, the estimate and the published table, each said to be what it is."""
    return [
        _measured_sheet(speed.measured),
        _memory_sheet(speed.loaded),
        _estimate_sheet(speed.estimates, speed.share_of_bandwidth),
        _published_sheet(),
    ]


def _cell(value: Measured | None, digits: int = 3) -> str:
    if value is None:
        return "–"
    return " ".join(
        (_figure(value.value, digits), f"[{_figure(value.low, digits)}, {_figure(value.high, digits)}]")
    )


def _figure(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, and no exponent."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def _measured_sheet(rows: Sequence[Efficiency]) -> Sheet:
    return Sheet(
        "Measured speed",
        (
            "model", "language", "answers", "first token (s)", "tokens per s", "characters per s",
            "seconds per answer", "characters per token",
        ),
        tuple(
            (
                row.model, language_name(row.language), f"{row.answers:,}", _cell(row.first_token_s),
                _cell(row.tokens_per_s), _cell(row.characters_per_s), _cell(row.answer_s),
                "–" if row.characters_per_token is None else f"{row.characters_per_token:.2f}",
            )
            for row in rows
        ),
        notes=(
            "Medians over answers, one at a time, with bootstrap intervals; warm-up answers are left out. "
            "Every answer is in efficiency.jsonl.",
        ),
        part=EFFICIENCY,
    )  # fmt: skip


def _memory_sheet(rows: Sequence[Loaded]) -> Sheet:
    return Sheet(
        "Measured memory",
        ("model", "device", "dtype", "weights (GB)", "resident (GB)", "peak (GB)", "first answer (s)"),
        tuple(
            (
                row.model, row.device, row.dtype, _figure(row.weight_bytes / GB),
                _figure(row.resident_bytes / GB), _figure(row.peak_bytes / GB), _figure(row.first_answer_s),
            )
            for row in rows
        ),
        notes=("All experts are resident, whatever share of them a token uses.",),
        part=EFFICIENCY,
    )  # fmt: skip


def _estimate_sheet(rows: Sequence[Estimate], share: float) -> Sheet:
    return Sheet(
        "Estimated speed, not measured",
        (
            "model", "device", "format", "batch", "active parameters (B)", "weights (GB)",
            "read per step (GB)", "tokens per s of one answer", "tokens per s in all",
        ),
        tuple(
            (
                row.model, row.device, row.format, str(row.batch), f"{row.active_parameters / GB:.1f}",
                _figure(row.weight_bytes / GB) + ("" if row.fits else " (does not fit)"),
                _figure(row.bytes_per_step / GB), _figure(row.tokens_per_s),
                _figure(row.tokens_per_s * row.batch),
            )
            for row in rows
        ),
        notes=(
            f"Estimate: {share:g} of the bandwidth over the bytes that a step reads: attention, head, cache, "
            "and the experts that so many answers at once are expected to hit.",
        ),
        part=EFFICIENCY,
    )  # fmt: skip


WRONG_IN_TABLE_5 = (
    "Quoted figures are analytic, and the table has no memory column: 13 B are active, 47 B are resident.",
    "The estimate is not reproducible from the stated inputs: prompt length, precision and batch are not "
    "given, and the tool counts all experts of a mixture, or one dense model where it is told so. No "
    "one-A100 bf16 setting that reads two experts exceeds 80 tokens per second, and bf16 weights (93 GB) do "
    "not fit one. 180.6 comes out for an A100-40GB pair and Mixtral as one dense 7 B model.",
)


def _published_sheet() -> Sheet:
    rows = published_rows("bimedix-5")
    cells = tuple(
        (f"{row.model} (quoted)", *(f"{value:g}" for value in row.values), row.protocol) for row in rows
    )
    return Sheet(
        "Published speed (BiMediX, Table 5)",
        ("model", "active parameters (B)", "latency (s)", "tokens per s", "protocol"),
        (),
        cells,
        (f"Source: {rows[0].source}. Setting: {rows[0].setting}.", *WRONG_IN_TABLE_5),
        EFFICIENCY,
    )


def efficiency_plot(rows: Sequence[Efficiency], told: Told) -> str:
    """Draw seconds per answer and characters per second by language."""
    units = {"seconds per answer": "answer_s", "characters per s": "characters_per_s"}
    return "".join(_plot(rows, name, told(unit), told) for unit, name in units.items())


def _plot(rows: Sequence[Efficiency], name: str, unit: str, told: Told) -> str:
    points: dict[str, list[Point]] = {}
    for row in rows:
        value: Measured | None = getattr(row, name)
        if value:
            label = told(language_name(row.language))
            points.setdefault(label, []).append(Point(row.model, value.value, value.low, value.high))
    most = max((p.high or p.value for mine in points.values() for p in mine), default=1.0)
    return intervals(points, unit=unit, lowest=0.0, highest=most * 1.05, rtl=told.direction == "rtl")
