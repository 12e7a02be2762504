"""The router: float32 scores, top-k, and a load-balancing loss that is injected as a gradient.

Shapes: T tokens, K experts per token, E experts, H hidden, R rank.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from bimedix.model.settings import RouterMode


@dataclass
class EngineState:
    """What the blocks of one model share while a batch goes through it."""

    documents: Tensor | None = None
    """Index of the document every token belongs to, [T]; None: all tokens are one document."""
    balance_weight: float = 0.0
    """Weight of one token's balance loss in one layer: coefficient / (layers x tokens of the batch)."""
    balance_sum: float = 0.0
    """Balance loss seen since it was last read: sum over tokens and layers, counted in backward only."""
    z_weight: float = 0.0
    """Weight of one token's z-loss in one layer, as `balance_weight`."""
    z_sum: float = 0.0
    """Z-loss seen since it was last read, as `balance_sum`."""
    replay: Literal["off", "record", "replay"] = "off"
    """Under recomputation: remember which experts were chosen, or use what was remembered."""
    backend: Literal["auto", "loop", "grouped"] = "auto"
    """How experts are multiplied: one by one, all at once, or what suits the device and their number."""
    save_gate_up: bool = True
    """Keep the experts' pre-activations for backward instead of computing them again."""


def choose(logits_TE: Tensor, k: int) -> Tensor:
    """Return the ids of the k experts with the highest scores, [T, K], best first."""
    return logits_TE.detach().topk(k, dim=-1).indices


def shares_of(logits_TE: Tensor, experts_TK: Tensor, *, normalise: bool = True) -> Tensor:
    """Return the share of the output that each chosen expert gives, [T, K].

    Args:
        logits_TE: raw router scores, float32 or float64.
        experts_TK: chosen experts.
        normalise: shares of a token sum to 1 (Mixtral); Qwen3-MoE says so in its config.

    Source: Mixtral of Experts (arXiv 2401.04088), section 2.1: softmax after top-k, which is the softmax
    over all, divided by the sum of the chosen.
    """
    shares_TK = logits_TE.softmax(dim=-1).gather(1, experts_TK)
    return shares_TK / shares_TK.sum(dim=-1, keepdim=True) if normalise else shares_TK


