"""Decoding token by token: the logits of one forward pass over the whole text, for every family."""

import pytest
import torch

from bimedix.errors import ShapeError
from bimedix.model.blocks import attach
from bimedix.model.decode import Decoder
from bimedix.model.generate import generate_tokens
from bimedix.model.load import tiny_model
from bimedix.model.settings import AdapterSettings, TinySettings

SHAPE = TinySettings(hidden=64, ffn=128, layers=2, heads=4, kv_heads=2, experts=4, vocab=300, init_std=0.2)
WIDE = {
    "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300,
    "initializer_range": 0.2, "intermediate_size": 128, "num_hidden_layers": 3,
}  # fmt: skip


def made(family, **more):
    import transformers

    torch.manual_seed(2)
    config = getattr(transformers, f"{family}Config")(**WIDE, **more)
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


MODELS = {
    "mixtral": lambda: tiny_model(SHAPE),
    "qwen3-moe": lambda: made(
        "Qwen3Moe", moe_intermediate_size=64, num_experts=6, num_experts_per_tok=3, mlp_only_layers=[1],
        norm_topk_prob=True,
    ),
    "llama": lambda: made("Llama"),
    "mistral, window of 9": lambda: made("Mistral", sliding_window=9),
    "qwen2, biases": lambda: made("Qwen2"),
    "qwen3, norms of heads": lambda: made("Qwen3"),
}  # fmt: skip


def token_by_token(model, ids_T, first):
    """Return logits after the first tokens and after each that follows, [T - first + 1, V]."""
    decoder = Decoder(model, len(ids_T))
    found = [decoder.step(ids_T[None, :first])]
    found += [decoder.step(ids_T[None, at : at + 1]) for at in range(first, len(ids_T))]
    return torch.cat(found)


@pytest.mark.parametrize("family", MODELS)
def test_logits_are_those_of_one_pass_over_the_text(family, ids, apart):
    """The prompt at once, then a token at a time, against transformers' own forward."""
    model = MODELS[family]()
    wanted = model(ids[:1]).logits[0]

    assert apart(token_by_token(model, ids[0], 12), wanted[11:]) <= 1e-5


@pytest.mark.parametrize("targets", [("q", "v", "w1", "w2", "w3", "gate"), ("w3", "o"), ("k", "w2")])
@pytest.mark.parametrize("base", ["plain", "nf4"])
def test_adapters_stay_beside_the_weights(base, targets, ids, apart, with_values):
    """Any set of targets, over plain weights and over four bits; without them the logits are others."""
    settings = AdapterSettings(rank=4, alpha=6, targets=targets, router="lora", base=base)
    model = with_values(attach(tiny_model(SHAPE), settings))
    with torch.inference_mode():
        wanted = model(ids[:1]).logits[0]

    assert apart(token_by_token(model, ids[0], 12), wanted[11:]) <= 1e-5
    assert apart(tiny_model(SHAPE)(ids[:1]).logits[0, 11:], wanted[11:]) > 1e-2


@pytest.mark.parametrize("family", ["mixtral", "mistral, window of 9"])
def test_rows_of_different_lengths_do_not_see_their_padding(family, ids, apart):
    """Left-padded rows give what each gives alone, at the prompt and after it."""
    model = MODELS[family]()
    pads = [7, 0]
    padded = ids[:, :20].clone()
    padded[0, :7] = 0
    decoder = Decoder(model, 26, rows=2)
    together = [decoder.step(padded, pads)]
    together += [decoder.step(ids[:, at : at + 1]) for at in range(20, 26)]

    for row, pad in enumerate(pads):
        alone = token_by_token(model, ids[row, pad:26], 20 - pad)
        assert apart(torch.stack(together, 1)[row], alone) <= 1e-5


def test_a_text_may_come_in_parts(ids, apart):
    """A second part of several tokens sees the first."""
    model = tiny_model(SHAPE)
    decoder = Decoder(model, 40)
    decoder.step(ids[:1, :15])

    assert apart(decoder.step(ids[:1, 15:40]), model(ids[:1]).logits[:, -1]) <= 1e-5


def test_a_full_cache_is_an_error(ids):
    with pytest.raises(ShapeError, match="20 tokens in a cache of 10"):
        Decoder(tiny_model(SHAPE), 10).step(ids[:1, :20])


def test_greedy_tokens_are_those_of_transformers(ids, with_values):
    """What the chat and the server say, with adapters over four bits."""
    model = with_values(attach(tiny_model(SHAPE), AdapterSettings(rank=4, router="lora", base="nf4")))
    wanted = model.generate(
        ids[:1, :10], max_new_tokens=20, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    found = generate_tokens(model, ids[0, :10].tolist(), max_new_tokens=20, stop_ids=frozenset())

    assert list(found) == wanted[0, 10:].tolist()


def test_only_the_chosen_experts_are_read(ids, with_values):
    """The others may hold anything: not a number of theirs reaches the logits."""
    model = with_values(attach(tiny_model(SHAPE), AdapterSettings(rank=4, router="lora")))
    decoder = Decoder(model, 2)
    chosen = []
    for layer in model.model.layers:
        layer.mlp.gate.register_forward_hook(lambda *a: chosen.append(a[2][1][0].tolist()))
    wanted = decoder.step(ids[:1, :1])
    for layer, own in zip(model.model.layers, list(chosen), strict=True):
        for other in set(range(4)) - set(own):
            layer.mlp.experts.down_proj.data[other] = float("nan")
            layer.mlp.experts.lora_b1.data[other] = float("nan")

    assert torch.equal(Decoder(model, 2).step(ids[:1, :1]), wanted)
