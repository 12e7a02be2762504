"""The room end to end: files, figures, resuming after a kill, errors."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import msgspec
import pytest

from bimedix.errors import DataError, UsageError
from bimedix.files import hash_file, read_records, write_records
from bimedix.model.adapters import load_adapter
from bimedix.model.load import load_model
from bimedix.records import Conversation, Dropped, Message, Origin, Passage
from bimedix.tokens import encode
from bimedix.train import Phase, Settings, room, run

WEIGHTS = ("base/model.safetensors", "adapter/adapter.safetensors")


def test_a_run_leaves_base_adapter_and_figures(mix, settings, context, tmp_path):
    """Both phases learn, the files load, and the figures add up; nothing but timings depends on the clock."""
    out = tmp_path / "train"
    summary = run(settings, {"mix": mix}, out, context)
    base, adapter = summary.figures["phases"]
    model = load_adapter(load_model(out / "base"), out / "adapter")
    rows = [msgspec.json.decode(line) for line in (out / "metrics.jsonl").read_bytes().splitlines()]

    assert base["loss"] < base["first_loss"]
    assert adapter["loss"] < adapter["first_loss"]
    assert adapter["validation_loss"] > 0
    assert base["trainable_share"] == 1.0
    assert adapter["trainable_parameters"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert [row["step"] for row in rows] == [1, 2, 3, 1, 2, 3, 4, 5, 6]
    assert sum(row["tokens"] for row in rows) == 3 * summary.figures["tokens_per_epoch"]
    assert not (out / "checkpoints").exists()
    assert "seconds" not in json.dumps(json.loads((out / "figures.json").read_text()))


def test_the_same_seed_gives_the_same_bytes(mix, settings, context, tmp_path):
    for name in ("one", "two"):
        run(settings, {"mix": mix}, tmp_path / name, context)
    other = replace(context, seed=18)
    run(settings, {"mix": mix}, tmp_path / "three", other)

    for file in (*WEIGHTS, "figures.json"):
        assert hash_file(tmp_path / "one" / file) == hash_file(tmp_path / "two" / file)
    assert hash_file(tmp_path / "one" / WEIGHTS[1]) != hash_file(tmp_path / "three" / WEIGHTS[1])


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before the phase is marked", "after it is marked"])
def test_a_second_full_phase_that_ended_as_the_run_was_killed_begins_with_the_first_ones_weights(
    mix, settings, context, tmp_path, monkeypatch, moment
):
    """Its own weights are on the disk by then, and must not be trained a second time, nor be lost."""
    full = settings.phases[0]
    settings = replace(settings, phases=(full, replace(full, learning_rate=1e-3)), checkpoint_every_steps=0)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(settings, {"mix": mix}, whole, context)
    write_json, settle = room.write_json, room._settle_base

    def mark(path, value):
        if path.name == "1.json" and moment.startswith("before"):
            raise KeyboardInterrupt
        write_json(path, value)

    def put(out):
        if (out / "phases" / "1.json").exists():
            shutil.rmtree(out / "base")
            raise KeyboardInterrupt
        settle(out)

    with monkeypatch.context() as patch:
        patch.setattr(room, "write_json", mark)
        patch.setattr(room, "_settle_base", put)
        with pytest.raises(KeyboardInterrupt):
            run(settings, {"mix": mix}, killed, context)
    run(settings, {"mix": mix}, killed, context)

    assert sorted(p.name for p in killed.iterdir()) == sorted(p.name for p in whole.iterdir())
    for file in (WEIGHTS[0], "figures.json"):
        assert hash_file(killed / file) == hash_file(whole / file)


CHILD = """
import sys, msgspec
from pathlib import Path
from bimedix.stage import Context
from bimedix.train import Settings, run
settings = msgspec.json.decode(sys.argv[1], type=Settings)
run(settings, {"mix": Path(sys.argv[2])}, Path(sys.argv[3]), Context(calls=Path(sys.argv[3]) / "calls"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows_before_kill", "optimizer"),
    [(3, "adamw_float32"), (7, "adamw_float32"), (14, "adamw_8bit_bfloat16")],
)
def test_a_killed_run_goes_on_bit_for_bit(mix, settings, context, tmp_path, rows_before_kill, optimizer):
    """T23: kill -9 in either phase, then run again: the same bytes as a run that was left alone.

    With dropout, validations that choose the weights, and, once, eight-bit moments rounded at random.
    """
    settings = replace(settings, adapter=replace(settings.adapter, dropout=0.1), optimizer=optimizer)
    settings = replace(settings, phases=tuple(replace(p, keep_best=True) for p in settings.phases))
    settings = replace(settings, validate_every_steps=2)
    settings = replace(settings, phases=tuple(replace(p, epochs=3) for p in settings.phases))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    summary = run(settings, {"mix": mix}, whole, context)
    command = [sys.executable, "-c", CHILD, json.dumps(asdict(settings)), str(mix), str(killed)]
    child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    metrics = killed / "metrics.jsonl"
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < rows_before_kill:
        assert child.poll() is None
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (killed / "figures.json").exists()
    again = run(settings, {"mix": mix}, killed, context)

    for file in (*WEIGHTS, "figures.json"):
        assert hash_file(whole / file) == hash_file(killed / file)
    assert losses(whole) == losses(killed)
    assert {**summary.figures, "timing": 0} == {**again.figures, "timing": 0}


def losses(folder):
    rows = [msgspec.json.decode(line) for line in (folder / "metrics.jsonl").read_bytes().splitlines()]
    return [(row["phase"], row["step"], row["loss"]) for row in rows]


def test_the_micro_batch_changes_nothing_but_memory(mix, settings, context, tmp_path):
    """T18: the batch in one pack or in many gives the same losses, and all but the same weights."""
    from safetensors.torch import load_file

    for name, budget in (("many", 256), ("one", 4096)):
        run(replace(settings, max_tokens_per_micro_batch=budget), {"mix": mix}, tmp_path / name, context)
    one, many = (load_file(tmp_path / name / WEIGHTS[1]) for name in ("one", "many"))

    for mine, theirs in zip(losses(tmp_path / "one"), losses(tmp_path / "many"), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    assert all((one[key] - many[key]).abs().max() < 2e-4 for key in one)


def test_a_checkpoint_of_other_settings_is_refused(mix, settings, context, tmp_path, monkeypatch):
    """Going on with another rate would be neither the one run nor the other."""
    from bimedix.train import loop

    class StoppedError(Exception):
        pass

    def stop(*args):
        raise StoppedError

    out = tmp_path / "train"
    monkeypatch.setattr(loop._Run, "validate", stop)
    with pytest.raises(StoppedError):
        run(settings, {"mix": mix}, out, context)
    monkeypatch.undo()
    changed = replace(settings.phases[0], learning_rate=1e-3)

    with pytest.raises(DataError, match="other settings or data"):
        run(replace(settings, phases=(changed, settings.phases[1])), {"mix": mix}, out, context)


def test_what_cannot_be_learnt_from_is_kept_aside(mix, settings, context, tmp_path):
    """A talk out of turn and a prompt beyond the limit go to dropped.jsonl, whole."""
    good = list(read_records(mix / "train.jsonl", Conversation))
    odd = Conversation("odd", "en", Origin("x"), (Message("assistant", "a"), Message("user", "b")), "chat")
    long = Conversation(
        "long", "en", Origin("x"), (Message("user", "word " * 400), Message("assistant", "b")), "qa"
    )
    write_records(mix / "train.jsonl", [*good, odd, long])
    summary = run(settings, {"mix": mix}, tmp_path / "train", context)
    dropped = {d.id: d for d in read_records(tmp_path / "train" / "dropped.jsonl", Dropped)}

    assert summary.dropped == {"cannot be laid out as chat": 1, "longer than the token limit": 1}
    assert msgspec.json.decode(dropped["long"].record, type=Conversation) == long


def test_phases_out_of_order_are_refused():
    with pytest.raises(UsageError, match="phases"):
        Settings(phases=(Phase("adapter"), Phase("full")))


def test_settings_need_no_torch():
    """A recipe can be read where only the core is installed."""
    code = "import sys, bimedix.train; assert not {'torch', 'transformers'} & set(sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_running_text_is_learned_whole_before_the_chats(mix, settings, context, tmp_path):
    """Continued pre-training: long passages become several samples, and no token of them is left out."""
    texts = [" ".join(f"{word} {n}" for n in range(120) for word in ("fever", "dose")) for _ in range(2)]
    passages = [Passage(f"p:{n}", "en", Origin("made"), text) for n, text in enumerate(texts)]
    write_records(mix / "passages.jsonl", passages)
    first = replace(settings.phases[0], data="passages", warmup_share=0.5)
    summary = run(
        replace(settings, phases=(first, settings.phases[1])), {"mix": mix}, tmp_path / "out", context
    )
    whole = sum(len(encode(text)) + 2 for text in texts)

    assert summary.figures["passages"] > 2
    assert summary.figures["phases"][0]["tokens"] == whole
    assert summary.figures["phases"][0]["loss"] < summary.figures["phases"][0]["first_loss"]
    assert summary.figures["phases"][1]["tokens"] == 2 * summary.figures["tokens_per_epoch"]


def test_running_text_that_is_not_there_is_told(mix, settings, context, tmp_path):
    write_records(mix / "passages.jsonl", [])
    first = replace(settings.phases[0], data="passages")

    with pytest.raises(DataError, match=r"passages.jsonl: holds no running text"):
        run(replace(settings, phases=(first,)), {"mix": mix}, tmp_path / "out", context)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": "passages", "supervise": "replies"}, "holds no replies"),
        ({"warmup_share": 1.0}, "warmup_share = 1"),
    ],
)
def test_phases_that_contradict_themselves_are_refused(changes, told):
    with pytest.raises(UsageError, match=told):
        Phase(**changes)


def test_a_warm_up_may_be_a_share_of_the_steps():
    assert [Phase(warmup_share=0.01).warmup(total) for total in (1, 250, 1000)] == [1, 3, 10]
    assert Phase(warmup_steps=7).warmup(1000) == 7
