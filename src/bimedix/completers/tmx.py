"""Translation memories and glossaries on disk: TMX 1.4 in and out, glossary CSV in.

TMX is read as a stream: segments keep their text, native codes (`bpt`, `ept`, `it`, `ph`, `ut`)
fall out, regional codes (`es-LA`) are cut to the language, entities that were escaped twice (`&amp;gt;`) are
undone, and entity declarations are refused because they can blow up.
"""

import csv
import html
import io
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from msgspec import Struct

from bimedix.completers.xmlfile import read_elements
from bimedix.errors import DataError
from bimedix.files import read_text, written_whole
from bimedix.languages import LANGUAGES
from bimedix.records import Origin, ParallelText

_CODES = {"bpt", "ept", "it", "ph", "ut"}
_SPACE = re.compile(r"[ \t\r\n]+")
_TWICE = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,7}|#x[0-9a-fA-F]{1,6});")


class Unit(Struct, frozen=True):
    """One `tu`: the same segment in several languages."""

    id: str
    """`tuid`, or file:line where there is none."""
    line: int
    texts: dict[str, str]
    """By ISO 639-1 code; the first variant of a language counts."""


class Term(Struct, frozen=True):
    """One row of a glossary."""

    source: str
    target: str
    category: str = ""
    """drug, unit, ...; empty when the file has none."""


def base_code(code: str) -> str:
    """Return the code of a language tag (`es-LA` gives `es`); empty when it is not in our table."""
    short = code.replace("_", "-").split("-")[0].lower()
    return short if short in LANGUAGES else ""


def read_units(path: Path) -> Iterator[Unit]:
    """Yield the units of a TMX file that have at least two languages of our table.

    Raises:
        DataError: not well-formed XML, not TMX, or with entity declarations; names file:line.
    """
    for unit, line, _ in read_elements(path, "TMX 1.4", ("tmx",), "tu"):
        texts: dict[str, str] = {}
        for variant in unit.iter("tuv"):
            language = base_code(variant.get("lang", ""))
            text = _SPACE.sub(" ", unescape("".join(map(_segment, variant.iter("seg"))))).strip(" ")
            if language and text:
                texts.setdefault(language, text)
        if len(texts) > 1:
            yield Unit(unit.get("tuid") or f"{path.name}:{line}", line, texts)


def _segment(element: Element) -> str:
    """Return the text of a segment without its native codes."""
    parts = [element.text or ""]
    for child in element:
        parts += ["" if child.tag in _CODES else _segment(child), child.tail or ""]
    return "".join(parts)


def unescape(text: str) -> str:
    """Undo entities that were escaped twice; other ampersands stay."""
    return _TWICE.sub(lambda found: html.unescape(found.group()), text) if "&" in text else text


def read_tmx(
    path: Path, source_language: str, target_language: str, origin: Origin
) -> Iterator[ParallelText]:
    """Yield the segments of a TMX file that are there in both languages."""
    for unit in read_units(path):
        if source_language in unit.texts and target_language in unit.texts:
            yield ParallelText(
                f"{origin.dataset}:{unit.id}",
                source_language,
                Origin(origin.dataset, unit.id, origin.revision, origin.licence, origin.split),
                unit.texts[source_language],
                unit.texts[target_language],
                target_language,
            )


def write_tmx(path: Path, segments: Iterable[ParallelText]) -> int:
    """Write segments as TMX 1.4; returns how many. Characters that XML forbids are left out."""
    written = 0
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as out:
        out.write('<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4">\n')
        out.write('<header creationtool="bimedix" creationtoolversion="1" segtype="block" o-tmf="bimedix" ')
        out.write('adminlang="en" srclang="*all*" datatype="plaintext"/>\n<body>\n')
        for segment in segments:
            out.write(f"<tu tuid={quoteattr(without_forbidden(segment.id))}>\n")
            for code, text in ((segment.language, segment.source), (segment.target_language, segment.target)):
                out.write(f'<tuv xml:lang="{code}"><seg>{escape(without_forbidden(text))}</seg></tuv>\n')
            out.write("</tu>\n")
            written += 1
        out.write("</body>\n</tmx>\n")
    return written


_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def without_forbidden(text: str) -> str:
    """Return a text without the characters that XML 1.0 cannot hold."""
    return _FORBIDDEN.sub("", text)


def read_glossary(path: Path, source_language: str, target_language: str) -> list[Term]:
    """Return the terms of a glossary CSV in one direction; the other direction of the file serves too.

    Layouts: columns named by language codes (`en,ar,category`), or TICO-19's (`sourceLang`, `targetLang`,
    `sourceString`, `targetString`, with or without `pos`).

    Raises:
        DataError: the header is neither, or a row has more columns than the header.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    header = [name.strip() for name in next(rows, [])]
    read_row = _layout(path, header)
    terms: list[Term] = []
    for row in rows:
        if len(row) > len(header):
            raise DataError(
                f"{path}:{rows.line_num}: {len(row)} cells, {len(header)} columns: {','.join(row)[:120]}\n"
                "  Put cells that hold a comma between double quotes."
            )
        texts, category = read_row(dict(zip_longest(header, row, fillvalue="")))
        source, target = (texts.get(code, "").strip() for code in (source_language, target_language))
        if source and target:
            terms.append(Term(source, target, category.strip()))
    return terms


RowReader: TypeAlias = Callable[[dict[str, str]], tuple[dict[str, str], str]]
"""Takes cells by column name, gives texts by language, and the category."""


def _layout(path: Path, header: list[str]) -> RowReader:
    """Return the reader of rows under this header."""
    if {"sourceLang", "targetLang", "sourceString", "targetString"} <= set(header):
        return _read_tico_row
    languages = {name: base_code(name) for name in header if base_code(name)}
    if len(set(languages.values())) < 2:
        raise DataError(
            f"{path}:1: no glossary header: {','.join(header)[:120]}\n"
            "  Name the columns by language codes (en,ar,category), or as TICO-19 does "
            "(sourceLang,targetLang,sourceString,targetString)."
        )
    return lambda row: ({code: row[name] for name, code in languages.items()}, row.get("category", ""))


def _read_tico_row(row: dict[str, str]) -> tuple[dict[str, str], str]:
    source, target = base_code(row["sourceLang"]), base_code(row["targetLang"])
    return {source: row["sourceString"], target: row["targetString"]}, row.get("pos", "")
