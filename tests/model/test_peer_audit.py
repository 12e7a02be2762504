"""The audit tells an adapter that trains from one that only seems to: ours beside bitsandbytes with PEFT."""

import sys
from pathlib import Path

import pytest
import torch

from bimedix.model.settings import AdapterSettings, TinySettings

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
SHAPE = TinySettings(hidden=64, ffn=128, layers=2, heads=4, kv_heads=2, experts=4, vocab=300, init_std=0.2)


@pytest.mark.slow
def test_four_bit_experts_with_peft_fail_where_ours_pass() -> None:
    """Its inner adapter, that of the down projections, gets no gradient and changes no logit."""
    pytest.importorskip("peft")
    pytest.importorskip("bitsandbytes")
    from _bnb_peft import audit

    ids = torch.randint(0, 300, (2, 64), generator=torch.Generator().manual_seed(3))
    found = audit(SHAPE, AdapterSettings(rank=4, alpha=8, router="lora", base="nf4"), ids)

    assert found["ours_passed"] and found["ours_logits_difference"] <= 1e-5
    assert not found["passed"] and found["logits_difference"] > 0.01
    assert found["dead_adapters"] == [
        f"model.layers.{at}.mlp.experts.down_proj.lora_{side}" for at in range(2) for side in "AB"
    ]
