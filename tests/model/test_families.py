"""Other families than Mixtral: many small experts, dense layers among sparse ones, dense models."""

import pytest
import torch

from bimedix.model.adapters import fingerprints, load_adapter, save_adapter
from bimedix.model.blocks import attach, blocks, install
from bimedix.model.layouts import write_peft
from bimedix.model.settings import AdapterSettings

SMALL = {
    "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 300,
    "initializer_range": 0.2,
}  # fmt: skip


@pytest.fixture(params=[True, False], ids=["shares sum to 1", "shares as they are"])
def qwen(request):
    """Return a maker of a Qwen3-MoE with one dense layer between two sparse ones."""
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    def make():
        torch.manual_seed(2)
        config = Qwen3MoeConfig(
            **SMALL, intermediate_size=48, moe_intermediate_size=16, num_hidden_layers=3, num_experts=16,
            num_experts_per_tok=4, mlp_only_layers=[1], norm_topk_prob=request.param,
        )  # fmt: skip
        return Qwen3MoeForCausalLM(config).eval()

    return make


def test_qwen_blocks_give_the_logits_of_transformers(qwen, ids, apart):
    """With and without shares that sum to one; the dense layer keeps its own MLP."""
    model = qwen()
    expected = model(ids).logits
    install(model)

    assert [at for at, _ in blocks(model)] == [0, 2]
    assert apart(model(ids).logits, expected) <= 1e-6


def test_qwen_adapters_are_stored(qwen, ids, tmp_path, with_values, apart):
    """Experts, dense layer, attention and router: back from the folder."""
    model = with_values(attach(qwen(), AdapterSettings(rank=3, router="lora")))
    save_adapter(model, tmp_path / "adapter")
    again = load_adapter(qwen(), tmp_path / "adapter")

    assert "model.layers.1.mlp.up_proj.lora_B" in fingerprints(model)
    assert fingerprints(again) == fingerprints(model)
    assert apart(qwen()(ids).logits, model(ids).logits) > 1e-2


@pytest.mark.parametrize("family", ["Llama", "Mistral", "Qwen2", "Qwen3"])
def test_dense_families_adapt_and_export(family, ids, tmp_path, with_values, apart):
    """Every dense architecture of the list, PEFT's reader included."""
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    config = getattr(transformers, f"{family}Config")(**SMALL, intermediate_size=48, num_hidden_layers=2)
    torch.manual_seed(2)
    base = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    model = with_values(attach(base, AdapterSettings(rank=3, targets=("q", "v", "o", "w1", "w2", "w3"))))
    torch.manual_seed(2)
    write_peft(model, tmp_path / "peft", "experts")
    plain = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    theirs = peft.PeftModel.from_pretrained(plain, tmp_path / "peft")

    assert apart(theirs(ids).logits, model(ids).logits) <= 5e-5
