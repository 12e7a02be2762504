"""Parallel Universal Dependencies: 1,000 sentences of news and Wikipedia a language, translated by people.

`ar_pud-ud-test.conllu`, CoNLL-U; only the comments are used:

    # sent_id = n01001011
    # text = الركبة مفصل.
    # text_en = The knee is a joint.
    1	الركبة	...

`sent_id` is the same in all languages. General text: what a medical filter should leave out. The source
`ud_pud_pairs` gives the sentences beside their English.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import DataError
from bimedix.files import read_lines
from bimedix.sources.base import Given, Options, Row, Source, origin, source_id
from bimedix.sources.texts import known_language, passage

NAME = "ud_pud"
LICENCE = "CC-BY-SA-3.0"
TITLE = "Parallel Universal Dependencies (PUD)"
ADDRESS = "https://universaldependencies.org"
LANGUAGES = ("ar", "en", "es", "fr", "ru", "zh")
FILES = ("*_pud-ud-*.conllu",)
COLUMNS = 10
"""Cells of a token line."""


def sentences(path: Path) -> Iterator[Row]:
    """Yield the comments of every sentence as a row.

    Raises:
        DataError: a token line has not ten cells, or a sentence has no sent_id or text.
    """
    comments: dict[str, str] = {}
    begun, in_tokens = 0, False
    for number, line in read_lines(path):
        text = line.decode("utf-8", "replace")
        if text.startswith("#"):
            if in_tokens:
                yield _whole(Row(path, begun, comments))
                comments, in_tokens, begun = {}, False, 0
            begun = begun or number
            name, _, value = text[1:].partition("=")
            comments[name.strip()] = value.strip()
        elif text.count("\t") != COLUMNS - 1:
            raise DataError(
                f"{path}:{number}: {text.count(chr(9)) + 1} cells; CoNLL-U has {COLUMNS} between tabs.\n"
                f"  Seen: {text[:80]!r}"
            )
        else:
            in_tokens, begun = True, begun or number
    if in_tokens:
        yield _whole(Row(path, begun, comments))


def _whole(row: Row) -> Row:
    for name in ("sent_id", "text"):
        if not row.values.get(name):
            raise row.error(f"a sentence without '# {name} = '.")
    return row


def language_of(path: Path, options: Options) -> str:
    """Return the language that a file's name begins with.

    Raises:
        DataError: it is not in the table.
    """
    language = options.language or known_language(path.name.split("_")[0])
    if not language:
        raise DataError(f"{path}: its name begins with no language of the table; give `language`.")
    return language


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield a passage per sentence."""
    language = language_of(path, options)
    for row in sentences(path):
        key = f"{row.text('sent_id')}/{language}"
        place = origin(NAME, LICENCE, row, options, key=key)
        yield passage(row, place, language, row.text("text"), id=source_id(NAME, key))


SOURCE = Source(
    name=NAME,
    title=TITLE,
    licence=LICENCE,
    address=ADDRESS,
    languages=LANGUAGES,
    gives="passage",
    files=FILES,
    read=read,
)
