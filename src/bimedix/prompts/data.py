"""What all prompts share: text files with blanks, and blocks that mark record text as data.

Record text is never trusted: it stands as JSON between two lines with a mark that is a hash of the text
itself, so no text can hold its own closing line. Source: data.md, section 2.3 (injection).
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

import msgspec

from bimedix.errors import BimedixError
from bimedix.records import content_hash


@cache
def prompt_text(folder: str, name: str) -> str:
    """Return the text of `prompts/FOLDER/NAME.txt`.

    Raises:
        BimedixError: the package was installed without its prompts.
    """
    file = files("bimedix.prompts") / folder / f"{name}.txt"
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BimedixError(f"prompts/{folder}/{name}.txt: missing from the installed package.") from error


@cache
def has_prompt(folder: str, name: str) -> bool:
    """Tell whether a prompt text of this name exists, such as one for a pair of languages."""
    return (files("bimedix.prompts") / folder / f"{name}.txt").is_file()


def fill(text: str, blanks: Mapping[str, str]) -> str:
    """Fill the `$blanks` of a prompt text; one that is not given is a mistake in our own text."""
    return Template(text).substitute(blanks)


def data_block(value: Any) -> str:
    """Return a value as JSON between DATA lines whose mark is a hash of it: equal data, equal block."""
    mark = content_hash(value)[:16]
    return f"DATA {mark}\n{msgspec.json.encode(value).decode()}\nDATA {mark}"