def balance_per_token(
    logits_TE: Tensor, experts_TK: Tensor, documents: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the balance loss of every token, [T], and its gradient by the raw logits, [T, E].

    Token t of document d pays E Σ_e f(d, e) p(t, e): f is the share of d's tokens that went to expert e, p
    the softmax of the raw logits, once. The mean over the tokens of a document is the Switch loss of that
    document (arXiv 2101.03961, equations 4 to 6; equal loads give K). Because f never looks beyond the
    document, neither packing nor micro-batches nor ranks change it; f has no gradient.
    """
    tokens, experts = logits_TE.shape
    group = torch.zeros(tokens, dtype=torch.long, device=logits_TE.device) if documents is None else documents
    counts = torch.zeros(int(group.max()) + 1, experts, dtype=logits_TE.dtype, device=logits_TE.device)
    chosen_TE = torch.zeros_like(logits_TE).scatter_(1, experts_TK, 1.0)
    counts.index_add_(0, group, chosen_TE)
    lengths = torch.bincount(group).to(counts.dtype)
    share_TE = (counts / lengths[:, None])[group]
    p_TE = logits_TE.softmax(dim=-1)
    loss_T = experts * (share_TE * p_TE).sum(dim=-1)
    gradient_TE = p_TE * (experts * share_TE - loss_T[:, None])
    return loss_T, gradient_TE


def z_per_token(logits_TE: Tensor) -> tuple[Tensor, Tensor]:
    """Return the z-loss of every token, [T], and its gradient by the raw logits, [T, E].

    The squared log of the sum of exponentials keeps scores small, and so the softmax exact (ST-MoE, arXiv
    2202.08906, equation 5).
    """
    log_sum_T = logits_TE.logsumexp(dim=-1)
    return log_sum_T.square(), 2 * log_sum_T[:, None] * logits_TE.softmax(dim=-1)


class _InjectLosses(torch.autograd.Function):
    """Identity on the logits; adds the gradients of the balance loss and the z-loss on the way back.

    So each is counted once whatever is recomputed, and needs no list of logits beside the model.
    """

    @staticmethod
    def forward(ctx: Any, logits_TE: Tensor, experts_TK: Tensor, state: EngineState) -> Tensor:
        ctx.save_for_backward(logits_TE, experts_TK, state.documents)
        ctx.state, ctx.weight, ctx.z_weight = state, state.balance_weight, state.z_weight
        return logits_TE.view_as(logits_TE)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_TE: Tensor) -> tuple[Tensor, None, None]:
        logits_TE, experts_TK, documents = ctx.saved_tensors
        if ctx.weight:
            loss_T, gradient_TE = balance_per_token(logits_TE, experts_TK, documents)
            ctx.state.balance_sum += float(loss_T.sum())
            grad_TE = grad_TE + ctx.weight * gradient_TE
        if ctx.z_weight:
            loss_T, gradient_TE = z_per_token(logits_TE)
            ctx.state.z_sum += float(loss_T.sum())
            grad_TE = grad_TE + ctx.z_weight * gradient_TE
        return grad_TE, None, None


class _WideLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        dtype = torch.promote_types(x.dtype, torch.float32)
        return linear(x.to(dtype), weight.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        dx = (dy @ weight.to(dy.dtype)).to(x.dtype)
        dweight = (dy.T @ x.to(dy.dtype)).to(weight.dtype) if ctx.needs_input_grad[1] else None
        return dx, dweight


def wide_linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return x Wᵀ in at least float32 for x [T, in], keeping x for backward as it is and no wide copy."""
    y: Tensor = _WideLinear.apply(x, weight)  # type: ignore[no-untyped-call]
    return y


class Router(nn.Module):
    """Scores experts in float32; frozen, trained in full, or with a low-rank adapter."""

    load: Tensor
    """Tokens sent to each expert since it was last read, [E]."""
    start: Tensor
    """The weight before training, [E, H]."""

    def __init__(self, weight_EH: Tensor, k: int, state: EngineState, *, normalise: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_EH.detach(), requires_grad=weight_EH.requires_grad)
        self.k, self.normalise, self.state = k, normalise, state
        self.mode: RouterMode = "frozen"
        self.scale = 0.0
        self.lora_a: nn.Parameter | None = None
        self.lora_b: nn.Parameter | None = None
        self._remembered: Tensor | None = None
        none = torch.zeros(len(weight_EH), dtype=torch.long, device=weight_EH.device)
        self.register_buffer("load", none, persistent=False)
        self.register_buffer("start", self.weight.detach(), persistent=False)

    def logits(self, x_TH: Tensor) -> Tensor:
        """Return raw scores, [T, E], in float32 (float64 stays)."""
        logits_TE = wide_linear(x_TH, self.weight)
        if self.lora_a is not None and self.lora_b is not None:
            logits_TE = logits_TE + self.scale * wide_linear(wide_linear(x_TH, self.lora_a), self.lora_b)
        return logits_TE

    def forward(self, x_TH: Tensor) -> tuple[Tensor, Tensor]:
        """Return shares_TK and experts_TK."""
        logits_TE = self.logits(x_TH)
        experts_TK = self._choose(logits_TE)
        wanted = self.state.balance_weight or self.state.z_weight
        if self.training and wanted and logits_TE.requires_grad:
            logits_TE = _InjectLosses.apply(  # type: ignore[no-untyped-call]
                logits_TE, experts_TK, self.state
            )
        return shares_of(logits_TE, experts_TK, normalise=self.normalise), experts_TK

    def _choose(self, logits_TE: Tensor) -> Tensor:
        """Choose experts, or take those of the first pass when this is the second."""
        if self.state.replay == "replay" and self._remembered is not None:
            experts_TK, self._remembered = self._remembered, None
            return experts_TK
        experts_TK = choose(logits_TE, self.k)
        if self.state.replay == "record":
            self._remembered = experts_TK
        if self.training:
            self.load += torch.bincount(experts_TK.reshape(-1), minlength=len(self.load))
        return experts_TK
