"""Forward passes for decoding, with no more work than a token needs.

A static key-value cache is written in place; adapters stay beside the weights; of a layer's experts only the
chosen ones are read, and those in NF4 as they lie. The modules are those of the loaded model, so that nothing
is copied; transformers' own forward, which builds masks and grows caches, is not called.

Shapes: B rows, T new tokens of each, N = B T, H hidden, D head, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from bimedix.errors import ShapeError
from bimedix.model.blocks import Experts, MoeBlock, install
from bimedix.model.devices import kernels_of
from bimedix.model.lora import FrozenLinear, LoraLinear
from bimedix.model.nf4 import Nf4Weight
from bimedix.model.products import nf4_product, product


class Decoder:
    """A model in front of a cache of fixed length: prompts go in first, then token by token."""

    def __init__(self, model: Any, length: int, rows: int = 1) -> None:
        """Make room for `rows` texts of at most `length` tokens each."""
        install(model)
        self.model, self.length, self.at = model, length, 0
        self.layers = list(model.model.layers)
        attention = self.layers[0].self_attn
        weight = model.model.embed_tokens.weight
        self.head_dim: int = attention.head_dim
        kv_heads = attention.k_proj.weight.shape[0] // self.head_dim
        shape = (len(self.layers), rows, kv_heads, length, self.head_dim)
        self.keys, self.values = (torch.empty(shape, dtype=weight.dtype, device=weight.device) for _ in "kv")
        with torch.inference_mode():
            positions = torch.arange(length, device=weight.device)[None]
            cos, sin = model.model.rotary_emb(self.keys, positions)
        if cos.shape[-1] != self.head_dim:
            raise ShapeError(f"rotary angles for {cos.shape[-1]} of {self.head_dim} dimensions of a head.")
        half = self.head_dim // 2
        self.cos_LD = cos[0]
        self.sin_LD = torch.cat((-sin[0, :, :half], sin[0, :, half:]), dim=-1)
        self.pads: Tensor | None = None

    @torch.inference_mode()
    def step(self, ids_BT: Tensor, pads: Sequence[int] | None = None) -> Tensor:
        """Take new tokens of every row; return the logits after the last, [B, V].

        Args:
            ids_BT: token ids; of prompts, or one per row.
            pads: how many of a row's first tokens, at the left of the prompt, are none; read there only.

        Raises:
            ShapeError: the cache is full.
        """
        rows, count = ids_BT.shape
        if self.at + count > self.length:
            raise ShapeError(f"{self.at + count} tokens in a cache of {self.length}.")
        if self.at == 0 and pads is not None and any(pads):
            self.pads = torch.tensor(pads, device=ids_BT.device)
        angles, mask = self._angles(count), self._mask(count)
        x_NH = self.model.model.embed_tokens(ids_BT.reshape(-1))
        for index, layer in enumerate(self.layers):
            x_NH = x_NH + self._attend(index, layer, x_NH, rows, angles, mask)
            x_NH = x_NH + _mlp(layer.mlp, _norm(layer.post_attention_layernorm, x_NH))
        self.at += count
        last_BH = x_NH.view(rows, count, -1)[:, -1]
        return _project(self.model.lm_head, _norm(self.model.model.norm, last_BH))

    def _angles(self, count: int) -> tuple[Tensor, Tensor]:
        """Return cosines and signed sines of the new positions, [1 or B, T, 1, D]."""
        span = slice(self.at, self.at + count)
        if self.pads is None:
            return self.cos_LD[None, span, None], self.sin_LD[None, span, None]
        places = torch.arange(self.at, self.at + count, device=self.pads.device)[None] - self.pads[:, None]
        places = places.clamp_(min=0)
        return self.cos_LD[places][:, :, None], self.sin_LD[places][:, :, None]

    def _mask(self, count: int) -> Tensor | None:
        """Return what new tokens may look at, [B, 1, T, so far], or None: all that came before.

        A token that is none looks at itself, so that its row stays finite.
        """
        if self.pads is None:
            return None
        key = torch.arange(self.at + count, device=self.pads.device)
        query = key[self.at :, None]
        seen = (key <= query) & ((key >= self.pads[:, None, None]) | (key == query))
        return seen[:, None]

    def _attend(
        self, index: int, layer: Any, x_NH: Tensor, rows: int, angles: tuple[Tensor, Tensor],
        mask: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """Return what a layer's attention adds, [N, H]; writes its keys and values into the cache."""
        own, d = layer.self_attn, self.head_dim
        x_NH = _norm(layer.input_layernorm, x_NH)
        count = len(x_NH) // rows
        q, k = (_project(part, x_NH).view(rows, count, -1, d) for part in (own.q_proj, own.k_proj))
        v = _project(own.v_proj, x_NH).view(rows, count, -1, d)
        if hasattr(own, "q_norm"):
            q, k = _norm(own.q_norm, q), _norm(own.k_norm, k)
        heads, kv_heads = q.shape[2], k.shape[2]
        both = torch.cat((q, k), dim=2)
        cos, sin = angles
        both = (both * cos).addcmul_(both.roll(d // 2, -1), sin)
        until = self.at + count
        keys, values = self.keys[index], self.values[index]
        keys[:, :, self.at : until] = both[:, :, heads:].transpose(1, 2)
        values[:, :, self.at : until] = v.transpose(1, 2)
        q = both[:, :, :heads]
        first, mask = self._window(own, until, count, mask)
        keys, values = keys[:, :, first:until], values[:, :, first:until]
        if count == 1:  # The heads that share keys are rows of one product.
            q = q.view(rows, kv_heads, -1, d)
            out = scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=own.scaling)
            return _project(own.o_proj, out.reshape(rows, -1))
        out = scaled_dot_product_attention(
            q.transpose(1, 2), keys, values, attn_mask=mask, is_causal=mask is None and self.at == 0,
            scale=own.scaling, enable_gqa=heads != kv_heads,
        )  # fmt: skip
        return _project(own.o_proj, out.transpose(1, 2).reshape(len(x_NH), -1))

    def _window(self, own: Any, until: int, count: int, mask: Tensor | None) -> tuple[int, Tensor | None]:
        """Return the first position that is looked at, and the mask from there on."""
        window = getattr(own, "sliding_window", getattr(own.config, "sliding_window", None))
        if count == 1:
            first = max(0, until - window) if window else 0
            return first, None if mask is None else mask[..., first:]
        if mask is None and (self.at or (window and until > window)):
            key = torch.arange(until, device=self.keys.device)
            mask = (key <= key[self.at :, None])[None, None]
        if mask is not None and window and until > window:
            key = torch.arange(until, device=self.keys.device)
            mask = mask & (key > key[self.at :, None] - window)
        return 0, mask


def _norm(norm: Any, x: Tensor) -> Tensor:
    return rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _times(x_NH: Tensor, weight: Tensor | Nf4Weight, index: int | None = None) -> Tensor:
    """Return x Wᵀ, of one member of a stack where `index` names it."""
    if isinstance(weight, Nf4Weight):
        return nf4_product(x_NH, weight, index)
    return product(x_NH, weight if index is None else weight[index])


def _project(layer: nn.Module, x_NH: Tensor) -> Tensor:
    """Return a linear layer's output, adapters included; [N, out]."""
    if not isinstance(layer, FrozenLinear):
        own: Any = layer
        y = product(x_NH, own.weight)
        return y if own.bias is None else y.add_(own.bias)
    y = _times(x_NH, layer.weight)
    if layer.bias is not None:
        y += layer.bias
    if isinstance(layer, LoraLinear):
        dtype = x_NH.dtype
        y.addmm_(x_NH @ layer.lora_a.to(dtype).T, layer.lora_b.to(dtype).T, alpha=layer.scale)
    return y


def _mlp(mlp: Any, x_NH: Tensor) -> Tensor:
    """Return what experts or a dense MLP add, [N, H]."""
    if not isinstance(mlp, MoeBlock):
        h = silu(_project(mlp.gate_proj, x_NH)).mul_(_project(mlp.up_proj, x_NH))
        return _project(mlp.down_proj, h)
    if len(x_NH) > 1 or kernels_of(x_NH):
        out: Tensor = mlp(x_NH)
        return out
    shares_TK, experts_TK = mlp.gate(x_NH)
    return _chosen_experts(mlp.experts, x_NH, shares_TK, experts_TK)


def _chosen_experts(experts: Experts, x_1H: Tensor, shares_TK: Tensor, experts_TK: Tensor) -> Tensor:
    """Return the weighted sum of what one token's experts say, [1, H]; no other expert is read."""
    factors, scale, dtype = experts.factors, experts.scale, x_1H.dtype
    out: Tensor | None = None
    for expert, share in zip(experts_TK[0].tolist(), shares_TK[0].tolist(), strict=True):
        gate_up = _times(x_1H, experts.gate_up_proj, expert)
        g, u = gate_up.chunk(2, dim=-1)
        if factors.a13 is not None:
            present = [(half, b) for half, b in ((g, factors.b1), (u, factors.b3)) if b is not None]
            down = (x_1H @ factors.a13[expert].to(dtype).T).chunk(len(present), dim=-1)
            for part, (half, b) in zip(down, present, strict=True):
                half.addmm_(part, b[expert].to(dtype).T, alpha=scale)
        h = silu(g).mul_(u).mul_(share)
        y = _times(h, experts.down_proj, expert)
        if factors.a2 is not None and factors.b2 is not None:
            y.addmm_(h @ factors.a2[expert].to(dtype).T, factors.b2[expert].to(dtype).T, alpha=scale)
        out = y if out is None else out.add_(y)
    assert out is not None
    return out
