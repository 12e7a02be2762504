"""Settings of a training run; free of torch."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bimedix.errors import UsageError
from bimedix.files import read_json
from bimedix.model.arithmetic import (
    NF4_BITS,
    OPTIMIZER_BYTES,
    OptimizerFormat,
    Shape,
    count_parameters,
    known_config,
    memory,
    shape_of,
    trainable_parameters,
)
from bimedix.model.settings import AdapterSettings, TinySettings

LongRecords = Literal["split", "drop"]
KNOWN_SHAPES = {"mixtral-8x7b": "mixtral_8x7b", "llama-3-8b": "llama3_8b"}
"""Part of a hub id, in lower case, and the built-in config that has its shape."""


@dataclass(frozen=True)
class Phase:
    """One pass of the loop over the mix: train the base itself, or adapters beside it."""

    mode: Literal["full", "adapter"] = "adapter"
    """`full` trains all weights (how a tiny base is made); `adapter` freezes them (QLoRA, LoRA)."""
    supervise: Literal["replies", "all"] = "replies"
    """Tokens that bear loss: replies with their stop token (BiMediX, section 3.2), or every next token."""
    epochs: float = 2.0
    """Passes over the mix (BiMediX, section 4.1)."""
    batch_size: int = 16
    """Conversations per optimizer step, over all devices (BiMediX, section 4.1)."""
    learning_rate: float = 2e-4
    """Highest learning rate of AdamW (BiMediX, section 4.1)."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the rate falls after the warm-up: to zero, or not at all (BiMediX, section 4.1: cosine)."""
    warmup_steps: int = 10
    """Optimizer steps in which the rate rises from zero (BiMediX, section 4.1)."""
    weight_decay: float = 0.0
    """AdamW's decay of matrices per step, times the rate (not given by the paper)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay of the two moments per step."""
    max_gradient_norm: float = 1.0
    """Gradients are scaled down to this norm; 0 leaves them as they are."""
    data: Literal["conversations", "passages"] = "conversations"
    """What is read of the mix: chats, or running text for continued pre-training (MMedLM, section 5)."""
    types: tuple[Literal["qa", "mcqa", "chat"], ...] = ()
    """Types of conversations to read; empty: all (BiMediX trains on all three together)."""
    warmup_share: float = 0.0
    """Share of the steps in which the rate rises, in place of `warmup_steps` when above 0 (MMedLM: 0.01)."""
    patience: int = 0
    """Validations without gain after which the phase ends; 0: never early (the papers do not validate)."""
    min_gain: float = 0.0
    """Nats per token by which a validation loss has to be below the lowest so far to count as gain."""
    keep_best: bool = False
    """End with the weights of the lowest validation loss in place of the last ones."""

    def warmup(self, total: int) -> int:
        """Return the warm-up of a phase of `total` steps, in steps."""
        return math.ceil(total * self.warmup_share) if self.warmup_share else self.warmup_steps

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_share < 1:
            raise UsageError(f"warmup_share = {self.warmup_share:g}; a share is 0 to below 1.")
        if self.data == "passages" and self.supervise != "all":
            raise UsageError('data = "passages" holds no replies: it needs supervise = "all".')
        if self.patience < 0 or self.min_gain < 0:
            raise UsageError(
                f"patience {self.patience}, min_gain {self.min_gain:g}: neither may be below zero."
            )
        if self.epochs <= 0 or self.batch_size < 1 or self.learning_rate <= 0:
            raise UsageError(
                f"phase of {self.epochs} epochs, batch size {self.batch_size}, rate {self.learning_rate}: "
                "all three need to be above zero."
            )


