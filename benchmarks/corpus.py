"""Curating and mixing: the keyword filter against the same rules written plainly, and the mix end to end.

Filter: made-up texts of keywords and filler, about 2,000 characters each (packed: half of the words are
keywords; dense: one in 10, where a textbook of anatomy has one in 16; sparse: 2 in 1,000). The plain rule is
written with str.count, str.split and regular expressions; its decisions have to equal ours before anything is
timed. Overlap: look-ups against an index of test items. Near-duplicates: groups of texts that read alike,
against the exact comparison, with dose variants among them, of which none may be merged. Mix: records on disk
to a finished mix, with token counts, decontamination and statistics, in a process of its own.
"""

import random
import re
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _common import arguments, finish, in_fresh_process, median_of, parser, peak_rss_mib
from bimedix.curate.filter import decide, fold, is_long
from bimedix.curate.lists import KeywordList, keyword_list
from bimedix.files import write_records
from bimedix.mix.repeats import same_facts
from bimedix.mix.room import run
from bimedix.mix.settings import Settings
from bimedix.overlap.contamination import TestIndex
from bimedix.overlap.duplicates import Seen
from bimedix.overlap.near import NearDuplicates, jaccard, runs_of
from bimedix.records import (
    MultipleChoice,
    OpenQuestion,
    Origin,
    Passage,
    item_fields,
    translated_id,
    with_fields,
)
from bimedix.stage import Context

FILLER = {
    "en": ("house", "river", "table", "morning", "letter", "winter", "garden", "number", "people", "music"),
    "ru": ("дом", "река", "стол", "утро", "письмо", "зима", "сад", "число", "люди", "музыка", "окно"),
    "ar": ("بيت", "نهر", "طاولة", "صباح", "رسالة", "شتاء", "حديقة", "رقم", "ناس", "موسيقى", "نافذة"),
    "zh": ("房子", "河流", "桌子", "早晨", "信件", "冬天", "花园", "数字", "人们", "音乐", "窗户", "总是"),
}


def texts(code: str, share: float, count: int) -> list[str]:
    """Return texts in which `share` of the pieces are keywords."""
    listed = keyword_list(code)
    words = [*listed.medical, *listed.biology]
    draw = random.Random(f"{code}:{share}")
    space = " " if listed.spaced else ""
    length = 300 if listed.spaced else 900
    made = []
    for _ in range(count):
        pieces = [
            draw.choice(words) if draw.random() < share else draw.choice(FILLER[code]) for _ in range(length)
        ]
        made.append(space.join(piece + draw.choice(["", "", "", ",", "."]) for piece in pieces))
    return made


def plain_as_released(text: str, listed: KeywordList) -> bool:
    """Decide as the released rule does, one keyword after the other."""
    low, count, characters = text.lower(), 0, 0
    split = low.split()
    for keyword in [word.lower() for word in {*listed.medical, *listed.biology}]:
        times = low.count(keyword) if is_long(keyword) else split.count(keyword)
        count += times > 0
        characters += times * len(keyword)
    return count >= listed.count and characters / len(text) >= listed.density


def plain_corrected(listed: KeywordList) -> Callable[[str], bool]:
    """Return the corrected rule as one regular expression a keyword, longest first."""
    every = sorted({fold(w, listed) for w in (*listed.medical, *listed.biology)}, key=lambda w: (-len(w), w))
    generic = {fold(word, listed) for word in listed.generic}
    prefix = "|".join(
        sorted(map(re.escape, {fold(p, listed) for p in listed.prefixes}), key=len, reverse=True)
    )
    before = rf"(?<![^\W_])(?:{prefix})?" if prefix else r"(?<![^\W_])"
    borders = (before, r"(?![^\W_])") if listed.spaced else ("", "")
    patterns = [(word, re.compile(f"{borders[0]}({re.escape(word)}){borders[1]}")) for word in every]

    def decided(text: str) -> bool:
        folded, hits = fold(text, listed), Counter[str]()
        free = bytearray(b"\x01" * len(folded))
        covered = 0
        for word, pattern in patterns:
            for found in pattern.finditer(folded):
                start, end = found.span(1)
                if all(free[start:end]):
                    free[start:end] = bytes(end - start)
                    hits[word] += 1
                    covered += end - start
        specific = sum(word not in generic for word in hits)
        return len(hits) >= listed.count and covered / len(folded) >= listed.density and specific >= 2

    return decided


