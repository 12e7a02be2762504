"""Records: round trips, checks, lineage, and files that other tools load."""

from pathlib import Path

import msgspec
import pytest

from bimedix.errors import DataError, MissingError
from bimedix.files import read_any_records, read_records, write_parquet, write_records
from bimedix.records import (
    Dialogue,
    MultipleChoice,
    OpenQuestion,
    Origin,
    Passage,
    Record,
    Turn,
    content_hash,
    encode,
    item_fields,
    root_id,
    translated_id,
    with_fields,
)

ORIGIN = Origin("demo", "1")
QUESTION = MultipleChoice("demo:1", "en", ORIGIN, "Which?", ("a", "b", "c"), (0, 2), context="Text.")
ITEMS = (
    QUESTION,
    OpenQuestion("demo:2", "en", ORIGIN, "Why?", "Because."),
    Dialogue("demo:3", "en", ORIGIN, (Turn("user", "Hello"), Turn("assistant", "Good day"))),
    Passage("demo:4", "en", ORIGIN, "Text.", "Title"),
)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
def test_a_record_comes_back_as_it_was(item: Record) -> None:
    assert msgspec.json.decode(encode(item), type=Record) == item


@pytest.mark.parametrize("name", ["records.jsonl", "records.jsonl.zst"])
def test_files_keep_records_plain_and_compressed(tmp_path: Path, name: str) -> None:
    tally = write_records(tmp_path / name, ITEMS)

    assert tally.written == 4
    assert list(read_any_records(tmp_path / name)) == list(ITEMS)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("options", "answers"), [(("a",), (0,)), (("a", "b"), (2,)), (("a", "b"), (1, 0)), (("a", "b"), (-1,))]
)
def test_impossible_questions_are_refused(options: tuple[str, ...], answers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"options|answers"):
        MultipleChoice("x", "en", ORIGIN, "Which?", options, answers)


def test_a_bad_line_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(encode(QUESTION) + b"\n\n" + encode(QUESTION).replace(b'"Which?"', b"7") + b"\n")

    with pytest.raises(DataError, match=r"bad\.jsonl:3: .*question"):
        list(read_records(path, MultipleChoice))


def test_a_git_lfs_pointer_is_told_apart_from_data(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")

    with pytest.raises(MissingError, match="git lfs pull"):
        list(read_any_records(path))


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
def test_texts_are_replaced_and_nothing_else(item: Record) -> None:
    """The key, the roles and the origin do not pass through a translation."""
    fields = {name: f"<{text}>" for name, text in item_fields(item).items()}

    twin = with_fields(item, fields, language="ar", id=translated_id(item.id, "ar"))

    assert item_fields(twin) == fields
    assert (twin.origin, twin.parents, twin.language) == (item.origin, (item.id,), "ar")
    assert root_id(twin.id) == item.id
    if isinstance(item, MultipleChoice):
        assert twin.answers == item.answers


def test_the_hash_ignores_the_order_of_keys() -> None:
    assert content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "parquet"])
def test_datasets_loads_what_is_written(tmp_path: Path, form: str) -> None:
    datasets = pytest.importorskip("datasets")
    records = [QUESTION, msgspec.structs.replace(QUESTION, id="demo:9", rationale="So.", context=None)]
    path = tmp_path / f"records.{'jsonl' if form == 'json' else form}"
    (write_records if form == "json" else write_parquet)(path, records)

    rows = datasets.load_dataset(form, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))

    assert [msgspec.convert(dict(row), MultipleChoice) for row in rows] == records


def packed(path: Path, frames: int = 2) -> bytes:
    """Two frames of zstd, as parallel writers make them."""
    import zstandard

    lines = b"\n".join(encode(Passage(f"p:{i}", "en", Origin("t"), f"text {i * 7919}")) for i in range(400))
    whole = b"".join(zstandard.ZstdCompressor().compress(lines + b"\n") for _ in range(frames))
    path.write_bytes(whole)
    return whole


def test_all_frames_of_a_zstd_file_are_read(tmp_path: Path) -> None:
    packed(tmp_path / "a.jsonl.zst")

    assert len(list(read_any_records(tmp_path / "a.jsonl.zst"))) == 800


@pytest.mark.parametrize("share", [0.1, 0.49, 0.51, 0.75, 0.99])
def test_a_zstd_file_that_is_cut_off_is_never_less_text(tmp_path: Path, share: float) -> None:
    """A copy that broke off ends in an error, not in fewer records."""
    path = tmp_path / "a.jsonl.zst"
    whole = packed(path)
    path.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(DataError, match=r"a.jsonl.zst: .*cut off"):
        list(read_any_records(path))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_damage_inside_our_zstd_files_is_told(tmp_path: Path, share: float) -> None:
    """They carry a checksum, so that no flipped bit becomes text."""
    path = tmp_path / "a.jsonl.zst"
    write_records(path, [Passage(f"p:{i}", "en", Origin("t"), f"text {i * 7919}") for i in range(400)])
    whole = bytearray(path.read_bytes())
    whole[int(len(whole) * share)] ^= 0x10
    path.write_bytes(bytes(whole))

    with pytest.raises(DataError, match=r"a.jsonl.zst"):
        list(read_any_records(path))
