"""What cannot work is refused before a model is loaded, with the next thing to try."""

from dataclasses import replace

import pytest

from bimedix.errors import BimedixError, DataError, UsageError
from bimedix.files import write_json
from bimedix.model import load, stream
from bimedix.train import Settings, loop, preflight, run
from bimedix.train.settings import check


@pytest.fixture
def unloaded(monkeypatch):
    """Fail when a model is made or read."""

    def refuse(*_, **__):
        pytest.fail("a model was loaded")

    monkeypatch.setattr(load, "tiny_model", refuse)
    monkeypatch.setattr(stream, "load_base", refuse)


def test_too_little_memory(mix, settings, context, tmp_path, unloaded):
    """In either mode; the estimate names what is there, and what to change."""
    tight = replace(settings, memory_gb=0.001)
    for phases in (settings.phases[:1], settings.phases[1:]):
        with pytest.raises(UsageError, match=r"little memory(?s:.*)0\.0 GB are there(?s:.*)= 'auto'"):
            run(replace(tight, phases=phases), {"mix": mix}, tmp_path / "train", context)


def test_too_little_disk(mix, settings, context, tmp_path, unloaded, monkeypatch):
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: free)

    with pytest.raises(BimedixError, match=r"weights need 0\.1 GB(?s:.*)checkpoint_every_steps = 0"):
        run(settings, {"mix": mix}, tmp_path / "train", context)


def test_an_unknown_architecture(mix, settings, context, tmp_path, unloaded):
    write_json(tmp_path / "base" / "config.json", {"model_type": "gpt_neox", "architectures": ["GPTNeoX"]})
    settings = replace(settings, base=str(tmp_path / "base"), tokenizer="mixtral", phases=settings.phases[1:])

    with pytest.raises(DataError, match=r"architectures \['GPTNeoX'\]; known here: Mixtral"):
        run(settings, {"mix": mix}, tmp_path / "train", context)


def test_a_checkpoint_of_another_recipe(mix, settings, context, tmp_path, unloaded, monkeypatch):
    """Its steps would be neither the one run nor the other."""
    kept = tmp_path / "train" / "checkpoints" / "phase-0" / "step-00000002"
    write_json(kept / "state.json", {"identity": "another", "step": 2})

    with pytest.raises(DataError, match=r"step-00000002: written with other settings or data"):
        run(settings, {"mix": mix}, tmp_path / "train", context)


def test_a_tokenizer_without_a_template(mix, settings, context, tmp_path, unloaded):
    with pytest.raises(UsageError, match="needs a chat template in the tokenizer; it carries none"):
        run(replace(settings, template="tokenizer"), {"mix": mix}, tmp_path / "train", context)


def test_validate_and_the_plan_tell_of_a_missing_template(tmp_path):
    """From the tokenizer's files, without torch; one that carries a template is not told of."""
    write_json(tmp_path / "bare" / "tokenizer_config.json", {})
    write_json(tmp_path / "own" / "tokenizer_config.json", {"chat_template": "{{ messages }}"})

    def told(tokenizer):
        found = check(Settings(template="tokenizer", tokenizer=tokenizer), tmp_path)
        return [text for level, text in found if level == "error"]

    assert "bare carries no chat template" in told("bare")[0]
    assert "the built-in tokenizer carries no chat template" in told("")[0]
    assert told("own") == []


def test_layers_follow_the_plan_of_a_budget(mix, settings, context, tmp_path, monkeypatch):
    """`auto` trains by what fits, and the numbers are those of any other policy."""
    plans = []
    apply = loop.apply_plan
    monkeypatch.setattr(loop, "apply_plan", lambda model, plan: plans.append(plan) or apply(model, plan))
    kept = run(settings, {"mix": mix}, tmp_path / "none", context)
    planned = run(replace(settings, recompute="auto"), {"mix": mix}, tmp_path / "auto", context)

    assert plans[0].policies == ("none", "none")
    for mine, other in zip(kept.figures["phases"], planned.figures["phases"], strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-6)
