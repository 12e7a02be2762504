"""Attaching, storing, auditing and merging adapters."""

import pytest
import torch

from bimedix.errors import BimedixError, DataError, UsageError
from bimedix.model.adapters import (
    CARD,
    WEIGHTS,
    attach,
    audit_trained,
    fingerprints,
    load_adapter,
    named_adapters,
    save_adapter,
)
from bimedix.model.load import save_model, tiny_model
from bimedix.model.settings import PAPER_TARGETS, AdapterSettings, TinySettings

PAPER = AdapterSettings(rank=4, alpha=6)


@pytest.mark.parametrize("router", ["full", "lora"])
def test_adapters_come_back_from_their_folder(tiny, ids, tmp_path, with_values, router):
    """Same names, same values, same logits."""
    model = with_values(attach(tiny(), AdapterSettings(rank=4, targets=PAPER_TARGETS, router=router)))
    save_adapter(model, tmp_path)
    again = load_adapter(tiny(), tmp_path)

    assert fingerprints(again) == fingerprints(model)
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert sorted(p.name for p in tmp_path.iterdir()) == [CARD, WEIGHTS]


def test_adapters_of_another_shape_are_refused(tiny, tmp_path):
    """Nothing is dropped silently: names and shapes have to match."""
    save_adapter(attach(tiny(), PAPER), tmp_path)
    fewer = tiny_model(TinySettings(hidden=64, ffn=96, layers=1, experts=6, vocab=300))
    other = tiny_model(TinySettings(hidden=64, ffn=80, layers=2, experts=6, vocab=300))

    with pytest.raises(DataError, match="have no place in the model"):
        load_adapter(fewer, tmp_path)
    with pytest.raises(DataError, match="has shape"):
        load_adapter(other, tmp_path)


def test_an_adapter_model_is_never_written_as_if_it_were_the_base(tiny, tmp_path):
    """Saving without merging would drop the adapters without a word."""
    with pytest.raises(UsageError, match="merge"):
        save_model(attach(tiny(), PAPER), tmp_path / "model")


def step(model, ids, leave_out=()):
    """One optimizer step over all trained parameters but those named."""
    logits = model(ids).logits
    torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    chosen = [p for n, p in model.named_parameters() if p.requires_grad and not n.endswith(leave_out)]
    torch.optim.AdamW(chosen, lr=1e-2).step()


def test_one_step_moves_every_adapter(tiny, ids):
    """T21: all six groups, each expert."""
    model = attach(tiny(), PAPER)
    before = fingerprints(model)
    step(model, ids)
    after = fingerprints(model)

    audit_trained(before, after)
    assert all(after[name] != value for name, value in before.items())


@pytest.mark.parametrize("part", ["lora_b1", "lora_b3", "lora_b2", "gate.weight", "v_proj.lora_b"])
def test_an_adapter_that_stands_still_is_an_error(tiny, ids, part):
    """What elsewhere goes unnoticed: half of the experts' adapters without a gradient."""
    model = attach(tiny(), PAPER)
    before = fingerprints(model)
    step(model, ids, leave_out=(part,))

    with pytest.raises(BimedixError, match="did not change in training"):
        audit_trained(before, fingerprints(model))


def test_experts_without_tokens_are_excused_only_by_name(tiny, ids):
    """An idle expert stands still rightly, when the load says that it was idle."""
    model = attach(tiny(), PAPER)
    before = fingerprints(model)
    experts = model.model.layers[0].mlp.experts
    step(model, ids)
    with torch.no_grad():
        for stack in experts.factors:
            stack[2] = 0
    idle = {n: v for n, v in fingerprints(model).items() if ".0.block_sparse_moe.experts.2." not in n}
    after = {**before, **idle}

    audit_trained(before, after, frozenset({(0, 2)}))
    with pytest.raises(BimedixError, match="adapter tensors did not change"):
        audit_trained(before, after, frozenset({(1, 2)}))


def test_a_fully_trained_router_is_a_low_rank_one_without_loss(tiny, ids, apart):
    """T15: W' - W has at most E rows, so that rank E holds it exactly, and comes back."""
    from bimedix.model.adapters import router_as_lora

    model = attach(tiny(), PAPER)
    start = {n: v.clone() for n, v in named_adapters(model) if n.endswith("gate.weight")}
    step(model, ids)
    for name, view in named_adapters(model):
        if name in start:
            a, b = router_as_lora(start[name], view)
            assert a.shape[0] == b.shape[1] == 6
            assert apart(start[name] + b @ a, view) <= 1e-7


def test_a_target_that_the_model_lacks_is_named():
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, vocab_size=30
    )
    with pytest.raises(UsageError, match=r"\['gate'\] are not in this LlamaForCausalLM"):
        attach(LlamaForCausalLM(config), AdapterSettings(rank=3, targets=("q", "gate")))
