"""Layers under different policies and experts held unpacked: the same numbers, less or more memory."""

import contextlib

import pytest
import torch

from bimedix.model import prefetch
from bimedix.model.adapters import gradients_by_name
from bimedix.model.arithmetic import shape_of
from bimedix.model.blocks import attach, blocks
from bimedix.model.budget import plan_recompute
from bimedix.model.load import tiny_model
from bimedix.model.moe import Dispatch, Nf4Weights, each_expert
from bimedix.model.nf4 import Nf4Weight
from bimedix.model.recompute import apply_plan, keep_unpacked, recompute_layers
from bimedix.model.settings import AdapterSettings, TinySettings

BASE = TinySettings(hidden=64, ffn=128, layers=4, experts=4, vocab=300, init_std=0.2)


@pytest.fixture
def trained(ids, with_values, kept_for_backward):
    """Return a function: loss, gradients and bytes kept for backward of a step of a model in NF4."""

    def run(prepare):
        model = with_values(attach(tiny_model(BASE), AdapterSettings(rank=4, base="nf4"))).train()
        prepare(model)
        with kept_for_backward(model) as kept:
            loss = model(ids).logits.logsumexp(-1).sum()
        loss.backward()
        return loss.detach(), gradients_by_name(model), kept[0]

    return run


@pytest.mark.parametrize("policies", [("layers", "gate_up", "none", "layers"), ("gate_up",) * 4])
def test_each_layer_follows_its_policy_and_the_numbers_stay(trained, policies):
    """T7: bit for bit the loss and gradients of keeping everything, from less memory; and back."""

    def back(model):
        recompute_layers(model, policies=policies)
        recompute_layers(model, enable=False)

    plain, expected, everything = trained(lambda model: None)
    loss, found, held = trained(lambda model: recompute_layers(model, policies=policies))
    _, _, after = trained(back)

    assert torch.equal(loss, plain)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert held < 0.95 * everything
    assert after == everything


def test_held_experts_give_the_same_bits(trained):
    """With room for two of four layers two are held, and nothing changes but the time."""
    plain, expected, _ = trained(lambda model: None)
    models = []

    def prepare(model):
        models.append(model)
        assert keep_unpacked(model, 2, model.dtype) == 2 * 4 * 3 * 64 * 128 * 4

    loss, found, _ = trained(prepare)

    assert [b.experts.gate_up_proj.kept for _, b in blocks(models[0])] == [True, True, False, False]
    assert torch.equal(loss, plain)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert keep_unpacked(models[0], 4, None) == 0


def test_a_plan_is_carried_out():
    """What `plan_recompute` says is what the layers do."""
    model = attach(tiny_model(BASE), AdapterSettings(rank=4, base="nf4"))
    shape = shape_of(model.config.to_dict())
    whole = plan_recompute(shape, model.adapter_settings, tokens=4096, budget_bytes=1e12)
    tight = whole.total_bytes - whole.resident_bytes - 1
    for budget in (1e12, tight, 0):
        plan = plan_recompute(shape, model.adapter_settings, tokens=4096, budget_bytes=budget)
        held = apply_plan(model, plan)

        assert [layer.gradient_checkpointing for layer in model.model.layers] == [
            policy == "layers" for policy in plan.policies
        ]
        assert [b.experts.save_gate_up for _, b in blocks(model)] == [p != "gate_up" for p in plan.policies]
        assert (held > 0) == (plan.resident_layers > 0)


class Recorder:
    """Stands in for torch.cuda: a main and a side stream that note what the host gives them, in order."""

    def __init__(self):
        self.log = []
        self.main, self.side = self._stream("main"), self._stream("side")

    def _stream(self, name):
        log = self.log

        class Lane:
            def wait_stream(self, other):
                log.append((f"{name} waits for all", None))

            def wait_event(self, event):
                log.append((f"{name} waits", event))

        return Lane()

    def Stream(self, device):  # noqa: N802
        return self.side

    def Event(self):  # noqa: N802
        recorder = self

        class Mark:
            def record(self, stream):
                recorder.log.append((f"{'main' if stream is recorder.main else 'side'} records", self))

        return Mark()

    def current_stream(self, device):
        return self.main

    def stream(self, stream):
        return contextlib.nullcontext()


def test_a_buffer_is_filled_one_step_ahead_and_never_while_it_is_read(monkeypatch):
    """Main waits for each filling; the side stream waits until the products with the old weights are done."""
    recorder = Recorder()
    monkeypatch.setattr(torch, "cuda", recorder)
    prefetch._slots.cache_clear()
    filled, used, slots = [], [], []

    def fill(at, slot):
        filled.append(at)
        slot.gate_up.fill_(at)

    each = prefetch.through_slots(5, fill, ((4, 2), (2, 2)), torch.float32, torch.device("cpu"))
    for at, slot in each:
        used.append(int(slot.gate_up[0, 0]))
        slots.append(slot)
        recorder.log.append(("main multiplies", slot))
        assert filled[-1] == min(at + 1, 4)
    prefetch._slots.cache_clear()
    log = recorder.log

    assert used == [0, 1, 2, 3, 4]
    assert slots[0] is slots[2] is slots[4] is not slots[1]
    for at, slot in enumerate(slots):
        place = [i for i, (what, _) in enumerate(log) if what == "main multiplies"][at]
        assert log[place - 1] == ("main waits", slot.filled)
        assert log[place + 1] == ("main records", slot.used)
    assert [event for what, event in log if what == "side waits"] == [slot.used for slot in slots]


def test_experts_without_tokens_are_not_unpacked(monkeypatch):
    """On the CPU too: only the members that a token chose are asked for."""
    weights = Nf4Weights(Nf4Weight(torch.randn(4, 128, 64)), Nf4Weight(torch.randn(4, 64, 64)))
    asked, dense = [], Nf4Weight.dense

    def noted(self, dtype, index=None, out=None):
        asked.append(index)
        return dense(self, dtype, index, out)

    monkeypatch.setattr(Nf4Weight, "dense", noted)
    plan = Dispatch(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]), [0, 1, 0, 2])
    found = [(expert, rows) for expert, rows, *_ in each_expert(weights, plan, torch.float32, True)]

    assert found == [(1, slice(0, 1)), (3, slice(1, 3))]
    assert asked == [1, 1, 3, 3]
