"""Statistics of a mix: type by source by language in samples, turns, tokens and characters, and what follows.

All sums come from records, and each figure says its unit and basis. Tokens are Mixtral's (32,000 pieces), of
message contents, without the marks of a chat template.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

from bimedix.languages import LANGUAGES
from bimedix.mix.select import Candidates, Column
from bimedix.mix.units import with_unit
from bimedix.overlap.duplicates import Textual, text_of
from bimedix.records import Conversation
from bimedix.text import normalise

TOKENIZER = "Mixtral-8x7B (32,000 pieces)"
COUNTS = ("samples", "turns", "tokens", "characters")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_IDEOGRAPHS = re.compile(r"[\u30a1-\u30fa\u30fc\u3400-\u9fff]{2,}")
"""Runs of ideographs and katakana; hiragana is mostly grammar and ends a run."""
_MOST_WORDS = 2_000_000
"""Different words held per language; above it the rarest are forgotten (they cannot become frequent)."""


def tables(candidates: Candidates, kept: Column) -> dict[str, Any]:
    """Return counts by type, source and language, and their sums, of the rows that `kept` marks."""
    cells = _cells(candidates, kept)
    rows = [dict(zip(("type", "source", "language"), key, strict=True)) | cells[key] for key in sorted(cells)]
    return {
        "by_type_source_language": rows,
        "by_type": _sums(rows, "type"),
        "by_language": _sums(rows, "language"),
        "by_source": _sums(rows, "source", "language"),
        "total": _total(rows),
    }


def _cells(candidates: Candidates, kept: Column) -> dict[tuple[str, str, str], dict[str, int]]:
    import numpy as np

    columns = [candidates.values(name)[kept].astype(np.int64) for name in ("type", "source", "language")]
    sizes = [candidates.values(name)[kept].astype(np.int64) for name in ("turns", "tokens", "characters")]
    if not len(columns[0]):
        return {}
    keys, inverse = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    samples = np.bincount(inverse, minlength=len(keys))
    sums = [_sum_by(inverse, size, len(keys)) for size in sizes]
    names = candidates.names
    return {
        (names["type"][t], names["source"][s], names["language"][c]): {
            "samples": int(samples[row]), "turns": sums[0][row],
            "tokens": sums[1][row], "characters": sums[2][row],
        }
        for row, (t, s, c) in enumerate(keys.tolist())
    }  # fmt: skip


def _sum_by(groups: Column, values: Column, count: int) -> list[int]:
    import numpy as np

    sums = np.zeros(count, np.int64)
    np.add.at(sums, groups, values)
    return [int(value) for value in sums]


def _sums(rows: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Return the sums of rows that agree in `keys`, with shares of the whole and printed forms."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    whole = _total(rows)
    return [
        dict(zip(keys, group, strict=True)) | _total(members) | _shares(_total(members), whole)
        for group, members in sorted(groups.items())
    ]


def _shares(part: dict[str, Any], whole: dict[str, Any]) -> dict[str, float]:
    return {f"share_of_{name}": round(part[name] / max(whole[name], 1), 6) for name in ("samples", "tokens")}


def _total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return sums, average turns and tokens, and the sums as they are printed, with their units."""
    sums: dict[str, Any] = {name: sum(row[name] for row in rows) for name in COUNTS}
    samples = max(sums["samples"], 1)
    averages = {
        "turns_per_sample": round(sums["turns"] / samples, 4),
        "tokens_per_sample": round(sums["tokens"] / samples, 2),
    }
    return sums | averages | {"printed": {name: with_unit(sums[name]) for name in COUNTS}}


def ratios(candidates: Candidates, kept: Column, languages: tuple[str, ...]) -> dict[str, Any]:
    """Return target by source on all three bases; None where the source side is empty."""
    targets = candidates.of_languages(languages)
    found: dict[str, Any] = {}
    for basis in ("samples", "tokens", "characters"):
        sizes = candidates.sizes(basis)
        target, source = int(sizes[kept & targets].sum()), int(sizes[kept & ~targets].sum())
        quotient = round(target / source, 4) if source else None
        found[basis] = {"target": target, "source": source, "target_per_source": quotient}
    return found


