"""A scorer outside this process, such as one of the COMET family: one more number, never in place of a check.

Such models pin libraries that we do not share and carry licences of their own, so they run as a program that
the recipe names, in an environment of its own, and speak JSON Lines: the scorer says who it is,

    {"scorer": "Unbabel/wmt22-cometkiwi-da", "licence": "CC-BY-NC-SA-4.0", "lowest": 0, "highest": 1}

then gets one line a request and answers each with one line:

    {"pairs": [{"source": "...", "translation": "...", "source_language": "en", "target_language": "ar"}]}
    {"scores": [0.83]}                     or  {"error": "what went wrong"}

Scores are kept in the stage's folder as they come, so that a run that was killed asks only for the rest.
`scripts/comet_scorer.py` is such a program.
"""

import json
import math
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import IO, Any

from msgspec import Struct, structs

from bimedix.errors import BimedixError
from bimedix.files import RecordWriter
from bimedix.records import Translation, content_hash, item_fields
from bimedix.statistics import spearman
from bimedix.translate.settings import Outside

SCORES = "outside_scores.jsonl"
CACHE = "outside_scores.part"
BELOW = "outside score below {least:g}"
_SHOWN_CHARACTERS = 600


class ScorerError(BimedixError):
    """The outside scorer does not run, or does not keep to the protocol. Exit code 1."""


class OutsideScore(Struct, frozen=True):
    """What the outside scorer gave one translation."""

    id: str
    score: float
    """0 to 100: the mean of its fields, each weighted by the length of its source."""
    weakest: str
    """The field with the lowest score."""
    weakest_score: float


class Pair(Struct, frozen=True):
    """One field and its translation."""

    source: str
    translation: str
    source_language: str
    target_language: str


class OutsideScores:
    """Scores translations as they pass, and counts for the summary; without a scorer it lets them through."""

    def __init__(self, settings: Outside | None, base: Path, out: Path) -> None:
        self.settings, self.base, self.out = settings, base, out
        self.below = 0
        self._outside: list[float] = []
        self._judged: list[tuple[float, float]] = []

    def scored(self, translations: Iterable[Translation]) -> Iterator[Translation]:
        """Yield the translations again; those that score below `least` go to a person.

        Raises:
            ScorerError: the scorer does not start, breaks off, or answers something else.
        """
        if self.settings is None:
            yield from translations
            return
        waiting = iter(translations)
        with Scorer(self.settings, self.base) as scorer, RecordWriter(self.out / SCORES) as kept:
            cache = _Cache(self.out / CACHE, self.settings.name)
            while group := list(islice(waiting, self.settings.records_at_once)):
                for translation, score in zip(group, self._scores(group, scorer, cache), strict=True):
                    if score is not None:
                        kept.write(score)
                    yield translation if score is None else self._routed(translation, score)
        cache.remove()

    def figures(self) -> dict[str, Any] | None:
        """Return who scored, under which licence, and how the scores lie to the judge's."""
        if self.settings is None:
            return None
        count, both = len(self._outside), self._judged
        return {
            "scorer": self.settings.name,
            "licence": self.settings.licence,
            "records": count,
            "mean": round(sum(self._outside) / count, 2) if count else None,
            "sent_to_review": self.below,
            "spearman_with_judge": round(spearman(*zip(*both, strict=True)), 4) if len(both) > 2 else None,
        }

    def _scores(
        self, group: Sequence[Translation], scorer: "Scorer", cache: "_Cache"
    ) -> list[OutsideScore | None]:
        """Score all fields of some records in one request."""
        pairs = [_pairs(translation) for translation in group]
        flat = list({cache.key(pair): pair for fields in pairs for pair in fields.values()}.items())
        missing = [(key, pair) for key, pair in flat if key not in cache.known]
        if missing:
            scores = scorer.score([pair for _, pair in missing])
            cache.keep(zip([key for key, _ in missing], scores, strict=True))
        return [
            _joined(t.id, fields, {name: cache.known[cache.key(pair)] for name, pair in fields.items()})
            for t, fields in zip(group, pairs, strict=True)
        ]

    def _routed(self, translation: Translation, score: OutsideScore) -> Translation:
        assert self.settings is not None
        judged = translation.attempts[translation.best].score
        self._outside.append(score.score)
        if judged is not None:
            self._judged.append((score.score, judged))
        if self.settings.least is None or score.score >= self.settings.least:
            return translation
        self.below += 1
        reasons = (*translation.reasons, BELOW.format(least=self.settings.least))
        return structs.replace(translation, route="review", reasons=reasons, inclusion_probability=1.0)


