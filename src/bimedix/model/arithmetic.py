"""What a model costs, from its config alone: parameters, adapter sizes, memory, FLOPs. Needs no torch.

Formulas and figures: docs/decisions on the mixture-of-experts engine; GB are 1e9 bytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from bimedix.errors import DataError, did_you_mean
from bimedix.model.settings import AdapterSettings

MODEL_TYPES = ("mixtral", "qwen3_moe", "llama", "mistral", "qwen2", "qwen3")
NF4_BITS = {"float32": 4.5, "bfloat16": 4.25, "nested": 4.127}
"""Bits per weight by the format of the scales, one per 64 weights; nested: 8-bit scales in blocks of 256."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder-only model that decide what it costs."""

    hidden: int
    ffn: int
    """Width inside one expert, or of a dense MLP."""
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    experts: int
    """1 for a dense model."""
    experts_per_token: int
    moe: bool
    """There is a router."""
    dense_layers: int = 0
    """Layers of a sparse model that keep a dense MLP."""
    dense_ffn: int = 0
    """Width of those."""
    tied: bool = False
    """Head and embeddings are one matrix."""
    attention_biases: int = 0
    """Bias terms of q, k, v, o per layer."""
    qk_norm: bool = False
    """Norms on the heads of q and k (Qwen3)."""


