"""The grouped back-end against the loop: same contract, same numbers."""

import pytest
import torch

from bimedix.model.adapters import gradients_by_name
from bimedix.model.blocks import attach
from bimedix.model.experts import agrees_with_loop, run_grouped, run_loop, use_grouped
from bimedix.model.moe import ExpertOptions, Factors, PlainWeights, dispatch
from bimedix.model.settings import AdapterSettings


def case(dtype, rank=3, idle=False):
    source = torch.Generator().manual_seed(1)

    def draw(*shape):
        return (0.5 * torch.randn(*shape, generator=source)).to(dtype).requires_grad_()

    experts, tokens, k, hidden, ffn = 5, 33, 2, 32, 48
    high = experts - 1 if idle else experts
    chosen = torch.stack([torch.randperm(high, generator=source)[:k] for _ in range(tokens)])
    return (
        draw(tokens, hidden),
        draw(tokens, k),
        dispatch(chosen, experts),
        PlainWeights(draw(experts, 2 * ffn, hidden).detach(), draw(experts, hidden, ffn).detach()),
        ExpertOptions(scale=0.7),
        Factors(
            draw(experts, 2 * rank, hidden),
            draw(experts, ffn, rank),
            draw(experts, ffn, rank),
            draw(experts, rank, ffn),
            draw(experts, hidden, rank),
        ),
    )


def everything(run, inputs):
    x, shares, *_, factors = inputs
    out = run(*inputs)
    wanted = [x, shares, *(f for f in factors if f is not None)]
    return [out, *torch.autograd.grad(out.square().sum(), wanted)]


@pytest.mark.parametrize("idle", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_both_back_ends_give_the_same(apart, dtype, bound, idle):
    """T6: output and every gradient; a rank that fills no 16 bytes is padded without a trace."""
    inputs = case(dtype, idle=idle)
    for mine, theirs in zip(everything(run_grouped, inputs), everything(run_loop, inputs), strict=True):
        assert apart(mine.float(), theirs.float()) <= bound


@pytest.mark.parametrize("left", [("a13", "b1"), ("a2", "b2"), ("a13", "b3"), ()])
def test_any_set_of_factors_is_taken(apart, left):
    """w1, w2 or w3 alone, or none; without [g, u] saved."""
    *inputs, _, factors = case(torch.float32)
    kept = Factors(**{name: getattr(factors, name) for name in left})
    if "a13" in left:
        kept = kept._replace(a13=factors.a13[:, :3].detach().requires_grad_())
    inputs += [ExpertOptions(scale=0.7, save_gate_up=False), kept]
    for mine, theirs in zip(everything(run_grouped, inputs), everything(run_loop, inputs), strict=True):
        assert apart(mine, theirs) <= 1e-6


def test_a_model_trains_alike_on_either(tiny, ids, apart, with_values):
    """Chosen by name, the whole model gives the loop's gradients."""
    found = []
    for name in ("loop", "grouped"):
        model = with_values(attach(tiny(), AdapterSettings(rank=3))).train()
        model.engine_state.backend = name
        model(ids).logits.logsumexp(-1).sum().backward()
        found.append(gradients_by_name(model))

    for name, theirs in found[0].items():
        assert apart(found[1][name], theirs) <= 2e-5, name


def test_the_loop_is_taken_where_grouped_products_do_not_serve():
    """Float64, dropout and a trained base stay with it; on CPU so does `auto`."""
    x = torch.zeros(4, 32)

    assert agrees_with_loop("cpu", torch.float32)
    assert use_grouped(x, 8, ExpertOptions(), False, "grouped")
    assert not use_grouped(x, 128, ExpertOptions(), False, "auto")
    assert not use_grouped(x.double(), 8, ExpertOptions(), False, "grouped")
    assert not use_grouped(x, 8, ExpertOptions(dropout=0.1), False, "grouped")
    assert not use_grouped(x, 8, ExpertOptions(), True, "grouped")
