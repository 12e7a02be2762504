"""MORFITT: 3,624 French medical abstracts with the specialities they belong to.

`train.tsv`, tab-separated; specialities are joined with `|`:

    identifier	abstract	specialities
    0a1b	Le genou est une articulation.	surgery|physiology
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, csv_rows, origin, source_id
from bimedix.sources.texts import passage

NAME = "morfitt"
LICENCE = "CC-BY-SA-4.0"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield a passage per abstract; its specialities are its subject ("surgery|physiology")."""
    columns = ("identifier", "abstract", "specialities")
    for row in csv_rows(path, columns, encoding=options.encoding, delimiter="\t"):
        key = row.text("identifier")
        yield passage(
            row,
            origin(NAME, LICENCE, row, options, key=key),
            options.language or "fr",
            row.text("abstract"),
            id=source_id(NAME, key) if key else "",
            subject=row.text("specialities"),
        )


SOURCE = Source(
    name=NAME,
    title="MORFITT",
    licence=LICENCE,
    address="https://github.com/qanastek/MORFITT",
    languages=("fr",),
    gives="passage",
    files=("morfitt/*.tsv", "MORFITT/*.tsv"),
    read=read,
)