def measure_filter(quick: bool, repeats: int) -> Iterator[tuple[str, Any]]:
    """Yield MB of UTF-8 per CPU second, ours and plain, after checking that the decisions are equal."""
    count = 60 if quick else 600
    for code in FILLER:
        listed = keyword_list(code)
        for density, share in (("packed", 0.5), ("dense", 0.1), ("sparse", 0.002)):
            given = texts(code, share, count)
            megabytes = sum(len(text.encode()) for text in given) / 1e6
            rules: dict[str, Callable[[str], bool]] = {"corrected": plain_corrected(listed)}
            if listed.spaced:
                rules["as_released"] = lambda text, listed=listed: plain_as_released(text, listed)
            for mode, plain in rules.items():
                ours = [decide(text, listed, mode=mode).accepted for text in given]
                checked = given[: 20 if quick else 200]
                assert ours[: len(checked)] == [plain(text) for text in checked], (code, density, mode)
                timing = median_of(
                    lambda mode=mode, given=given, listed=listed: [
                        decide(t, listed, mode=mode) for t in given
                    ],
                    repeats,
                )
                timing_plain = median_of(
                    lambda plain=plain, checked=checked: [plain(t) for t in checked], 1, warmup=0
                )
                part = sum(len(text.encode()) for text in checked) / 1e6
                name = f"filter_{mode}_{code}_{density}"
                yield f"{name}_mb_per_cpu_s", round(timing.cpu_rate(megabytes), 2)
                yield f"{name}_plain_mb_per_cpu_s", round(timing_plain.cpu_rate(part), 2)


# --- overlap and mix ------------------------------------------------------------------------------------

_SYLLABLES = ("ka", "lo", "mi", "ren", "ta", "vos", "pel", "dar", "nim", "sto", "gra", "hep", "tox", "lin")


def word(draw: random.Random) -> str:
    return "".join(draw.choices(_SYLLABLES, k=draw.choice((1, 2, 2, 3))))


def question(number: int, dataset: str = "made-up") -> MultipleChoice:
    """Return a question of 8 to 60 words that shares its words with others, and no 8 of them in a row."""
    draw = random.Random(f"{dataset}:{number}")
    stem = " ".join(word(draw) for _ in range(draw.randrange(8, 60)))
    options = tuple(f"{word(draw)} {word(draw)} {n}" for n in range(4))
    why = " ".join(word(draw) for _ in range(30))
    return MultipleChoice(
        f"{dataset}:{number}", "en", Origin(dataset), stem + "?", options, (0,), rationale=why
    )


