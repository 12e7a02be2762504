"""Held-back data ends a phase and chooses its weights; figures go to trackers, and texts never do."""

from dataclasses import replace

import msgspec
import pytest
import torch

from bimedix.errors import DataError, UsageError
from bimedix.model.adapters import load_adapter
from bimedix.model.load import load_model
from bimedix.model.router import z_per_token
from bimedix.train import Phase, Settings, run
from bimedix.train.loop import _Best
from bimedix.train.metrics import histogram, numbers


def overfit(settings, **changes):
    """Return settings whose adapters learn at a rate so high that held-back data soon gets worse."""
    full, adapter = settings.phases
    adapter = replace(adapter, epochs=12, learning_rate=0.1, batch_size=12, patience=3, **changes)
    return replace(settings, phases=(full, adapter), validate_every_steps=1, checkpoint_every_steps=0)


def validations(folder):
    rows = [msgspec.json.decode(line) for line in (folder / "metrics.jsonl").read_bytes().splitlines()]
    return [
        (row["step"], row["validation_loss"])
        for row in rows
        if row["phase"] == 1 and "validation_loss" in row
    ]


def test_a_phase_ends_when_held_back_data_gains_no_more_and_keeps_its_best_weights(
    mix, settings, context, tmp_path
):
    """Three validations without gain; the adapter on the disk is that of the lowest loss, not the last."""
    out = tmp_path / "train"
    summary = run(overfit(settings, keep_best=True), {"mix": mix}, out, context)
    phase = summary.figures["phases"][1]
    seen = validations(out)
    best_step, lowest = min(seen, key=lambda pair: pair[1])

    assert phase["stopped_early"] and phase["steps"] == best_step + 3 < 12
    assert (phase["best_step"], phase["validation_loss"]) == (best_step, lowest)
    assert seen[-1][1] > lowest
    last = run(overfit(settings), {"mix": mix}, tmp_path / "last", context)
    assert last.figures["phases"][1]["validation_loss"] == seen[-1][1]
    best, other = (load_adapter(load_model(f / "base"), f / "adapter") for f in (out, tmp_path / "last"))
    assert any(not torch.equal(a, b) for a, b in zip(best.parameters(), other.parameters(), strict=True))


def test_only_a_drop_of_min_gain_counts():
    best = _Best()
    phase = Phase(min_gain=0.1)

    assert [best.see(loss, step, phase) for step, loss in enumerate((2.0, 1.95, 1.85, 1.8))] == [
        True,
        False,
        True,
        False,
    ]
    assert (best.loss, best.step, best.without_gain) == (1.85, 2, 1)


def test_patience_without_validations_or_data_is_refused(mix, settings, context, tmp_path):
    with pytest.raises(UsageError, match="set validate_every_steps"):
        Settings(phases=(Phase(patience=2),))
    with pytest.raises(UsageError, match="neither may be below zero"):
        Phase(min_gain=-1.0)
    (mix / "validation.jsonl").unlink()
    with pytest.raises(DataError, match=r"validation\.jsonl: holds nothing(?s:.*)validation_share"):
        run(overfit(settings), {"mix": mix}, tmp_path / "train", context)


# --- router's z-loss ------------------------------------------------------------------------------------


def test_the_z_loss_is_the_squared_log_sum_and_its_gradient():
    logits = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    loss, gradient = z_per_token(logits)
    told = logits.exp().sum(dim=-1).log() ** 2

    assert torch.allclose(loss, told)
    assert torch.allclose(gradient, torch.autograd.grad(told.sum(), logits)[0])


def test_the_z_loss_makes_scores_smaller(mix, settings, context, tmp_path):
    """With a large weight it falls from step to step; without one it is not told."""
    settings = replace(settings, phases=(replace(settings.phases[0], epochs=4),))
    run(replace(settings, z_coefficient=10.0), {"mix": mix}, tmp_path / "with", context)
    run(settings, {"mix": mix}, tmp_path / "without", context)
    told, none = (
        [
            msgspec.json.decode(line)["z"]
            for line in (tmp_path / name / "metrics.jsonl").read_bytes().splitlines()
        ]
        for name in ("with", "without")
    )

    assert told[-1] < 0.9 * told[0]
    assert set(none) == {None}


# --- what is shown --------------------------------------------------------------------------------------


def test_trackers_get_figures_and_no_text_of_the_data(mix, settings, context, tmp_path):
    """TensorBoard's files hold the scalars of each step, and no word of any conversation."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(
        replace(settings, trackers=("tensorboard",), phases=settings.phases[:1]),
        {"mix": mix},
        tmp_path / "train",
        context,
    )
    files = list((tmp_path / "tracking").rglob("events*"))
    told = EventAccumulator(str(files[0].parent)).Reload()

    assert {"train/loss", "train/tokens_per_s", "train/gradient_norm"} <= set(told.Tags()["scalars"])
    assert len(told.Scalars("train/loss")) == 3
    for word in ("fever", "cough", "حمى"):
        assert word in (mix / "train.jsonl").read_text()
        assert all(word.encode() not in file.read_bytes() for file in files)


def test_a_row_gives_its_numbers_alone():
    row = {"phase": 0, "step": 3, "loss": 1.5, "balance": None, "note": "text", "timing": {"seconds": 2.0}}

    assert numbers(row) == {"train/loss": 1.5, "train/seconds": 2.0}


def test_the_load_of_experts_is_shown_as_bars():
    assert histogram(torch.tensor([[0, 3, 6, 3], [0, 4, 8, 4]])) == "▁▅█▅"
    assert histogram(torch.zeros(0, 0)) == ""
