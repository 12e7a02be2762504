"""The embedded completer: an offline translation memory with a glossary.

It works as localisation tools work without a network: segments that were translated before are reused,
near ones are taken and mended, known terms are put in, and the rest stays in the source language, where
the integrity checks and the reviewers see it. It answers `Request.job`, never the prompt, and is no
language model: it judges by how it found a text, not by reading it.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from rapidfuzz import fuzz

from bimedix.completers.base import Job, Reply, Request
from bimedix.completers.exchange import read_memory, read_term_list
from bimedix.completers.matches import EXACT, Match, Segments, Terms
from bimedix.completers.repair import mend
from bimedix.completers.tmx import Term, Unit
from bimedix.files import hash_file
from bimedix.languages import language
from bimedix.records import content_hash
from bimedix.text import normalise, sentences, words

VERSION = 1
"""Part of the name, so that answers of an older way of matching are not taken from the ledger."""
MOST_MENDED = 95.0
MOST_SUBSTITUTED = 60.0
QUOTED = 200
"""Characters of a quote in a judgment."""

Kind = Literal["exact", "fuzzy", "mended", "terms", "copied"]


class Part(Struct, frozen=True):
    """A sentence of a field and where its translation comes from."""

    source: str
    target: str
    score: float
    """0 to 100."""
    kind: Kind


class Rendering(Struct, frozen=True):
    """A field as the memory translates it."""

    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The translation."""
        return "".join(part.target for part in self.parts)

    @property
    def score(self) -> float:
        """Mean of the parts' scores, weighted by characters of the source."""
        size = sum(len(part.source) for part in self.parts)
        return sum(part.score * len(part.source) for part in self.parts) / size if size else EXACT


class Pair:
    """Memory and glossary of one language pair."""

    def __init__(
        self, units: list[Unit], terms: list[Term], source: str, target: str, threshold: float
    ) -> None:
        self.source, self.target, self.threshold = source, target, threshold
        self.segments = Segments(_pairs(units, source, target), source)
        self.terms = Terms(terms, source)
        self.render = lru_cache(maxsize=4096)(self._render)

    def _render(self, text: str, mended: bool) -> Rendering:
        """Translate a field: whole if it is known, else sentence by sentence, else whole and near."""
        if exact := self._known(text):
            return Rendering((Part(text, exact.target, EXACT, "exact"),))
        pieces = sentences(text, self.source)
        parts = [self._part(piece, mended, piece is pieces[-1]) for piece in pieces]
        by_sentence = Rendering(tuple(parts))
        if len(pieces) > 1 and (near := self._near(text, mended)) and near.score > by_sentence.score:
            return Rendering((near,))
        return by_sentence

    def _known(self, text: str) -> Match | None:
        return self.segments.exact(text) or self.terms.exact(text)

    def _part(self, piece: str, mended: bool, last: bool) -> Part:
        core = piece.strip()
        start = piece.index(core) if core else 0
        before, gap = piece[:start], piece[start + len(core) :]
        after = gap if last else self._gap(gap)
        part = self._translate(core, mended)
        return Part(piece, before + part.target + after, part.score, part.kind)

    def _gap(self, gap: str) -> str:
        """Return the space between two sentences as the target language has it."""
        if gap.strip(" "):
            return gap
        return (gap or " ") if language(self.target).spaced else ""

    def _translate(self, core: str, mended: bool) -> Part:
        if not any(char.isalpha() for char in core):
            return Part(core, core, EXACT, "copied")
        if exact := self._known(core):
            return Part(core, exact.target, EXACT, "exact")
        return self._near(core, mended) or self._by_terms(core)

    def _near(self, core: str, mended: bool) -> Part | None:
        match = self.segments.near(core, self.threshold)
        if match is None:
            return None
        if mended and (better := mend(core, match, self.terms)).target != match.target:
            left = fuzz.ratio(normalise(better.source), normalise(match.source))
            return Part(core, better.target, max(match.score, min(MOST_MENDED, left)), "mended")
        return Part(core, match.target, match.score, "fuzzy")

    def _by_terms(self, core: str) -> Part:
        """Put known terms in and leave the rest in the source language."""
        out, at, covered = [], 0, 0
        for hit in self.terms.find(core):
            out += [core[at : hit.start], hit.term.target]
            covered += _count_words(core[hit.start : hit.end], self.source)
            at = hit.end
        share = covered / max(1, _count_words(core, self.source))
        return Part(core, "".join([*out, core[at:]]), MOST_SUBSTITUTED * min(1.0, share), "terms")