def measure_overlap(quick: bool, repeats: int) -> Iterator[tuple[str, Any]]:
    """Yield look-ups per CPU second, with planted leaks found and innocent records left alone."""
    tests, records = (5_000, 1_000) if quick else (100_000, 5_000)
    started = time.process_time()
    index = TestIndex(question(n, "tests") for n in range(tests))
    index.find(question(0))
    yield "overlap_test_items", tests
    yield "overlap_index_cpu_s", round(time.process_time() - started, 3)
    leaks = [shuffled(question(n * (tests // 200), "tests"), n) for n in range(200)]
    innocent = [question(n) for n in range(records)]
    yield "overlap_planted_leaks_found", sum(index.find(leak) is not None for leak in leaks) / len(leaks)
    yield "overlap_false_alarms", sum(index.find(item) is not None for item in innocent)
    timing = median_of(lambda: [index.find(item) for item in innocent], repeats)
    yield "overlap_records_per_cpu_s", round(timing.cpu_rate(records))
    repeated = median_of(lambda: list(map(Seen().check, innocent)), repeats)
    yield "exact_repeats_records_per_cpu_s", round(repeated.cpu_rate(records))


def shuffled(item: MultipleChoice, seed: int) -> OpenQuestion | MultipleChoice:
    """Return a leak: options in another order, one word of the stem changed, another id."""
    draw = random.Random(seed)
    stem, options = item.question.split(), list(item.options)
    stem[draw.randrange(len(stem))] = word(draw)
    draw.shuffle(options)
    return MultipleChoice(f"web:{seed}", "en", Origin("web"), " ".join(stem), tuple(options), (0,))


def near_copies(count: int) -> list[Passage]:
    """Return texts of 150 words with a dose: of each fourth three copies, of which one has another dose."""
    made = []
    for number in range(count):
        draw = random.Random(f"near:{number}")
        words = [word(draw) for _ in range(150)]
        words[75:75] = ["warfarin", str(5 + number % 5), "mg"]
        made.append(words)
        for copy in range(3 if number % 4 == 0 else 0):
            changed = list(words)
            for _ in range(draw.choice((0, 1, 2, 4, 8)) if copy < 2 else 0):
                changed[draw.randrange(70)] = word(draw)
            changed[76] = changed[76] if copy < 2 else changed[76] + "0"
            made.append(changed)
    return [Passage(f"{n}", "en", Origin("made-up"), " ".join(words)) for n, words in enumerate(made)]


def measure_near(quick: bool, repeats: int) -> Iterator[tuple[str, Any]]:
    """Yield MB per CPU second from texts to groups, F1 against all pairs, and doses that were merged."""
    records = near_copies(400 if quick else 4_000)
    megabytes = sum(len(record.text.encode()) for record in records) / 1e6

    def grouped() -> list[list[int]]:
        near = NearDuplicates(0.8)
        for place, record in enumerate(records):
            near.add(record, place)
        return list(near.groups(lambda place: records[place], same_facts))

    merged = {(a, b) for group in grouped() for a in group for b in group if a < b}
    runs = [runs_of(record) for record in records]
    close = (  # copies stand within three places of their text; all other texts are drawn independently
        (a, b) for a in range(len(records)) for b in range(a + 1, min(a + 4, len(records)))
    )
    alike = {(a, b) for a, b in close if jaccard(runs[a], runs[b]) >= 0.8}
    exact = {pair for pair in alike if records[pair[0]].text.split()[76] == records[pair[1]].text.split()[76]}
    yield "near_texts", len(records)
    yield "near_f1_against_all_pairs", round(2 * len(merged & exact) / (len(merged) + len(exact)), 4)
    yield "near_dose_variants", len(alike - exact)
    yield "near_dose_variants_merged", len(merged & (alike - exact))
    timing = median_of(grouped, repeats)
    yield "near_mb_per_cpu_s", round(timing.cpu_rate(megabytes), 2)


def mix_once(records: int) -> None:
    """Mix `records` records, two thirds English; the last line is JSON with seconds and peak memory."""
    import json

    folder = Path(tempfile.mkdtemp())
    english = records * 2 // 3
    write_records(folder / "curate" / "records.jsonl", map(question, range(english)))
    write_records(folder / "review" / "records.jsonl", map(arabic, range(records - english)))
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    inputs = {room: folder / room for room in ("curate", "review")}
    summary = run(Settings(), inputs, folder / "mix", Context(folder / "calls", base=folder))
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    tokens = summary.figures["total"]["tokens"]
    size = sum(path.stat().st_size for path in (folder / "mix").iterdir()) / 1e6
    shutil.rmtree(folder)
    row = {"seconds": seconds, "cpu_s": cpu, "peak_mib": peak_rss_mib(), "written": summary.written}
    print(json.dumps(row | {"tokens": tokens, "output_mb": size}))


def arabic(number: int) -> MultipleChoice:
    """Return a stand-in translation of a made-up question, in Arabic letters."""
    item = question(number)
    table = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ابتثجحخدذرزسشصضطظعغفقكلمنه")
    fields = {name: text.translate(table) for name, text in item_fields(item).items()}
    made = with_fields(item, fields, language="ar", id=translated_id(item.id, "ar"))
    assert isinstance(made, MultipleChoice)
    return made


def measure_mix(quick: bool) -> Iterator[tuple[str, Any]]:
    """Yield records per second and peak memory of whole mixes, each in a fresh process."""
    sizes = (2_000, 10_000) if quick else (20_000, 100_000)
    peaks = []
    for size in sizes:
        found = in_fresh_process(__file__, "--mix-once", str(size))
        assert 0.95 * size <= found["written"] <= size, found
        peaks.append(found["peak_mib"])
        yield f"mix_{size}_records_per_s", round(size / found["seconds"])
        yield f"mix_{size}_cpu_ms_per_record", round(found["cpu_s"] / size * 1e3, 4)
        yield f"mix_{size}_tokens", found["tokens"]
        yield f"mix_{size}_output_mb", round(found["output_mb"], 1)
        yield f"mix_{size}_peak_mib", round(found["peak_mib"], 1)
    yield "mix_bytes_per_record_more", round((peaks[1] - peaks[0]) * 2**20 / (sizes[1] - sizes[0]))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--mix-once", type=int, default=0, help="Mix this many records and print one row.")
    given = arguments(options=options)
    if given.mix_once:
        mix_once(given.mix_once)
        return
    figures: dict[str, Any] = dict(measure_filter(given.quick, given.repeats))
    figures |= dict(measure_overlap(given.quick, given.repeats))
    figures |= dict(measure_near(given.quick, given.repeats)) | dict(measure_mix(given.quick))
    finish(figures, given.json, packages=("ahocorasick-rs", "rapidfuzz", "sentencepiece", "numpy"))


if __name__ == "__main__":
    sys.exit(main())
