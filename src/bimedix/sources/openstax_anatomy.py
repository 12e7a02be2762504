"""Anatomy and Physiology, first edition (OpenStax), 158 chapters as Markdown.

`contents/m46403.md`, kramdown with front matter, HTML and attribute lists:

    ---
    title: "Knee"
    layout: page
    ---
    A **hinge joint**{: data-type="term"} bends ([\\[link\\]](#fig-1)); it bears 10<sup>3</sup> N.
    ![A knee.](../resources/1.jpg "The knee."){: #fig-1 data-title="Knee"}

Figures, tables and references to them are cut; a raised or lowered number keeps its meaning (10³, H₂O).
The second edition is CC-BY-NC-SA and is not this source.
"""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import DataError
from bimedix.files import read_text
from bimedix.sources.base import Given, Options, Row, Source, origin, source_id
from bimedix.sources.markup import tidy
from bimedix.sources.texts import passage

NAME = "openstax_anatomy"
LICENCE = "CC-BY-4.0"
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_TITLE = re.compile(r"^title:\s*[\"']?(.*?)[\"']?\s*$", re.MULTILINE)
_RAISED = str.maketrans("0123456789+-–−()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-–−()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₋₍₎")
_CUTS = tuple(
    re.compile(pattern, re.DOTALL | re.MULTILINE)
    for pattern in (
        r"<!--.*?-->",
        r"<table\b.*?</table>",
        r"!\[(?:[^\]\\]|\\.)*\]\([^\")]*(?:\"(?:[^\"\\]|\\.)*\")?\)",
        r"\{:[^}\n]*\}",
        r"^\^$\n?",
        r"\s*\((?:see\s+)?\[(?:\\\[link\\\]|link)\]\([^)]*\)(?:\*\*[a-z]\*\*)?(?:,\s*step \d+)?\)",
    )
)
_LINK = re.compile(r"\[((?:[^\[\]\\]|\\.)*)\]\(([^)\s]*)\)")
_EMPHASIS = re.compile(r"(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the chapter as one passage."""
    whole = read_text(path, options.encoding or "utf-8").replace("\r\n", "\n")
    front = _FRONT.match(whole)
    if front is None:
        raise DataError(f"{path}:1: no front matter between two lines of '---'.\n  Seen: {whole[:60]!r}")
    title = _TITLE.search(front[1])
    row = Row(path, 1, {"title": title[1] if title else "", "text": whole[front.end() :]})
    place = origin(NAME, LICENCE, row, options, key=path.stem)
    yield passage(
        row,
        place,
        options.language or "en",
        plain_text(str(row.value("text"))),
        id=source_id(NAME, path.stem),
        title=row.text("title"),
    )


def plain_text(text: str) -> str:
    """Return kramdown as plain text, without figures, tables, attributes and the signs of emphasis."""
    for cut in _CUTS:
        text = cut.sub("", text)
    text = re.sub(r"<su([pb])\b[^>]*>(.*?)</su\1>", _script, text, flags=re.DOTALL)
    text = _LINK.sub(
        lambda found: "" if "link" in found[1] and found[1].startswith("\\[") else found[1], text
    )
    text = html.unescape(_TAG.sub("", text))
    text = _EMPHASIS.sub(r"\2", text)
    return tidy(_ESCAPED.sub(r"\1", text))


def _script(found: re.Match[str]) -> str:
    """Write a raised or lowered text with the characters made for it, where all of it has some."""
    text, table = found[2], _RAISED if found[1] == "p" else _LOWERED
    known = all(ord(char) in table or char.isspace() for char in text)
    return text.translate(table) if known else text


SOURCE = Source(
    name=NAME,
    title="Anatomy and Physiology, 1st edition (OpenStax)",
    licence=LICENCE,
    address="https://github.com/philschatz/anatomy-book",
    languages=("en",),
    gives="passage",
    files=("contents/m*.md",),
    read=read,
)
