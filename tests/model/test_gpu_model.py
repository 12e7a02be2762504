"""The benchmark's own Mixtral is the step of training: same modules, same loss, same gradients."""

import sys
from pathlib import Path

import pytest
import torch

from bimedix.model.arithmetic import shape_of
from bimedix.model.blocks import attach
from bimedix.model.load import tiny_model
from bimedix.model.packing import ATTENTION, pack, register_attention
from bimedix.model.settings import AdapterSettings, TinySettings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from _gpu_model import Mixtral, gradients, random_model

BASE = TinySettings(hidden=64, ffn=128, layers=2, heads=4, kv_heads=2, experts=4, vocab=300, init_std=0.2)


def over_the_modules_of(model):
    """Return the benchmark's model with the modules of transformers' model in it."""
    ours = Mixtral(shape_of(model.config.to_dict()))
    ours.engine_state, ours.lm_head = model.engine_state, model.lm_head
    ours.model.embed_tokens = model.model.embed_tokens
    ours.model.norm.weight = model.model.norm.weight
    ours.model.norm.variance_epsilon = model.model.norm.variance_epsilon
    for mine, theirs in zip(ours.model.layers, model.model.layers, strict=True):
        mine.mlp = theirs.mlp
        for norm in ("input_layernorm", "post_attention_layernorm"):
            getattr(mine, norm).weight = getattr(theirs, norm).weight
            getattr(mine, norm).variance_epsilon = getattr(theirs, norm).variance_epsilon
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(mine.self_attn, part, getattr(theirs.self_attn, part))
    return ours.train()


@pytest.mark.parametrize("policies", [("none", "none"), ("layers", "gate_up")])
def test_loss_and_gradients_are_those_of_training(apart, with_values, policies):
    """Packed documents through the objective of training over transformers, and through this model."""
    from bimedix.train.loop import Objective

    register_attention()
    theirs = with_values(attach(tiny_model(BASE), AdapterSettings(rank=4, base="nf4", router="lora"))).train()
    theirs.set_attn_implementation(ATTENTION)
    source = torch.Generator().manual_seed(2)
    ids = [torch.randint(0, 300, (n,), generator=source).tolist() for n in (9, 14, 30)]
    packed = pack([(row, [True] * len(row)) for row in ids])
    loss = Objective(theirs)(packed)
    loss.backward()
    expected = {id(p): p.grad.clone() for p in theirs.parameters() if p.requires_grad}
    for p in theirs.parameters():
        p.grad = None
    ours = over_the_modules_of(theirs)
    ours.follow(policies)
    mine = ours.loss(packed)
    mine.backward()

    assert float(mine.detach()) == pytest.approx(float(loss.detach()), rel=1e-6)
    found = {id(p): p.grad for p in ours.parameters() if p.requires_grad}
    assert found.keys() == expected.keys()
    assert max(apart(found[key], expected[key]) for key in expected) <= 5e-6


def test_tokens_decoded_one_by_one_are_those_of_the_whole_row():
    """The cache, the mask and the positions: each next id is the likeliest after the same ids in one pass."""
    shape = shape_of({**tiny_model(BASE).config.to_dict(), "num_hidden_layers": 2})
    model = random_model(shape, AdapterSettings(rank=4), torch.device("cpu"), dtype=torch.float32).eval()
    caches, told = model.new_cache(2, 12), []
    ids = torch.tensor([[5], [17]])
    for _ in range(8):
        told.append(ids)
        ids = model.decode(ids, caches)
    rows = torch.cat([*told, ids], dim=1)
    again = []
    for row in rows:
        packed = pack([(row.tolist(), [True] * len(row))])
        with torch.no_grad():
            again.append(likeliest(model, packed))

    assert len(rows.unique()) > 4
    assert torch.equal(torch.stack(again), rows[:, 1:])


def likeliest(model, packed):
    """Return the likeliest next id at every row that bears loss."""
    import _gpu_model

    seen = {}

    def keep(hidden, head, targets):
        seen["ids"] = (hidden @ head.T).argmax(-1)
        return hidden.sum()

    before, _gpu_model.head_loss = _gpu_model.head_loss, keep
    try:
        model.loss(packed)
    finally:
        _gpu_model.head_loss = before
    return seen["ids"]


def test_random_adapters_all_get_gradients():
    """No adapter of the full target set stands still in the model that is timed."""
    shape = shape_of(tiny_model(BASE).config.to_dict())
    model = random_model(shape, AdapterSettings(rank=4, router="lora"), torch.device("cpu"))
    model.loss(pack([(list(range(40)), [True] * 40)])).backward()
    found = gradients(model)

    assert len(found) == 2 * (3 * 2 + 5 + 2)
    assert all(g is not None and bool(g.any()) for g in found.values())
