"""Word splitters for languages without spaces, where asked for: jieba for Chinese, janome for Japanese.

Without them, Chinese and Japanese are counted by characters. Both come with the extra `cjk`.
"""

import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version

from bimedix.errors import MissingError

Split = Callable[[str], list[str]]
SPLITTERS = {"jieba": "zh", "janome": "ja"}
"""Language that each is for."""


def splitters_by_language(names: Sequence[str]) -> dict[str, str]:
    """Return the splitter of each language that one was asked for."""
    return {SPLITTERS[name]: name for name in names}


@cache
def splitter(name: str) -> Split:
    """Return what cuts a text into words, spaces left out.

    Raises:
        MissingError: its package is not installed.
    """
    try:
        cut = _jieba() if name == "jieba" else _janome()
    except ModuleNotFoundError as error:
        raise MissingError(
            f"the word splitter {name} is not installed.\n  Run `pip install 'bimedix[cjk]'`."
        ) from error
    return lambda text: [word for word in cut(text) if not word.isspace()]


def _jieba() -> Split:
    """Return jieba with a cache folder of its own: it would load one from the shared temporary folder."""
    import logging

    import jieba

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.tmp_dir = folder
        tokenizer.initialize()
    cut: Split = tokenizer.lcut
    return cut


def _janome() -> Split:
    from janome.tokenizer import Tokenizer

    tokenizer = Tokenizer(wakati=True)
    return lambda text: list(tokenizer.tokenize(text))


def told(name: str) -> str:
    """Return name and version, for a signature."""
    return f"{name} {version(name)}"
