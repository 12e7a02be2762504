"""Cutting long records at sentence borders and joining them without loss."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bimedix.languages import language
from bimedix.text import sentences

_NEIGHBOUR_CHARACTERS = 400


class Piece(NamedTuple):
    """A stretch of one field; `lead + core + trail` of all its pieces is the field again."""

    name: str
    """Field name, with `~N` behind it where the field was cut."""
    field: str
    lead: str
    core: str
    trail: str


class Part(NamedTuple):
    """What goes out in one request."""

    pieces: tuple[Piece, ...]
    before: str = ""
    """Original text just before it, to be read only."""
    after: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """The texts by piece name."""
        return {piece.name: piece.core for piece in self.pieces}


def cut(fields: Mapping[str, str], code: str, limit: int) -> tuple[Part, ...]:
    """Cut a record's fields into parts of at most `limit` characters.

    A record that fits is one part, so that the whole is its own context. Fields longer than the limit are
    cut at sentence ends; a sentence longer than that between words, and where there are none, anywhere.
    """
    if sum(map(len, fields.values())) <= limit:
        return (Part(tuple(Piece(name, name, "", text, "") for name, text in fields.items())),)
    pieces = [piece for name, text in fields.items() for piece in _pieces(name, text, code, limit)]
    groups: list[list[Piece]] = [[]]
    for piece in pieces:
        if groups[-1] and sum(len(p.core) for p in groups[-1]) + len(piece.core) > limit:
            groups.append([])
        groups[-1].append(piece)
    return tuple(
        Part(
            tuple(group),
            groups[at - 1][-1].core[-_NEIGHBOUR_CHARACTERS:] if at else "",
            groups[at + 1][0].core[:_NEIGHBOUR_CHARACTERS] if at + 1 < len(groups) else "",
        )
        for at, group in enumerate(groups)
    )


def _pieces(name: str, text: str, code: str, limit: int) -> Iterator[Piece]:
    if len(text) <= limit:
        yield Piece(name, name, "", text, "")
        return
    for number, stretch in enumerate(_packed(text, code, limit)):
        core = stretch.strip()
        at = stretch.find(core)
        yield Piece(f"{name}~{number}", name, stretch[:at], core, stretch[at + len(core) :])


def _packed(text: str, code: str, limit: int) -> Iterator[str]:
    """Pack sentences into stretches of at most `limit` characters, none of them blank."""
    held = ""
    for sentence in sentences(text, code):
        for bit in _bits(sentence, limit):
            if held.strip() and bit.strip() and len(held) + len(bit) > limit:
                yield held
                held = ""
            held += bit
    if held:
        yield held


def _bits(sentence: str, limit: int) -> Iterator[str]:
    while len(sentence) > limit:
        space = sentence.rfind(" ", limit // 2, limit)
        at = space + 1 if space >= 0 else limit
        yield sentence[:at]
        sentence = sentence[at:]
    yield sentence


def join(
    parts: Sequence[Part], translated: Sequence[Mapping[str, str]], source: str, target: str
) -> dict[str, str]:
    """Put translated pieces together again, by field name.

    Line breaks between pieces are those of the source; a space is put or left out as the target language
    (`spaced`) needs it.
    """
    flat = [
        (piece, texts[piece.name])
        for part, texts in zip(parts, translated, strict=True)
        for piece in part.pieces
    ]
    fields: dict[str, str] = {}
    for at, (piece, text) in enumerate(flat):
        if piece.name == piece.field:
            fields[piece.field] = text
            continue
        last = at + 1 == len(flat) or flat[at + 1][0].field != piece.field
        trail = piece.trail if last else _gap(piece.trail, source, target)
        fields[piece.field] = fields.get(piece.field, "") + piece.lead + text.strip() + trail
    return fields


def _gap(trail: str, source: str, target: str) -> str:
    if "\n" in trail:
        return trail
    if not language(target).spaced:
        return ""
    return trail if language(source).spaced else " "
