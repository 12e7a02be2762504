"""The load-balancing loss: the Switch formula on raw logits, counted once, whatever the batching."""

import pytest
import torch

from bimedix.model.adapters import named_adapters
from bimedix.model.blocks import attach, blocks
from bimedix.model.packing import ATTENTION, pack, register_attention
from bimedix.model.router import balance_per_token, choose
from bimedix.model.settings import AdapterSettings


def switch_loss(logits_TE, experts_TK):
    """arXiv 2101.03961, equations 4 to 6, with K pairs per token."""
    tokens, experts = logits_TE.shape
    f = torch.bincount(experts_TK.flatten(), minlength=experts).double() / tokens
    return experts * (f * logits_TE.softmax(-1).mean(0)).sum()


def test_the_mean_over_tokens_is_the_switch_loss_of_raw_logits():
    """T12: equal to the formula and its gradient; a second softmax would give another number."""
    logits = (torch.randn(50, 8, dtype=torch.float64) + torch.arange(8)).requires_grad_()
    chosen = choose(logits, 2)
    loss, gradient = balance_per_token(logits.detach(), chosen, None)
    expected = switch_loss(logits, chosen)
    expected.backward()

    assert torch.allclose(loss.mean(), expected.detach(), rtol=1e-12)
    assert torch.allclose(gradient / 50, logits.grad, rtol=1e-9, atol=1e-15)
    assert abs(switch_loss(logits.softmax(-1), chosen) - expected) > 0.05


def test_equal_loads_give_k():
    """The least value, at which each expert gets its share: experts per token."""
    logits = torch.zeros(8, 8)
    chosen = torch.stack([torch.arange(8), (torch.arange(8) + 1) % 8], dim=1)

    assert float(balance_per_token(logits, chosen, None)[0].mean()) == pytest.approx(2.0)


def router_gradients(model, packs, weight):
    """Return gradients of all routers and the balance sum after the packs went through."""
    register_attention()
    model.set_attn_implementation(ATTENTION)
    model.train()
    state = model.engine_state
    state.balance_weight, state.balance_sum = weight, 0.0
    model.zero_grad()
    for packed in packs:
        state.documents = packed.documents
        hidden = model.model(
            input_ids=packed.ids, position_ids=packed.positions, document_lengths=packed.lengths,
            use_cache=False,
        ).last_hidden_state  # fmt: skip
        (hidden.sum() * 0.01).backward()
    return [block.gate.weight.grad.clone() for _, block in blocks(model)], state.balance_sum


def documents():
    source = torch.Generator().manual_seed(8)
    made = [torch.randint(0, 300, (n,), generator=source).tolist() for n in (7, 12, 3, 20)]
    return [(ids, [True] * len(ids)) for ids in made]


def test_value_and_gradient_do_not_depend_on_packing(tiny, apart):
    """T13: one pack, two micro-batches, or each document alone."""
    model = attach(tiny(), AdapterSettings(rank=2))
    d = documents()
    whole, value = router_gradients(model, [pack(d)], 0.01)
    without, _ = router_gradients(model, [pack(d)], 0.0)

    assert apart(whole[0], without[0]) > 1e-2
    for split in ([pack(d[:1]), pack(d[1:])], [pack([one]) for one in reversed(d)]):
        gradients, other = router_gradients(model, split, 0.01)
        assert other == pytest.approx(value, rel=1e-6)
        for mine, theirs in zip(gradients, whole, strict=True):
            assert apart(mine, theirs) <= 2e-6


def test_the_loss_is_not_doubled_by_recomputation(tiny, apart):
    """T14: with layers computed again in backward, the same value and the same gradient."""
    from bimedix.model.recompute import recompute_layers

    model = attach(tiny(), AdapterSettings(rank=2))
    plain, value = router_gradients(model, [pack(documents())], 0.01)
    recompute_layers(model)
    again, other = router_gradients(model, [pack(documents())], 0.01)

    assert other == value
    for mine, theirs in zip(again, plain, strict=True):
        assert torch.equal(mine, theirs)


def test_load_counts_every_pair_of_token_and_expert_once(tiny):
    """Also under recomputation, where the router runs twice."""
    from bimedix.model.recompute import recompute_layers

    model = attach(tiny(), AdapterSettings(rank=2))
    recompute_layers(model)
    router_gradients(model, [pack(documents())], 0.0)

    assert [int(block.gate.load.sum()) for _, block in blocks(model)] == [2 * 42, 2 * 42]


def test_a_near_tie_is_not_rerouted_in_the_second_pass(tiny, monkeypatch):
    """T7: a router that answers otherwise the second time changes neither loss nor gradients."""
    from bimedix.model import router
    from bimedix.model.recompute import recompute_layers

    def run(recompute):
        model = attach(tiny(), AdapterSettings(rank=2))
        if recompute:
            recompute_layers(model)
        packs = [pack(documents())]
        return router_gradients(model, packs, 0.01)[0]

    plain = run(recompute=False)
    calls = []

    def unsteady(logits_TE, k):
        calls.append(1)
        order = logits_TE.detach().argsort(dim=-1, descending=True)
        return order[:, :k] if len(calls) <= 2 else order[:, 1 : k + 1]

    monkeypatch.setattr(router, "choose", unsteady)
    replayed = run(recompute=True)

    assert len(calls) == 2
    for mine, theirs in zip(replayed, plain, strict=True):
        assert torch.equal(mine, theirs)


def test_dropout_is_the_same_in_the_second_pass(tiny):
    """T8: layers computed again draw the masks of the first pass."""
    from bimedix.model.recompute import recompute_layers

    def run(recompute):
        model = attach(tiny(), AdapterSettings(rank=2, dropout=0.3))
        for name, view in named_adapters(model):
            view.copy_(
                torch.linspace(-0.1, 0.1, view.numel()).reshape(view.shape)
            ) if "lora" in name else None
        if recompute:
            recompute_layers(model)
        torch.manual_seed(4)
        return router_gradients(model, [pack(documents())], 0.0)[0]

    for mine, theirs in zip(run(recompute=True), run(recompute=False), strict=True):
        assert torch.equal(mine, theirs)
