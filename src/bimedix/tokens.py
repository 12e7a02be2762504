"""The Mixtral tokenizer without torch: counts tokens for statistics, ratios and fertility.

`tokenizer.model.v1` of the `mistral-common` wheel is Mixtral-8x7B's own (32,000 pieces).
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bimedix.errors import MissingError


@cache
def mixtral_tokenizer_path() -> Path:
    """Return the path of Mixtral's sentencepiece model inside the `mistral-common` package."""
    spec = find_spec("mistral_common")
    path = Path(spec.origin).parent / "data" / "tokenizer.model.v1" if spec and spec.origin else None
    if path is None or not path.exists():
        raise MissingError(
            "mistral-common holds no tokenizer.model.v1.\n  Run `pip install 'mistral-common>=1.13'`."
        )
    return path


@cache
def _processor() -> Any:
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(mixtral_tokenizer_path()))


def encode(text: str) -> list[int]:
    """Return the token ids of a text, without start and end tokens."""
    ids: list[int] = _processor().encode(text)
    return ids


def count_tokens(text: str) -> int:
    """Return the number of Mixtral tokens of a text, without start and end tokens."""
    return len(encode(text))


def piece_of(token: int) -> str:
    """Return the piece of a token id, with `▁` for the space before a word."""
    piece: str = _processor().id_to_piece(token)
    return piece


def token_starts(text: str) -> list[int]:
    """Return where each Mixtral token begins, in code points, ascending.

    The pieces joined are the text with one space before it, a rare character being one piece per byte; all
    bytes of a character begin where it begins.
    """
    starts: list[int] = []
    at = -1
    for piece in _processor().encode(text, out_type=str):
        byte = int(piece[3:5], 16) if len(piece) == 6 and piece.startswith("<0x") else None
        if byte is not None and 0x80 <= byte < 0xC0:
            starts.append(at - 1)
            continue
        starts.append(max(at, 0))
        at += 1 if byte is not None else len(piece)
    return starts
