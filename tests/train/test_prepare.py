"""Data to tensors ahead of time: shards that are whole, found again, and hold every record or say why not."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimedix.errors import DataError
from bimedix.files import hash_file, read_records, write_records
from bimedix.progress import Progress
from bimedix.prompts.chat import MixtralPieces
from bimedix.records import Conversation, Message, Origin
from bimedix.stage import Context
from bimedix.train import prepare as preparing
from bimedix.train import run
from bimedix.train.data import Sample, encode_samples, fill_rows
from bimedix.train.prepare import Encoding, dropped_of, prepare, save_samples, shards_of
from bimedix.train.samples import Samples, Units

LIMIT = 96
CHATS = Encoding("mixtral", "mixtral", LIMIT)


def dialogue(exchanges: int, system: bool = True, words: int = 8, open_end: bool = False) -> Conversation:
    turns = [Message("system", "be brief")] if system else []
    for number in range(exchanges):
        turns += [Message("user", f"question {number} " + "pain " * words)]
        turns += [Message("assistant", f"answer {number} " + "dose " * words)]
    turns += [Message("user", "and then?")] if open_end else []
    return Conversation(f"d:{exchanges}", "en", Origin("made"), tuple(turns), "chat")


def encoded(record: Conversation, limit: int = LIMIT, **settings: str) -> tuple[list[Sample], list[str]]:
    dropped: list[str] = []
    made = encode_samples(
        [record], MixtralPieces(), "mixtral", limit, lambda d: dropped.append(d.reason), **settings
    )
    return list(made), dropped


# --- long records ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("open_end", [True, False])
def test_a_long_dialogue_is_cut_between_exchanges_and_every_reply_is_learned_once(system, open_end):
    """Each part has system message and first exchange; replies of the parts are those of the whole."""
    record = dialogue(7, system, open_end=open_end)
    (whole,), _ = encoded(record, 10_000)
    parts, dropped = encoded(record)

    def learned(sample):
        return [token for token, mark in zip(sample.ids, sample.supervised, strict=True) if mark]

    head = list(whole.ids[: list(whole.supervised).index(1)])
    assert len(parts) > 2 and not dropped
    assert all(len(part) <= LIMIT and list(part.ids[: len(head)]) == head for part in parts)
    assert [token for part in parts for token in learned(part)] == learned(whole)
    assert [part.id for part in parts] == [f"d:7/{n}" for n in range(len(parts))]


def test_what_cannot_be_split_is_left_out_whole(tmp_path):
    """One exchange above the limit, or one that does not fit behind the first; and any when so asked."""
    single, wide = dialogue(1, words=90), dialogue(4, words=20)
    write_records(tmp_path / "train.jsonl", [single, wide, dialogue(1)])
    folder = prepare(tmp_path / "train.jsonl", CHATS, tmp_path / "prepared", 1, Progress())
    dropped = list(dropped_of(shards_of(folder)))

    assert encoded(dialogue(7), long_records="drop") == ([], ["longer than the token limit"])
    assert [d.reason for d in dropped] == ["longer than the token limit"] * 2
    assert msgspec.json.decode(dropped[0].record, type=Conversation) == single
    assert "limit 96" in dropped[1].detail
    assert Samples.open(folder).ids == ["d:1"]


# --- shards ---------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path, monkeypatch, conversation):
    """Return a file of 40 conversations, of which a few KiB make a shard."""
    monkeypatch.setattr(preparing, "CHUNK_BYTES", 4096)
    write_records(tmp_path / "train.jsonl", map(conversation, range(40)))
    return tmp_path / "train.jsonl"


def test_shards_hold_what_the_encoder_gives(source, tmp_path):
    samples = Samples.open(prepare(source, CHATS, tmp_path / "prepared", 1, Progress()))
    told = [s for r in read_records(source, Conversation) for s in encoded(r)[0]]

    assert len(shards_of(next((tmp_path / "prepared").iterdir()))) > 3
    assert samples.ids == [sample.id for sample in told]
    for at, sample in enumerate(told):
        tokens, marks = samples.document(at, "replies")
        assert (tokens.tolist(), bytes(marks)) == (sample.ids.tolist(), sample.supervised)
        assert samples.supervised(at, "replies") == sum(sample.supervised[1:])
        assert samples.supervised(at, "all") == len(sample) - 1


def test_a_second_run_finds_what_the_first_prepared(source, tmp_path, monkeypatch):
    """The same bytes, tokenizer and template give the same folder; another template does not."""
    first = prepare(source, CHATS, tmp_path / "prepared", 1, Progress())
    monkeypatch.setattr(preparing, "_write_shard", lambda *_: pytest.fail("made again"))

    assert prepare(source, CHATS, tmp_path / "prepared", 1, Progress()) == first
    assert CHATS.fingerprint() != replace(CHATS, template="vicuna").fingerprint()
    assert CHATS.fingerprint() != replace(CHATS, limit=97).fingerprint()


def test_large_ids_are_kept(tmp_path):
    """Vocabularies above 65,536 do not fit two bytes."""
    from array import array

    save_samples(tmp_path, [Sample("a", array("i", [5, 128_000]), bytes([0, 1]))])

    assert Samples([tmp_path]).document(0, "replies")[0].tolist() == [5, 128_000]


def test_a_damaged_line_is_named(source, tmp_path):
    lines = source.read_text().splitlines()
    source.write_text("\n".join([*lines[:30], '{"kind": "conversation"}', *lines[30:]]))

    with pytest.raises(DataError, match=r"train\.jsonl:31: not a Conversation record"):
        prepare(source, CHATS, tmp_path / "prepared", 1, Progress())


CHILD = """
import sys
from pathlib import Path
from bimedix.progress import Progress
from bimedix.train import prepare
if __name__ == "__main__":
    prepare.CHUNK_BYTES = 4096
    encoding = prepare.Encoding("mixtral", "mixtral", 96)
    prepare.prepare(Path(sys.argv[1]), encoding, Path(sys.argv[2]), int(sys.argv[3]), Progress())