def aligned_fertility(candidates: Candidates, source_language: str) -> dict[str, dict[str, Any]]:
    """Return tokens of a language by tokens of the source language, over items that exist in both.

    All candidates count, also those that the ratio leaves out: the content is the same on both sides, so
    the quotient is what the language costs, not what is said in it.
    """
    import numpy as np

    if source_language not in candidates.names["language"]:
        return {}
    languages, pairs = candidates.values("language"), candidates.values("pair")
    tokens = candidates.values("tokens")
    source = languages == candidates.names["language"].index(source_language)
    found = {}
    for number, code in enumerate(candidates.names["language"]):
        target = languages == number
        if code == source_language:
            continue
        _, ours, theirs = np.intersect1d(pairs[target], pairs[source], return_indices=True)
        if len(ours):
            a, b = int(tokens[target][ours].sum()), int(tokens[source][theirs].sum())
            found[code] = {
                "pairs": len(ours),
                "tokens": a,
                "source_tokens": b,
                "ratio": round(a / max(b, 1), 4),
            }
    return found


@dataclass
class Words:
    """Counts words of texts by language; in zh and ja, two neighbouring characters take their place."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    """All words of the messages, stop words, numbers and frames included; 0 where words are not spaced."""

    def add(self, item: Textual) -> None:
        """Count the words of an item's own texts: frames of questions would outnumber every topic."""
        counter = self.counts.setdefault(item.language, Counter())
        text = text_of(item)
        if item.language in LANGUAGES and not LANGUAGES[item.language].spaced:
            for run in _IDEOGRAPHS.findall(text.translate(breaks(item.language))):
                counter.update(map("".join, pairwise(run)))
        else:
            counter.update(_LETTERS.findall(text.casefold()))
        if len(counter) > _MOST_WORDS:
            self.counts[item.language] = Counter(dict(counter.most_common(_MOST_WORDS // 2)))

    def measure(self, record: Conversation) -> None:
        """Count what stands between spaces in the messages, for tokens per word."""
        if record.language in LANGUAGES and LANGUAGES[record.language].spaced:
            self.totals[record.language] += sum(len(m.content.split()) for m in record.messages)

    def most_frequent(self, language: str, count: int) -> list[dict[str, Any]]:
        """Return the most frequent words that are no stop words, in their normalised form."""
        merged: Counter[str] = Counter()
        for word, times in self.counts.get(language, Counter()).items():
            merged[normalise(word)] += times
        stop = stop_words(language)
        ranked = sorted(
            (-times, word) for word, times in merged.items() if word not in stop and len(word) > 1
        )
        return [{"word": word, "count": -times} for times, word in ranked[:count]]


@cache
def _stop_list(language: str) -> dict[str, Any]:
    file = files("bimedix.mix") / "stopwords" / f"{language}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}


@cache
def stop_words(language: str) -> frozenset[str]:
    """Return the stop words of a language, normalised; none where there is no list."""
    return frozenset(normalise(word) for word in _stop_list(language).get("words", ()))


@cache
def breaks(language: str) -> dict[int, str]:
    """Return the characters of grammar that end a run where words are not spaced, each to a space."""
    return {ord(char): " " for char in _stop_list(language).get("breaks", "")}


def fertility(tables_: dict[str, Any], words: Words) -> dict[str, dict[str, Any]]:
    """Return tokens per word and per character for each language of the mix."""
    found = {}
    for row in tables_["by_language"]:
        code = row["language"]
        total = words.totals[code]
        found[code] = {
            "tokens_per_word": round(row["tokens"] / total, 4) if total else None,
            "tokens_per_character": round(row["tokens"] / max(row["characters"], 1), 4),
        }
    return found


def write_checked(figures: dict[str, Any], written: int, complain: Callable[[str], None]) -> None:
    """Hold the sums against each other and against what was written; `complain` says what differs."""
    total = figures["total"]
    for name in COUNTS:
        for part in ("by_type", "by_language", "by_source", "by_type_source_language"):
            if sum(row[name] for row in figures[part]) != total[name]:
                complain(f"{name} of {part} do not add up to {total[name]:,}")
    if total["samples"] != written:
        complain(f"{total['samples']:,} samples in the tables, {written:,} written")
