"""The Triton kernels against plain torch, by Triton's interpreter on the CPU; `test_kernels.py` starts this.

The interpreter has to be asked for before triton is imported, hence a process of its own. It cuts float32
off where hardware rounds to bfloat16, so that the tests round in its place.
"""

import importlib

import numpy as np
import pytest
import torch

from bimedix.model import experts, nf4, swiglu
from bimedix.model.experts import run_experts
from bimedix.model.moe import ExpertOptions, Factors, Nf4Weights
from bimedix.model.nf4 import Nf4Weight, few_rows, nf4_linear, pack, unpack
from bimedix.model.swiglu import Activation


@pytest.fixture
def kernels(monkeypatch):
    """The kernels as the interpreter runs them, on CPU tensors."""
    from triton.runtime import interpreter

    convert = interpreter._convert_float

    def nearest(value, source, target, mode):
        if (source.name, target.name) != ("fp32", "bf16"):
            return convert(value, source, target, mode)
        bits = np.frombuffer(value.tobytes(), dtype=np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).reshape(value.shape)

    monkeypatch.setattr(interpreter, "_convert_float", nearest)
    return importlib.import_module("bimedix.model.kernels")


@pytest.fixture
def on_kernels(monkeypatch, kernels):
    """Let the engine take the kernels for every tensor."""
    for module in (nf4, swiglu, experts):
        monkeypatch.setattr(module, "kernels_of", lambda x: kernels)


def test_the_decoder_gives_the_same_logits_through_the_kernels(kernels, monkeypatch, apart):
    """A prompt and two tokens over a model in NF4 with adapters: attention, router, experts."""
    from bimedix.model import decode, products
    from bimedix.model.adapters import named_adapters
    from bimedix.model.blocks import attach
    from bimedix.model.load import tiny_model
    from bimedix.model.settings import AdapterSettings, TinySettings

    shape = TinySettings(hidden=64, ffn=64, layers=1, heads=2, kv_heads=1, experts=4, vocab=50, init_std=0.2)
    model = attach(tiny_model(shape), AdapterSettings(rank=4, base="nf4", router="lora")).eval()
    for _, view in named_adapters(model):
        view.normal_(0, 0.1)

    def logits():
        decoder = decode.Decoder(model, 8)
        return [decoder.step(torch.tensor([ids])) for ids in ([5, 9, 2], [7], [11])]

    plain = logits()
    called = []
    for module in (nf4, swiglu, experts, products, decode):
        monkeypatch.setattr(module, "kernels_of", lambda x: called.append(1) or kernels)

    assert all(apart(mine, other) <= 2e-5 for mine, other in zip(logits(), plain, strict=True))
    assert called


def draw(*shape, dtype=torch.float32, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("scale_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_unpacking_gives_the_bits_of_the_table(kernels, dtype, scale_dtype):
    """Every level, a ragged end, a poisoned output: equal bit for bit to what the CPU's table gives."""
    packed, scales = pack(draw(3, 43, 192, dtype=torch.bfloat16))
    scales = scales.to(scale_dtype)
    out = torch.full((3, 43, 192), float("nan"), dtype=dtype)
    kernels.unpack(packed, scales, nf4._levels(packed.device), out, BLOCKS=8, STEPS=3)

    assert len(packed.unique()) > 200
    assert torch.equal(out, unpack(packed, scales, dtype))


def test_a_weight_unpacks_through_the_kernel_into_what_it_is_given(on_kernels):
    """One member of a stack, into a buffer that is used again and again."""
    weight = Nf4Weight(draw(4, 24, 128, dtype=torch.bfloat16))
    out = torch.empty(24, 128, dtype=torch.bfloat16)
    for member in (2, 0):
        assert weight.dense(torch.bfloat16, member, out) is out
        assert torch.equal(out, unpack(weight.packed[member], weight.scales[member], torch.bfloat16))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-6), (torch.bfloat16, 6e-3)])
@pytest.mark.parametrize("tokens", [1, 3, 9])
def test_few_rows_are_multiplied_without_unpacking(kernels, apart, dtype, bound, tokens):
    """Against float64 over the unpacked weight; members without rows, more rows than a tile takes at once."""
    weight = Nf4Weight(draw(5, 40, 192, dtype=torch.bfloat16))
    x = draw(tokens, 192, dtype=dtype, seed=2)
    member = torch.arange(2 * tokens) % 2 * 3 + (torch.arange(2 * tokens) > 2 * tokens - 2)
    order = member.argsort(stable=True)
    rows, starts = order // 2, torch.searchsorted(member[order], torch.arange(6))
    levels = nf4._levels(x.device)
    mine = kernels.few_rows(x, weight.packed, weight.scales, levels, rows, starts, BLOCK_OUT=16)
    plain = kernels.few_rows_plain(x, weight.dense(dtype), rows, starts)
    exact = [
        x[r].double() @ weight.dense(dtype, m).double().T for r, m in zip(rows, member[order], strict=True)
    ]

    assert apart(mine.double(), torch.stack(exact)) <= bound
    assert apart(plain.double(), torch.stack(exact)) <= bound
    assert apart(few_rows(x, weight, rows, starts).double(), torch.stack(exact)) <= bound


