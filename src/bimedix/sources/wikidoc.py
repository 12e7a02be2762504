"""WikiDoc articles and DailyMed drug labels as Markdown, one file each.

    <!-- Source: WikiDoc (wikidoc.org) — CC-BY-SA 3.0 -->
    # Knee pain

    ## Overview
    Knee pain is common.

Comments are cut after the licence is read from the first; headings, lists and tables stay as Markdown.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import DataError
from bimedix.files import read_text
from bimedix.sources.base import Given, Options, Row, Source, clean, origin, source_id
from bimedix.sources.texts import passage

NAME = "wikidoc"
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_TITLE = re.compile(r"^# +(.+?) *#*$", re.MULTILINE)


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the article as one passage."""
    whole = clean(read_text(path, options.encoding or "utf-8"))
    text = _COMMENT.sub("", whole).strip()
    title = _TITLE.search(text)
    if text and title is None:
        raise DataError(f"{path}:1: no title ('# ...').\n  Seen: {text[:60]!r}")
    body = text[title.end() :] if title else ""
    row = Row(path, 1, {"title": title[1] if title else "", "text": body})
    key = f"{path.parent.name}/{path.stem}"
    place = origin(NAME, _licence(whole), row, options, key=key)
    language, name = options.language or "en", source_id(NAME, key)
    yield passage(row, place, language, body, id=name, title=row.text("title"))


def _licence(text: str) -> str:
    """Return the licence that the first comment states."""
    found = _COMMENT.match(text)
    public = found is not None and "public domain" in found[0].lower()
    return "public domain" if public else "CC-BY-SA-3.0"


SOURCE = Source(
    name=NAME,
    title="WikiDoc articles and DailyMed labels",
    licence="CC-BY-SA-3.0 (wikidoc); public domain (dailymed)",
    address="https://www.wikidoc.org",
    languages=("en",),
    gives="passage",
    files=("wikidoc/*.md", "dailymed/*.md"),
    read=read,
)
