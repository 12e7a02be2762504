"""What every check is given: both sides of one text, folded and read once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, cast

from bimedix.integrity.folding import Folded, fold
from bimedix.integrity.lexicon import Cue, lexicon
from bimedix.integrity.numbers import Identifier, Number, number_reader
from bimedix.languages import language
from bimedix.records import Finding
from bimedix.text import sentences

if TYPE_CHECKING:
    from bimedix.integrity.terms import Glossary

_START = attrgetter("start")
T = TypeVar("T")
Span: TypeAlias = tuple[int, int]
Severity: TypeAlias = Literal["error", "warning", "hint"]


class Side:
    """One text in its language; what is read from it is read on first use and kept."""

    def __init__(self, text: str, code: str) -> None:
        self.text = text
        self.code = language(code).code
        self._kept: dict[Callable[[Side], object], object] = {}

    @cached_property
    def folded(self) -> Folded:
        """The text in the form that checks read."""
        return fold(self.text)

    @cached_property
    def cues(self) -> dict[str, list[Cue]]:
        """Words of the lexicon by concept."""
        return lexicon(self.code).cues(self.folded)

    def found(self, *concepts: str) -> list[Cue]:
        """Return the cues of some concepts, in reading order."""
        lists = [self.cues[concept] for concept in concepts if concept in self.cues]
        if len(lists) < 2:
            return list(lists[0]) if lists else []
        return sorted(chain.from_iterable(lists), key=_START)

    def once(self, read: Callable[["Side"], T]) -> T:
        """Return what a function reads from the text, read on its first use and kept."""
        if read not in self._kept:
            self._kept[read] = read(self)
        return cast(T, self._kept[read])

    @cached_property
    def _read(self) -> tuple[tuple[Number, ...], tuple[Identifier, ...]]:
        return number_reader(self.code).read(self.folded, self.cues)

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Numbers with their units, in reading order."""
        return self._read[0]

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """Names with digits in them."""
        return self._read[1]

    @cached_property
    def sentence_ends(self) -> tuple[int, ...]:
        """Where each sentence of the folded text ends."""
        ends, at = [], 0
        for part in sentences(self.folded.cased, self.code):
            at += len(part)
            ends.append(at)
        return tuple(ends)

    def original(self, spans: Iterable[Span]) -> tuple[Span, ...]:
        """Map spans of the folded text to the text as it was given."""
        return tuple(self.folded.original(span) for span in spans)


@dataclass(frozen=True, eq=False)
class Pair:
    """A text and its translation."""

    source: Side
    target: Side
    field: str = ""
    glossary: "Glossary | None" = None

    def finding(
        self,
        check: str,
        severity: Severity,
        explanation: str,
        source: Sequence[Span] = (),
        target: Sequence[Span] = (),
    ) -> Finding:
        """Make a finding from spans of the folded texts."""
        return Finding(
            check,
            severity,
            explanation,
            self.field,
            self.source.original(source),
            self.target.original(target),
        )


Findings: TypeAlias = Iterator[Finding]