@dataclass(frozen=True)
class Settings:
    """One training run: the base, its phases in order, and how much goes through at once."""

    base: str = "tiny"
    """`tiny` for a random small Mixtral, else a model folder or hub id with safetensors."""
    tiny: TinySettings = field(default_factory=TinySettings)
    """Shape of the tiny base."""
    tokenizer: str = ""
    """`mixtral` for the built-in one, a folder or hub id; empty: the base's own (`mixtral` for tiny)."""
    template: str = "mixtral"
    """Chat layout: `mixtral`, `vicuna`, or `tokenizer` for the one that the tokenizer carries."""
    adapter: AdapterSettings = field(default_factory=AdapterSettings)
    """Rank, targets and router of the adapters."""
    phases: tuple[Phase, ...] = (Phase(),)
    """What is trained, one after the other; `full` phases come first."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of weights and activations; adapters and the optimizer are float32 always."""
    max_tokens_per_sample: int = 2048
    """Limit of a sample; what is longer is handled by `long_records`, and never cut."""
    max_tokens_per_micro_batch: int = 8192
    """Documents are laid end to end up to this many tokens; 8,192 hides NF4's unpacking (moe.md, 4)."""
    balance_coefficient: float = 0.0
    """Weight of the router's load-balancing loss (mean over tokens and layers; equal loads give K)."""
    recompute: Literal["none", "gate_up", "layers", "auto"] = "none"
    """What backward computes again to save memory: nothing, the experts' pre-activations, whole layers; or,
    layer by layer, the fastest mix that fits (`auto`), with experts kept unpacked where there is room."""
    checkpoint_every_steps: int = 200
    """Optimizer steps between checkpoints, from which a killed run goes on; 0: none."""
    validate_every_steps: int = 0
    """Optimizer steps between validations; 0: at the end of each phase only."""
    keep_unmerged_only: bool = True
    """False: also write `merged/`, a plain checkpoint with the adapters added in."""
    long_records: LongRecords = "split"
    """Dialogues above the limit: in parts, cut between exchanges, the first exchange again as context without
    loss; or left out (`drop`). Whatever cannot be split so is left out, whole and with the reason."""
    packing: Literal["step", "rows"] = "step"
    """`step`: the conversations of a step are packed together, as the paper counts its batch; `rows`: all
    samples are packed into rows of `max_tokens_per_micro_batch` beforehand, and `batch_size` counts rows."""
    prepared: str = ""
    """Folder of tokenised shards, which runs may share; empty: `prepared` in the folder of the run."""
    prepare_processes: int = 0
    """Processes that tokenise; 0: one per core."""
    optimizer: OptimizerFormat = "adamw_float32"
    """AdamW in float32; with moments in blocks of eight bits; and, too, adapters in bfloat16, rounded at
    random. Bytes per trained parameter: 16, 10, 6."""
    z_coefficient: float = 0.0
    """Weight of the router's z-loss, the squared log-sum of its scores (ST-MoE, arXiv 2202.08906: 0.001)."""
    memory_gb: float = 0.0
    """Memory of one device in GB (1e9 bytes) for `auto` and the check before the start; 0: what it has."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Where figures of every step go besides `metrics.jsonl`; never a text of the data."""

    def __post_init__(self) -> None:
        modes = [phase.mode for phase in self.phases]
        if not modes or modes != sorted(modes, reverse=True) or modes.count("adapter") > 1:
            raise UsageError(
                f"train: phases {modes}; needed: any number of 'full', then at most one 'adapter'."
            )
        if self.max_tokens_per_sample > self.max_tokens_per_micro_batch:
            raise UsageError(
                f"train: max_tokens_per_sample {self.max_tokens_per_sample} is above "
                f"max_tokens_per_micro_batch {self.max_tokens_per_micro_batch}; a sample has to fit in one."
            )
        if any(phase.patience for phase in self.phases) and not self.validate_every_steps:
            raise UsageError("train: `patience` needs validations; set validate_every_steps above 0.")


