"""The plan that a budget of bytes buys: never over it, never slower for more, and the published totals."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bimedix.model.arithmetic import POLICIES, activation_bytes, known_config, memory, shape_of
from bimedix.model.budget import plan_recompute
from bimedix.model.settings import AdapterSettings

MIXTRAL = shape_of(known_config("mixtral_8x7b"))
PAPER = AdapterSettings(router="lora", base="nf4")
LEAN = "adamw_8bit_bfloat16"
GB = 1e9


@pytest.mark.parametrize(
    ("recompute", "totals"),
    [("layers", (38.9, 40.5, 43.5, 49.6)), ("none", (47.8, 58.1, 78.8, 120.0))],
)
def test_totals_are_those_of_the_engines_arithmetic(recompute, totals):
    """25.2 GB of weights, 11.5 of adapters with lean states, activations of 2 to 16 k tokens (moe.md, 4)."""
    found = [
        memory(MIXTRAL, PAPER, tokens, recompute=recompute, optimizer=LEAN).total / GB
        for tokens in (2048, 4096, 8192, 16384)
    ]

    assert found == pytest.approx(totals, rel=0.003)


def test_a_48_gb_card_trains_8k_tokens_with_whole_layers_computed_again():
    """45 GB are enough with lean states, with no layer that keeps all; with float32 states they are not."""
    plan = plan_recompute(MIXTRAL, PAPER, tokens=8192, budget_bytes=45 * GB, optimizer=LEAN)

    assert plan.fits
    assert plan.count("none") == 0
    assert plan.count("layers") > 0
    assert plan_recompute(MIXTRAL, PAPER, tokens=8192, budget_bytes=45 * GB).fits is False


def test_a_roomy_card_keeps_everything_and_unpacks_little():
    """On 141 GB, 8 k tokens with float32 states keep all activations and some layers unpacked."""
    plan = plan_recompute(MIXTRAL, PAPER, tokens=8192, budget_bytes=130 * GB)
    small = plan_recompute(MIXTRAL, PAPER, tokens=2048, budget_bytes=130 * GB)

    assert plan.policies == ("none",) * 32
    assert 5 <= plan.resident_layers <= 14
    assert small.resident_layers > plan.resident_layers
    assert (
        small.unpack_seconds
        < plan_recompute(MIXTRAL, PAPER, tokens=2048, budget_bytes=130 * GB, resident=False).unpack_seconds
    )


@settings(max_examples=25, deadline=None)
@given(
    low=st.floats(30, 160), more=st.floats(0, 60), tokens=st.sampled_from((512, 4096, 8192)),
    layers=st.integers(1, 7), dense=st.booleans(),
)  # fmt: skip
def test_more_bytes_never_give_a_slower_plan_and_none_is_over_its_budget(low, more, tokens, layers, dense):
    """Whatever the model's depth: monotone in the budget, inside it whenever anything is."""
    shape = replace(MIXTRAL, layers=layers)
    if dense:
        shape = replace(shape, experts=1, experts_per_token=1, moe=False)
    scale = layers / 32 * GB
    tight, roomy = (
        plan_recompute(shape, PAPER, tokens=tokens, budget_bytes=size * scale) for size in (low, low + more)
    )
    leanest = plan_recompute(shape, PAPER, tokens=tokens, budget_bytes=0).total_bytes

    assert tight.fits == (leanest <= tight.budget_bytes)
    assert roomy.fits >= tight.fits
    if tight.fits:
        assert tight.total_bytes <= tight.budget_bytes
        assert roomy.seconds <= tight.seconds


def test_layers_computed_again_come_first():
    """Backward then finds the room of the later layers free: the other way round holds more at once."""
    mixed = ("layers",) * 16 + ("none",) * 16

    assert activation_bytes(MIXTRAL, 4096, mixed) < activation_bytes(MIXTRAL, 4096, mixed[::-1])
    assert {activation_bytes(MIXTRAL, 4096, policy) for policy in POLICIES} == {
        activation_bytes(MIXTRAL, 4096, (policy,) * 32) for policy in POLICIES
    }


def test_a_plain_base_has_nothing_to_keep_unpacked():
    plan = plan_recompute(MIXTRAL, PAPER, tokens=4096, budget_bytes=400 * GB, bits=16)

    assert plan.resident_layers == 0
    assert plan.unpack_seconds == 0.0


def test_policies_that_are_not_allowed_are_not_chosen():
    plan = plan_recompute(
        MIXTRAL, PAPER, tokens=8192, budget_bytes=60 * GB, optimizer=LEAN, allowed=("gate_up", "layers")
    )

    assert plan.fits
    assert plan.count("none") == 0
    assert plan.count("gate_up") > 0
