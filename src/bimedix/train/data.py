"""Conversations to token arrays, and the order in which they are seen: pure functions of seed and id."""

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bimedix.errors import DataError
from bimedix.prompts.chat import encode_conversation, encoder
from bimedix.records import Conversation, Dropped, Message, Passage, encode
from bimedix.train.settings import LongRecords

TOO_LONG = "longer than the token limit"


@dataclass(frozen=True)
class Sample:
    """One encoded conversation, a part of one, or a window of running text."""

    id: str
    ids: "array[int]"
    """Token ids, 4 bytes each."""
    supervised: bytes
    """1 where the token is part of a reply, else 0."""
    type: str = ""
    """qa, mcqa or chat; empty for running text."""

    def __len__(self) -> int:
        return len(self.ids)

    def document(self, supervise: Literal["replies", "all"]) -> tuple[Sequence[int], bytes]:
        """Return (ids, marks of what bears loss), as they are held."""
        return self.ids, bytes([1]) * len(self) if supervise == "all" else self.supervised


def encode_samples(
    conversations: Iterable[Conversation],
    tokenizer: Any,
    template: str,
    limit: int,
    drop: Callable[[Dropped], None],
    long_records: LongRecords = "split",
) -> Iterator[Sample]:
    """Yield encoded conversations; what cannot be learned from goes to `drop`, whole and with the reason.

    Args:
        conversations: records of the mix.
        tokenizer: of transformers, or an `Encoder`.
        template: chat layout.
        limit: tokens per sample; nothing is ever cut at it.
        drop: takes what is left out.
        long_records: `split` makes parts of a longer dialogue (`split_dialogue`), `drop` leaves it out.
    """
    for record in conversations:
        try:
            ids, marks = encode_conversation(record.messages, tokenizer, template)
            if len(ids) <= limit:
                yield Sample(record.id, array("i", ids), bytes(marks), record.type)
                continue
            parts = split_dialogue(record, tokenizer, template, limit) if long_records == "split" else []
        except DataError as error:
            drop(_dropped(record, "cannot be laid out as chat", str(error)))
            continue
        yield from parts
        if not parts:
            drop(_dropped(record, TOO_LONG, f"{len(ids)} tokens, limit {limit}"))


def split_dialogue(record: Conversation, tokenizer: Any, template: str, limit: int) -> list[Sample]:
    """Return the parts of a dialogue above `limit` tokens, cut between exchanges; none when it cannot be.

    Every part begins with the system message, if there is one, and the first exchange, where the patient
    tells who they are and what is wrong; then come as many whole exchanges as fit. From the second part on
    the first exchange is context without loss, so that every reply is learned exactly once. A dialogue with
    an exchange that does not fit this way gives no part: it is left out as a whole.
    """
    answered = record.messages[:-1] if record.messages[-1].role == "user" else record.messages
    head = 3 if answered[0].role == "system" else 2
    opening, rest = answered[:head], answered[head:]
    context = encode_conversation(opening, tokenizer, template)[0]
    parts: list[Sample] = []
    while rest:
        taken = _most_that_fit(opening, rest, tokenizer, template, limit)
        if not taken:
            return []
        ids, marks = encode_conversation((*opening, *rest[:taken]), tokenizer, template)
        if parts:
            if ids[: len(context)] != context:
                raise DataError("the template lays the first exchange out anew when more follow.")
            marks[: len(context)] = [False] * len(context)
        parts.append(Sample(f"{record.id}/{len(parts)}", array("i", ids), bytes(marks), record.type))
        rest = rest[taken:]
    return parts


def _most_that_fit(
    opening: Sequence[Message], rest: Sequence[Message], tokenizer: Any, template: str, limit: int
) -> int:
    """Return how many of the messages `rest`, in whole exchanges, fit behind the opening."""
    taken = 0
    while taken < len(rest):
        ids, _ = encode_conversation((*opening, *rest[: taken + 2]), tokenizer, template)
        if len(ids) > limit:
            break
        taken += 2
    return taken


def encode_passages(passages: Iterable[Passage], tokenizer: Any, limit: int) -> Iterator[Sample]:
    """Yield running text as documents that end with the stop token, every token of them to be learned.

    A text longer than `limit` tokens becomes several samples; none of it is left out.
    """
    chosen = encoder(tokenizer)
    begin = [] if chosen.begin_id is None else [chosen.begin_id]
    for record in passages:
        ids = [*begin, *chosen.encode(record.text), chosen.end_id]
        for start in range(0, len(ids), limit):
            piece = ids[start : start + limit]
            if len(piece) > 1:
                yield Sample(f"{record.id}/{start}", array("i", piece), bytes([1]) * len(piece))


def _dropped(record: Conversation, reason: str, detail: str) -> Dropped:
    return Dropped(record.id, "train", reason, "", detail, encode(record).decode())


def order_of_epoch(ids: Sequence[str], seed: int, epoch: int) -> list[int]:
    """Return indexes in the order of this epoch; each id draws from (seed, epoch, id) alone."""
    keys = [hashlib.blake2b(f"{seed}:{epoch}:{key}".encode(), digest_size=8).digest() for key in ids]
    return sorted(range(len(ids)), key=lambda index: (keys[index], index))


class Batches:
    """Which samples (or rows) each optimizer step takes; the last batch of an epoch may be short."""

    def __init__(self, ids: Sequence[str], seed: int, batch_size: int) -> None:
        self._ids, self._seed, self._size = ids, seed, batch_size
        self.per_epoch = -(-len(ids) // batch_size)
        self._epoch = -1
        self._order: list[int] = []

    def of_step(self, step: int) -> list[int]:
        """Return the indexes of step `step`, from 0; depends on nothing that went before."""
        epoch, at = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, order_of_epoch(self._ids, self._seed, epoch)
        return self._order[at * self._size : (at + 1) * self._size]


def fill_rows(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """Lay whole documents into rows of at most `row_tokens`: longest first, each where it fits best.

    Best fit decreasing, as "Fewer Truncations Improve Language Modeling" (arXiv 2404.10830) packs; the free
    rooms stand as bits of one number, so that the tightest one is found at once. A document that is longer
    than a row gets one of its own.

    Returns:
        Indexes of the documents of every row, ascending.
    """
    rows: list[list[int]] = []
    with_room: dict[int, list[int]] = defaultdict(list)
    rooms = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = int(lengths[index])
        if fitting := rooms >> length:
            room = length + (fitting & -fitting).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
        else:
            room, row = max(row_tokens, length), len(rows)
            rows.append([])
        rows[row].append(index)
        if left := room - length:
            with_room[left].append(row)
            rooms |= 1 << left
    return [sorted(members) for members in rows]