def test_a_linear_layer_reads_four_bits_when_nothing_asks_for_a_gradient(on_kernels, apart):
    """Few rows without gradients only; what is kept unpacked is used as it is."""
    weight, x = Nf4Weight(draw(40, 128)), draw(2, 3, 128, seed=2)
    exact = x.double() @ weight.dense(torch.float32).double().T
    with torch.no_grad():
        mine = nf4_linear(x, weight)
        weight.keep_unpacked(torch.float32)
        kept = nf4_linear(x, weight)

    assert mine.shape == (2, 3, 40)
    assert apart(mine.double(), exact) <= 2e-6
    assert torch.equal(kept, x @ weight.dense(torch.float32).T)
    assert nf4_linear(x.requires_grad_(), weight).requires_grad


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.bfloat16, 8e-3)])
def test_the_activation_is_that_of_torch_in_one_pass(on_kernels, monkeypatch, apart, dtype, bound):
    """h, silu(g) u and all gradients against torch in float64; a width that fills no block."""
    gate_up, dh, p = (draw(*s, dtype=dtype, seed=i) for i, s in enumerate([(7, 2 * 1100), (7, 1100), (7,)]))
    h, fused = swiglu.swiglu(gate_up, p), Activation(gate_up)
    dgate_up, dp = fused.backward(dh.clone(), p)
    monkeypatch.setattr(swiglu, "kernels_of", lambda x: None)
    wide = gate_up.double()
    exact = Activation(wide)
    exact_gradient, exact_dp = exact.backward(dh.double(), p.double())

    assert apart(h.double(), swiglu.swiglu(wide, p.double())) <= bound
    assert apart(fused.product.double(), exact.product) <= bound
    assert apart(dgate_up.double(), exact_gradient) <= bound
    assert apart(dp.double(), exact_dp) <= bound


@pytest.mark.parametrize("backend", ["loop", "grouped"])
def test_experts_train_alike_with_the_kernels(kernels, monkeypatch, apart, backend):
    """Output and every gradient of a layer in NF4, both back-ends, [g, u] kept or not."""
    weights = Nf4Weights(Nf4Weight(draw(3, 128, 64)), Nf4Weight(draw(3, 64, 64)))
    chosen = torch.tensor([[0, 2], [2, 0], [0, 2], [2, 0], [0, 2]])
    inputs = [draw(5, 64), draw(5, 2).softmax(-1)]
    factors = [draw(3, 8, 64), draw(3, 64, 4), draw(3, 64, 4), draw(3, 4, 64), draw(3, 64, 4)]
    for tensor in (*inputs, *factors):
        tensor.requires_grad_()

    def run(save):
        out = run_experts(
            *inputs, chosen, weights, 3, factors=Factors(*factors), backend=backend,
            options=ExpertOptions(scale=0.5, save_gate_up=save),
        )  # fmt: skip
        return [out, *torch.autograd.grad(out.square().sum(), [*inputs, *factors])]

    plain = run(True)
    for module in (nf4, swiglu, experts):
        monkeypatch.setattr(module, "kernels_of", lambda x: kernels)
    for save in (True, False):
        for mine, theirs in zip(run(save), plain, strict=True):
            assert apart(mine, theirs) <= 3e-6


@pytest.mark.parametrize("left", [(), ("a13", "b1", "b3", "a2", "b2"), ("a13", "b3"), ("a2", "b2")])
def test_a_decoding_step_gives_what_the_loop_gives(kernels, monkeypatch, apart, left):
    """A few tokens, with any set of adapters; experts that no token chose are not read."""
    weights = Nf4Weights(Nf4Weight(draw(4, 128, 64)), Nf4Weight(draw(4, 64, 64)))
    x, shares, chosen = draw(3, 64), draw(3, 2).softmax(-1), torch.tensor([[3, 1], [1, 3], [3, 0]])
    a13 = draw(4, 8 if "b1" in left else 4, 64)
    stacks = Factors(a13, draw(4, 64, 4), draw(4, 64, 4), draw(4, 4, 64), draw(4, 64, 4))
    factors = Factors(**{name: getattr(stacks, name) for name in left})

    def run():
        with torch.no_grad():
            return run_experts(
                x, shares, chosen, weights, 4, factors=factors, options=ExpertOptions(scale=0.5)
            )

    plain = run()
    for module in (nf4, swiglu, experts):
        monkeypatch.setattr(module, "kernels_of", lambda x: kernels)
    weights.gate_up_stack.scales[2] = float("nan")

    assert apart(run(), plain) <= 2e-6
