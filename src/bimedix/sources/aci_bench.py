"""ACI-Bench: 207 whole visits as dialogues, with the note a doctor would write.

`challenge_data/*.csv`:

    dataset,encounter_id,dialogue,note
    virtassist,D2N900,"[doctor] hi , what brings you here ?
    [patient] my knee hurts .",CHIEF COMPLAINT ...

Visits run over 1,000 words with detached punctuation, which stays as it is. The note is not used.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, csv_rows, origin, source_id
from bimedix.sources.texts import dialogue, lines_by_speaker

NAME = "aci_bench"
LICENCE = "CC-BY-4.0"
_SAID = re.compile(r"\s*\[([^\]\n]{1,30})\]\s*(.*)", re.DOTALL)


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield a dialogue per visit; the part of the collection is its subject."""
    for row in csv_rows(path, ("dataset", "encounter_id", "dialogue"), encoding=options.encoding):
        key = row.text("encounter_id")
        yield dialogue(
            row,
            origin(NAME, LICENCE, row, options, key=key),
            options.language or "en",
            lines_by_speaker(row.text("dialogue"), _SAID),
            id=source_id(NAME, key),
            subject=row.text("dataset"),
        )


SOURCE = Source(
    name=NAME,
    title="ACI-Bench",
    licence=LICENCE,
    address="https://github.com/wyim/aci-bench",
    languages=("en",),
    gives="dialogue",
    files=("challenge_data/*[!a].csv",),  # not *_metadata.csv
    read=read,
)
