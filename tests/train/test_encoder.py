"""What encodes the texts of a training run."""

import pytest

from bimedix.model import load
from bimedix.prompts.chat import TOKENIZER, MixtralPieces
from bimedix.train.prepare import Encoding


@pytest.mark.parametrize(
    ("tokenizer", "template", "by_pieces"),
    [
        ("mixtral", "mixtral", True),
        ("mixtral", "vicuna", True),
        ("mixtral", TOKENIZER, False),
        ("owner/model", "mixtral", False),
    ],
)
def test_mixtrals_own_pieces_are_used_where_they_are_the_tokenizer(
    tokenizer, template, by_pieces, monkeypatch
):
    """The built-in tokenizer is read by sentencepiece, but not where its own template has to be filled."""
    given = object()
    monkeypatch.setattr(load, "load_tokenizer", lambda name, base: given)
    found = Encoding(tokenizer, template, 100).encoder()

    assert isinstance(found, MixtralPieces) if by_pieces else found is given
