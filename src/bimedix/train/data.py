"""Conversations to token arrays, and the order in which they are seen: pure functions of seed and id."""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bimedix.errors import DataError
from bimedix.prompts.chat import encode_conversation, encoder
from bimedix.records import Conversation, Dropped, Passage, encode


@dataclass(frozen=True)
class Sample:
    """One encoded conversation."""

    id: str
    ids: "array[int]"
    """Token ids, 4 bytes each."""
    supervised: bytes
    """1 where the token is part of a reply, else 0."""
    was_cut: bool = False
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
) -> Iterator[Sample]:
    """Yield encoded conversations; those without a token to learn from go to `drop` with the reason.

    Args:
        conversations: records of the mix.
        tokenizer: of transformers, or an `Encoder`.
        template: chat layout.
        limit: tokens per sample; what is longer is cut at the end.
        drop: takes what is left out.
    """
    for record in conversations:
        try:
            ids, marks = encode_conversation(record.messages, tokenizer, template)
        except DataError as error:
            drop(_dropped(record, "cannot be laid out as chat", str(error)))
            continue
        if not any(marks[:limit]):
            drop(_dropped(record, "no reply within the token limit", f"{len(ids)} tokens, limit {limit}"))
            continue
        cut = len(ids) > limit
        yield Sample(record.id, array("i", ids[:limit]), bytes(marks[:limit]), cut, record.type)


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
    """Which samples each optimizer step takes; the last batch of an epoch may be short."""

    def __init__(self, ids: Sequence[str], seed: int, batch_size: int) -> None:
        self._ids, self._seed, self._size = ids, seed, batch_size
        self.per_epoch = -(-len(ids) // batch_size)
        self._epoch = -1
        self._order: list[int] = []

    def of_step(self, step: int) -> list[int]:
        """Return the sample indexes of step `step`, from 0; depends on nothing that went before."""
        epoch, at = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, order_of_epoch(self._ids, self._seed, epoch)
        return self._order[at * self._size : (at + 1) * self._size]


def fill_micro_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group indexes so that each group's lengths add up to at most `budget`; first fit, longest first.

    A group of one may exceed the budget when its single length does.
    """
    groups: list[tuple[int, list[int]]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for at, (used, members) in enumerate(groups):
            if used + lengths[index] <= budget:
                members.append(index)
                groups[at] = (used + lengths[index], members)
                break
        else:
            groups.append((lengths[index], [index]))
    return [sorted(members) for _, members in groups]
