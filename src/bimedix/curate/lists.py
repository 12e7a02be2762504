"""Keyword lists of the medical filter: data files, one per language, with origin, date and thresholds.

A file `keywords/<language>.toml` holds two groups of words (`medical`, `biology`), those of them that also
occur outside medicine (`generic`), and the thresholds with their source. A language that is not here, or a
list of one's own, is a file of the same form.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, Literal

from bimedix.errors import DataError, MissingError
from bimedix.languages import LANGUAGES

Fold = Literal["case", "comparison"]
_KEYS = {"language", "origin", "date", "fold", "clitics", "thresholds", "words"}


@dataclass(frozen=True, eq=False)
class KeywordList:
    """The words of one language, and what the filter needs to know about it; compared by identity."""

    language: str
    """ISO 639-1."""
    spaced: bool
    """Words stand between spaces; False: keywords are matched anywhere (zh, ja)."""
    medical: tuple[str, ...]
    """General medical words, as written in the file."""
    biology: tuple[str, ...]
    """Words of anatomy, physiology, biochemistry and microbiology, as written in the file."""
    count: int
    """Least number of distinct keywords."""
    density: float
    """Least share of characters that keywords take, 0 to 1."""
    generic: frozenset[str] = frozenset()
    """Words of both groups that are common outside medicine too."""
    fold: Fold = "case"
    """How texts are folded before they are compared: NFC and case, or `bimedix.text.normalise`."""
    clitics: tuple[tuple[str, ...], ...] = ()
    """Slots of prefixes that are written together with the word, each filled at most once."""
    origin: str = ""
    date: str = ""
    source: str = ""
    """Where the thresholds come from."""

    @property
    def prefixes(self) -> frozenset[str]:
        """All strings that may stand before a keyword inside its word: one choice per slot, or none."""
        return frozenset("".join(parts) for parts in product(*(("", *slot) for slot in self.clitics))) - {""}


def read_keyword_list(path: Path) -> KeywordList:
    """Read a list from a TOML file.

    Raises:
        MissingError: there is no such file.
        DataError: it is no TOML, or has not the form that this module describes.
    """
    if not path.is_file():
        raise MissingError(f"{path}: no such keyword list.\n  Shipped: {', '.join(shipped_languages())}.")
    return _parse(path.read_text("utf-8"), str(path))


def shipped_languages() -> tuple[str, ...]:
    """Return the languages that have a list in the package."""
    folder = files("bimedix.curate") / "keywords"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


@cache
def keyword_list(language: str) -> KeywordList:
    """Return the shipped list of a language.

    Raises:
        MissingError: no list is shipped for it.
    """
    file = files("bimedix.curate") / "keywords" / f"{language}.toml"
    if not file.is_file():
        raise MissingError(
            f"no keyword list is shipped for language '{language}'.\n"
            f"  Shipped: {', '.join(shipped_languages())}. Write one of the same form and name it under "
            "`[curate.keywords]`, or leave the language out of `filter_languages`."
        )
    return _parse(file.read_text("utf-8"), file.name)


def _parse(text: str, name: str) -> KeywordList:
    try:
        table = tomllib.loads(text)
        return _build(table, name)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{name}: not TOML: {error}.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{name}: not a keyword list: {error!r}.\n"
            "  Needed: language, [thresholds] count and density, [words] medical, biology, generic."
        ) from error


def _build(table: Mapping[str, Any], name: str) -> KeywordList:
    if unknown := set(table) - _KEYS:
        raise DataError(
            f"{name}: unknown keys {', '.join(sorted(unknown))}; known: {', '.join(sorted(_KEYS))}."
        )
    words, thresholds, code = table["words"], table["thresholds"], str(table["language"])
    found = KeywordList(
        language=code,
        spaced=LANGUAGES[code].spaced if code in LANGUAGES else True,
        medical=tuple(map(str, words["medical"])),
        biology=tuple(map(str, words["biology"])),
        count=int(thresholds["count"]),
        density=float(thresholds["density"]),
        generic=frozenset(map(str, words.get("generic", ()))),
        fold=table.get("fold", "case"),
        clitics=tuple(tuple(map(str, slot)) for slot in table.get("clitics", ())),
        origin=str(table.get("origin", "")),
        date=str(table.get("date", "")),
        source=str(thresholds.get("source", "")),
    )
    _check(found, name)
    return found


def _check(found: KeywordList, name: str) -> None:
    known = {*found.medical, *found.biology}
    if strays := sorted(found.generic - known):
        raise DataError(f"{name}: generic words that are in neither group: {', '.join(strays)}.")
    if not all(word.strip() == word and word for word in known):
        raise DataError(f"{name}: an entry is empty, or has spaces around it.")
    if found.fold not in ("case", "comparison"):
        raise DataError(f"{name}: fold = '{found.fold}'; known: case, comparison.")
    if found.count < 1 or not 0 <= found.density <= 1:
        raise DataError(f"{name}: count {found.count} has to be at least 1, density {found.density} 0 to 1.")
