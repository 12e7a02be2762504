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
    """40 GB of activations fit an H200, with room for unpacked experts; an A100 keeps less of them."""
    auto = replace(PAPER, recompute="auto")
    roomy, tight = (plan(MIXTRAL, auto, device=name).layers for name in ("h200", "a100-80"))

    assert roomy.fits and tight.fits
    assert roomy.count("none") > tight.count("none") and roomy.resident_layers > 0
    assert roomy.memory.activations > tight.memory.activations
    assert "experts of" in describe(plan(MIXTRAL, auto, device="h200"))


def test_a_policy_that_is_named_is_the_one_that_is_planned():
    """As the loop trains: every layer keeps all, though that does not fit an A100."""
    found = plan(MIXTRAL, PAPER, device="a100-80").layers

    assert (found.count("none"), found.resident_layers, found.fits) == (32, 0, False)


def test_the_largest_micro_batch_fits_and_the_next_one_does_not():
    lean = replace(PAPER, recompute="layers", optimizer="adamw_8bit_bfloat16", dtype="bfloat16")
    most = plan(MIXTRAL, lean, device="a100-80").largest_micro_batch

    def fits(tokens):
        changed = replace(lean, max_tokens_per_micro_batch=tokens)
        return plan(MIXTRAL, changed, device="a100-80").layers.fits

    assert most > 8192 and most % 512 == 0
    assert fits(most) and not fits(most + 512)
    assert f"at most {most:,} tokens" in describe(plan(MIXTRAL, lean, device="a100-80"))


def test_lean_optimizers_and_shards_take_less():
    """1.9 B parameters: 16, 10 and 6 bytes each; of eight devices each holds an eighth."""
    formats = ("adamw_float32", "adamw_8bit", "adamw_8bit_bfloat16")
    taken = [plan(MIXTRAL, replace(PAPER, optimizer=name)).layers.memory.adapters for name in formats]

    assert [round(size / 1e9, 1) for size in taken] == [30.5, 19.1, 11.5]
    found = plan(MIXTRAL, PAPER)
    assert found.layers.total_bytes - found.sharded_bytes == pytest.approx(1.9042e9 * 16 * 7 / 8, rel=1e-3)


@pytest.mark.parametrize(
    ("targets", "share"),
    [(("q", "k", "v"), 0.16), (("w1", "w2", "w3"), 3.88), (("q", "k", "v", "w1", "w2", "w3", "gate"), 4.08)],
)
def test_the_shares_of_the_paper_are_planned(targets, share):
    adapter = replace(PAPER.adapter, targets=targets)

    assert round(100 * plan(MIXTRAL, replace(PAPER, adapter=adapter)).trainable_share, 2) == share


def test_what_does_not_fit_is_said():
    """bf16 weights alone are 93 GB."""
    found = plan(MIXTRAL, replace(PAPER, adapter=AdapterSettings()), device="a100-80")

    assert not found.layers.fits
    assert "DOES NOT FIT" in describe(found)
    assert "warning      Set [train] recompute = 'auto'" in describe(found)


def test_hours_count_all_epochs():
    found = plan(MIXTRAL, PAPER, tokens=632_000_000)

    assert found.hours == pytest.approx(2 * 632e6 / found.tokens_per_s / 3600)


def test_an_unknown_device_is_refused():
    with pytest.raises(UsageError, match="a100-80, h200"):
        plan(MIXTRAL, PAPER, device="b17")
