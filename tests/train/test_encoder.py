"""What encodes the texts of a training run."""

from dataclasses import replace

import pytest

from bimedix.prompts.chat import TOKENIZER, MixtralPieces
from bimedix.train.room import _encoder
from bimedix.train.settings import Settings


@pytest.mark.parametrize(
    ("named", "template", "by_pieces"),
    [
        ({"tokenizer": "mixtral"}, "mixtral", True),
        ({"base": "tiny"}, "vicuna", True),
        ({"base": "tiny"}, TOKENIZER, False),
        ({"base": "owner/model", "tokenizer": ""}, "mixtral", False),
    ],
)
def test_mixtrals_own_pieces_are_used_where_they_are_the_tokenizer(named, template, by_pieces):
    """The built-in tokenizer is read by sentencepiece, but not where its own template has to be filled."""
    given = object()
    found = _encoder(replace(Settings(), template=template, **named), given)

    assert isinstance(found, MixtralPieces) if by_pieces else found is given