@cache
def known_config(name: str = "mixtral_8x7b") -> Mapping[str, Any]:
    """Return a config that ships with the package."""
    folder = files("bimedix.model") / "configs"
    path = folder / f"{name}.json"
    if not path.is_file():
        known = [p.name.removesuffix(".json") for p in folder.iterdir() if p.name.endswith(".json")]
        raise DataError(f"no built-in config '{name}'.{did_you_mean(name, known)} Known: {', '.join(known)}.")
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def shape_of(config: Mapping[str, Any]) -> Shape:
    """Read the sizes from a `config.json`.

    Raises:
        DataError: the model type is not one of ours, or a key is missing.
    """
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        raise DataError(
            f"config.json: model_type {kind!r}; known: {', '.join(MODEL_TYPES)}."
            f"{did_you_mean(str(kind), MODEL_TYPES)}"
        )

    def size(key: str, default: int | None = None) -> int:
        value = config.get(key, default)
        if value is None and default is not None:
            value = default
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise DataError(f"config.json: {key} is {value!r}; a whole number is needed.")
        return value

    heads, hidden, layers = size("num_attention_heads"), size("hidden_size"), size("num_hidden_layers")
    kv_heads = size("num_key_value_heads", heads)
    head_dim = size("head_dim", hidden // heads)
    biased = bool(config.get("attention_bias", False))
    shared: dict[str, Any] = {
        "hidden": hidden, "layers": layers, "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim,
        "vocab": size("vocab_size"), "tied": bool(config.get("tie_word_embeddings", False)),
        "qk_norm": kind in ("qwen3", "qwen3_moe"),
    }  # fmt: skip
    qkv = head_dim * (heads + 2 * kv_heads)
    if kind == "qwen2":
        shared["attention_biases"] = qkv
    elif biased:
        shared["attention_biases"] = qkv + hidden
    if kind == "mixtral":
        return Shape(
            ffn=size("intermediate_size"), experts=size("num_local_experts", 8),
            experts_per_token=size("num_experts_per_tok", 2), moe=True, **shared,
        )  # fmt: skip
    if kind == "qwen3_moe":
        step, dense = size("decoder_sparse_step", 1), config.get("mlp_only_layers") or []
        plain = sum(1 for i in range(layers) if i in dense or (i + 1) % step)
        return Shape(
            ffn=size("moe_intermediate_size"), experts=size("num_experts", config.get("num_local_experts")),
            experts_per_token=size("num_experts_per_tok"), moe=True,
            dense_layers=plain, dense_ffn=size("intermediate_size", 0), **shared,
        )  # fmt: skip
    return Shape(ffn=size("intermediate_size"), experts=1, experts_per_token=1, moe=False, **shared)


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters by part, over all layers."""

    embeddings: int
    """Embeddings and, where it is a matrix of its own, the head."""
    attention: int
    experts: int
    """Experts of all layers, or dense MLPs."""
    router: int
    norms: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.embeddings + self.attention + self.experts + self.router + self.norms


def _matrices(s: Shape) -> dict[str, tuple[int, int, int]]:
    """Return target to (inputs, outputs, how many in the whole model)."""
    queries, keys = s.heads * s.head_dim, s.kv_heads * s.head_dim
    sparse = s.layers - s.dense_layers
    found = {
        "q": (s.hidden, queries, s.layers),
        "k": (s.hidden, keys, s.layers),
        "v": (s.hidden, keys, s.layers),
        "o": (queries, s.hidden, s.layers),
        "w1": (s.hidden, s.ffn, s.experts * sparse),
        "w2": (s.ffn, s.hidden, s.experts * sparse),
        "w3": (s.hidden, s.ffn, s.experts * sparse),
    }
    if s.moe:
        found["gate"] = (s.hidden, s.experts, sparse)
    return found


def count_parameters(s: Shape) -> Parameters:
    """Count parameters by part."""
    sizes = {name: i * o * n for name, (i, o, n) in _matrices(s).items()}
    norms = (2 * s.layers + 1) * s.hidden + (2 * s.head_dim * s.layers if s.qk_norm else 0)
    return Parameters(
        embeddings=s.vocab * s.hidden * (1 if s.tied else 2),
        attention=sum(sizes[t] for t in "qkvo") + s.layers * s.attention_biases,
        experts=sizes["w1"] + sizes["w2"] + sizes["w3"] + 3 * s.dense_layers * s.hidden * s.dense_ffn,
        router=sizes.get("gate", 0),
        norms=norms,
    )


def active_parameters(s: Shape) -> int:
    """Return weights that one token is multiplied with: its experts, attention, router and the head."""
    sizes = {name: i * o * n for name, (i, o, n) in _matrices(s).items()}
    experts = (sizes["w1"] + sizes["w2"] + sizes["w3"]) // s.experts * s.experts_per_token
    dense = 3 * s.dense_layers * s.hidden * s.dense_ffn
    return sum(sizes[t] for t in "qkvo") + experts + dense + sizes.get("gate", 0) + s.vocab * s.hidden


def trainable_parameters(s: Shape, adapter: AdapterSettings) -> int:
    """Count what adapters of these settings train: r (in + out) per matrix, or the router's own matrix.

    On sparse models w1, w2, w3 are the experts'; dense layers beside them get adapters as well.
    """
    total = 0
    for target, (inputs, outputs, count) in _matrices(s).items():
        if target not in adapter.targets:
            continue
        if target == "gate":
            sizes = {"frozen": 0, "full": inputs * outputs, "lora": adapter.rank * (inputs + outputs)}
            total += count * sizes[adapter.router_mode]
        else:
            total += count * adapter.rank * (inputs + outputs)
    inner = sum(t in adapter.targets for t in ("w1", "w2", "w3"))
    return total + inner * s.dense_layers * adapter.rank * (s.hidden + s.dense_ffn)


def adapter_flops_weights(s: Shape, adapter: AdapterSettings) -> int:
    """Return adapter weights that one token is multiplied with."""
    whole = trainable_parameters(s, adapter)
    experts = sum(
        adapter.rank * (i + o) * n
        for target, (i, o, n) in _matrices(s).items()
        if target in adapter.targets and target in ("w1", "w2", "w3")
    )
    return whole - experts + experts // s.experts * s.experts_per_token


Recompute = Literal["none", "gate_up", "layers"]
POLICIES: tuple[Recompute, ...] = ("none", "gate_up", "layers")
"""What a layer computes again in backward, from fastest to leanest."""


@dataclass(frozen=True)
class Flops:
    """FLOPs of one token in training, by part."""

    base: float
    """Products with frozen weights: 2N forward, 2N backward for dX, and what is computed again."""
    adapters: float
    """Products with A and B: forward, dX, dA and dB, and what is computed again."""
    attention: float
    """Scores and values, causal, forward and backward (2.5 times the forward)."""

    @property
    def total(self) -> float:
        """All of them."""
        return self.base + self.adapters + self.attention


def training_flops(s: Shape, adapter: AdapterSettings, context: int, recompute: Recompute = "none") -> Flops:
    """Return FLOPs per token of a step with frozen base and adapters.

    Args:
        s: the model.
        adapter: what is trained.
        context: tokens per document; attention is causal within it.
        recompute: `layers` runs the forward twice, `gate_up` its w1 and w3 products, `none` nothing.
    """
    n, a = 2.0 * active_parameters(s), 2.0 * adapter_flops_weights(s, adapter)
    again = {"none": 0.0, "gate_up": 2.0 / 3.0 * _expert_share(s), "layers": 1.0}[recompute]
    # One causal pass: 2 products of 2 FLOPs over half the square.
    pass_ = 2.0 * context * s.heads * s.head_dim * s.layers
    twice = 1.0 if recompute == "layers" else 0.0
    return Flops(n * (2 + again), a * (3 + again), pass_ * (1 + twice + 2.5))


def _expert_share(s: Shape) -> float:
    sizes = {name: i * o * n for name, (i, o, n) in _matrices(s).items()}
    experts = (sizes["w1"] + sizes["w2"] + sizes["w3"]) / s.experts * s.experts_per_token
    return experts / active_parameters(s)


OptimizerFormat = Literal["adamw_float32", "adamw_8bit", "adamw_8bit_bfloat16"]
OPTIMIZER_BYTES: dict[OptimizerFormat, float] = {
    "adamw_float32": 16.0,
    "adamw_8bit": 4 + 4 + 2 * 1.016,
    "adamw_8bit_bfloat16": 2 + 2 + 2 * 1.016,
}
"""Bytes per trained parameter: parameter, gradient and two moments (8-bit moments with a scale per 256)."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device, by part."""

    weights: float
    """Frozen weights: matrices in their format, embeddings and head in bf16, router and norms in fp32."""
    adapters: float
    """Trained parameters, their gradients and the optimizer's moments."""
    activations: float
    """What the forward pass keeps for backward, and what backward holds of one layer at a time."""
    scratch: float
    """Backward in one expert, and when the base is NF4 two buffers for an expert's weights in bf16."""

    @property
    def total(self) -> float:
        """All of them."""
        return self.weights + self.adapters + self.activations + self.scratch


def weight_bytes(s: Shape, bits: float) -> float:
    """Return bytes of the base with `bits` per weight of attention and experts."""
    parts = count_parameters(s)
    matrices = parts.attention + parts.experts
    return matrices * bits / 8 + parts.embeddings * 2 + (parts.router + parts.norms) * 4


def kept_bytes(s: Shape, recompute: Recompute) -> int:
    """Return bytes that one token leaves in one layer for backward, with bf16 activations.

    `none` keeps the block inputs x and mid, q, k, v, the attention's output and its log-sum, and [g, u] of
    the token's experts; `gate_up` all but the last; `layers` only the layer's input.
    """
    if recompute == "layers":
        return 2 * s.hidden
    return _attention_bytes(s) + (_gate_up_bytes(s) if recompute == "none" else 0)


def live_bytes(s: Shape, recompute: Recompute) -> int:
    """Return bytes per token that a layer holds on top only while its own backward runs.

    `layers` computes all of it again, with all rows of its experts at once (tokens in and out, [g, u],
    silu(g) and h); `gate_up` computes [g, u] of one expert.
    """
    return {
        "none": 0,
        "gate_up": _gate_up_bytes(s) // s.experts_per_token,
        "layers": _attention_bytes(s) + 2 * _gate_up_bytes(s) + 4 * s.hidden * s.experts_per_token,
    }[recompute]


def _attention_bytes(s: Shape) -> int:
    queries, keys = s.heads * s.head_dim, s.kv_heads * s.head_dim
    return 2 * (2 * s.hidden + 2 * queries + 2 * keys) + 4 * s.heads


def _gate_up_bytes(s: Shape) -> int:
    return 2 * 2 * s.ffn * s.experts_per_token


def working_bytes(s: Shape) -> int:
    """Return bytes per token of backward in one expert, should every token go there.

    Rows x, dy, dx; silu(g), silu(g) u, dh; [dg, du]; and the float32 sum of dx over experts.
    """
    return 2 * 3 * s.hidden + 2 * 3 * s.ffn + 2 * 2 * s.ffn + 4 * s.hidden


def activation_bytes(s: Shape, tokens: int, recompute: Recompute | Sequence[Recompute]) -> float:
    """Return bytes that `tokens` of one micro-batch hold at most, layer by layer through backward.

    Args:
        s: the model.
        tokens: of the micro-batch.
        recompute: one policy for all layers, or one for each, first layer first.
    """
    policies = [recompute] * s.layers if isinstance(recompute, str) else list(recompute)
    kept, most = 0, 0
    for policy in policies:
        # When backward comes to a layer, those behind it have let go of theirs.
        kept += kept_bytes(s, policy)
        most = max(most, kept + live_bytes(s, policy))
    return float(tokens) * most


def expert_bytes(s: Shape) -> float:
    """Return bytes of one expert's weights in bf16."""
    return 2.0 * 3 * s.ffn * s.hidden


def memory(
    s: Shape,
    adapter: AdapterSettings,
    tokens: int,
    *,
    recompute: Recompute | Sequence[Recompute] = "none",
    optimizer: OptimizerFormat = "adamw_float32",
    bits: float = NF4_BITS["bfloat16"],
    shards: int = 1,
) -> Memory:
    """Return bytes on one device in training.

    Args:
        s: the model.
        adapter: what is trained.
        tokens: per micro-batch.
        recompute: checkpoint policy, of all layers or of each.
        optimizer: formats of parameters and moments.
        bits: per frozen weight, 16 for bf16.
        shards: devices over which the optimizer's moments are spread (ZeRO-1).
    """
    trained = trainable_parameters(s, adapter)
    whole = OPTIMIZER_BYTES[optimizer]
    own = {"adamw_float32": 8.0, "adamw_8bit": 8.0, "adamw_8bit_bfloat16": 4.0}[optimizer]
    scratch = tokens * working_bytes(s) + (2 * expert_bytes(s) if bits < 16 else 0)
    return Memory(
        weights=weight_bytes(s, bits),
        adapters=trained * (own + (whole - own) / shards),
        activations=activation_bytes(s, tokens, recompute),
        scratch=scratch,
    )


def decode_bytes(s: Shape, bits: float, batch: int = 1) -> float:
    """Return bytes of weights that one decoding step reads: expected distinct experts by batch."""
    parts = count_parameters(s)
    share = 1 - (1 - s.experts_per_token / s.experts) ** batch if s.moe else 1.0
    head = s.vocab * s.hidden * 2
    matrices = parts.attention + parts.experts * share
    return matrices * bits / 8 + head + (parts.router + parts.norms) * 4
