"""Segments for continued pre-training: passages cut into windows of tokens.

As released (MMedLM, `prepare_tokenized_dataset.py`): windows of L tokens every 3·L/4, the last one
right-aligned, so that interior tokens are trained on twice. Corrected: no token twice unless asked for.
"""

from collections.abc import Iterator
from typing import Literal

from bimedix.records import Passage
from bimedix.tokens import token_starts

Mode = Literal["corrected", "as_released"]
Window = tuple[int, int]


def windows(count: int, length: int, *, mode: Mode = "corrected", overlap: int = 0) -> list[Window]:
    """Return (start, end) of each segment in tokens.

    Args:
        count: tokens of the document; as released with the start and the end token.
        length: tokens of a segment, L.
        mode: as_released takes strides of 3·L/4 and aligns the last segment right.
        overlap: tokens shared by neighbours; corrected mode only.
    """
    if count <= 0:
        return []
    if mode == "as_released":
        return _released_windows(count, length)
    stride = length - overlap
    starts = range(0, max(count - overlap, 1), stride)
    return [(start, min(start + length, count)) for start in starts]


def _released_windows(count: int, length: int) -> list[Window]:
    """Below L one (padded) segment; else full windows while one more token follows, then the last L."""
    if count < length:
        return [(0, count)]
    found, start = [], 0
    while start + length < count:
        found.append((start, start + length))
        start += 3 * length // 4
    return [*found, (count - length, count)]


def segments_of(passage: Passage, length: int, *, mode: Mode, overlap: int) -> Iterator[tuple[Passage, int]]:
    """Yield each segment as a passage of its own, with its tokens; a text that fits stays as it is.

    The text is cut where Mixtral's tokens begin, so segments without overlap join to the whole text.
    """
    starts = token_starts(passage.text)
    marks = 1 if mode == "as_released" else 0
    count = len(starts) + 2 * marks
    found = windows(count, length, mode=mode, overlap=overlap)
    if len(found) <= 1:
        if found:
            yield passage, count
        return
    borders = [*starts, len(passage.text)]
    for number, (start, end) in enumerate(found):
        first, last = max(start - marks, 0), min(end - marks, len(starts))
        text = passage.text[0 if first == 0 else borders[first] : borders[last]]
        yield _segment(passage, number, text), end - start


def _segment(passage: Passage, number: int, text: str) -> Passage:
    return Passage(
        f"{passage.id}#segment{number}",
        passage.language,
        passage.origin,
        text,
        passage.title,
        passage.subject,
        (passage.id, *passage.parents),
    )
