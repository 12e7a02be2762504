"""XLIFF 2 in and out: the form in which translation tools exchange memories and finished jobs.

Read: versions 2.0 and 2.1, one segment a unit or several. Text inside `mrk` and `pc` stays, codes (`ph`,
`sc`, `ec`, `cp`) fall out; segments without a translation, or in state `initial`, are passed by.
Source: XLIFF Version 2.1, OASIS Standard 13 February 2018, sections 4.2 and 4.3.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from bimedix.completers.tmx import Unit, base_code, without_forbidden
from bimedix.completers.xmlfile import Found, read_elements
from bimedix.errors import DataError
from bimedix.files import written_whole
from bimedix.records import ParallelText

_SPACE = re.compile(r"[ \t\r\n]+")


def read_xliff(path: Path) -> Iterator[Unit]:
    """Yield the translated segments of a file, under the name or id of their unit.

    Raises:
        DataError: not XLIFF 2, or languages that are not in our table; names the line.
    """
    for found in read_elements(path, "XLIFF 2", ("xliff",), "unit", "trans-unit"):
        codes = _codes(path, found)
        name = found.element.get("name") or found.element.get("id") or f"{path.name}:{found.line}"
        segments = list(found.element.iter("segment"))
        for number, segment in enumerate(segments, start=1):
            texts = _texts(segment, codes, keep=found.element.get("space") == "preserve")
            if texts:
                yield Unit(f"{name}/{number}" if len(segments) > 1 else name, found.line, texts)


def _codes(path: Path, found: Found) -> tuple[str, str]:
    if not found.root.get("version", "").startswith("2"):
        raise DataError(
            f"{path}:1: XLIFF version {found.root.get('version', '?')}; version 2 is read here.\n"
            "  Export the job as XLIFF 2, or the memory as TMX 1.4."
        )
    source, target = (base_code(found.root.get(name, "")) for name in ("srcLang", "trgLang"))
    if not source or not target:
        named = f"srcLang='{found.root.get('srcLang', '')}' trgLang='{found.root.get('trgLang', '')}'"
        raise DataError(f"{path}:1: {named}; both have to name a language that `bimedix ls languages` lists.")
    return source, target


def _texts(segment: Element, codes: tuple[str, str], *, keep: bool) -> dict[str, str]:
    """Return both sides, or nothing where one is missing; white space stays where the file asks for it."""
    source, target = segment.find("source"), segment.find("target")
    if source is None or target is None or segment.get("state") == "initial":
        return {}
    texts = ("".join(side.itertext()).strip() for side in (source, target))
    here, there = (text if keep else _SPACE.sub(" ", text) for text in texts)
    return {codes[0]: here, codes[1]: there} if here and there else {}


def write_xliff(path: Path, segments: Iterable[ParallelText]) -> int:
    """Write segments as XLIFF 2.1, one unit each; returns how many. All are of one pair of languages.

    Raises:
        DataError: segments of several pairs of languages.
    """
    written = 0
    pairs = groupby(segments, key=lambda segment: (segment.language, segment.target_language))
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as out:
        out.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        for number, ((source, target), group) in enumerate(pairs):
            if number:
                raise DataError(
                    f"{path}: XLIFF holds one pair of languages, and {source}-{target} is a second."
                )
            out.write('<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.1" ')
            out.write(f'srcLang="{source}" trgLang="{target}">\n<file id="f1">\n')
            for written, segment in enumerate(group, start=1):
                out.write(_unit(written, segment))
        out.write("</file>\n</xliff>\n" if written else _EMPTY)
    return written


_EMPTY = '<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.1" srcLang="en"/>\n'


def _unit(number: int, segment: ParallelText) -> str:
    source, target = (escape(without_forbidden(text)) for text in (segment.source, segment.target))
    name = quoteattr(without_forbidden(segment.id))
    return (
        f'<unit id="u{number}" name={name} xml:space="preserve"><segment state="translated">'
        f"<source>{source}</source><target>{target}</target></segment></unit>\n"
    )