def check(settings: Settings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell what is trained and what it needs on each device, from the base's config alone; no torch."""
    config, where = base_config(settings, base)
    if config is None:
        yield "missing", where
        return
    yield "ok", f"base {settings.base}: {where}"
    shape = shape_of(config)
    whole = count_parameters(shape).total
    for phase in settings.phases:
        trained = whole if phase.mode == "full" else trainable_parameters(shape, settings.adapter)
        share = f"{_amount(trained)} of {_amount(whole)} parameters = {100 * trained / whole:.2f} %"
        yield "ok", f"phase {phase.mode}: {share} trainable"
        yield "ok", f"phase {phase.mode}: memory per GPU {_memory(settings, shape, phase)}"
    yield from _check_template(settings, base)


def _check_template(settings: Settings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell when the tokenizer is to lay chats out and carries no template; a hub id is seen when fetched."""
    if settings.template != "tokenizer":
        return
    name = tokenizer_name(settings)
    folder = base / name
    told = folder / "tokenizer_config.json"
    has = (folder / "chat_template.jinja").is_file() or (
        told.is_file() and bool(read_json(told).get("chat_template"))
    )
    if name == "mixtral" or (folder.is_dir() and not has):
        where = "the built-in tokenizer" if name == "mixtral" else str(folder)
        yield "error", f"template = 'tokenizer': {where} carries no chat template; use 'mixtral' or 'vicuna'"


def tokenizer_name(settings: Settings) -> str:
    """Return the tokenizer of a run: `mixtral` for the built-in one, a folder or a hub id."""
    return settings.tokenizer or ("mixtral" if settings.base == "tiny" else settings.base)


def _amount(parameters: int) -> str:
    """Return a count as it is, from ten million on in millions."""
    return f"{parameters:,}" if parameters < 10_000_000 else f"{parameters / 1e6:,.1f} M"


def base_config(settings: Settings, base: Path) -> tuple[Mapping[str, Any] | None, str]:
    """Return the config of the base and where it is from, or None and what is missing."""
    if settings.base == "tiny":
        return _tiny_config(settings.tiny), "random weights of the shape [train.tiny]"
    folder = base / settings.base
    if (folder / "config.json").is_file():
        return read_json(folder / "config.json"), f"{folder}"
    if folder.is_dir() or settings.base.startswith((".", "/", "~")) or settings.base.count("/") != 1:
        return None, f"{folder}: no model folder with a config.json, and no hub id (owner/name)"
    for part, name in KNOWN_SHAPES.items():
        if part in settings.base.lower():
            return known_config(name), "a hub id of known shape; fetched when training starts, unless cached"
    return None, f"base {settings.base}: a hub id of no known shape; fetch it first, and give its folder"


def _tiny_config(tiny: TinySettings) -> dict[str, Any]:
    return {
        "model_type": "mixtral", "hidden_size": tiny.hidden, "intermediate_size": tiny.ffn,
        "num_hidden_layers": tiny.layers, "num_attention_heads": tiny.heads,
        "num_key_value_heads": tiny.kv_heads, "num_local_experts": tiny.experts,
        "num_experts_per_tok": tiny.experts_per_token, "vocab_size": tiny.vocab,
    }  # fmt: skip


def _memory(settings: Settings, shape: Shape, phase: Phase) -> str:
    """Return GB (1e9 bytes) by part: frozen weights, what is trained with its optimizer, activations."""
    plain = 32.0 if settings.dtype == "float32" else 16.0
    bits = NF4_BITS["bfloat16"] if settings.adapter.base == "nf4" and phase.mode == "adapter" else plain
    found = memory(
        shape, settings.adapter, settings.max_tokens_per_micro_batch, optimizer=settings.optimizer, bits=bits,
        recompute="layers" if settings.recompute == "auto" else settings.recompute,
    )  # fmt: skip
    parts = {
        "weights": found.weights, "adapters and AdamW": found.adapters, "activations": found.activations,
        "scratch": found.scratch,
    }  # fmt: skip
    if phase.mode == "full":
        whole = count_parameters(shape).total * OPTIMIZER_BYTES[settings.optimizer]
        parts = {"weights and AdamW": whole, "activations": found.activations}
    listed = " + ".join(f"{name} {size / 1e9:,.1f}" for name, size in parts.items() if size)
    return f"{sum(parts.values()) / 1e9:,.1f} GB = {listed}"
