"""A page of a few dozen translations side by side: to judge by eye before money is spent on all of them."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from bimedix.draws import uniform_draw
from bimedix.languages import language
from bimedix.pages import Level, Mark, block, page, two_columns
from bimedix.records import Attempt, ErrorSpan, Translation, item_fields

SAMPLE = 50
_LEVELS: dict[str, Level] = {"critical": "error", "major": "error", "minor": "warning", "punctuation": "hint"}


def draw_sample(translations: Iterable[Translation], count: int, seed: int) -> list[Translation]:
    """Draw translations uniformly by (seed, id), and give them back in that order."""
    return heapq.nsmallest(count, translations, key=lambda t: (uniform_draw(seed, "sample", t.id), t.id))


def side_by_side(translations: Sequence[Translation], *, title: str = "Translations side by side") -> str:
    """Return a self-contained HTML page: source and best version by field, findings and error spans drawn."""
    return page(title, "\n".join(_article(translation) for translation in translations if translation.target))


def _article(translation: Translation) -> str:
    assert translation.target is not None
    best = translation.attempts[translation.best]
    names = (language(translation.source.language).own_name, language(translation.target.language).own_name)
    score = "no judgment" if best.score is None else f"{best.score:g} of 100"
    history = " → ".join("–" if a.score is None else f"{a.score:g}" for a in translation.attempts)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in translation.reasons)
    note = f"{translation.route} · {score} · versions {history} · {best.completer}"
    return (
        f'<article><h2>{escape(translation.id)}</h2><p class="note">{escape(note)}</p>'
        f"{two_columns(_rows(translation, best), *names)}<ul>{reasons}{''.join(_notes(best))}</ul></article>"
    )


def _rows(translation: Translation, best: Attempt) -> Iterator[tuple[str, str, str]]:
    assert translation.target is not None
    target = item_fields(translation.target)
    for name, text in item_fields(translation.source).items():
        left = [*_found(best, name, source=True), *_quoted(best.spans, text, "source")]
        right = [*_found(best, name, source=False), *_quoted(best.spans, target.get(name, ""), "target")]
        yield (
            name,
            block(text, translation.source.language, left),
            block(target.get(name, ""), translation.target.language, right),
        )


def _found(best: Attempt, name: str, *, source: bool) -> Iterator[Mark]:
    for finding in best.findings:
        if finding.field == name:
            for start, end in finding.source_spans if source else finding.target_spans:
                yield Mark(start, end, finding.severity, f"{finding.check}: {finding.explanation}")


def _quoted(spans: Sequence[ErrorSpan], text: str, side: str) -> Iterator[Mark]:
    for span in spans:
        at = text.find(span.quote) if span.side == side else -1
        if at >= 0:
            yield Mark(at, at + len(span.quote), _LEVELS[span.severity], f"{span.category}: {span.why}")


def _notes(best: Attempt) -> Iterator[str]:
    for finding in best.findings:
        told = f"{finding.check} ({finding.severity}) {finding.field}: {finding.explanation}"
        yield f"<li>{escape(told)}</li>"
    for span in best.spans:
        quote = f"<bdi>{escape(span.quote)}</bdi>"
        yield f"<li>{quote}: {escape(f'{span.severity} {span.category}. {span.why}')}</li>"
