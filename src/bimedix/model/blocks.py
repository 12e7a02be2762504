"""Put our experts, routers and adapters into a model: modules are swapped in place, no library is patched.

Needs torch alone. A model is anything with the names of transformers' decoders: `model.model.layers`, in each
`self_attn` with q_proj and so on, and `mlp`, be it dense or with a `gate` and stacked `experts`.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from bimedix.errors import UsageError
from bimedix.model.experts import run_experts
from bimedix.model.lora import FrozenLinear, LoraLinear, device_of, start_a
from bimedix.model.moe import ExpertOptions, Factors, Nf4Weights, PlainWeights
from bimedix.model.nf4 import Nf4Weight, put_weight
from bimedix.model.norms import use_lean_norms
from bimedix.model.router import EngineState, Router
from bimedix.model.settings import AdapterSettings

ATTENTION_PARTS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj"}
DENSE_PARTS = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}


def _frozen(weight: nn.Parameter | Nf4Weight, settings: AdapterSettings) -> nn.Parameter | Nf4Weight:
    """Return a weight that is not trained, in the format of the settings."""
    if settings.base == "nf4" and not isinstance(weight, Nf4Weight):
        return Nf4Weight(weight.detach(), settings.nf4_scales)
    return weight if isinstance(weight, Nf4Weight) else nn.Parameter(weight.detach(), requires_grad=False)


class Experts(nn.Module):
    """The experts of one layer: base stacks under the names of transformers, and their adapters."""

    def __init__(
        self, gate_up_proj: nn.Parameter | Nf4Weight, down_proj: nn.Parameter | Nf4Weight, state: EngineState
    ) -> None:
        super().__init__()
        self.gate_up_proj, self.down_proj = gate_up_proj, down_proj
        self.count = gate_up_proj.shape[0]
        self.rank, self.scale, self.dropout = 0, 0.0, 0.0
        self.state = state
        self.save_gate_up = True
        self.targets: tuple[str, ...] = ()
        for name in Factors._fields:
            self.register_parameter(f"lora_{name}", None)

    def add_adapters(self, settings: AdapterSettings, seed: int) -> None:
        """Freeze the base and give w1, w2, w3 adapters where `settings.targets` names them."""
        experts, hidden, ffn = self.down_proj.shape
        device, rank = device_of(self.down_proj), settings.rank
        put_weight(self, "gate_up_proj", _frozen(self.gate_up_proj, settings))
        put_weight(self, "down_proj", _frozen(self.down_proj, settings))
        self.targets = tuple(t for t in ("w1", "w2", "w3") if t in settings.targets)
        self.rank, self.scale, self.dropout = settings.rank, settings.scale, settings.dropout
        inner = [t for t in ("w1", "w3") if t in self.targets]
        if inner:
            a13 = start_a(experts, len(inner) * rank, hidden, seed=seed)
            self.lora_a13 = nn.Parameter(a13.to(device))
        for name in inner:
            setattr(self, f"lora_b{name[1]}", nn.Parameter(torch.zeros(experts, ffn, rank, device=device)))
        if "w2" in self.targets:
            self.lora_a2 = nn.Parameter(start_a(experts, rank, ffn, seed=seed + 1).to(device))
            self.lora_b2 = nn.Parameter(torch.zeros(experts, hidden, rank, device=device))

    @property
    def weights(self) -> PlainWeights | Nf4Weights:
        """Where the base weights come from."""
        gate_up, down = self.gate_up_proj, self.down_proj
        if isinstance(gate_up, Nf4Weight) and isinstance(down, Nf4Weight):
            return Nf4Weights(gate_up, down)
        return PlainWeights(cast(Tensor, gate_up), cast(Tensor, down))

    @property
    def factors(self) -> Factors:
        """The adapter stacks."""
        return Factors(*(getattr(self, f"lora_{name}") for name in Factors._fields))

    def pair(self, target: str) -> tuple[Tensor, Tensor]:
        """Return views on A [E, R, in] and B [E, out, R] of w1, w2 or w3."""
        factors = self.factors
        if target == "w2":
            assert factors.a2 is not None and factors.b2 is not None
            return factors.a2, factors.b2
        b = factors.b1 if target == "w1" else factors.b3
        assert factors.a13 is not None and b is not None
        first = target == "w1" or factors.b1 is None
        return factors.a13[:, : self.rank] if first else factors.a13[:, self.rank :], b

    def forward(self, x_TH: Tensor, shares_TK: Tensor, experts_TK: Tensor) -> Tensor:
        """Return the weighted sum of the experts' outputs, [T, H]."""
        weights = self.weights
        training = self.training and torch.is_grad_enabled()
        dropout = self.dropout if self.training else 0.0
        options = ExpertOptions(
            scale=self.scale,
            dropout=dropout,
            dropout_seed=int(torch.randint(2**31, ())) if dropout else 0,
            save_gate_up=self.state.save_gate_up and self.save_gate_up and training,
        )
        plain = isinstance(weights, PlainWeights) and weights.gate_up_stack.requires_grad
        trained = cast(PlainWeights, weights) if plain else None
        return run_experts(
            x_TH, shares_TK, experts_TK, weights, self.count,
            options=options, trained_base=trained, factors=self.factors, backend=self.state.backend,
        )  # fmt: skip


