"""The room: what is read, what is left out and why, and that nothing is lost or counted twice."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimedix.errors import DataError, MissingError, RecipeError, UsageError
from bimedix.files import read_any_records
from bimedix.records import Dropped, MultipleChoice, Origin, ParallelText, Record
from bimedix.sources.base import Given, Options, Source
from bimedix.sources.room import DataSet, Settings, run
from bimedix.stage import Context, Summary

Write = Callable[[str, Any], Path]
EXAM = {"A": "أول", "B": "ثان", "C": "ثالث", "D": "رابع"}


def _exam(key: str, question: str, answer: str = "A") -> dict[str, str]:
    return {"id": key, "question": question, **EXAM, "answer": answer}


def _run(base: Path, *data: DataSet, **more: Any) -> tuple[Summary, list[Record], list[Record]]:
    context = Context(base / "calls.sqlite", base=base)
    out = base / ".out"
    summary = run(Settings(data, **more), {}, out, context)
    return (
        summary,
        list(read_any_records(out / "records.jsonl")),
        list(read_any_records(out / "dropped.jsonl")),
    )


AUTO = DataSet("auto", ".")


@pytest.fixture
def folder(tmp_path: Path, write: Write) -> Path:
    """A folder with two sources: three Arabic items (one repeated) and one Russian item."""
    rows = [_exam("Biology-1", "واحد"), _exam("Biology-2", "واحد"), _exam("Biology-3", "ثلاثة")]
    write("data/exams-arabic/exam_test.jsonl", rows)
    write(
        "data/RuMedDaNet/train_v1.jsonl", [{"context": "c", "question": "q", "answer": "да", "pairID": "1"}]
    )
    write("data/.git/RuMedDaNet/dev_v1.jsonl", "not read")
    return tmp_path


def test_auto_finds_every_source_below_a_folder(folder: Path) -> None:
    """Records read = written + dropped; repeats, also under another key, are dropped with the first's id."""
    summary, kept, dropped = _run(folder, AUTO)

    assert [record.id for record in kept if isinstance(record, MultipleChoice)] == [
        "exams_arabic:Biology-1", "exams_arabic:Biology-3", "rumeddanet:1",
    ]  # fmt: skip
    assert [(d.id, d.place) for d in dropped if isinstance(d, Dropped)] == [
        ("exams_arabic:Biology-2", "exams_arabic:Biology-1")
    ]
    assert summary.dropped == {"repeats an earlier record of this source": 1}
    assert (summary.read, summary.written) == (4, 3)


def test_the_report_counts_and_names_licences_and_files(folder: Path) -> None:
    summary, kept, _ = _run(folder, AUTO)
    figures = json.loads(json.dumps(summary.figures))

    assert {(c["source"], c["kind"], c["language"], c["split"], c["records"]) for c in figures["counts"]} == {
        ("exams_arabic", "multiple_choice", "ar", "test", 2),
        ("rumeddanet", "multiple_choice", "ru", "train", 1),
    }
    assert [row["licence"].split()[0] for row in figures["licences"]] == ["Apache-2.0", "Apache-2.0"]
    assert [row["file"] for row in figures["files"]] == [
        "data/exams-arabic/exam_test.jsonl", "data/RuMedDaNet/train_v1.jsonl",
    ]  # fmt: skip
    hashes = {row["blake2b_128"] for row in figures["files"]}
    assert {record.origin.revision for record in kept if isinstance(record, MultipleChoice)} == hashes


