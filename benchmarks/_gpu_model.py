"""A Mixtral put together from the engine's own parts, with random four-bit weights; needs torch and numpy.

What `bimedix train` runs over a model of transformers runs here without it: the same `attach`, `Experts`,
`Router`, `LoraLinear`, attention, head loss and recomputation. Only the glue is written again (norms, rotary
angles, residuals), and a test holds loss and gradients to those of transformers' model on the same modules.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from bimedix.model.arithmetic import Recompute, Shape
from bimedix.model.blocks import attach, blocks
from bimedix.model.lora import FrozenLinear, LoraLinear
from bimedix.model.nf4 import BLOCK, Nf4Weight, put_weight
from bimedix.model.packing import Packed, document_attention, head_loss
from bimedix.model.recompute import routings
from bimedix.model.router import EngineState
from bimedix.model.settings import AdapterSettings

ROPE_THETA = 1e6
"""Base of the rotary angles (Mixtral)."""


class RmsNorm(nn.Module):
    """Root mean square norm in float32, its weight in the dtype of the activations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.variance_epsilon = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * wide.to(x.dtype)


def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Turn heads [1, heads, T, D] by the angles of their positions, [T, D] each for cosine and sine."""
    cos, sin = angles
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def angles_of(positions: Tensor, head_dim: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, [T, D], computed in float32."""
    steps = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    turned = positions.float()[:, None] * (1.0 / ROPE_THETA**steps)
    both = torch.cat([turned, turned], dim=-1)
    return both.cos().to(dtype), both.sin().to(dtype)


class Attention(nn.Module):
    """Query, key, value, output projections under the names of transformers."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden, queries, bias=False)
        self.k_proj = nn.Linear(shape.hidden, keys, bias=False)
        self.v_proj = nn.Linear(shape.hidden, keys, bias=False)
        self.o_proj = nn.Linear(queries, shape.hidden, bias=False)

    def heads(self, x: Tensor, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated queries and keys, and values, [B, heads, T, D]."""
        projected = (layer(x) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (t.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for t in projected)
        return rotate(q, angles), rotate(k, angles), v


class Stacks(nn.Module):
    """Expert stacks as transformers names them; `attach` replaces this by the engine's."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.empty(shape.experts, 2 * shape.ffn, shape.hidden))
        self.down_proj = nn.Parameter(torch.empty(shape.experts, shape.hidden, shape.ffn))


class Sparse(nn.Module):
    """Router and experts as transformers names them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.hidden, shape.experts, bias=False)
        self.experts = Stacks(shape)


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(shape.hidden), RmsNorm(shape.hidden)
        self.self_attn, self.mlp = Attention(shape), Sparse(shape)

    def forward(self, hidden: Tensor, angles: tuple[Tensor, Tensor], lengths: Sequence[int]) -> Tensor:
        q, k, v = self.self_attn.heads(self.input_layernorm(hidden), angles)
        scale = self.self_attn.head_dim**-0.5
        seen, _ = document_attention(self, q, k, v, None, scaling=scale, document_lengths=lengths)
        hidden = hidden + self.self_attn.o_proj(seen.flatten(2))
        added: Tensor = self.mlp(self.post_attention_layernorm(hidden))
        return hidden + added

    def decode(self, hidden: Tensor, angles: tuple[Tensor, Tensor], cache: "Cache") -> Tensor:
        """One new token for each of B sequences, [B, 1, H]; writes and reads the cache."""
        q, k, v = self.self_attn.heads(self.input_layernorm(hidden), angles)
        cache.keys.index_copy_(2, cache.at, k)
        cache.values.index_copy_(2, cache.at, v)
        seen = scaled_dot_product_attention(
            q, cache.keys, cache.values, attn_mask=cache.mask, enable_gqa=q.shape[1] != k.shape[1]
        )
        hidden = hidden + self.self_attn.o_proj(seen.transpose(1, 2).flatten(2))
        added: Tensor = self.mlp(self.post_attention_layernorm(hidden))
        return hidden + added


@dataclass
class Cache:
    """Keys and values of one layer, [B, heads, L, D]; position and mask are shared by all layers."""

    keys: Tensor
    values: Tensor
    at: Tensor
    """[1] position that is written next; on the device, so that a graph can be played again."""
    mask: Tensor
    """[1, 1, 1, L], true for positions that are seen."""


@dataclass
class Config:
    """What `attach` reads of a model's config."""

    num_experts_per_tok: int
    model_type: str = "mixtral"


