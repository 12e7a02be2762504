"""XLIFF 2 and TBX: what other tools write is read, what we write comes back whole."""

from pathlib import Path

import pytest

from bimedix.aligned import read_aligned
from bimedix.completers.exchange import read_memory, read_term_list, write_memory, write_term_list
from bimedix.completers.tmx import Term
from bimedix.errors import DataError, UsageError
from bimedix.records import Origin, ParallelText

ORIGIN = Origin("demo")
SEGMENTS = [
    ParallelText("q@ar/x", "en", ORIGIN, "Is K+ < 3 & low?\nGive 5 mg.", "هل K+ < 3.5؟\nأعط 5 ملغ.", "ar"),
    ParallelText('a "b"', "en", ORIGIN, "Take aspirin.\u0001", "خذ الأسبرين.", "ar"),
]  # fmt: skip
TERMS = [Term("warfarin", "وارفارين", "drug"), Term('the "pill", low & <dose>', "حبوب", "")]

XLIFF = """<?xml version="1.0"?>
<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" xmlns:mtc="urn:oasis:names:tc:xliff:matches:2.0"
 version="2.0" srcLang="en-GB" trgLang="ar-SA"><file id="f1"><group id="g"><unit id="u1">
 <mtc:matches><mtc:match ref="#s1"><source>not this</source><target>ليس هذا</target></mtc:match></mtc:matches>
 <segment state="final"><source>Take <pc id="1">5 mg</pc> of <mrk id="m" type="term">aspirin</mrk>.</source>
  <target>خذ <pc id="1">5 ملغ</pc> من <mrk id="m" type="term">الأسبرين</mrk>.</target></segment>
 <ignorable><source> </source></ignorable>
 <segment><source>Rest<ph id="2"/>  and
  drink.</source><target>استرح واشرب.</target></segment></unit></group>
 <unit id="u2"><segment><source>No target.</source></segment></unit>
 <unit id="u3"><segment state="initial"><source>Draft.</source><target>مسودة.</target></segment></unit>
</file></xliff>
"""
TBX3 = """<?xml version="1.0"?>
<tbx style="dca" type="TBX-Basic" xml:lang="en" xmlns="urn:iso:std:iso:30042:ed-2"><tbxHeader/><text><body>
<conceptEntry id="c1"><descrip type="subjectField">drug</descrip>
 <langSec xml:lang="en-US"><termSec><term>acetaminophen</term></termSec>
  <termSec><term>paracetamol</term></termSec></langSec>
 <langSec xml:lang="ar"><termSec><term>باراسيتامول</term></termSec>
  <termSec><term>قديم</term>
  <termNote type="administrativeStatus">deprecatedTerm-admn-sts</termNote></termSec></langSec>
 <langSec xml:lang="de"><termSec><term>Paracetamol</term></termSec></langSec></conceptEntry>
</body></text></tbx>
"""
TBX2 = """<?xml version="1.0"?>
<martif type="TBX" xml:lang="en"><text><body><termEntry id="1">
 <langSet xml:lang="en"><tig><term>liver</term></tig></langSet>
 <langSet xml:lang="ar"><ntig><termGrp><term>كبد</term></termGrp></ntig></langSet>
</termEntry></body></text></martif>
"""


@pytest.mark.parametrize("name", ["m.xlf", "m.jsonl"])
def test_a_memory_comes_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    """Names that are no XML ids, line breaks and signs included; what XML cannot hold falls out."""
    assert write_memory(tmp_path / name, SEGMENTS) == 2
    units = list(read_memory(tmp_path / name))

    assert [unit.id for unit in units] == [segment.id for segment in SEGMENTS]
    assert units[0].texts == {"en": SEGMENTS[0].source, "ar": SEGMENTS[0].target}
    assert units[1].texts["en"].rstrip("\u0001") == "Take aspirin."


def test_segments_of_other_tools_keep_their_text_and_lose_their_codes(tmp_path: Path) -> None:
    """Matches, drafts and segments without a translation are no memory."""
    (tmp_path / "job.xlf").write_text(XLIFF)
    units = list(read_memory(tmp_path / "job.xlf"))

    assert [unit.id for unit in units] == ["u1/1", "u1/2"]
    assert units[0].texts == {"en": "Take 5 mg of aspirin.", "ar": "خذ 5 ملغ من الأسبرين."}
    assert units[1].texts["en"] == "Rest and drink."
    assert [pair.id for pair in read_aligned(tmp_path / "job.xlf", None, "en", "ar")] == ["u1/1", "u1/2"]


@pytest.mark.parametrize("name", ["g.tbx", "g.csv"])
def test_a_glossary_comes_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    assert write_term_list(tmp_path / name, TERMS, "en", "ar") == 2

    assert read_term_list(tmp_path / name, "en", "ar") == TERMS
    assert read_term_list(tmp_path / name, "ar", "en")[0] == Term("وارفارين", "warfarin", "drug")


def test_termbases_of_both_versions_are_read(tmp_path: Path) -> None:
    """Every synonym has its translation; a deprecated term is nobody's translation."""
    (tmp_path / "3.tbx").write_text(TBX3)
    (tmp_path / "2.tbx").write_text(TBX2)

    assert read_term_list(tmp_path / "3.tbx", "en", "ar") == [
        Term("acetaminophen", "باراسيتامول", "drug"), Term("paracetamol", "باراسيتامول", "drug"),
    ]  # fmt: skip
    assert read_term_list(tmp_path / "2.tbx", "en", "ar") == [Term("liver", "كبد")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (XLIFF.replace('version="2.0"', 'version="1.2"'), "XLIFF version 1.2; version 2 is read here"),
        (XLIFF.replace("ar-SA", "xx"), "trgLang='xx'"),
        (XLIFF[:700], "not well-formed XLIFF 2"),
        (TBX3, "root is <tbx>, not <xliff>"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + XLIFF.split("\n", 1)[1], "declares the entity 'a'"),
    ],
)
def test_broken_files_are_refused_with_their_place(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "m.xlf").write_text(text)

    with pytest.raises(DataError, match=told) as error:
        list(read_memory(tmp_path / "m.xlf"))
    assert str(error.value).startswith(f"{tmp_path / 'm.xlf'}:")


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    other = ParallelText("x", "en", ORIGIN, "a", "б", "ru")

    with pytest.raises(UsageError, match="no translation memory"):
        list(read_memory(tmp_path / "m.docx"))
    with pytest.raises(UsageError, match="a memory is written as"):
        write_memory(tmp_path / "m.docx", SEGMENTS)
    with pytest.raises(UsageError, match="a glossary is written as"):
        write_term_list(tmp_path / "m.docx", TERMS, "en", "ar")
    with pytest.raises(DataError, match="en-ru is a second"):
        write_memory(tmp_path / "m.xlf", [*SEGMENTS, other])
    assert write_memory(tmp_path / "none.xlf", []) == 0
