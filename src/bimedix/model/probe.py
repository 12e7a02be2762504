"""Logits of a checkpoint that is never loaded: tensors are read a block of rows at a time, used, let go of.

Written out over names in files, apart from the engine and from transformers, so that it can check what a
merge wrote: base plus adapters on one side, merged files on the other. Float32 throughout.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from bimedix.model.load import expert_names
from bimedix.model.router import choose, shares_of
from bimedix.model.shards import Checkpoint
from bimedix.model.stream import row_blocks

TOKENS = 48


class Matrices:
    """The matrices of a checkpoint as they are multiplied with; another source may add adapters."""

    def __init__(self, files: Checkpoint) -> None:
        self.files = files

    def rows(self, name: str, block: slice) -> Tensor:
        """Return some rows of a tensor in float32."""
        return self.files.read(name, block).float()

    def added(self, name: str, x_NI: Tensor) -> Tensor | float:
        """Return what is added to a product, [N, O]."""
        return 0.0

    def times(self, x_NI: Tensor, name: str) -> Tensor:
        """Return x Wᵀ for `name`.weight, [N, O], bias included where there is one."""
        weight, bias = f"{name}.weight", f"{name}.bias"
        blocks = row_blocks(self.files.place(weight).shape)
        y = torch.cat([x_NI @ self.rows(weight, block).T for block in blocks], dim=-1)
        y = y + self.added(name, x_NI)
        return y + self.vector(bias) if bias in self.files else y

    def vector(self, name: str) -> Tensor:
        """Return a small tensor in float32."""
        return self.files.read(name).float()


def probe_ids(vocab: int) -> Tensor:
    """Return token ids that are the same every time, spread over the vocabulary."""
    return torch.arange(1, TOKENS + 1) * 7919 % vocab


class Probed(NamedTuple):
    """What came out."""

    logits: Tensor
    """Of the fixed tokens, [T, V]."""
    experts: list[Tensor]
    """Experts that each sparse layer's router would choose, [T, K]."""

    def rerouted(self, other: "Probed") -> float:
        """Return the share of tokens and layers that two routers send to other experts."""
        pairs = zip(self.experts, other.experts, strict=True)
        moved = [(a.sort().values != b.sort().values).any(-1).float().mean() for a, b in pairs]
        return float(torch.stack(moved).mean()) if moved else 0.0


@torch.inference_mode()
def probe(folder: Path, weights: Matrices, like: Probed | None = None) -> Probed:
    """Send the fixed tokens through.

    Args:
        folder: where config.json lies.
        weights: where the tensors come from.
        like: send tokens to the experts that these chose: a near-tie that rounding decides would drown
            every other difference.
    """
    chosen: list[Tensor] = []
    given = iter(like.experts) if like else None
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    ids = probe_ids(config.vocab_size)
    embedding = "model.embed_tokens.weight"
    x_TH = torch.cat([weights.rows(embedding, slice(i, i + 1)) for i in ids.tolist()])
    angles = _angles(config, len(ids))
    for index in range(config.num_hidden_layers):
        head = f"model.layers.{index}"
        norm_TH = _norm(weights, f"{head}.input_layernorm", x_TH, config)
        x_TH = x_TH + _attention(weights, f"{head}.self_attn", norm_TH, config, angles)
        norm_TH = _norm(weights, f"{head}.post_attention_layernorm", x_TH, config)
        x_TH = x_TH + _mlp(weights, head, norm_TH, config, chosen, given)
    x_TH = _norm(weights, "model.norm", x_TH, config)
    tied = "lm_head.weight" not in weights.files
    return Probed(weights.times(x_TH, "model.embed_tokens" if tied else "lm_head"), chosen)


def _norm(weights: Matrices, name: str, x: Tensor, config: Any) -> Tensor:
    return rms_norm(x, x.shape[-1:], weights.vector(f"{name}.weight"), config.rms_norm_eps)


def _angles(config: Any, count: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, [T, D], by the family's own rotary embedding."""
    from transformers import AutoModelForCausalLM

    make: Any = AutoModelForCausalLM
    with torch.device("meta"):
        old = make.from_config(config).model.rotary_emb
    cos, sin = type(old)(config=config)(torch.zeros(1), torch.arange(count)[None])
    return cos[0], sin[0]


def _attention(
    weights: Matrices, name: str, x_TH: Tensor, config: Any, angles: tuple[Tensor, Tensor]
) -> Tensor:
    """Return what attention adds; all tokens are within any window."""
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads

    def heads(part: str, norm: str | None) -> Tensor:
        x = weights.times(x_TH, f"{name}.{part}").view(len(x_TH), -1, size)
        if norm is None:
            return x.transpose(0, 1)
        if f"{name}.{norm}.weight" in weights.files:
            x = _norm(weights, f"{name}.{norm}", x, config)
        first, second = x.transpose(0, 1).chunk(2, dim=-1)
        cos, sin = angles
        return torch.cat((first, second), -1) * cos + torch.cat((-second, first), -1) * sin

    q, k, v = heads("q_proj", "q_norm"), heads("k_proj", "k_norm"), heads("v_proj", None)
    out = scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True, enable_gqa=True)
    return weights.times(out[0].transpose(0, 1).flatten(1), f"{name}.o_proj")


def _mlp(
    weights: Matrices,
    head: str,
    x_TH: Tensor,
    config: Any,
    chosen: list[Tensor],
    given: Iterator[Tensor] | None,
) -> Tensor:
    """Return what the experts, or a dense MLP, add; notes the router's choice, and takes the given one."""
    names = expert_names(config.model_type)
    gate = f"{head}.{names.block}.gate"
    if f"{gate}.weight" not in weights.files:
        return _gated(weights, f"{head}.mlp", ("gate_proj", "down_proj", "up_proj"), x_TH)
    logits_TE = weights.times(x_TH, gate)
    chosen.append(choose(logits_TE, config.num_experts_per_tok))
    experts_TK = next(given) if given else chosen[-1]
    shares_TK = shares_of(logits_TE, experts_TK, normalise=bool(getattr(config, "norm_topk_prob", True)))
    out = torch.zeros_like(x_TH)
    for expert in sorted(set(experts_TK.flatten().tolist())):
        tokens, place = (experts_TK == expert).nonzero(as_tuple=True)
        own = f"{head}.{names.block}.experts.{expert}"
        y = _gated(weights, own, (names.w1, names.w2, names.w3), x_TH[tokens])
        out.index_add_(0, tokens, y * shares_TK[tokens, place, None])
    return out


def _gated(weights: Matrices, name: str, parts: tuple[str, str, str], x_NH: Tensor) -> Tensor:
    """Return W2 (silu(W1 x) · W3 x)."""
    w1, w2, w3 = (f"{name}.{part}" for part in parts)
    return weights.times(silu(weights.times(x_NH, w1)) * weights.times(x_NH, w3), w2)