class Decoder(nn.Module):
    """Embeddings, layers, last norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RmsNorm(shape.hidden)


class Mixtral(nn.Module):
    """The model, with a policy of recomputation for each layer."""

    engine_state: EngineState

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, self.config = shape, Config(shape.experts_per_token)
        self.model = Decoder(shape)
        self.lm_head = nn.Linear(shape.hidden, shape.vocab, bias=False)
        self.policies: tuple[Recompute, ...] = ("none",) * shape.layers

    def follow(self, policies: Sequence[Recompute]) -> None:
        """Set what each layer computes again."""
        self.policies = tuple(policies)
        for (_, block), policy in zip(blocks(self), policies, strict=True):
            block.experts.save_gate_up = policy != "gate_up"

    def loss(self, packed: Packed) -> Tensor:
        """Return the sum of negative log-likelihoods, as the objective of training does."""
        self.engine_state.documents = None  # Read by the balance loss only, which has no weight here.
        hidden = embedding(packed.ids, self.model.embed_tokens.weight)
        angles = angles_of(packed.positions[0], self.shape.head_dim, hidden.dtype)
        for layer, policy in zip(self.model.layers, self.policies, strict=True):
            if policy == "layers" and torch.is_grad_enabled():
                hidden = checkpoint(
                    layer.forward, hidden, angles, packed.lengths, use_reentrant=False,
                    context_fn=lambda: routings(self.engine_state),
                )  # fmt: skip
            else:
                hidden = layer(hidden, angles, packed.lengths)
        rows: Tensor = self.model.norm(hidden)[0][packed.rows]
        return head_loss(rows, self.lm_head.weight, packed.targets)

    def new_cache(self, batch: int, length: int) -> list[Cache]:
        """Return an empty cache for every layer."""
        weight = self.lm_head.weight
        size = (batch, self.shape.kv_heads, length, self.shape.head_dim)
        at = torch.zeros(1, dtype=torch.long, device=weight.device)
        mask = torch.zeros(1, 1, 1, length, dtype=torch.bool, device=weight.device)
        layers = range(self.shape.layers)
        return [Cache(weight.new_zeros(size), weight.new_zeros(size), at, mask) for _ in layers]

    @torch.no_grad()
    def decode(self, ids_B1: Tensor, caches: list[Cache]) -> Tensor:
        """Return the next ids, [B, 1], the likeliest; everything stays on the device."""
        at, mask = caches[0].at, caches[0].mask
        mask.index_fill_(3, at, True)
        hidden = embedding(ids_B1, self.model.embed_tokens.weight)
        angles = angles_of(at, self.shape.head_dim, hidden.dtype)
        for layer, cache in zip(self.model.layers, caches, strict=True):
            hidden = layer.decode(hidden, angles, cache)
        at.add_(1)
        return self.lm_head(self.model.norm(hidden)).argmax(dim=-1)


def random_nf4(*shape: int, device: torch.device, source: torch.Generator, spread: float) -> Nf4Weight:
    """Return a weight of random bytes and bfloat16 scales, made where it stays."""
    head, inputs = shape[:-1], shape[-1]
    packed = torch.randint(0, 256, (*head, inputs // 2), dtype=torch.uint8, device=device, generator=source)
    scales = torch.rand(*head, inputs // BLOCK, device=device, generator=source) + 0.5
    return Nf4Weight.of(packed, scales.mul_(1.5 * spread), torch.bfloat16)


def random_model(
    shape: Shape, adapter: AdapterSettings, device: torch.device, *, seed: int = 1,
    dtype: torch.dtype = torch.bfloat16, trained: torch.dtype = torch.float32,
) -> Mixtral:  # fmt: skip
    """Return a model with random weights made on the device: attention and experts in NF4, adapters not zero.

    Args:
        shape: sizes.
        adapter: rank and targets.
        device: where it is made.
        seed: of all values.
        dtype: of activations, embeddings and norms.
        trained: of adapters.
    """
    with torch.device("meta"):
        model = Mixtral(shape)
    attach(model, replace(adapter, base="plain"))
    source = torch.Generator(device).manual_seed(seed)
    spread = 1 / math.sqrt(shape.hidden)
    for module in list(model.modules()):
        if isinstance(module, LoraLinear | FrozenLinear):
            sizes = tuple(module.weight.shape)
            put_weight(module, "weight", random_nf4(*sizes, device=device, source=source, spread=spread))
    for _, block in blocks(model):
        for name in ("gate_up_proj", "down_proj"):
            sizes = tuple(getattr(block.experts, name).shape)
            packed = random_nf4(*sizes, device=device, source=source, spread=sizes[-1] ** -0.5)
            put_weight(block.experts, name, packed)
    for name, parameter in list(model.named_parameters()):
        owner = model.get_submodule(name.rpartition(".")[0])
        last = name.rpartition(".")[2]
        kept = torch.float32 if ".gate." in name else trained if parameter.requires_grad else dtype
        value = torch.empty(parameter.shape, dtype=kept, device=device)
        if "norm" in name:
            value.fill_(1.0)
        else:
            value.normal_(0, 0.5 * parameter.shape[-1] ** -0.5, generator=source)
        setattr(owner, last, nn.Parameter(value, requires_grad=parameter.requires_grad))
    for _, block in blocks(model):
        block.gate.load = torch.zeros(shape.experts, dtype=torch.long, device=device)
        block.gate.start = block.gate.weight.detach().clone()
    return model.train()


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return what an optimizer is given."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of all gradients, and forget them."""
    found: dict[str, Any] = {}
    for name, parameter in trained_parameters(model).items():
        found[name] = None if parameter.grad is None else parameter.grad.detach().clone()
        parameter.grad = None
    return found