def test_the_same_folder_gives_the_same_bytes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Also from another place on the disk: no record holds an absolute path."""
    other = tmp_path_factory.mktemp("copy")
    for path in (p for p in (folder / "data").rglob("*.jsonl")):
        target = other / path.relative_to(folder)
        target.parent.mkdir(parents=True)
        target.write_bytes(path.read_bytes())
    for base in (folder, other):
        _run(base, AUTO)

    for name in ("records.jsonl", "dropped.jsonl", "parallel.jsonl"):
        assert (folder / ".out" / name).read_bytes() == (other / ".out" / name).read_bytes()


def test_a_key_used_twice_gets_a_stable_suffix(tmp_path: Path, write: Write) -> None:
    """Two different questions under one key stay apart, and keep their ids whatever stands between them."""
    rows = [_exam("B-1", "one"), _exam("B-2", "two"), _exam("B-1", "three")]
    write("exams-arabic/a.jsonl", rows)
    _, kept, _ = _run(tmp_path, AUTO)
    write("exams-arabic/a.jsonl", [rows[0], rows[2]])
    _, fewer, _ = _run(tmp_path, AUTO)

    ids = [record.id for record in kept if isinstance(record, MultipleChoice)]
    assert ids[2].startswith("exams_arabic:B-1~")
    assert [record.id for record in fewer if isinstance(record, MultipleChoice)] == [ids[0], ids[2]]


def test_a_test_item_is_no_repeat_of_its_training_copy(tmp_path: Path, write: Write) -> None:
    """Both stay: decontamination has to see that the test item is one."""
    for split in ("train", "test"):
        write(f"exams-arabic/{split}.jsonl", [_exam("B-1", "one")])
    _, kept, _ = _run(tmp_path, AUTO)

    assert [record.origin.split for record in kept if isinstance(record, MultipleChoice)] == ["test", "train"]
    assert len({record.id for record in kept if isinstance(record, MultipleChoice)}) == 2


@pytest.mark.parametrize(
    ("more", "ids", "reasons"),
    [
        ({"limit": 1}, ["exams_arabic:Biology-1", "rumeddanet:1"], {}),
        ({"limit": 2}, ["exams_arabic:Biology-1", "exams_arabic:Biology-3", "rumeddanet:1"],
         {"repeats an earlier record of this source": 1}),
        ({"languages": ("ru",)}, ["rumeddanet:1"], {"a language that the recipe does not ask for": 3}),
        ({"splits": ("train",)}, ["rumeddanet:1"], {"a split that the recipe does not ask for": 3}),
    ],
)  # fmt: skip
def test_limits_and_filters(
    folder: Path, more: dict[str, Any], ids: list[str], reasons: dict[str, int]
) -> None:
    """The first usable records of each source; what is filtered out is kept beside with its reason."""
    summary, kept, _ = _run(folder, AUTO, **more)

    assert [record.id for record in kept if isinstance(record, MultipleChoice)] == ids
    assert summary.dropped == reasons


def test_a_named_file_is_not_read_again_by_auto(folder: Path) -> None:
    """The entry that names a file says its split and revision; `auto` takes the rest."""
    named = DataSet("exams_arabic", "data/exams-arabic/*.jsonl", split="train", revision="v1")
    summary, kept, _ = _run(folder, AUTO, named)

    found = [record.origin for record in kept if isinstance(record, MultipleChoice)]
    assert [(o.dataset, o.split) for o in found] == [
        ("rumeddanet", "train"), ("exams_arabic", "train"), ("exams_arabic", "train"),
    ]  # fmt: skip
    assert found[1].revision == "v1"
    assert summary.read == 4


def test_pairs_of_texts_go_to_their_own_file(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parallel text is for memories, not for training: it stays out of records.jsonl."""
    from bimedix.sources import room

    def pair(path: Path, options: Options) -> list[Given]:
        return [ParallelText("demo:1", "en", Origin("demo"), "Heart", "قلب", "ar")]

    source = Source("demo", "Demo", "CC0-1.0", "x", ("en", "ar"), "parallel_text", ("demo/*.txt",), pair)  # type: ignore[arg-type]
    monkeypatch.setattr(room, "SOURCES", {"demo": source})
    write("demo/a.txt", "x")
    summary, kept, _ = _run(tmp_path, AUTO, languages=("en", "ar"))

    assert (kept, summary.written) == ([], 1)
    assert [r.id for r in read_any_records(tmp_path / ".out/parallel.jsonl")] == ["demo:1"]  # type: ignore[union-attr]
    assert _run(tmp_path, AUTO, languages=("en",))[0].written == 0


@pytest.mark.parametrize(
    ("data", "more", "error", "seen"),
    [
        ((), {}, RecipeError, "names no data"),
        ((AUTO,), {"limit": -1}, UsageError, "limit is -1"),
        ((AUTO,), {"languages": ("xx",)}, UsageError, "language 'xx'"),
        ((AUTO,), {"splits": ("tset",)}, UsageError, "Did you mean 'test'"),
        ((DataSet("auto", "nowhere"),), {}, MissingError, "no such folder"),
        ((DataSet("medqa", "data"),), {}, MissingError, "no file of source 'medqa'"),
        ((DataSet("medqa", "none/*.jsonl"),), {}, MissingError, "no file of source 'medqa'"),
        ((DataSet("auto", "empty"),), {}, MissingError, "no source finds its files"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(
    folder: Path, data: tuple[DataSet, ...], more: dict[str, Any], error: type[Exception], seen: str
) -> None:
    """Before anything is written, with what to do next."""
    (folder / "empty").mkdir()

    with pytest.raises(error, match=seen):
        _run(folder, *data, **more)
    assert not list(folder.glob(".out/*.jsonl"))


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ({"source": "medmqca"}, "Did you mean 'medmcqa'"),
        ({"split": "tset"}, "Did you mean 'test'"),
        ({"language": "eng"}, "Did you mean 'en'"),
        ({"encoding": "gb18031"}, "Did you mean 'gb18030'"),
        ({"index_base": 2}, "from 0 or from 1"),
    ],
)
def test_an_entry_that_no_data_could_meet_is_refused(values: dict[str, Any], seen: str) -> None:
    with pytest.raises(UsageError, match=seen):
        DataSet(**values)


def test_a_run_that_reads_nothing_is_an_error(folder: Path, write: Write) -> None:
    """A header without rows is no data; the files are named."""
    write("data/mmlu-medical/test/anatomy_test.csv", "\n")

    with pytest.raises(DataError, match=r"anatomy_test.csv: no record in 1 files"):
        _run(folder, DataSet("mmlu_medical", "data/mmlu-medical", "en"))


def test_the_registry_is_imported_without_its_readers() -> None:
    """Listing names is cheap: readers, torch and pyarrow are loaded when they are asked for."""
    code = (
        "import sys; import bimedix.records, bimedix.files; import time; t = time.perf_counter();"
        "import bimedix.sources, bimedix.sources.settings; print(time.perf_counter() - t);"
        "print([m for m in sys.modules if m.startswith('bimedix.sources.')]);"
        "print([m for m in ('torch', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    _, modules, heavy = done.stdout.splitlines()

    assert heavy == "[]"
    assert json.loads(modules.replace("'", '"')) == [
        "bimedix.sources.rows", "bimedix.sources.base", "bimedix.sources.settings",
    ]  # fmt: skip
