"""Lean optimizer state: eight bits that stay close to thirty-two, and weights that may be bfloat16."""

import pytest
import torch

from bimedix.train.optimizer import BLOCK, LeanAdamW, dequantise, make_optimizer, quantise, round_at_random
from bimedix.train.settings import Phase

SOURCE = torch.Generator().manual_seed(5)


def test_small_values_of_a_block_keep_their_size():
    """On average within a few percent, down to a thousandth of the largest of the block."""
    values = 10 ** torch.empty(4, 3, 200).uniform_(-3, 0, generator=SOURCE)
    for signed in (True, False):
        codes, scales = quantise(values, signed=signed)
        again = dequantise(codes, scales, signed=signed)

        assert codes.dtype == torch.uint8 and codes.shape == values.shape
        assert scales.shape == (4, -(-600 // BLOCK))
        error = ((again - values) / values).abs()
        assert error.mean() < 0.04
        assert error[values > 0.5].max() < 0.015


def test_a_shard_of_the_first_dimension_is_coded_like_the_whole():
    """Blocks never reach from one row of it into the next, so that any number of devices gives the same."""
    values = torch.randn(6, 5, 70, generator=SOURCE)
    codes, scales = quantise(values, signed=True)
    part, own = quantise(values[2:4], signed=True)

    assert torch.equal(codes[2:4], part) and torch.equal(scales[2:4], own)


def test_rounding_at_random_keeps_the_mean_and_never_gives_zero():
    """A value between two levels is on average itself; the least one is not rounded away."""
    values = torch.full((4000, BLOCK), 0.4321)
    values[:, 0], values[:, 1] = 1.0, 1e-9
    codes, scales = quantise(values, signed=False, source=SOURCE)
    again = dequantise(codes, scales, signed=False)

    assert again[:, 2:].mean() == pytest.approx(0.4321, rel=1e-5)
    assert len(again[:, 2:].unique()) == 2
    assert (again > 0).all()


def test_a_second_moment_whose_gradient_is_gone_fades_as_fast_as_in_float32():
    """A thousandth a step is less than half a level: rounded to the nearest it would stand still."""
    moment = torch.full((64, BLOCK), 0.5)
    moment[:, 0] = 1.0
    for _ in range(700):
        codes, scales = quantise(moment, signed=False, source=SOURCE)
        moment = dequantise(codes, scales, signed=False) * 0.999
        moment[:, 0] = 1.0

    assert moment[:, 1:].mean() == pytest.approx(0.5 * 0.999**700, rel=0.02)


def test_bfloat16_weights_move_on_average_by_the_whole_step():
    """A step of a thousandth of a weight is lost when rounded to the nearest."""
    weights = torch.full((200_000,), 1.0) + 1e-3
    rounded = round_at_random(weights, SOURCE)

    assert rounded.dtype == torch.bfloat16 and len(rounded.unique()) == 2
    assert rounded.double().mean() == pytest.approx(1.001, abs=2e-5)
    assert weights.to(torch.bfloat16).unique().tolist() == [1.0]


def fitted(format: str, dtype: torch.dtype = torch.float32) -> tuple[float, torch.Tensor]:
    """Return the last loss and the weights of a regression whose gradients have very unlike sizes."""
    draw = torch.Generator().manual_seed(3)
    inputs = torch.randn(512, 64, generator=draw) * torch.logspace(-1.5, 0.5, 64)
    truth = torch.randn(96, 64, generator=draw)
    weight = torch.nn.Parameter(torch.zeros(96, 64, dtype=dtype))
    optimizer = make_optimizer({"lora_a": weight}, Phase(betas=(0.9, 0.999)), format)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - step / 400)
        rows = torch.randint(512, (64,), generator=draw)
        loss = (inputs[rows] @ (weight.float() - truth).T).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float((inputs @ (weight.detach().float() - truth).T).square().mean()), weight.detach().float()


def test_eight_bits_learn_what_float32_learns():
    """The losses differ by less than a tenth, and the weights by a few percent of their norm."""
    loss, weight = fitted("adamw_float32")
    lean_loss, lean = fitted("adamw_8bit")
    leaner_loss, leaner = fitted("adamw_8bit_bfloat16", torch.bfloat16)

    assert lean_loss == pytest.approx(loss, rel=0.1)
    assert (lean - weight).norm() < 0.08 * weight.norm()
    assert leaner_loss < 1.5 * loss + 0.01
    assert (leaner - weight).norm() < 0.08 * weight.norm()


def test_the_state_is_a_byte_a_value_and_its_scales():
    """Two moments of a large matrix take 2.03 bytes a value; a small one keeps float32."""
    large, small = torch.nn.Parameter(torch.randn(64, 256)), torch.nn.Parameter(torch.randn(8, 16))
    optimizer = LeanAdamW([large, small], lr=1e-3, betas=(0.9, 0.999))
    large.grad, small.grad = torch.randn(64, 256), torch.randn(8, 16)
    optimizer.step()

    def size(parameter):
        state = optimizer.state[parameter]
        return sum(v.numel() * v.element_size() for k, v in state.items() if k != "step") / parameter.numel()

    assert (size(large), size(small)) == (2 + 8 / BLOCK, 8)


def test_one_step_is_that_of_adamw():
    """Before anything is rounded: the first step, decay of weights included."""
    one, two = (torch.nn.Parameter(torch.ones(64, 128)) for _ in range(2))
    for parameter, make in ((one, LeanAdamW), (two, torch.optim.AdamW)):
        groups = [{"params": [parameter], "weight_decay": 0.1}]
        optimizer = make(groups, lr=0.01, betas=(0.9, 0.99))
        parameter.grad = torch.linspace(-1, 1, 64 * 128).reshape(64, 128)
        optimizer.step()

    assert torch.allclose(one, two, atol=1e-6)
