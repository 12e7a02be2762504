"""Readers of XML: streamed, safe from entities, and patient with what publishers write."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimedix.errors import DataError
from bimedix.records import Dropped, OpenQuestion, ParallelText, Passage
from bimedix.sources.base import Given
from bimedix.sources.liveqa import read_judgments
from bimedix.sources.markup import elements, text_of, tidy

Write = Callable[[str, Any], Path]
Read = Callable[..., list[Given]]

BOMB = (
    '<?xml version="1.0"?>\n<!DOCTYPE tmx [\n<!ENTITY a "ha">\n<!ENTITY b "&a;&a;&a;">\n]>\n'
    '<tmx version="1.4"><body><tu><tuv xml:lang="en"><seg>&b;</seg></tuv></tu></body></tmx>'
)
OUTSIDE = '<?xml version="1.0"?>\n<!DOCTYPE tmx [<!ENTITY x SYSTEM "file:///etc/hostname">]>\n<tmx>&x;</tmx>'


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, BOMB.encode("utf-16")], ids=["bomb", "outside", "utf-16"])
def test_declared_entities_are_refused(text: str | bytes, write: Write) -> None:
    """Neither an entity that grows nor one that names another file is ever resolved."""
    with pytest.raises(DataError, match=r"x\.tmx:\d+: declares the entity"):
        list(elements(write("x.tmx", text), "tmx", "tu"))


def test_a_plain_document_type_is_no_reason_to_refuse(write: Write, read: Read) -> None:
    """Translation tools write one; the file it names is not opened."""
    text = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n' + memory(unit({"en": "Yes", "ar": "نعم"}))

    assert len(read("tmx", write("m.tmx", text))) == 1


def test_an_undeclared_entity_is_named(write: Write) -> None:
    text = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx>\n<tu>5&nbsp;mg</tu></tmx>'

    with pytest.raises(DataError, match=r"x\.tmx:3: the entity '&nbsp;'"):
        list(elements(write("x.tmx", text), "tmx", "tu"))


def test_broken_xml_and_another_root_are_named_with_their_line(write: Write) -> None:
    with pytest.raises(DataError, match=r"a\.xml:2: not well-formed"):
        list(elements(write("a.xml", "<tmx>\n<tu></tmx>"), "tmx", "tu"))
    with pytest.raises(DataError, match=r"b\.xml:1: the root element is <html>"):
        list(elements(write("b.xml", "<html/>"), "tmx", "tu"))
    with pytest.raises(DataError, match=r"c\.xml:1: not well-formed"):
        list(elements(write("c.xml", ""), "tmx", "tu"))


def test_elements_come_with_their_line_and_all_text(write: Write) -> None:
    text = "<r>\n<q>one <b>two</b> three</q>\n\n<q>\n  four\n</q></r>"
    found = [(line, text_of(element)) for line, element in elements(write("r.xml", text), "r", "q")]

    assert found == [(2, "one two three"), (4, "four")]


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    """Memory stays a small part of the file's size."""
    path = tmp_path / "large.xml"
    path.write_bytes(b"<r>" + b"<q>some text that takes place</q>" * 100_000 + b"</r>")
    tracemalloc.start()
    count = sum(1 for _ in elements(path, "r", "q"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 100_000
    assert peak < path.stat().st_size / 2


def test_indentation_of_a_file_is_no_part_of_its_text() -> None:
    assert tidy("Key  points\n      - one \r\n\n\n\n   two\u00a0mg ") == "Key points\n- one\n\ntwo mg"


QUAD = """<?xml version="1.0" encoding="UTF-8"?>
<Document id="0000001" source="Site" url="https://x">
<Focus>Boils</Focus>
<QAPairs><QAPair pid="1"><Question qid="0000001-1" qtype="treatment">How are boils treated ?</Question>
<Answer>With   compresses
            &amp; rest.</Answer></QAPair>
<QAPair pid="2"><Question qid="0000001-2" qtype="causes">Why?</Question><Answer></Answer></QAPair></QAPairs>
</Document>"""


def test_topics_give_their_pairs_and_empty_answers_are_dropped(write: Write, read: Read) -> None:
    first, second = read("medquad", write("10_Site_QA/0000001.xml", QUAD))

    assert isinstance(first, OpenQuestion)
    assert (first.id, first.subject) == ("medquad:Site/0000001-1", "Boils")
    assert first.answer == "With compresses\n& rest."
    assert isinstance(second, Dropped)
    assert (second.reason, second.id) == ("empty answer", "medquad:Site/0000001-2")


LIVE = """<LiveQA2017-Medical-Test-Set-Full>
<NLM-QUESTION qid="TQ1"><Original-Question qfile="1.txt"><SUBJECT>knee</SUBJECT>
<MESSAGE>Why does it click?</MESSAGE></Original-Question><NIST-PARAPHRASE>Why?</NIST-PARAPHRASE>
<ANNOTATIONS><FOCUS fid="F1" fcategory="(Problem)">knee</FOCUS></ANNOTATIONS>
<ReferenceAnswers><ReferenceAnswer aid="TQ1_A1"><ANSWER>Gas.</ANSWER><AnswerURL>https://x</AnswerURL>
</ReferenceAnswer><RefAnswer aid="TQ1_A2"><ANSWER>Tendons.</ANSWER></RefAnswer></ReferenceAnswers>
</NLM-QUESTION>
<NLM-QUESTION qid="TQ2"><Original-Question qFile="2.txt"><SUBJECT></SUBJECT><MESSAGE></MESSAGE>
</Original-Question><NIST-PARAPHRASE>Is fever bad?</NIST-PARAPHRASE><ReferenceAnswers>
<RefAnswer>Often not.</RefAnswer></ReferenceAnswers></NLM-QUESTION>
<NLM-QUESTION qid="TQ3"><Original-Question qfile="3.txt"><MESSAGE>And pain?</MESSAGE></Original-Question>
<ReferenceAnswers></ReferenceAnswers></NLM-QUESTION>
</LiveQA2017-Medical-Test-Set-Full>"""


def test_each_reference_answer_is_a_record_under_either_tag(write: Write, read: Read) -> None:
    given = read("liveqa", write("TestDataset/TREC-2017-LiveQA-Medical-Test.xml", LIVE))
    found = [record for record in given if isinstance(record, OpenQuestion)]

    assert [(record.id, record.question, record.answer) for record in found] == [
        ("liveqa:TQ1_A1", "Why does it click?", "Gas."),
        ("liveqa:TQ1_A2", "Why does it click?", "Tendons."),
        ("liveqa:TQ2_A1", "Is fever bad?", "Often not."),
    ]
    assert (found[0].context, found[0].subject, found[0].origin.split) == ("knee", "knee", "test")
    (lost,) = [record for record in given if isinstance(record, Dropped)]
    assert (lost.id, lost.reason) == ("liveqa:TQ3", "empty answer")
    assert '"qfile": "3.txt"' in lost.record


def test_the_other_spelling_of_the_file_name_is_kept(write: Write, read: Read) -> None:
    text = LIVE.replace("<RefAnswer>Often not.</RefAnswer>", "")
    given = read("liveqa", write("TestDataset/a.xml", text))

    assert any(isinstance(record, Dropped) and '"qfile": "2.txt"' in record.record for record in given)


def test_judgments_are_three_words_a_line(write: Write) -> None:
    assert list(read_judgments(write("q.txt", "TQ1 4 A_1\n\nTQ1 1 A_2\n"))) == [
        ("TQ1", 4, "A_1"), ("TQ1", 1, "A_2"),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"bad\.txt:2"):
        list(read_judgments(write("bad.txt", "TQ1 4 A_1\nTQ1 five A_2\n")))


def unit(texts: dict[str, str], tuid: str = "") -> str:
    key = f' tuid="{tuid}"' if tuid else ""
    sides = "".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in texts.items())
    return f"<tu{key}>{sides}</tu>"


def memory(*units: str, first: str = "en") -> str:
    return f'<tmx version="1.4"><header srclang="{first}"/><body>\n' + "\n".join(units) + "\n</body></tmx>"


def test_a_unit_gives_a_pair_for_each_two_languages(write: Write, read: Read) -> None:
    path = write("m.tmx", memory(unit({"ar": "نعم", "es-LA": "Sí", "en-US": "Yes"}, "d:1")))
    given = read("tmx", path)

    assert [(r.id, r.source, r.target) for r in given if isinstance(r, ParallelText)] == [
        ("tmx:d:1/en-ar", "Yes", "نعم"),
        ("tmx:d:1/en-es", "Yes", "Sí"),
        ("tmx:d:1/ar-es", "نعم", "Sí"),
    ]


def test_the_header_says_which_language_comes_first(write: Write, read: Read) -> None:
    (found,) = read("tmx", write("m.tmx", memory(unit({"en": "Yes", "ar": "نعم"}), first="ar")))

    assert isinstance(found, ParallelText)
    assert (found.language, found.target_language) == ("ar", "en")


def test_units_that_cannot_be_pairs_are_dropped_with_the_reason(write: Write, read: Read) -> None:
    units = (unit({"en": "One"}), unit({"en": "Two", "ar": " "}), unit({"en": "Three", "xx": "?"}))
    given = read("tmx", write("m.tmx", memory(*units)))

    assert [(r.reason, r.place[-2:]) for r in given if isinstance(r, Dropped)] == [
        ("one language only", ":2"),
        ("empty segment", ":3"),
        ("language not in the table", ":4"),
        ("one language only", ":4"),
    ]


def test_formatting_codes_are_no_text_and_entities_are(write: Write, read: Read) -> None:
    text = 'Take <bpt i="1">&lt;b&gt;</bpt>5 mg<ept i="1">&lt;/b&gt;</ept> if T &gt; <hi>38</hi> &#176;C'
    (found,) = read("tmx", write("m.tmx", memory(unit({"en": text, "fr": "x"}))))

    assert isinstance(found, ParallelText)
    assert found.source == "Take 5 mg if T > 38 °C"


@pytest.mark.parametrize(
    ("name", "text", "id"),
    [
        (
            "f_en-zh_CN.csv",
            "id,sourceLang,targetLang,sourceString,targetString\n4,en,zh_CN,mask,口罩\n",
            "tico19:terms/f/4/en-zh",
        ),
        (
            "g_en_es-419.csv",
            "stringID,sourceLang,targetLang,pos,description,sourceString,targetString\n"
            '9,en,es-419,noun,"A cover, for the face.",mask,mascarilla\n',
            "tico19:terms/g/9/en-es",
        ),
    ],
)
def test_terms_are_read_in_both_layouts(name: str, text: str, id: str, write: Write, read: Read) -> None:
    (found,) = read("tico19", write(f"terminologies/{name}", text))

    assert isinstance(found, ParallelText)
    assert (found.id, found.source, found.origin.licence) == (id, "mask", "CC0-1.0")


def test_terms_of_an_unknown_language_are_dropped(write: Write, read: Read) -> None:
    text = "id,sourceLang,targetLang,sourceString,targetString\n4,en,am_ET,mask,x\n5,en,ar_AR,mask,\n"
    given = read("tico19", write("terminologies/f_en-am_ET.csv", text))

    assert [r.reason for r in given if isinstance(r, Dropped)] == [
        "language not in the table", "empty segment",
    ]  # fmt: skip


ROOTLESS = """<doc docid='wiki_1' lang='en' source='https://x/a?b=1&c=2' type='mono' term='Crohn's knee' license='CC_BY-SA_3.0'>
<p>
<s sentid='1'>Knees & elbows (Q&A) are joints &lt; 10.</s>
<s sentid='4'>They bend.</s>
</p>
<p>
<s sentid='5'>Hips too.</s>
</p>
</doc>
<doc docid='wiki_2' lang='zh-cn' type='mono'>
<p>
<s sentid='1'>膝是关节。</s>
<s sentid='2'>会弯。</s>
</p>
</doc>
<doc docid='wiki_3' lang='amh' type='mono'>
<p>
x
</p>
</doc>
<doc docid='wiki_4' lang='ara' type='parallel'>
<p>
\ufeffالركبة
• واحد
</p>
<p>
</p>
</doc>
<doc docid='wiki_5' lang='fra' type='mono'>
</doc>
"""  # noqa: E501


def test_documents_without_a_root_are_read_one_by_one(write: Write, read: Read) -> None:
    given = read("covid19_datashare", write("dotw/mixed.xml", ROOTLESS))
    found = {record.id: record for record in given if isinstance(record, Passage)}

    english = found["covid19_datashare:wiki_1/en"]
    assert english.text == "Knees & elbows (Q&A) are joints < 10. They bend.\n\nHips too."
    assert (english.subject, english.origin.licence) == ("Crohn's knee", "CC-BY-SA-3.0")
    chinese = found["covid19_datashare:wiki_2/zh-cn"]
    assert (chinese.text, chinese.language) == ("膝是关节。会弯。", "zh")
    arabic = found["covid19_datashare:wiki_4/ara"]
    assert (arabic.text, arabic.language, arabic.origin.licence) == ("الركبة\n• واحد", "ar", "public domain")
    lost = {
        record.id[-3:]: (record.reason, record.place[-3:]) for record in given if isinstance(record, Dropped)
    }
    assert lost == {"amh": ("language not in the table", ":16"), "fra": ("empty text", ":29")}


def test_a_document_that_does_not_end_is_named(write: Write, read: Read) -> None:
    with pytest.raises(DataError, match=r"a\.xml:2: a <doc> without </doc>"):
        read(
            "covid19_datashare",
            write("dotw/a.xml", "<doc docid='a' lang='en'></doc>\n<doc docid='b' lang='en'>\n"),
        )
