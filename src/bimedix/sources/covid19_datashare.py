"""COVID-19 datashare (NeuLab): Wikipedia texts and translated leaflets in many languages.

XML-like files with several `doc` and no root, attributes in single quotes, `&` written bare:

    <doc docid='wiki_1' lang='en' source='https://example.org' term='knee' license='CC_BY-SA_3.0'>
    <p>
    <s sentid='1'>Knees & elbows are joints.</s>
    </p>
    </doc>

Half of the Wikipedia texts are news rather than medicine: a hard case for a medical filter. Leaflets
(`dotw`, `kingcounty`, `mythbusters`) have paragraphs without sentences and three-letter language codes.
"""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import DataError
from bimedix.files import read_text
from bimedix.languages import language as language_row
from bimedix.sources.base import Given, Options, Row, Source, drop, origin, source_id
from bimedix.sources.markup import tidy
from bimedix.sources.texts import UNKNOWN_LANGUAGE, known_language, passage

NAME = "covid19_datashare"
PUBLIC_DOMAIN = "public domain"
_OPEN = re.compile(r"<doc\s+([^<]*?)>")
_ATTRIBUTE = re.compile(r"([\w-]+)=(['\"])(.*?)\2(?=\s+[\w-]+=|\s*/?$)", re.DOTALL)
_PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
_SENTENCE = re.compile(r"<s(?:\s[^>]*)?>(.*?)</s>", re.DOTALL)
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]+);")


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield a passage per document; its search term is its subject."""
    text = read_text(path, options.encoding or "utf-8")
    if not text.lstrip().startswith("<doc"):
        raise DataError(f"{path}:1: does not begin with <doc>.\n  Seen: {text[:80]!r}")
    line, at = 1, 0
    while found := _OPEN.search(text, at):
        line += text.count("\n", at, found.start())
        end, following = text.find("</doc>", found.end()), text.find("<doc", found.end())
        if end < 0 or 0 <= following < end:
            raise DataError(f"{path}:{line}: a <doc> without </doc>.")
        attributes = {name: _unescape(value) for name, _, value in _ATTRIBUTE.findall(found[1])}
        body = text[found.end() : end]
        yield _document(Row(path, line, attributes | {"body": body}), options)
        line += text.count("\n", found.start(), end)
        at = end


def _document(row: Row, options: Options) -> Given:
    code = row.text("lang")
    language = options.language or known_language(code)
    key = f"{row.text('docid')}/{code}"
    if not language:
        return drop(NAME, row, UNKNOWN_LANGUAGE, id=source_id(NAME, key), detail=code)
    licence = row.text("license").replace("_", "-") if "license" in row.values else PUBLIC_DOMAIN
    join = " " if language_row(language).spaced else ""
    paragraphs = [_paragraph(found, join) for found in _PARAGRAPH.findall(str(row.value("body")))]
    place = origin(NAME, licence, row, options, key=key)
    text = "\n\n".join(filter(None, paragraphs))
    subject = row.optional("term")
    return passage(row, place, language, text, id=source_id(NAME, key), subject=subject)


def _paragraph(body: str, join: str) -> str:
    sentences = _SENTENCE.findall(body)
    if sentences:
        return join.join(filter(None, (tidy(_unescape(sentence)) for sentence in sentences)))
    return tidy(_unescape(body))


def _unescape(text: str) -> str:
    """Resolve entities that end in a semicolon; a bare `&` stays, as in Q&A."""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text)


SOURCE = Source(
    name=NAME,
    title="COVID-19 datashare: Wikipedia and leaflets",
    licence="CC-BY-SA-3.0 (wikipedia); public domain (leaflets)",
    address="https://github.com/neulab/covid19-datashare",
    languages=("ar", "en", "es", "fr", "ja", "ru", "zh"),
    gives="passage",
    files=("wikipedia/*.xml", "dotw/*.xml", "kingcounty/*.xml", "mythbusters/*.xml"),
    read=read,
)