class MoeBlock(nn.Module):
    """Router and experts of one layer, in the place and under the names of transformers' block."""

    def __init__(self, gate: Router, experts: Experts) -> None:
        super().__init__()
        self.gate, self.experts = gate, experts

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the block's output, [..., H] as it came."""
        x_TH = hidden.reshape(-1, hidden.shape[-1])
        shares_TK, experts_TK = self.gate(x_TH)
        out_TH: Tensor = self.experts(x_TH, shares_TK, experts_TK)
        return out_TH.reshape(hidden.shape)


def install(model: Any) -> EngineState:
    """Put our MoE block and norms in the place of transformers', sharing weights; returns the shared state.

    Does nothing the second time. Dense models have no such block and keep their own.
    """
    state: EngineState | None = getattr(model, "engine_state", None)
    if state is not None:
        return state
    state = EngineState()
    config = model.config
    normalise = bool(getattr(config, "norm_topk_prob", True))
    for layer in model.model.layers:
        use_lean_norms(layer)
        if hasattr(layer.mlp, "experts"):
            old = layer.mlp
            gate = Router(old.gate.weight, config.num_experts_per_tok, state, normalise=normalise)
            layer.mlp = MoeBlock(gate, Experts(old.experts.gate_up_proj, old.experts.down_proj, state))
            layer.mlp.train(model.training)
    model.engine_state = state
    return state


def blocks(model: Any) -> list[tuple[int, MoeBlock]]:
    """Return (layer, block) of all MoE layers."""
    return [(at, layer.mlp) for at, layer in enumerate(model.model.layers) if isinstance(layer.mlp, MoeBlock)]


def attach(model: Any, settings: AdapterSettings) -> Any:
    """Freeze the model and give it adapters; returns the same model.

    Raises:
        UsageError: a target is not in this model, or it already has adapters.
    """
    if getattr(model, "adapter_settings", None) is not None:
        raise UsageError("the model already has adapters; merge them, or load the base again.")
    install(model)
    model.requires_grad_(False)
    found: set[str] = set()
    for index, layer in enumerate(model.model.layers):
        found |= attach_layer(layer, index, settings)
    if missing := [t for t in settings.targets if t not in found]:
        raise UsageError(
            f"adapter targets {missing} are not in this {type(model).__name__}.\n"
            f"  It has: {', '.join(sorted(found)) or 'none of those asked for'}."
        )
    model.adapter_settings = settings
    return model


def attach_layer(layer: Any, index: int, settings: AdapterSettings) -> set[str]:
    """Freeze one layer and give it adapters; returns the targets found."""
    seed = settings.seed * 1_000_003 + index * 1009
    found = _attach_linear(layer.self_attn, ATTENTION_PARTS, settings, seed)
    if not isinstance(layer.mlp, MoeBlock):
        return found | _attach_linear(layer.mlp, DENSE_PARTS, settings, seed + 100)
    layer.mlp.experts.add_adapters(settings, seed + 100)
    found |= set(layer.mlp.experts.targets)
    return found | _attach_router(layer.mlp.gate, settings, seed + 200)


def _attach_linear(
    parent: nn.Module, parts: Mapping[str, str], settings: AdapterSettings, seed: int
) -> set[str]:
    """Swap the targeted linear layers of a module; returns the targets found."""
    found: set[str] = set()
    for at, (target, name) in enumerate(parts.items()):
        base = getattr(parent, name, None)
        if target in settings.targets and isinstance(base, nn.Linear | FrozenLinear):
            swapped = LoraLinear(
                base, rank=settings.rank, scale=settings.scale, dropout=settings.dropout, seed=seed + at
            )
            put_weight(swapped, "weight", _frozen(swapped.weight, settings))
            setattr(parent, name, swapped.train(parent.training))
            found.add(target)
        elif isinstance(base, nn.Linear):
            frozen = FrozenLinear(base)
            put_weight(frozen, "weight", _frozen(frozen.weight, settings))
            setattr(parent, name, frozen.train(parent.training))
    return found


def _attach_router(gate: Router, settings: AdapterSettings, seed: int) -> set[str]:
    """Set how the router is trained; returns {"gate"} when it is a target."""
    gate.mode = settings.router_mode
    if gate.mode == "full":
        gate.weight = nn.Parameter(gate.weight.detach().float().clone())
    elif gate.mode == "lora":
        experts, hidden = gate.weight.shape
        device = gate.weight.device
        gate.lora_a = nn.Parameter(start_a(settings.rank, hidden, seed=seed).to(device))
        gate.lora_b = nn.Parameter(torch.zeros(experts, settings.rank, device=device))
        gate.scale = settings.scale
    found: set[str] = {"gate"} if "gate" in settings.targets else set()
    return found
