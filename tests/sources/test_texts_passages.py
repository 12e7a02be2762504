"""Readers of running text and of annotated translations: Markdown, tables of abstracts, treebanks, MQM."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimedix.errors import DataError
from bimedix.records import Dropped, ErrorSpan, ParallelText, Passage, Translation
from bimedix.sources.base import Given
from bimedix.sources.openstax_anatomy import plain_text

Write = Callable[[str, Any], Path]
Read = Callable[..., list[Given]]

CHAPTER = """---
title: "Hinge Joints"
layout: page
---

<div data-type="abstract" markdown="1">
* Describe a hinge
</div>

A **hinge joint**{: data-type="term"} bends ([\\[link\\]](#fig-1)). It bears 10<sup>3</sup> N\\: a lot.

 ![A (small) \\[knee\\].](../resources/1 a.jpg "The knee. (credit: b)"){: #fig-1 data-title="Knee"}

### Table

<table id="t"><tbody>
<tr><td>5</td></tr>
</tbody></table>

See [the atlas](http://openstax.org/l/knee) &amp; *read*.

knee
: a joint
^
"""


def test_a_chapter_becomes_plain_text_under_its_title(write: Write, read: Read) -> None:
    (found,) = read("openstax_anatomy", write("contents/m1.md", CHAPTER))

    assert isinstance(found, Passage)
    assert (found.id, found.title) == ("openstax_anatomy:m1", "Hinge Joints")
    assert found.text == (
        "* Describe a hinge\n\nA hinge joint bends. It bears 10³ N: a lot.\n\n### Table\n\n"
        "See the atlas & read.\n\nknee\n: a joint"
    )


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("10<sup>9</sup>/L", "10⁹/L"),
        ("CO<sub>2</sub> and Ca<sup>2+ </sup>enter", "CO₂ and Ca²⁺ enter"),
        ("T<sup>max</sup>", "Tmax"),
        ("(see [\\[link\\]](#fig), step 3) Then", "Then"),
        ("(H<sup>+</sup>) if a < b and c > d", "(H⁺) if a < b and c > d"),
        ("5 * 3 * 2 mg", "5 * 3 * 2 mg"),
    ],
)
def test_numbers_and_signs_survive_the_markup(text: str, plain: str) -> None:
    """10<sup>9</sup> must never become 109."""
    assert plain_text(text) == plain


def test_a_chapter_without_front_matter_is_refused(write: Write, read: Read) -> None:
    with pytest.raises(DataError, match=r"m1\.md:1: no front matter"):
        read("openstax_anatomy", write("contents/m1.md", "# Knee\n"))


@pytest.mark.parametrize(
    ("folder", "comment", "licence"),
    [
        ("wikidoc", "Source: WikiDoc (wikidoc.org) — CC-BY-SA 3.0", "CC-BY-SA-3.0"),
        ("dailymed", "Source: DailyMed — Public Domain (US Government Work)", "public domain"),
    ],
)
def test_an_article_keeps_its_markdown_and_its_licence(
    folder: str, comment: str, licence: str, write: Write, read: Read
) -> None:
    text = (
        f"<!-- {comment} -->\n<!-- more -->\n\n# Knee pain\n\n## Overview\nCommon.\n\n| a | b |\n|---|---|\n"
    )
    (found,) = read("wikidoc", write(f"{folder}/knee.md", text))

    assert isinstance(found, Passage)
    assert (found.id, found.title, found.origin.licence) == (f"wikidoc:{folder}/knee", "Knee pain", licence)
    assert found.text == "## Overview\nCommon.\n\n| a | b |\n|---|---|"


def test_an_article_with_nothing_but_a_title_is_dropped(write: Write, read: Read) -> None:
    (found,) = read("wikidoc", write("wikidoc/knee.md", "# Knee\n"))

    assert isinstance(found, Dropped)
    assert found.reason == "empty text"


def test_abstracts_carry_their_specialities(write: Write, read: Read) -> None:
    text = "identifier\tabstract\tspecialities\n0a\t Le genou.\tsurgery|physiology\n0b\t \tsurgery\n"
    first, second = read("morfitt", write("morfitt/train.tsv", text))

    assert isinstance(first, Passage)
    assert (first.id, first.text, first.language) == ("morfitt:0a", "Le genou.", "fr")
    assert (first.subject, first.origin.split) == ("surgery|physiology", "train")
    assert isinstance(second, Dropped)


TOKEN = "1\tx\tx\tNOUN\t_\t_\t0\troot\t_\t_\n"
COMMENTS = "# newdoc id = n1\n# sent_id = n1001\n# text = الركبة مفصل.\n# text_en = The knee = a joint.\n"
TREES = f"{COMMENTS}{TOKEN}{TOKEN}\n"


def test_sentences_of_a_treebank_are_read_from_their_comments(write: Write, read: Read) -> None:
    path = write("ar_pud-ud-test.conllu", TREES + TREES.replace("n1001", "n1002"))

    assert [record.id for record in read("ud_pud", path)] == ["ud_pud:n1001/ar", "ud_pud:n1002/ar"]
    (found, _) = read("ud_pud_pairs", path)
    assert isinstance(found, ParallelText)
    assert (found.source, found.target) == ("The knee = a joint.", "الركبة مفصل.")
    assert (found.language, found.target_language) == ("en", "ar")


def test_both_names_of_the_english_side_are_known(write: Write, read: Read) -> None:
    path = write("ru_pud-ud-test.conllu", TREES.replace("text_en", "english_text"))

    assert read("ud_pud_pairs", path)[0].source == "The knee = a joint."  # type: ignore[union-attr]


def test_english_is_taken_from_the_file_beside(write: Write, read: Read) -> None:
    """French names no English; without the English file its sentences are dropped."""
    path = write("fr_pud-ud-test.conllu", TREES.replace("# text_en = The knee = a joint.\n", ""))
    lost = read("ud_pud_pairs", path)[0]
    write("en_pud-ud-test.conllu", TREES.replace("الركبة مفصل.", "A joint."))

    assert isinstance(lost, Dropped) and lost.reason == "empty segment"
    assert read("ud_pud_pairs", path)[0].source == "A joint."  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (TREES.replace("# sent_id = n1001\n", ""), ":1: a sentence without '# sent_id = '"),
        (TREES + "1\tx\n", ":8: 2 cells"),
    ],
)
def test_a_broken_treebank_is_named_with_its_line(text: str, seen: str, write: Write, read: Read) -> None:
    with pytest.raises(DataError, match=seen):
        read("ud_pud", write("ar_pud-ud-test.conllu", text))


def error(term: str, start: int, severity: str, sub: str = "Grammar") -> dict[str, Any]:
    return {"term": term, "startIndex": start, "endIndex": start + 3, "error_category": "Style",
            "error_subcategory": sub, "severity": severity}  # fmt: skip


MQM = {
    "source": "The knee and the hip.", "target": "Le genoux et le genoux,", "SEG_ID": "1",
    "filename": "en_fr_doc1.txt", "MT_Engine": "X_run1", "source_locale": "enus", "target_locale": "frfr",
    "source_errors": [error("hip", 17, "Critical", "")],
    "target_errors": [
        error("genoux", 14, "Minor"), error(",", 22, "Minor", "Punctuation"), error("Le", 0, "Neutral"),
        error("genoux", 15, "Neutral"), error("nowhere", 90, "Major"),
    ],
    "Annotator_ID": "AB", "DOC_ID": "doc1",
}  # fmt: skip


def test_annotations_become_error_spans_and_findings(write: Write, read: Read) -> None:
    """Neutral remarks and terms that the segment does not hold are findings, so that scores stay right."""
    write("bio/doc_id_splits.json", {"en-fr": {"test": ["doc2"], "dev": ["doc1"]}})
    path = write("bio/v2/round_two/en2fr/X_run1.json", [MQM, MQM | {"Annotator_ID": "CG"}])
    first, second = read("bio_mqm", path)

    assert isinstance(first, Translation) and first.target is not None
    assert (first.id, second.id) == ("bio_mqm:en/fr/X_run1/doc1/1/AB", "bio_mqm:en/fr/X_run1/doc1/1/CG")
    assert first.target.parents == (first.source.id,)
    assert first.source.origin.split == "validation"
    (attempt,) = first.attempts
    assert attempt.spans == (
        ErrorSpan("hip", "source", "Style", "critical"),
        ErrorSpan("genoux", "target", "Style/Grammar", "minor"),
        ErrorSpan(",", "target", "Style/Punctuation", "punctuation"),
    )
    assert [(f.severity, f.target_spans) for f in attempt.findings] == [
        ("hint", ((0, 2),)),
        ("hint", ((16, 22),)),
        ("warning", ()),
    ]


def test_translations_into_other_languages_are_dropped(write: Write, read: Read) -> None:
    rows = [MQM | {"target_locale": "dede"}, MQM | {"target": " "}]
    given = read("bio_mqm", write("round_two/en2de/X_run1.json", rows))

    assert [r.reason for r in given if isinstance(r, Dropped)] == [
        "language not in the table", "empty segment",
    ]  # fmt: skip


def test_an_unknown_severity_stops_the_reader(write: Write, read: Read) -> None:
    row = MQM | {"target_errors": [error("Le", 0, "Severe")]}

    with pytest.raises(DataError, match="severity 'Severe'"):
        read("bio_mqm", write("round_two/en2fr/X_run1.json", [row]))
