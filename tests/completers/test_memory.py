"""The translation memory: matches, terms, mending, judging, and the files it reads."""

import asyncio
import os
import time
from pathlib import Path
from random import Random

import msgspec
import pytest
from rapidfuzz import fuzz

from bimedix.completers import Job, Request
from bimedix.completers.matches import Segments
from bimedix.completers.memory import MemoryCompleter
from bimedix.completers.repair import value
from bimedix.completers.tmx import Term, read_glossary, read_tmx, read_units, write_tmx
from bimedix.errors import DataError
from bimedix.records import Origin, ParallelText

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en" datatype="text"/><body>
<tu tuid="1"><prop type="note">a note</prop>
 <tuv xml:lang="en"><seg>Give the adult 5 mg of warfarin every day.</seg></tuv>
 <tuv xml:lang="ar"><seg>أعط البالغ ٥ ملغ من وارفارين كل يوم.</seg></tuv></tu>
<tu tuid="2"><tuv xml:lang="EN-us"><seg>Wash your hands &amp;amp; face.</seg></tuv>
 <tuv xml:lang="ar-EG"><seg>اغسل يديك &amp; وجهك.</seg></tuv>
 <tuv xml:lang="es-LA"><seg>Lávese las manos y la cara.</seg></tuv></tu>
<tu tuid="3"><tuv lang="en"><seg>Take <bpt i="1">&lt;b&gt;</bpt>one<ept i="1">&lt;/b&gt;</ept> tablet
   when <hi>in pain</hi>.</seg></tuv><tuv lang="ar"><seg>خذ قرصًا واحدًا عند الألم.</seg></tuv></tu>
<tu tuid="4"><tuv xml:lang="en"><seg>No partner.</seg></tuv><tuv xml:lang="tlh"><seg>x</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>The child takes 2.5 mL twice, then 1,000 units.</seg></tuv>
 <tuv xml:lang="ar"><seg>يأخذ الطفل ٢٫٥ مل مرتين، ثم ١٬٠٠٠ وحدة.</seg></tuv></tu>
