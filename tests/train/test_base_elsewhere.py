"""Training over a base that lies elsewhere, in four bits: what is written finds its base again."""

from dataclasses import replace

import pytest
import torch

from bimedix.files import read_json
from bimedix.model.adapters import measure_bits
from bimedix.model.load import mixtral_tokenizer, save_model, tiny_model
from bimedix.model.settings import AdapterSettings, TinySettings
from bimedix.serve.engine import LocalEngine
from bimedix.train import run


@pytest.mark.slow
def test_adapters_over_four_bits_lead_back_to_their_base(mix, settings, context, tmp_path):
    """Figures count all weights, nothing of the base is copied, and the chat loads it in four bits again."""
    shape = TinySettings(hidden=64, ffn=64, layers=2, heads=2, kv_heads=1, experts=4)
    save_model(tiny_model(shape), tmp_path / "given", mixtral_tokenizer())
    over = replace(
        settings,
        base="given",
        adapter=AdapterSettings(rank=4, alpha=8, base="nf4"),
        phases=settings.phases[1:],
    )
    out = tmp_path / "run" / "06_train"
    figures = run(over, {"mix": mix}, out, replace(context, base=tmp_path)).figures["phases"][0]
    engine = LocalEngine(tmp_path / "run")
    plain = LocalEngine(tmp_path / "run", weights="plain")

    assert not (out / "base").exists()
    assert read_json(out / "adapter" / "adapter.json")["base_model"] == str((tmp_path / "given").resolve())
    assert figures["base_parameters"] == sum(p.numel() for p in tiny_model(shape).parameters())
    assert measure_bits(engine.model)["experts"] == 4.5
    assert measure_bits(plain.model)["experts"] == 32
    ids = torch.arange(1, 30)[None]
    assert not torch.equal(engine.model(ids).logits, plain.model(ids).logits)
