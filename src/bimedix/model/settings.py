"""What a model and its adapters are described by; free of torch."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bimedix.errors import UsageError, did_you_mean

Target: TypeAlias = Literal["q", "k", "v", "o", "w1", "w2", "w3", "gate"]
TARGETS: tuple[Target, ...] = ("q", "k", "v", "o", "w1", "w2", "w3", "gate")
PAPER_TARGETS: tuple[Target, ...] = ("q", "k", "v", "w1", "w2", "w3", "gate")
RouterMode: TypeAlias = Literal["frozen", "full", "lora"]
BaseFormat: TypeAlias = Literal["plain", "nf4"]
WeightFormat: TypeAlias = Literal["auto", "plain", "nf4"]
MergeBase: TypeAlias = Literal["auto", "stored", "dequantised"]
ScaleFormat: TypeAlias = Literal["auto", "float32", "bfloat16", "nested"]


@dataclass(frozen=True)
class AdapterSettings:
    """Low-rank adapters beside frozen weights (LoRA, arXiv 2106.09685)."""

    rank: int = 128
    """Rank r of every adapter (BiMediX, section 4.1)."""
    alpha: float = 64.0
    """The adapter's output is scaled by alpha / rank (BiMediX, section 4.1)."""
    targets: tuple[Target, ...] = PAPER_TARGETS
    """Matrices that get an adapter: q, k, v, o of attention, w1, w2, w3 of the experts (or of a dense
    MLP), and gate, the router. BiMediX: all but o, about 4 % of the parameters."""
    router: RouterMode = "full"
    """How `gate` is trained: its whole matrix in float32, or by LoRA as in the paper. At 8 experts the
    full matrix is the larger space and 1/16 of the parameters of rank 128."""
    dropout: float = 0.0
    """Share of the inputs of A that is zeroed in training; 0 to below 1."""
    base: BaseFormat = "plain"
    """How frozen matrices are kept: as loaded, or in NF4 (QLoRA, arXiv 2305.14314)."""
    nf4_scales: ScaleFormat = "auto"
    """Format of NF4's scales: that of the weights (`auto`), float32, bfloat16 or nested 8 bits."""
    seed: int = 17
    """Fixes the start values of A."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UsageError(f"adapter rank {self.rank}; it needs to be at least 1.")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"adapter dropout {self.dropout}; it needs to be in [0, 1).")
        for target in self.targets:
            if target not in TARGETS:
                raise UsageError(
                    f"adapter target '{target}' is not known.{did_you_mean(target, TARGETS)}\n"
                    f"  Known: {', '.join(TARGETS)}."
                )
        if not self.targets:
            raise UsageError("adapter targets are empty: nothing would be trained.")

    @property
    def scale(self) -> float:
        """Factor on the adapter's output, alpha / rank."""
        return self.alpha / self.rank

    @property
    def router_mode(self) -> RouterMode:
        """How the router is trained, `frozen` when it is no target."""
        return self.router if "gate" in self.targets else "frozen"


@dataclass(frozen=True)
class TinySettings:
    """A random Mixtral that is small enough for a laptop; same code path as the large one."""

    hidden: int = 128
    """Width of the residual stream."""
    ffn: int = 256
    """Width inside one expert."""
    layers: int = 2
    """Decoder layers."""
    heads: int = 4
    """Query heads."""
    kv_heads: int = 2
    """Key and value heads, shared by groups of query heads."""
    experts: int = 8
    """Experts per layer (Mixtral: 8)."""
    experts_per_token: int = 2
    """Experts that each token goes to (Mixtral: 2)."""
    vocab: int = 32_000
    """Vocabulary (Mixtral's tokenizer: 32,000)."""
    max_positions: int = 4096
    """Longest document in tokens."""
    rope_theta: float = 1e6
    """Base of the rotary angles (Mixtral: 1e6)."""
    init_std: float = 0.08
    """Standard deviation of the random weights: about hidden ** -0.5, or a narrow model learns slowly."""
    seed: int = 17
    """Fixes the random weights."""
