"""The mix at the size of BiMed1.3M: 1,311,600 made-up records on disk to a decontaminated mix.

They have the paper's types, lengths and languages (BiMediX, Fig. 3 and section 3.1): questions with options,
questions with answers, dialogues of 4.7 exchanges; 866,600 in English, the rest in Arabic letters.
7,000 test items are held out, and 500 records planted that hold one of them in other words.
Writing the records and mixing them are processes of their own, so that the peak memory is that of the mix.

The whole has to take at most 15 minutes and 2 GiB on two cores; quick: one and three hundredths of it.
"""

import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from _common import arguments, finish, in_fresh_process, parser, peak_rss_mib
from bimedix.files import read_records, write_records
from bimedix.mix.room import run
from bimedix.mix.settings import Settings
from bimedix.records import Dialogue, Dropped, Item, MultipleChoice, OpenQuestion, Origin, Turn, translated_id
from bimedix.stage import Context

RECORDS, ENGLISH = 1_311_600, 866_600
"""BiMediX, section 3.1.3."""
KINDS = (("mcqa", 638.1), ("qa", 423.8), ("chat", 249.7))
"""Samples in thousands (BiMediX, Fig. 3)."""
TOKENS_MILLION = 632.3
TESTS, LEAKS = 7_000, 500
LIMIT_S, LIMIT_MIB = 15 * 60, 2 * 1024
_SYLLABLES = ("ka", "lo", "mi", "ren", "ta", "vos", "pel", "dar", "nim", "sto", "gra", "hep", "tox", "lin")
_ARABIC = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ابتثجحخدذرزسشصضطظعغفقكلمنه")


@cache
def vocabulary(code: str) -> list[str]:
    """Return 20,000 made-up words; the Arabic ones are the English ones in other letters."""
    draw = random.Random("words")
    words = ["".join(draw.choices(_SYLLABLES, k=draw.choice((1, 1, 2, 2, 3)))) for _ in range(20_000)]
    return words if code == "en" else [text.translate(_ARABIC) for text in words]


def phrase(draw: random.Random, code: str, low: int, high: int) -> str:
    return " ".join(draw.choices(vocabulary(code), k=draw.randint(low, high)))


def record(number: int, kind: str, code: str, *, split: str = "train") -> Item:
    """Return a record; its translation draws the same words, and so says the same in other letters."""
    draw = random.Random(f"{split}:{kind}:{number}")
    name = f"{kind}-{split}:{number}"
    key = name if code == "en" else translated_id(name, code)
    parents = () if code == "en" else (name,)
    origin = Origin(f"made-up-{kind}", split=split)
    if kind == "mcqa":
        stem = phrase(draw, code, 40, 90) + "?"
        options = tuple(f"{phrase(draw, code, 2, 6)} {n}" for n in range(4))
        why = phrase(draw, code, 40, 120)
        return MultipleChoice(key, code, origin, stem, options, (number % 4,), rationale=why, parents=parents)
    if kind == "qa":
        asked, answer = phrase(draw, code, 8, 30) + "?", phrase(draw, code, 50, 130)
        return OpenQuestion(key, code, origin, asked, answer, parents=parents)
    turns = []
    for _ in range(draw.choice((3, 4, 5, 5, 5, 6))):
        turns += [Turn("user", phrase(draw, code, 8, 25)), Turn("assistant", phrase(draw, code, 12, 35))]
    return Dialogue(key, code, origin, tuple(turns), parents=parents)


def numbered(count: int) -> Iterator[tuple[int, str]]:
    """Yield (number, kind) in the paper's proportions."""
    kinds, thousands = zip(*KINDS, strict=True)
    for number in range(count):
        yield number, random.Random(number).choices(kinds, thousands)[0]


def leak(number: int) -> MultipleChoice:
    """Return a test item with another id, its options turned and one word of it changed."""
    item = record(number, "mcqa", "en", split="test")
    assert isinstance(item, MultipleChoice)
    words = item.question.split()
    words[number % len(words)] = "other"
    turned = item.options[1:] + item.options[:1]
    return MultipleChoice(f"leak:{number}", "en", Origin("web", split="train"), " ".join(words), turned, (0,))


