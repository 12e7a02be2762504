"""Parallel Universal Dependencies: each sentence beside its English.

The files of `ud_pud`; treebanks name the English `text_en` (ar, es, fr, zh) or `english_text` (ru):

    # sent_id = n01001011
    # text = Колено - это сустав.
    # english_text = The knee is a joint.

Where a file holds no English, the sentences of `en_pud-ud-test.conllu` beside it are taken by `sent_id`.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, drop, origin, source_id
from bimedix.sources.texts import parallel
from bimedix.sources.ud_pud import ADDRESS, FILES, LANGUAGES, LICENCE, TITLE, language_of, sentences

NAME = "ud_pud_pairs"
ENGLISH = "is the English side itself"
_KEYS = ("text_en", "english_text")


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield a pair, English first, per sentence; the English file is dropped sentence by sentence."""
    language = language_of(path, options)
    beside = path.with_name(path.name.replace(f"{path.name.split('_')[0]}_", "en_", 1))
    english: dict[str, str] | None = None
    for row in sentences(path):
        key = f"{row.text('sent_id')}/en-{language}"
        if language == "en":
            yield drop(NAME, row, ENGLISH, id=source_id(NAME, key))
            continue
        text = next((row.text(name) for name in _KEYS if row.values.get(name)), "")
        if not text and english is None:
            english = _texts(beside) if beside.exists() else {}
        text = text or (english or {}).get(row.text("sent_id"), "")
        place = origin(NAME, LICENCE, row, options, key=key)
        yield parallel(row, place, ("en", text), (language, row.text("text")), id=source_id(NAME, key))


def _texts(path: Path) -> dict[str, str]:
    return {row.text("sent_id"): row.text("text") for row in sentences(path)}


SOURCE = Source(
    name=NAME,
    title=f"{TITLE}, with English",
    licence=LICENCE,
    address=ADDRESS,
    languages=LANGUAGES,
    gives="parallel_text",
    files=FILES,
    read=read,
)