class MemoryCompleter:
    """Answers the tasks translate, judge and revise from TMX files and glossaries."""

    parallel = 1

    def __init__(
        self, memory: tuple[Path, ...] = (), glossary: tuple[Path, ...] = (), *, threshold: float = 70.0
    ) -> None:
        files = [hash_file(path) for path in (*memory, *glossary)]
        self.name = f"memory:{content_hash([VERSION, threshold, files])[:16]}"
        self.threshold = threshold
        self._memory, self._glossary = memory, glossary
        self._units: list[Unit] | None = None
        self._by_languages: dict[tuple[str, str], Pair] = {}

    async def complete(self, request: Request) -> Reply:
        """Answer the request's job as JSON text."""
        job = request.job
        if job is None or job.task not in {"translate", "judge", "revise"}:
            what = job.task if job else "free prompts"
            error = f"the translation memory translates, judges and revises; it cannot answer {what}"
            return Reply("", model=self.name, finish="error", error=error)
        answer = self.judge(job) if job.task == "judge" else {"fields": self.translate(job)}
        return Reply(msgspec.json.encode(answer | job.echo).decode(), model=self.name)

    async def close(self) -> None:
        """Nothing to let go of."""

    def pair(self, source: str, target: str) -> Pair:
        """Return memory and glossary of a language pair, read on first use."""
        if (found := self._by_languages.get((source, target))) is None:
            if self._units is None:
                self._units = [unit for path in self._memory for unit in read_memory(path)]
            terms = [term for path in self._glossary for term in read_term_list(path, source, target)]
            found = Pair(self._units, terms, source, target, self.threshold)
            self._by_languages[source, target] = found
        return found

    def translate(self, job: Job) -> dict[str, str]:
        """Return translations by field; a revision mends what the memory itself had translated."""
        pair = self.pair(job.source_language, job.target_language)
        fields: dict[str, str] = {}
        for name, text in job.fields.items():
            current = job.current.get(name)
            if job.task == "revise" and current is not None:
                own = current == pair.render(text, False).text
                fields[name] = pair.render(text, True).text if own else current
            else:
                fields[name] = pair.render(text, False).text
        return fields

    def judge(self, job: Job) -> dict[str, Any]:
        """Score a translation by where it comes from; the parts that were found nowhere are the spans."""
        pair = self.pair(job.source_language, job.target_language)
        size, total, spans = 0, 0.0, list[dict[str, str]]()
        for name, text in job.fields.items():
            score, parts = _judge_field(pair, text, job.current.get(name, ""))
            size += len(text)
            total += score * len(text)
            spans += [_span(part) for part in parts if part.kind == "terms"]
        return {"score": round(total / size, 1) if size else EXACT, "spans": spans[:20]}


def _judge_field(pair: Pair, text: str, current: str) -> tuple[float, tuple[Part, ...]]:
    """Score one field: as the memory found it, or by likeness to that where others have written it."""
    for mended in (False, True):
        rendering = pair.render(text, mended)
        if current == rendering.text:
            return rendering.score, rendering.parts
    likeness = fuzz.ratio(normalise(current), normalise(rendering.text))
    return rendering.score * likeness / 100, ()


def _span(part: Part) -> dict[str, str]:
    return {
        "quote": part.source.strip()[:QUOTED],
        "side": "source",
        "category": "untranslated",
        "severity": "major",
        "why": "neither this sentence nor one like it is in the translation memory",
    }


def _count_words(text: str, code: str) -> int:
    return sum(any(char.isalpha() for char in word) for word in words(text, code))


def _pairs(units: list[Unit], source: str, target: str) -> Iterator[tuple[str, str]]:
    for unit in units:
        if source in unit.texts and target in unit.texts:
            yield unit.texts[source], unit.texts[target]
