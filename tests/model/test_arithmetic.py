"""Parameters, memory and FLOPs against the published figures and against real models."""

import pytest

from bimedix.errors import DataError
from bimedix.model.arithmetic import (
    activation_bytes,
    active_parameters,
    count_parameters,
    decode_bytes,
    known_config,
    memory,
    shape_of,
    trainable_parameters,
    training_flops,
    weight_bytes,
)
from bimedix.model.settings import PAPER_TARGETS, AdapterSettings

MIXTRAL = shape_of(known_config("mixtral_8x7b"))
PAPER = AdapterSettings(router="lora")


def test_mixtral_has_46_7_billion_parameters_and_uses_12_75_per_token():
    parts = count_parameters(MIXTRAL)

    assert parts.total == 46_702_792_704
    assert parts.experts == 32 * 8 * 3 * 4096 * 14336
    assert round(active_parameters(MIXTRAL) / 1e9, 3) == 12.749


@pytest.mark.parametrize(
    ("targets", "router", "millions", "percent"),
    [
        (("q", "k", "v"), "full", 75.5, 0.16),
        (("q", "k", "v", "o"), "full", 109.1, 0.23),
        (("w1",), "full", 604.0, 1.29),
        (("w1", "w2", "w3"), "full", 1811.9, 3.88),
        (("gate",), "lora", 16.8, 0.04),
        (("gate",), "full", 1.0, 0.0),
        (PAPER_TARGETS, "lora", 1904.2, 4.08),
    ],
)
def test_adapter_sizes_are_those_of_the_paper(targets, router, millions, percent):
    """About 4 % trainable: q, k, v, every expert and the router at rank 128."""
    trained = trainable_parameters(MIXTRAL, AdapterSettings(rank=128, targets=targets, router=router))

    assert round(trained / 1e6, 1) == millions
    assert round(100 * trained / count_parameters(MIXTRAL).total, 2) == percent


def test_counts_equal_those_of_models_that_exist():
    """Every family: parameters and adapters counted from the config equal those of the built model."""
    transformers = pytest.importorskip("transformers")
    from bimedix.model.adapters import count_trainable
    from bimedix.model.blocks import attach

    small = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 64,
    }  # fmt: skip
    sparse = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "mlp_only_layers": [1]}
    made = [
        (transformers.MixtralConfig, {"num_local_experts": 4}),
        (transformers.Qwen3MoeConfig, sparse),
        (transformers.LlamaConfig, {"tie_word_embeddings": True}),
        (transformers.MistralConfig, {}),
        (transformers.Qwen2Config, {}),
        (transformers.Qwen3Config, {}),
    ]
    for kind, extra in made:
        config = kind(**small, **extra)
        model = transformers.AutoModelForCausalLM.from_config(config)
        shape = shape_of(config.to_dict())
        targets = PAPER_TARGETS if shape.moe else ("q", "v", "w1", "w2")
        settings = AdapterSettings(rank=3, targets=targets, router="lora")

        assert count_parameters(shape).total == sum(p.numel() for p in model.parameters()), kind
        assert trainable_parameters(shape, settings) == count_trainable(attach(model, settings)), kind


@pytest.mark.parametrize(
    ("recompute", "context", "gigaflops"),
    [("layers", 2048, 83.3), ("layers", 8192, 90.5), ("none", 2048, 56.1), ("none", 8192, 61.8)],
)
def test_flops_per_token(recompute, context, gigaflops):
    """6N with whole layers computed again, 4N without, plus adapters and attention (moe.md, section 4)."""
    assert round(training_flops(MIXTRAL, PAPER, context, recompute).total / 1e9, 1) == gigaflops


def test_memory_by_part():
    """Weights by the format of the scales, optimizer by its format, activations by policy; GB."""
    assert [round(weight_bytes(MIXTRAL, bits) / 1e9, 1) for bits in (4.5, 4.25, 4.127)] == [26.7, 25.2, 24.5]
    assert round(memory(MIXTRAL, PAPER, 2048).adapters / 1e9, 1) == 30.5
    assert round(memory(MIXTRAL, PAPER, 2048, shards=8).adapters / 1e9, 1) == 17.1
    assert round(activation_bytes(MIXTRAL, 8192, "none") / 1e9, 1) == 39.8
    assert activation_bytes(MIXTRAL, 8192, "layers") < 0.15 * activation_bytes(MIXTRAL, 8192, "none")


def test_decoding_reads_the_experts_that_are_hit():
    """Batch 1 reads two of eight; 16 read nearly all."""
    assert round(decode_bytes(MIXTRAL, 16) / 1e9, 1) == 25.5
    assert round(decode_bytes(MIXTRAL, 4.25) / 1e9, 2) == 6.97
    assert decode_bytes(MIXTRAL, 4.25, batch=16) > 0.97 * weight_bytes(MIXTRAL, 4.25)


def test_a_config_of_another_family_is_named():
    with pytest.raises(DataError, match="Did you mean 'mixtral'"):
        shape_of({"model_type": "mixtrall"})
    with pytest.raises(DataError, match="hidden_size is None"):
        shape_of({"model_type": "llama", "num_attention_heads": 4})