def make(folder: Path, count: int) -> None:
    """Write `count` records, the test items and the planted leaks where the mix reads them."""
    english = count * ENGLISH // RECORDS
    tests = max(100, TESTS * count // RECORDS)
    leaks = max(20, LEAKS * count // RECORDS)

    def curated() -> Iterator[Item]:
        yield from (record(number, kind, "en") for number, kind in numbered(english) if kind != "chat")
        yield from (record(number, "mcqa", "en", split="test") for number in range(tests))
        yield from map(leak, range(leaks))

    def translated() -> Iterator[Item]:
        yield from (record(number, kind, "ar") for number, kind in numbered(count - english))

    chats = (record(number, kind, "en") for number, kind in numbered(english) if kind == "chat")
    written = write_records(folder / "curate" / "records.jsonl", curated()).written
    written += write_records(folder / "synthesize" / "records.jsonl", chats).written
    written += write_records(folder / "review" / "records.jsonl", translated()).written
    size = sum(path.stat().st_size for path in folder.rglob("*.jsonl")) / 1e6
    print(json.dumps({"records": written, "tests": tests, "leaks": leaks, "input_mb": size}))


def mix(folder: Path) -> None:
    """Mix what `make` wrote; the last line is JSON with seconds, peak memory and what became of the leaks."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    inputs = {room: folder / room for room in ("curate", "synthesize", "review")}
    summary = run(Settings(), inputs, folder / "mix", Context(folder / "calls", base=folder))
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    dropped = read_records(folder / "mix" / "dropped.jsonl", Dropped)
    row = {
        "seconds": seconds,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mib": peak_rss_mib(),
        "written": summary.written,
        "tokens": summary.figures["total"]["tokens"],
        "output_mb": sum(path.stat().st_size for path in (folder / "mix").iterdir()) / 1e6,
        "leaks_found": sum(drop.id.startswith("leak:") for drop in dropped),
    }
    print(json.dumps(row))


def measure(count: int) -> dict[str, Any]:
    """Write and mix `count` records, and check that the mix is whole and holds no test item."""
    folder = Path(tempfile.mkdtemp())
    try:
        made = in_fresh_process(__file__, "--make", str(folder), "--records", str(count))
        found = made | in_fresh_process(__file__, "--mix", str(folder))
    finally:
        shutil.rmtree(folder)
    assert found["leaks_found"] >= 0.95 * found["leaks"], found
    assert found["written"] >= 0.97 * count, found
    return found


def figures_of(count: int, found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield f"mix_{count}_minutes", round(found["seconds"] / 60, 3)
    yield f"mix_{count}_records_per_s", round(found["records"] / found["seconds"])
    yield f"mix_{count}_cpu_ms_per_record", round(found["cpu_s"] / found["records"] * 1e3, 4)
    yield f"mix_{count}_peak_mib", round(found["peak_mib"], 1)
    yield f"mix_{count}_tokens_million", round(found["tokens"] / 1e6, 2)
    yield f"mix_{count}_input_mb", round(found["input_mb"], 1)
    yield f"mix_{count}_output_mb", round(found["output_mb"], 1)
    yield f"mix_{count}_written_share", round(found["written"] / count, 4)
    yield f"mix_{count}_leaks_found_share", round(found["leaks_found"] / found["leaks"], 4)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--make", type=Path, help="Write the records into this folder and print one row.")
    options.add_argument("--mix", type=Path, help="Mix the records of this folder and print one row.")
    options.add_argument("--records", type=int, default=RECORDS, help="How many; BiMed1.3M has the default.")
    given = arguments(options=options)
    if given.make:
        make(given.make, given.records)
        return
    if given.mix:
        mix(given.mix)
        return
    sizes = [RECORDS // 100, 3 * RECORDS // 100] if given.quick else [given.records]
    found = {size: measure(size) for size in sizes}
    figures = {name: value for size in sizes for name, value in figures_of(size, found[size])}
    if given.quick:
        small, large = (found[size] for size in sizes)
        more = sizes[1] - sizes[0]
        for name, unit in (("seconds", 1 / 60), ("peak_mib", 1.0), ("tokens", 1e-6)):
            slope = (large[name] - small[name]) / more
            told = {"seconds": "minutes", "peak_mib": "peak_mib", "tokens": "tokens_million"}[name]
            figures[f"mix_{RECORDS}_{told}_expected"] = round(
                (large[name] + slope * (RECORDS - sizes[1])) * unit, 1
            )
    else:
        figures["within_limits"] = (
            found[sizes[0]]["seconds"] <= LIMIT_S and found[sizes[0]]["peak_mib"] <= LIMIT_MIB
        )
    figures["bimed1_3m_tokens_million"] = TOKENS_MILLION
    finish(figures, given.json, packages=("rapidfuzz", "sentencepiece", "numpy"))


if __name__ == "__main__":
    sys.exit(main())
