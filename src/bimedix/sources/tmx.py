"""Translation memories in TMX 1.4, as translation tools export them.

    <tmx version="1.4"><header srclang="en" .../><body>
    <tu tuid="a:1"><tuv xml:lang="en"><seg>Take one tablet.</seg></tuv>
                   <tuv xml:lang="ar"><seg>تناول قرصا واحدا.</seg></tuv></tu>
    </body></tmx>

The file is streamed. Regional codes (`es-LA`) count as their language; a unit with several languages
gives a pair for each two of them, the header's source language first. Codes of formatting inside a
segment (`bpt`, `ept`, `ph`, `it`, `ut`) are left out. Only files called memory, or in a folder of that name,
are found without being named (those of TICO-19 have a source of their own).
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from xml.etree.ElementTree import Element

from bimedix.errors import DataError
from bimedix.records import content_id
from bimedix.sources.base import Given, Options, Row, Source, drop, origin, source_id
from bimedix.sources.markup import elements, tidy
from bimedix.sources.texts import UNKNOWN_LANGUAGE, known_language, parallel

NAME = "tmx"
LICENCE = "as its owner says"
ONE_LANGUAGE = "one language only"
_CODES = {"bpt", "ept", "ph", "it", "ut"}


def read_units(path: Path, options: Options, dataset: str, licence: str) -> Iterator[Given]:
    """Yield the pairs of every translation unit."""
    header_language, units = "", 0
    for line, element in elements(path, "tmx", ("header", "tu")):
        if element.tag == "header":
            header_language = known_language(element.get("srclang", ""))
            continue
        units += 1
        yield from _pairs(Row(path, line, _unit(element)), header_language, options, dataset, licence)
    if not units:
        raise DataError(
            f"{path}:1: holds no translation unit <tu>.\n  Export the memory again, with its units."
        )


def _unit(element: Element) -> dict[str, object]:
    sides = [
        (side.get("xml:lang") or side.get("lang") or "", _segment(side.find("seg")))
        for side in element.findall("tuv")
    ]
    return {"tuid": element.get("tuid", ""), "segments": sides}


def _segment(element: Element | None) -> str:
    """Return the text of a segment without the codes of formatting that it holds."""
    if element is None:
        return ""

    def parts(node: Element) -> Iterator[str]:
        yield node.text or ""
        for child in node:
            if child.tag not in _CODES:
                yield from parts(child)
            yield child.tail or ""

    return tidy("".join(parts(element)))


def _pairs(row: Row, first: str, options: Options, dataset: str, licence: str) -> Iterator[Given]:
    texts: dict[str, str] = {}
    for code, text in row.value("segments"):
        language = known_language(code)
        if not language:
            yield drop(dataset, row, UNKNOWN_LANGUAGE, detail=code)
        else:
            texts.setdefault(language, text)
    if len(texts) == 1 or not row.value("segments"):
        yield drop(dataset, row, ONE_LANGUAGE)
    order = sorted(texts, key=lambda language: language != first)
    for source, target in combinations(order, 2):
        unit = row.text("tuid") or content_id("", texts[source], texts[target])[1:]
        key = f"{unit}/{source}-{target}"
        place = origin(dataset, licence, row, options, key=key)
        sides = (source, texts[source]), (target, texts[target])
        yield parallel(row, place, *sides, id=source_id(dataset, key))


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the pairs of a translation memory."""
    yield from read_units(path, options, NAME, LICENCE)


SOURCE = Source(
    name=NAME,
    title="Translation memory (TMX 1.4)",
    licence=LICENCE,
    address="https://www.gala-global.org/tmx-14b",
    languages=("ar", "en", "es", "fr", "ru", "zh", "ja"),
    gives="parallel_text",
    files=("memory/*.tmx", "memories/*.tmx", "memory*.tmx"),
    read=read,
)