def _pairs(translation: Translation) -> dict[str, Pair]:
    """Return the fields that both sides have, by name."""
    if translation.target is None:
        return {}
    source, target = translation.source, translation.target
    translated = item_fields(target)
    return {
        name: Pair(text, translated[name], source.language, target.language)
        for name, text in item_fields(source).items()
        if text and name in translated
    }


def _joined(id: str, fields: dict[str, Pair], scores: dict[str, float]) -> OutsideScore | None:
    if not scores:
        return None
    sizes = {name: len(pair.source) for name, pair in fields.items()}
    mean = sum(scores[name] * size for name, size in sizes.items()) / sum(sizes.values())
    weakest = min(scores, key=lambda name: scores[name])
    return OutsideScore(id, round(mean, 4), weakest, round(scores[weakest], 4))


class _Cache:
    """Scores by pair, written as they come: a line that a kill has cut is left out."""

    def __init__(self, path: Path, scorer: str) -> None:
        self.path, self.scorer = path, scorer
        self.known: dict[str, float] = {}
        for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():
            key, score = json.loads(line)
            self.known[key] = score

    def key(self, pair: Pair) -> str:
        return content_hash([self.scorer, *structs.astuple(pair)])[:32]

    def keep(self, scores: Iterable[tuple[str, float]]) -> None:
        new = dict(scores)
        with self.path.open("ab") as file:
            file.write(b"".join(json.dumps(row).encode() + b"\n" for row in new.items()))
        self.known |= new

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


class Scorer:
    """The scorer's process, started and checked on entering, ended on leaving."""

    def __init__(self, settings: Outside, base: Path) -> None:
        self.settings, self.base = settings, base
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed on leaving)
        self._lowest, self._highest = 0.0, 1.0

    def __enter__(self) -> "Scorer":
        command = self.settings.command
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, cwd=self.base
            )
        except OSError as error:
            raise ScorerError(
                f"[translate.outside] command {command[0]!r} does not start: {error}"
            ) from error
        try:
            self._greet(self._read())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._words.close()

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return a score from 0 to 100 for every pair."""
        request = {"pairs": [structs.asdict(pair) for pair in pairs]}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._failed(f"takes no more requests ({error})") from error
        answer = self._read()
        scores = answer.get("scores")
        if not isinstance(scores, list) or len(scores) != len(pairs):
            told = answer.get("error") or f"answered {str(answer)[:200]} to {len(pairs)} pairs"
            raise self._failed(str(told))
        return [self._scaled(score) for score in scores]

    def _greet(self, told: dict[str, Any]) -> None:
        """Hold the scorer to what the recipe says of it."""
        for name, said in (("name", told.get("scorer")), ("licence", told.get("licence"))):
            if said != getattr(self.settings, name):
                raise self._failed(
                    f"says {name} = {said!r}; the recipe says {getattr(self.settings, name)!r}.\n"
                    "  Write into [translate.outside] what the model card says, and start again"
                )
        low, high = told.get("lowest", 0), told.get("highest", 1)
        if not (_is_number(low) and _is_number(high) and low < high):
            raise self._failed(f"gives no range of its scores: lowest {low!r}, highest {high!r}")
        self._lowest, self._highest = float(low), float(high)

    def _scaled(self, score: Any) -> float:
        """Return a score on 0 to 100; models overshoot their range a little, and are held to it."""
        if not _is_number(score):
            raise self._failed(f"gave {score!r} for a score")
        share: float = (score - self._lowest) / (self._highest - self._lowest)
        return 100 * min(1.0, max(0.0, share))

    def _read(self) -> dict[str, Any]:
        """Return the next line; a scorer that says nothing for `timeout_s` is ended."""
        assert self._process.stdout is not None
        limit = Timer(self.settings.timeout_s, self._process.kill)
        limit.start()
        try:
            line = self._process.stdout.readline()
        finally:
            late = not limit.is_alive()
            limit.cancel()
        if not line:
            why = f"said nothing for {self.settings.timeout_s:g} s" if late else "broke off"
            raise self._failed(why)
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise self._failed(f"wrote a line that is no JSON object: {line[:200]!r}")
        return value

    def _failed(self, why: str) -> ScorerError:
        self._words.seek(0)
        words = self._words.read()[-_SHOWN_CHARACTERS:].decode("utf-8", "replace").strip()
        return ScorerError(
            f"[translate.outside] {self.settings.name}: {why}."
            + (f"\n  Its last words: {words}" if words else "")
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
