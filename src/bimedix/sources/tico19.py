"""TICO-19: sentences about COVID-19 translated and reviewed by professionals, and lists of terms.

`TM/all.en-ar.tmx` (3,071 segments a pair), as in `tmx`, and terms in two layouts:

    terminologies/f_en-ar_AR.csv     id,sourceLang,targetLang,sourceString,targetString
                                     1,en,ar_AR,face mask,كمامة
    terminologies/g_en_ar.csv        stringID,sourceLang,targetLang,pos,description,sourceString,targetString
                                     3,en,ar,noun,A cover for the face.,face mask,كمامة
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Row, Source, csv_rows, drop, origin, source_id
from bimedix.sources.texts import UNKNOWN_LANGUAGE, known_language, parallel
from bimedix.sources.tmx import read_units

NAME = "tico19"
LICENCE = "CC0-1.0"
COLUMNS = ("sourceLang", "targetLang", "sourceString", "targetString")


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the pairs of a translation memory or of a list of terms."""
    if path.suffix.lower() == ".tmx":
        yield from read_units(path, options, NAME, LICENCE)
        return
    for row in csv_rows(path, COLUMNS, encoding=options.encoding):
        yield _term(row, options)


def _term(row: Row, options: Options) -> Given:
    source, target = known_language(row.text("sourceLang")), known_language(row.text("targetLang"))
    if not source or not target:
        return drop(NAME, row, UNKNOWN_LANGUAGE, detail=row.text("targetLang"))
    number = row.text("stringID" if "stringID" in row.values else "id")
    key = f"terms/{row.path.stem[:1]}/{number}/{source}-{target}"
    place = origin(NAME, LICENCE, row, options, key=key)
    sides = (source, row.text("sourceString")), (target, row.text("targetString"))
    return parallel(row, place, *sides, id=source_id(NAME, key))


SOURCE = Source(
    name=NAME,
    title="TICO-19: translation memories and terms",
    licence=LICENCE,
    address="https://github.com/tico-19/tico-19.github.io",
    languages=("en", "ar", "es", "fr", "ru", "zh", "ja"),
    gives="parallel_text",
    files=("TM/all.*.tmx", "terminologies/f_*.csv", "terminologies/g_*.csv"),
    read=read,
)
