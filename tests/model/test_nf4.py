"""NF4: the bytes of bitsandbytes, lossless scales, gradients of the unpacked base, real sizes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bimedix.errors import ShapeError
from bimedix.model.adapters import gradients_by_name, measure_bits
from bimedix.model.blocks import attach, blocks
from bimedix.model.load import tiny_model
from bimedix.model.nf4 import Nf4Weight, dynamic_levels, nf4_linear, pack, unpack
from bimedix.model.packing import pack as pack_documents
from bimedix.model.settings import AdapterSettings, TinySettings


@pytest.fixture(scope="module")
def bnb():
    return pytest.importorskip("bitsandbytes").functional


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("spread", [1e-6, 0.02, 30.0])
def test_bytes_and_values_equal_bitsandbytes(bnb, dtype, spread):
    """T9: packed bytes, scales, and what comes back."""
    weight = (spread * torch.randn(96, 256)).to(dtype)
    weight[3] = 0
    packed, scales = pack(weight)
    theirs, state = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4")

    assert torch.equal(packed.reshape(-1), theirs.reshape(-1))
    assert torch.equal(scales.reshape(-1), state.absmax)
    assert torch.equal(unpack(packed, scales, dtype), bnb.dequantize_4bit(theirs, state))


def test_nested_scales_are_read_as_bitsandbytes_reads_them(bnb):
    """T9: their codes give their values; ours are theirs, but where their table rounds away."""
    weight = 0.02 * torch.randn(200, 512)
    ours = Nf4Weight(weight, "nested")
    theirs, state = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=True)
    differs = (ours.scales.reshape(-1).int() - state.absmax.reshape(-1).int()).abs()

    assert torch.equal(dynamic_levels(), state.state2.code)
    assert torch.equal(ours.second_scales, state.state2.absmax)
    assert int(differs.max()) <= 1
    assert float((differs > 0).float().mean()) < 0.01
    ours.scales.copy_(state.absmax.reshape(ours.scales.shape))
    assert torch.equal(ours.dense(torch.float32), bnb.dequantize_4bit(theirs, state))


@settings(max_examples=60, deadline=None)
@given(bits=st.binary(min_size=128, max_size=128))
def test_bfloat16_scales_lose_nothing_of_bfloat16_weights(bits):
    """T10: any finite bfloat16 values; the scale of a block is one of its weights."""
    weight = torch.frombuffer(bytearray(bits), dtype=torch.bfloat16).reshape(1, 64).nan_to_num(0, 1e30, -1e30)

    assert torch.equal(
        Nf4Weight(weight, "bfloat16").dense(torch.bfloat16),
        Nf4Weight(weight, "float32").dense(torch.bfloat16),
    )


def test_levels_come_back_exactly():
    """Values on a level times a power of two survive packing."""
    weight = torch.tensor([0.5, -0.5, 0.0, 0.25 * 0.5626170039176941 * 2] * 16)[None]

    assert torch.equal(Nf4Weight(weight).dense(torch.float32), weight)


def test_inputs_that_fill_no_block_are_refused():
    with pytest.raises(ShapeError, match="blocks of 64"):
        pack(torch.zeros(4, 96))


def test_the_linear_layer_gives_the_gradient_of_its_unpacked_weight():
    weight = Nf4Weight(torch.randn(32, 64))
    x = torch.randn(3, 64, requires_grad=True)
    dense = weight.dense(torch.float32)
    (nf4_linear(x, weight) * torch.arange(32)).sum().backward()

    assert torch.allclose(x.grad, torch.arange(32.0) @ dense.expand(3, 32, 64), atol=1e-5)


BASE = TinySettings(hidden=64, ffn=128, layers=2, experts=4, vocab=300, init_std=0.2)


def dense_twin(model):
    """Return a plain model whose weights are the unpacked ones of an NF4 model."""
    from bimedix.model.load import plain_tensors

    twin = tiny_model(BASE)
    with torch.no_grad():
        own = dict(plain_tensors(model))
        for name, tensor in plain_tensors(twin):
            tensor.copy_(own[name])
    return twin


@pytest.mark.parametrize("scales", ["float32", "nested"])
def test_gradients_equal_those_over_the_unpacked_base(apart, with_values, ids, scales):
    """T11: QLoRA is LoRA over what the four bits say."""
    adapter = AdapterSettings(rank=4, base="nf4", nf4_scales=scales)
    model = with_values(attach(tiny_model(BASE), adapter))
    twin = with_values(attach(dense_twin(model), AdapterSettings(rank=4)))
    packed = pack_documents([(ids[0].tolist(), [True] * 40)])
    for one in (model, twin):
        one.train()
        hidden = one.model(input_ids=packed.ids).last_hidden_state
        (one.lm_head(hidden).logsumexp(-1).sum() / 40).backward()
    mine, theirs = gradients_by_name(model), gradients_by_name(twin)

    assert mine.keys() == theirs.keys()
    for name in mine:
        assert apart(mine[name], theirs[name]) <= 5e-6, name


def test_experts_really_are_in_four_bits(with_values):
    """T22: counted from the tensors on the device, not from settings."""
    model = tiny_model(BASE).bfloat16()
    attach(model, AdapterSettings(rank=4, base="nf4"))
    bits = measure_bits(model)

    assert bits["experts"] == 4.25
    assert bits["attention"] == 4.25
    assert bits["embeddings"] == 16
    assert not any(
        p.numel() > 10_000 and not p.requires_grad for p in blocks(model)[0][1].experts.parameters()
    )


def test_an_unpacked_weight_that_is_kept_changes_no_bit():
    """Asked for in the dtype kept: no unpacking; in another: from the four bits; once moved: let go."""
    weight = Nf4Weight(torch.randn(3, 8, 128).bfloat16())
    fresh = weight.dense(torch.bfloat16).clone()

    assert weight.keep_unpacked(torch.bfloat16) == 2 * 3 * 8 * 128
    assert torch.equal(weight.dense(torch.bfloat16, 1), fresh[1])
    assert weight.dense(torch.bfloat16, 1).data_ptr() == weight.dense(torch.bfloat16, 1).data_ptr()
    assert weight.dense(torch.float32).dtype == torch.float32
    assert set(weight.state_dict()) == {"packed", "scales"}
    assert not weight.to("cpu").kept
    assert weight.keep_unpacked(None) == 0