"""


@pytest.mark.slow
def test_a_killed_preparation_goes_on_and_several_processes_give_the_bytes_of_one(
    tmp_path, monkeypatch, conversation
):
    """kill -9 amid shards: those that are there stay as they are, and the rest makes the same whole."""
    monkeypatch.setattr(preparing, "CHUNK_BYTES", 4096)
    source = tmp_path / "train.jsonl"
    write_records(source, map(conversation, range(1200)))
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    one = prepare(source, CHATS, tmp_path / "one", 1, Progress())
    command = [sys.executable, str(script), str(source), str(tmp_path / "two")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([*command, "2"], env=environment, start_new_session=True)
    while not (written := [*(tmp_path / "two").glob("*/[0-9]*[0-9]/index.json")]):
        assert child.poll() is None
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "two" / one.name / "index.json").exists()
    times = {path: path.stat().st_mtime_ns for path in written}
    subprocess.run([*command, "2"], env=environment, check=True)

    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert files == sorted(
        p.relative_to(tmp_path / "two" / one.name) for p in (tmp_path / "two").rglob("*") if p.is_file()
    )
    assert all(hash_file(one / name) == hash_file(tmp_path / "two" / one.name / name) for name in files)
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())


# --- rows -----------------------------------------------------------------------------------------------


@given(lengths=st.lists(st.integers(1, 70), max_size=60), capacity=st.integers(40, 64))
def test_rows_hold_every_document_once_and_no_two_of_them_could_be_one(lengths, capacity):
    """A document above the capacity stands alone."""
    rows = fill_rows(lengths, capacity)
    sizes = [sum(lengths[i] for i in row) for row in rows]

    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(size <= capacity or len(row) == 1 for size, row in zip(sizes, rows, strict=True))
    assert all(a + b > capacity for at, a in enumerate(sizes) for b in sizes[:at])


def test_a_document_goes_where_it_fits_best():
    """6 leaves 4, 7 leaves 3: the 3 closes the row of the 7, though the other has room too."""
    assert fill_rows([6, 7, 3, 2], 10) == [[1, 2], [0, 3]]


def test_rows_are_packed_beforehand_when_asked_for(mix, settings, context, tmp_path):
    """Two full rows a step: fewer steps, the same tokens an epoch, and the last row short at most."""
    settings = replace(
        settings,
        packing="rows",
        phases=tuple(replace(phase, batch_size=2, epochs=1) for phase in settings.phases),
    )
    summary = run(settings, {"mix": mix}, tmp_path / "train", context)
    samples = Samples.open(next(p for p in (tmp_path / "prepared").iterdir() if len(Samples.open(p)) == 12))
    rows = len(Units(samples, 256))

    assert 1 < rows < 12
    assert [phase["steps"] for phase in summary.figures["phases"]] == [-(-rows // 2)] * 2
    assert summary.figures["phases"][0]["tokens"] == summary.figures["tokens_per_epoch"]


def test_two_trainings_share_what_was_prepared(mix, settings, tmp_path, monkeypatch):
    """`prepared` names a folder for all runs; relative to the recipe's data."""
    settings = replace(settings, phases=settings.phases[:1], prepared="shared")
    made = []
    write = preparing._write_shard
    monkeypatch.setattr(preparing, "_write_shard", lambda *args: made.append(args) or write(*args))
    for name in ("one", "two"):
        context = Context(calls=tmp_path / name / "calls.sqlite", base=tmp_path)
        run(settings, {"mix": mix}, tmp_path / name / "train", context)

    assert len(made) == 2  # training and validation, once each
    assert Path(made[0][0]).parent == tmp_path / "shared"


def test_data_are_prepared_without_a_model_and_found_by_the_training(mix, tmp_path):
    """`bimedix train MIX OUT --prepare-only`, without torch; then the same folder."""
    code = (
        "import sys; from click.testing import CliRunner; from bimedix.cli import cli\n"
        "done = CliRunner().invoke(cli, ['train', *sys.argv[1:], '--prepare-only'], catch_exceptions=False)\n"
        "print(done.output); assert not {'torch', 'transformers', 'accelerate'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(mix), str(tmp_path / "run")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert done.returncode == 0, done.stderr
    assert "15 records written" in done.stdout
    assert len(list((tmp_path / "run" / "prepared").glob("*/index.json"))) == 2
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
