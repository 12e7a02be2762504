"""Lean norms: transformers' numbers in both passes, and no more memory than the plan says."""

import pytest
import torch

from bimedix.model import norms
from bimedix.model.arithmetic import kept_bytes, shape_of
from bimedix.model.blocks import attach
from bimedix.model.load import tiny_model
from bimedix.model.norms import LeanNorm
from bimedix.model.packing import ATTENTION, pack, register_attention
from bimedix.model.recompute import recompute_layers
from bimedix.model.settings import AdapterSettings, TinySettings

WIDE = TinySettings(hidden=512, ffn=1792, layers=3, heads=8, kv_heads=2, experts=8, vocab=300, init_std=0.04)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.bfloat16, 8e-3)])
def test_a_lean_norm_gives_the_numbers_of_transformers(apart, dtype, bound):
    """Output bit for bit; gradients of input and weight within the dtype's rounding."""
    from transformers.models.mixtral.modeling_mixtral import MixtralRMSNorm

    theirs = MixtralRMSNorm(32).to(dtype)
    theirs.weight.data.normal_()
    lean = LeanNorm(torch.nn.Parameter(theirs.weight.detach().clone()), theirs.variance_epsilon)
    x, dy = torch.randn(2, 7, 32).to(dtype), torch.randn(2, 7, 32).to(dtype)
    found = []
    for norm in (lean, theirs):
        own = x.clone().requires_grad_()
        y = norm(own)
        found.append([y.detach(), *torch.autograd.grad(y, (own, norm.weight), dy)])

    assert torch.equal(found[0][0], found[1][0])
    for mine, other in zip(*found, strict=True):
        assert apart(mine.float(), other.float()) <= bound


@pytest.fixture
def packed_step(kept_for_backward):
    """Return a function: loss, gradients, and the bytes that layers kept for backward of 96 tokens."""

    def run(model):
        source = torch.Generator().manual_seed(2)
        ids = [torch.randint(0, 300, (n,), generator=source).tolist() for n in (40, 56)]
        packed = pack([(row, [True] * len(row)) for row in ids])
        with kept_for_backward(model) as kept:
            hidden = model.model(
                input_ids=packed.ids, position_ids=packed.positions, document_lengths=packed.lengths,
                use_cache=False,
            ).last_hidden_state  # fmt: skip
        loss = hidden.float().logsumexp(-1).sum()
        loss.backward()
        return loss.detach(), [p.grad for p in model.parameters() if p.requires_grad], kept[0]

    return run


def prepared(dtype, policies):
    register_attention()
    model = attach(tiny_model(WIDE).to(dtype), AdapterSettings(rank=4, router="lora")).train()
    model.set_attn_implementation(ATTENTION)
    recompute_layers(model, policies=policies)
    return model


@pytest.mark.parametrize("policy", ["none", "gate_up"])
def test_layers_keep_what_the_plan_counts(packed_step, policy):
    """Bytes per token and layer are those of `kept_bytes`, which budgets rest on; angles add a little."""
    *_, size = packed_step(prepared(torch.bfloat16, (policy,) * 3))
    expected = 96 * 3 * kept_bytes(shape_of(prepared(torch.bfloat16, None).config.to_dict()), policy)

    assert expected <= size <= 1.08 * expected


def test_what_is_computed_again_is_what_was_there(packed_step, monkeypatch):
    """Bit for bit the gradients of keeping the norms' outputs."""
    loss, found, lean = packed_step(prepared(torch.bfloat16, ("none",) * 3))
    monkeypatch.setattr(norms.Watch, "begin", lambda *args: None)
    plain, expected, _ = packed_step(prepared(torch.bfloat16, ("none",) * 3))

    assert lean > 0
    assert torch.equal(loss, plain)
    assert all(torch.equal(mine, other) for mine, other in zip(found, expected, strict=True))


def test_a_checkpoint_around_a_layer_stays_in_charge(packed_step):
    """Within somebody else's hooks ours keep nothing, and the numbers are the same."""
    loss, expected, _ = packed_step(prepared(torch.bfloat16, None))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        again, found, kept = packed_step(prepared(torch.bfloat16, ("none",) * 3))

    assert kept == 0
    assert torch.equal(again, loss)
    assert all(torch.equal(mine, other) for mine, other in zip(found, expected, strict=True))