</body></tmx>
"""
GLOSSARY = (
    "\ufeffen,ar,category\nwarfarin,وارفارين,drug\nmetformin,ميتفورمين,drug\n\nblood pressure,ضغط الدم,\n"
)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    memory, glossary = tmp_path / "m.tmx", tmp_path / "g.csv"
    memory.write_text(TMX)
    glossary.write_text(GLOSSARY)
    return memory, glossary


@pytest.fixture
def completer(files: tuple[Path, Path]) -> MemoryCompleter:
    return MemoryCompleter((files[0],), (files[1],))


def job(task: str, fields: dict[str, str], current: dict[str, str] | None = None) -> Job:
    return Job(task, "en", "ar", fields, current or {})  # type: ignore[arg-type]


def translate(completer: MemoryCompleter, text: str) -> str:
    return completer.translate(job("translate", {"f": text}))["f"]


def judge(completer: MemoryCompleter, text: str, current: str) -> float:
    return float(completer.judge(job("judge", {"f": text}, {"f": current}))["score"])


def revise(completer: MemoryCompleter, text: str) -> tuple[str, float, float]:
    """Return the revision, the score before and the score after."""
    first = translate(completer, text)
    second = completer.translate(job("revise", {"f": text}, {"f": first}))["f"]
    return second, judge(completer, text, first), judge(completer, text, second)


def test_tmx_is_read_with_its_traps(files: tuple[Path, Path]) -> None:
    """Regional and upper-case codes, entities escaped twice, inline codes, unknown languages, no tuid."""
    units = list(read_units(files[0]))

    assert [unit.id for unit in units] == ["1", "2", "3", "m.tmx:13"]
    assert units[1].texts["en"] == "Wash your hands & face."
    assert units[1].texts["es"] == "Lávese las manos y la cara."
    assert units[2].texts["en"] == "Take one tablet when in pain."


def test_tmx_in_utf_16_is_read(tmp_path: Path) -> None:
    path = tmp_path / "wide.tmx"
    path.write_bytes(TMX.replace("UTF-8", "UTF-16").encode("utf-16"))

    assert len(list(read_units(path))) == 4


@pytest.mark.parametrize("text, seen", [
    ("<tmx><body><tu></body>", r"bad\.tmx:1:\d+: not well-formed"),
    ("<html></html>", r"bad\.tmx:1: root is <html>"),
    ('<!DOCTYPE tmx [<!ENTITY a "aaaa">]><tmx/>', r"bad\.tmx:1: declares the entity 'a'"),
    ("", r"bad\.tmx:1:0: not well-formed"),
])  # fmt: skip
def test_a_bad_tmx_is_named_with_its_place(tmp_path: Path, text: str, seen: str) -> None:
    path = tmp_path / "bad.tmx"
    path.write_text(text)
    with pytest.raises(DataError, match=seen):
        list(read_units(path))


def test_tmx_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """With markup characters; what XML forbids is left out."""
    origin = Origin("demo", "")
    text = ParallelText("demo:1", "en", origin, 'p < 0.05 & "x"\u0000', "ع < ٠٫٠٥", "ar")
    assert write_tmx(tmp_path / "o.tmx", [text]) == 1

    [back] = read_tmx(tmp_path / "o.tmx", "en", "ar", origin)
    assert (back.source, back.target) == ('p < 0.05 & "x"', "ع < ٠٫٠٥")


def test_glossaries_are_read_in_every_layout(tmp_path: Path, files: tuple[Path, Path]) -> None:
    tico = tmp_path / "f.csv"
    tico.write_text('id,sourceLang,targetLang,sourceString,targetString\n1,en,ar_AR,"flu, acute",إنفلونزا\n')

    assert read_glossary(files[1], "en", "ar")[0] == Term("warfarin", "وارفارين", "drug")
    assert read_glossary(files[1], "ar", "en")[2] == Term("ضغط الدم", "blood pressure")
    assert read_glossary(tico, "en", "ar") == [Term("flu, acute", "إنفلونزا")]


@pytest.mark.parametrize("text, seen", [
    ("term,meaning\na,b\n", ":1: no glossary header"),
    ("en,ar\na,b,c\n", ":2: 3 cells, 2 columns"),
    ("", ":1: no glossary header"),
])  # fmt: skip
def test_a_bad_glossary_is_named_with_its_place(tmp_path: Path, text: str, seen: str) -> None:
    path = tmp_path / "g.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=seen):
        read_glossary(path, "en", "ar")


def test_a_known_text_is_translated_and_worth_100(completer: MemoryCompleter) -> None:
    """Case and spaces do not count; a glossary term is a text too."""
    assert translate(completer, "WASH  your hands & face.") == "اغسل يديك & وجهك."
    assert translate(completer, "Metformin") == "ميتفورمين"
    assert judge(completer, "Metformin", "ميتفورمين") == 100


def test_known_sentences_of_a_longer_text_are_put_together(completer: MemoryCompleter) -> None:
    text = "Take one tablet when in pain. Wash your hands & face.\nUnheard of."
    assert translate(completer, text) == "خذ قرصًا واحدًا عند الألم. اغسل يديك & وجهك.\nUnheard of."


def test_unknown_text_keeps_its_language_but_for_known_terms(completer: MemoryCompleter) -> None:
    """The score is 60 at most, by the share of words that were known; the gap is named."""
    text = "Check Blood Pressure under metformin, not metforminoids"
    target = translate(completer, text)
    found = completer.judge(job("judge", {"f": text}, {"f": target}))

    assert target == "Check ضغط الدم under ميتفورمين, not metforminoids"
    assert found["score"] == round(60 * 3 / 7, 1)
    assert [(span["quote"], span["category"], span["severity"]) for span in found["spans"]] == [
        (text, "untranslated", "major")
    ]


def test_numbers_alone_pass_through(completer: MemoryCompleter) -> None:
    assert translate(completer, "120/80") == "120/80"


def test_a_dose_is_mended_in_the_digits_of_the_target(completer: MemoryCompleter) -> None:
    """First the near match as it is, with the wrong dose and a lower score; then the right one."""
    text = "Give the adult 10 mg of warfarin every day."
    assert translate(completer, text) == "أعط البالغ ٥ ملغ من وارفارين كل يوم."

    mended, before, after = revise(completer, text)
    assert mended == "أعط البالغ ١٠ ملغ من وارفارين كل يوم."
    assert 70 <= before <= 94
    assert after == 95


def test_decimals_and_groups_are_mended_in_the_signs_of_the_target(completer: MemoryCompleter) -> None:
    mended, _, _ = revise(completer, "The child takes 7.25 mL twice, then 20,000 units.")

    assert mended == "يأخذ الطفل ٧٫٢٥ مل مرتين، ثم ٢٠٬٠٠٠ وحدة."


def test_a_drug_is_exchanged(completer: MemoryCompleter) -> None:
    """With the dose, in one go."""
    mended, before, after = revise(completer, "Give the adult 850 mg of metformin every day.")

    assert mended == "أعط البالغ ٨٥٠ ملغ من ميتفورمين كل يوم."
    assert before < after <= 95


@pytest.mark.parametrize("text", [
    "Give the adult 10 mg of warfarin every 2 day.",
    "Give the adult some mg of warfarin every day.",
])  # fmt: skip
def test_what_cannot_be_aligned_is_left_alone(completer: MemoryCompleter, text: str) -> None:
    """Another count of numbers: no guess, no higher score."""
    mended, before, after = revise(completer, text)

    assert mended == translate(completer, text)
    assert before == after


def test_a_revision_never_touches_what_others_wrote(completer: MemoryCompleter) -> None:
    text, theirs = "Give the adult 10 mg of warfarin every day.", "نص كتبه مترجم"
    assert completer.translate(job("revise", {"f": text}, {"f": theirs}))["f"] == theirs


def test_a_foreign_translation_scores_by_likeness(completer: MemoryCompleter) -> None:
    near = judge(completer, "Metformin", "الميتفورمين")
    assert 70 < near < 100
    assert judge(completer, "Metformin", "شيء آخر") < 30
    assert judge(completer, "Metformin", "") == 0


def test_answers_are_json_with_what_has_to_be_echoed(completer: MemoryCompleter) -> None:
    echo = {"id": "abc", "nonce": "n1"}
    asked = Job("judge", "en", "ar", {"f": "Metformin"}, {"f": "ميتفورمين"}, echo=echo)
    reply = asyncio.run(completer.complete(Request((), "judge", "r", job=asked)))

    assert msgspec.json.decode(reply.text) == {"score": 100.0, "spans": [], **echo}
    asked = Job("translate", "en", "ar", {"f": "Metformin"})
    reply = asyncio.run(completer.complete(Request((), "translate", "r", job=asked)))
    assert msgspec.json.decode(reply.text) == {"fields": {"f": "ميتفورمين"}}


def test_what_a_memory_cannot_do_is_an_error(completer: MemoryCompleter) -> None:
    chat = Job("chat", "en", "ar")
    for asked in (chat, None):
        reply = asyncio.run(completer.complete(Request((), "dialogue", "r", job=asked)))

        assert (reply.finish, "cannot answer" in reply.error) == ("error", True)


def test_the_name_changes_with_the_files(files: tuple[Path, Path]) -> None:
    """So that answers of an older memory are not taken from the ledger."""
    before = MemoryCompleter(files).name
    files[0].write_text(TMX.replace("every day", "each day"))

    assert MemoryCompleter(files).name != before
    assert MemoryCompleter(files, threshold=80).name != MemoryCompleter(files).name


def test_languages_without_spaces_are_matched_too(tmp_path: Path) -> None:
    """Chinese into English: pairs of characters find the candidates, and a space comes between sentences."""
    texts = [
        ("每日服用五毫克华法林。", "Take five mg of warfarin daily."),
        ("请洗手。", "Please wash your hands."),
    ]
    rows = [ParallelText(f"z:{n}", "zh", Origin("z"), a, b, "en") for n, (a, b) in enumerate(texts)]
    write_tmx(tmp_path / "z.tmx", rows)
    completer = MemoryCompleter((tmp_path / "z.tmx",))
    fields = {"f": "请洗手。每日服用三毫克华法林。"}

    target = completer.translate(Job("translate", "zh", "en", fields))["f"]
    assert target == "Please wash your hands. Take five mg of warfarin daily."


def test_near_matches_are_those_of_a_full_search() -> None:
    """The word index may only leave out what is below the threshold."""
    draw = Random(5)
    stock = [f"{a}{b}{c}" for a in "bdgklm" for b in "aeiou" for c in "nrst"]
    texts = [" ".join(draw.choices(stock, k=draw.randint(4, 14))) for _ in range(1500)]
    segments = Segments([(text, text) for text in texts], "en")
    agreed = asked = 0
    for text in texts[::10]:
        kept = text.split()
        kept[draw.randrange(len(kept))] = draw.choice(stock)
        query = " ".join(kept)
        best = max(texts, key=lambda other: fuzz.ratio(query, other))
        score = fuzz.ratio(query, best)
        found = segments.near(query, 70)
        asked += score >= 70
        agreed += score >= 70 and found is not None and found.score >= min(94, score)

    assert asked > 100
    assert agreed / asked > 0.97


def test_numbers_have_one_value_in_every_spelling() -> None:
    assert {value(text) for text in ("2.5", "2,5", "٢٫٥", "２.５")} == {"2.5"}
    assert value("1,000") == value("١٬٠٠٠") == "1000"


@pytest.mark.slow
def test_ten_thousand_units_load_in_a_second_and_answer_a_thousand_lookups_a_second(tmp_path: Path) -> None:
    draw = Random(3)
    stock = [
        f"{a}{b}{c}{d}" for a in "bdgklmprst" for b in "aeiou" for c in "nrstvz" for d in ("", "a", "ing")
    ]
    texts = [" ".join(draw.choices(stock, k=20)) for _ in range(10_000)]
    write_tmx(
        tmp_path / "m.tmx",
        (ParallelText(f"m:{n}", "en", Origin("m"), t, t, "ar") for n, t in enumerate(texts)),
    )
    started = time.process_time()
    completer = MemoryCompleter((tmp_path / "m.tmx",))
    translate(completer, texts[0])
    load_s = time.process_time() - started
    started = time.process_time()
    for text in texts[:1000]:
        translate(completer, text.replace("a", "o", 2) if draw.random() < 0.7 else text)

    assert load_s < 2.0
    assert time.process_time() - started < 2.0


TICO = os.environ.get("BIMEDIX_DATA")


@pytest.mark.skipif(not TICO, reason="BIMEDIX_DATA is not set")
@pytest.mark.parametrize("language, count", [("ar", 919), ("es", 919), ("fr", 919), ("ru", 919), ("zh", 919)])
def test_tico_is_read_whole(language: str, count: int) -> None:
    """Every segment in both languages, no entity left, and every term."""
    folder = Path(str(TICO)) / "tico19"
    [memory] = (folder / "TM").glob(f"all.en-{language}*.tmx")
    units = list(read_tmx(memory, "en", language, Origin("tico19")))
    glossaries = sorted((folder / "terminologies").glob(f"?_en?{language}*.csv"))
    terms = [term for path in glossaries for term in read_glossary(path, "en", language)]

    assert len(units) == count
    assert not [unit for unit in units if "&amp;" in unit.source or "&gt;" in unit.target]
    assert len(terms) > 225
