"""Reading and writing multiple-choice records: typed structs beside plain `json` and `datasets`.

Each arm reads a JSON Lines file and writes it again, in one process:

- ours: `read_records` into checked, typed records and `RecordWriter`, as every room does it;
- json: `json.loads` and `json.dumps` into dicts, nothing checked;
- datasets: `load_dataset("json")` into a fresh cache, then `to_json`; it has no other way in.

The three outputs are compared row by row before anything is timed. Memory: peak resident memory of fresh
processes that stream a file and one ten times as large; flat means that the second costs no more. A fourth
process holds all records in a list: a control that the measure sees what is there to be seen.

Goal: 100,000 records a second and core through decode and encode.

    python benchmarks/records.py --quick --json
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from _common import arguments, finish, in_fresh_process, median_of, parser, peak_rss_mib
from bimedix.files import RecordWriter, read_lines, read_records
from bimedix.formats import MMEDBENCH
from bimedix.records import MultipleChoice, Origin, encode

GOAL_RECORDS_PER_S = 100_000
WORDS = {
    language: text.split()
    for language, text in (
        ("en", "which drug lowers blood pressure in an adult with chronic kidney disease and oedema today"),
        ("ar", "ما الدواء الذي يخفض ضغط الدم عند مريض بالغ مصاب بمرض كلوي مزمن ووذمة اليوم"),
    )
}


def question(index: int) -> MultipleChoice:
    """Return an invented question, English and Arabic in turn, of about 900 bytes."""
    draw = Random(f"17:{index}")
    language = "ar" if index % 2 else "en"

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS[language], k=words))

    return MultipleChoice(
        f"demo:{index}", language, Origin("demo", f"demo.jsonl:{index + 1}", "1.0", "CC0-1.0", "train"),
        f"{text(24)} {index}?", tuple(text(4) for _ in range(4)), (draw.randrange(4),),
        rationale=text(30), subject="pharmacology",
    )  # fmt: skip


def write_file(path: Path, count: int) -> Path:
    with RecordWriter(path) as out:
        for index in range(count):
            out.write(question(index))
    return path


def ours(source: Path, target: Path) -> None:
    with RecordWriter(target) as out:
        for record in read_records(source, MultipleChoice):
            out.write(record)


def plain_json(source: Path, target: Path) -> None:
    with source.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8") as out:
        for line in lines:
            out.write(json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":")) + "\n")


def with_datasets(source: Path, target: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        rows = datasets.load_dataset("json", data_files=str(source), split="train", cache_dir=cache)
        rows.to_json(str(target), force_ascii=False)


def held_in_list(source: Path, target: Path) -> None:
    with RecordWriter(target) as out:
        for record in list(read_records(source, MultipleChoice)):
            out.write(record)


ARMS: dict[str, Callable[[Path, Path], None]] = {
    "ours": ours, "json": plain_json, "datasets": with_datasets,
}  # fmt: skip
STREAMED = {**ARMS, "held_in_list": held_in_list}


def assert_same(folder: Path, source: Path) -> None:
    """Stop when an arm's output differs from its input in any row."""
    want = [json.loads(line) for _, line in read_lines(source)]
    for name, arm in ARMS.items():
        target = folder / f"{name}.jsonl"
        arm(source, target)
        if [json.loads(line) for _, line in read_lines(target)] != want:
            raise SystemExit(f"{name}: the file it wrote is not the file it read")


def speed(folder: Path, source: Path, count: int, repeats: int) -> dict[str, Any]:
    """Time the arms in turn, and our steps by themselves."""
    figures: dict[str, Any] = {"records": count, "file_mb": round(source.stat().st_size / 1e6, 2)}
    for name, arm in ARMS.items():
        target = folder / f"{name}.jsonl"
        timing = median_of(lambda arm=arm, target=target: arm(source, target), repeats)  # type: ignore[misc]
        figures[f"{name}_records_per_s"] = round(timing.rate(count))
        figures[f"{name}_records_per_cpu_s"] = round(timing.cpu_rate(count))
        figures |= timing.figures(name)
    for other in ("json", "datasets"):
        figures[f"ours_over_{other}_wall"] = round(
            figures["ours_records_per_s"] / figures[f"{other}_records_per_s"], 2
        )
        figures[f"ours_over_{other}_cpu"] = round(
            figures["ours_records_per_cpu_s"] / figures[f"{other}_records_per_cpu_s"], 2
        )
    return figures | steps(folder, source, count, repeats)


def steps(folder: Path, source: Path, count: int, repeats: int) -> dict[str, Any]:
    """Time decode and encode in memory, without files, and the MMedBench format with them."""
    lines = [line for _, line in read_lines(source)]
    decode = msgspec.json.Decoder(MultipleChoice).decode
    records = [decode(line) for line in lines]

    def both() -> None:
        for line in lines:
            encode(decode(line))

    def convert() -> None:
        MMEDBENCH.write(folder / "mmedbench.jsonl", iter(records))
        for _ in MMEDBENCH.read(folder / "mmedbench.jsonl", language="en"):
            pass

    if list(map(encode, records)) != lines:
        raise SystemExit("decode and encode do not give the same bytes")
    memory, form = median_of(both, repeats), median_of(convert, repeats)
    return {
        "decode_encode_records_per_s": round(memory.rate(count)),
        "decode_encode_records_per_cpu_s": round(memory.cpu_rate(count)),
        **memory.figures("decode_encode"),
        "goal_records_per_s": GOAL_RECORDS_PER_S,
        "decode_encode_over_goal": round(memory.rate(count) / GOAL_RECORDS_PER_S, 2),
        "mmedbench_write_read_records_per_s": round(form.rate(count)),
        **form.figures("mmedbench_write_read"),
    }


def memory(folder: Path, count: int) -> dict[str, Any]:
    """Measure peak memory of fresh processes at one record, 1x and 10x."""
    files = {
        "start": write_file(folder / "one.jsonl", 1),
        "1x": write_file(folder / "1x.jsonl", count),
        "10x": write_file(folder / "10x.jsonl", 10 * count),
    }
    figures: dict[str, Any] = {
        "memory_1x_records": count, "memory_10x_file_mb": round(files["10x"].stat().st_size / 1e6, 1),
    }  # fmt: skip
    for name in STREAMED:
        for size, path in files.items():
            found = in_fresh_process(__file__, "--stream", name, str(path), str(folder / "out.jsonl"))
            figures[f"{name}_peak_rss_mib_{size}"] = round(found["peak_rss_mib"], 1)
        small, large = (figures[f"{name}_peak_rss_mib_{size}"] for size in ("1x", "10x"))
        figures[f"{name}_peak_10x_over_1x"] = round(large / small, 3)
        figures[f"{name}_growth_mib_1x_to_10x"] = round(large - small, 1)
    return figures


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--stream", nargs=3, metavar=("ARM", "SOURCE", "TARGET"), help="One memory run.")
    given = arguments(options=options)
    if given.stream:
        name, source, target = given.stream
        STREAMED[name](Path(source), Path(target))
        print(json.dumps({"peak_rss_mib": peak_rss_mib()}))
        return
    count, streamed = (20_000, 10_000) if given.quick else (200_000, 100_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_file(folder / "records.jsonl", count)
        assert_same(folder, source)
        figures = speed(folder, source, count, given.repeats)
        figures["ours_with_files_over_goal"] = round(figures["ours_records_per_s"] / GOAL_RECORDS_PER_S, 2)
        figures |= memory(folder, streamed)
    finish(figures, given.json, packages=("msgspec", "datasets", "pyarrow", "zstandard"))


if __name__ == "__main__":
    main()
