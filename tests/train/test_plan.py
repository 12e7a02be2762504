"""The plan: figures of moe.md from a config alone, and a policy that fits."""

from dataclasses import replace

import pytest

from bimedix.errors import UsageError
from bimedix.model.arithmetic import known_config
from bimedix.model.settings import AdapterSettings
from bimedix.train import Settings
from bimedix.train.plan import describe, plan

MIXTRAL = known_config("mixtral_8x7b")
PAPER = Settings(base="mixtral", adapter=AdapterSettings(base="nf4", nf4_scales="float32", router="lora"))


def test_the_papers_run_is_a_matter_of_unpacking():
    """A micro-batch of one document of 482 tokens on an A100 gives the paper's 1,254 tokens a second."""
    small = replace(PAPER, max_tokens_per_sample=482, max_tokens_per_micro_batch=482, recompute="layers")
    found = plan(MIXTRAL, small, device="a100-80")

    assert found.tokens_per_s == pytest.approx(1254, rel=0.05)
    assert found.dequantise_share > 0.5
    assert round(100 * found.trainable_share, 2) == 4.08


def test_packing_hides_the_unpacking():
    """At 8,192 tokens per micro-batch it is a few percent, and the rate at least doubles."""
    found = plan(MIXTRAL, replace(PAPER, recompute="layers"), device="a100-80", tokens_per_document=2048)

    assert found.dequantise_share < 0.08
    assert found.tokens_per_s == pytest.approx(2450, rel=0.05)


def test_the_fastest_policy_that_fits_is_taken():
    """40 GB of activations fit an H200 and not an A100 beside 57 GB of weights and optimizer."""
    roomy, tight = (plan(MIXTRAL, PAPER, device=name) for name in ("h200", "a100-80"))

    assert (roomy.recompute, roomy.fits) == ("none", True)
    assert (tight.recompute, tight.fits) == ("gate_up", True)
    assert roomy.memory.activations > tight.memory.activations


def test_what_does_not_fit_is_said():
    """bf16 weights alone are 93 GB."""
    found = plan(MIXTRAL, replace(PAPER, adapter=AdapterSettings()), device="a100-80")

    assert not found.fits
    assert "DOES NOT FIT" in describe(found)


def test_hours_count_all_epochs():
    found = plan(MIXTRAL, PAPER, tokens=632_000_000)

    assert found.hours == pytest.approx(2 * 632e6 / found.tokens_per_s / 3600)


def test_an_unknown_device_is_refused():
    with pytest.raises(UsageError, match="a100-80, h200"):
        plan(MIXTRAL, PAPER, device="b17")
