"""A page of a few dozen translations side by side: to judge by eye before money is spent on all of them."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from bimedix.draws import uniform_draw
from bimedix.languages import language
from bimedix.pages import Level, Mark, article, block, page, two_columns
from bimedix.records import Attempt, ErrorSpan, Translation, item_fields

_LEVELS: dict[str, Level] = {"critical": "error", "major": "error", "minor": "warning", "punctuation": "hint"}


def draw_sample(translations: Iterable[Translation], count: int, seed: int) -> list[Translation]:
    """Draw translations uniformly by (seed, id), and give them back in that order."""
    return heapq.nsmallest(count, translations, key=lambda t: (uniform_draw(seed, "sample", t.id), t.id))


def side_by_side(translations: Sequence[Translation], *, title: str = "Translations side by side") -> str:
    """Return a self-contained HTML page: source and best version by field, findings and error spans drawn."""
    shown = [translation for translation in translations if translation.target]
    told = f'<p class="note">{escape(_told(shown))}</p>'
    return page(title, "\n".join([told, *map(_article, shown)]))


def _told(shown: Sequence[Translation]) -> str:
    """Say in one line where these translations go, and why."""
    routes = Counter(translation.route for translation in shown)
    reasons = Counter(reason for translation in shown for reason in translation.reasons)
    counted = [f"{count} {name}" for name, count in (*sorted(routes.items()), *reasons.most_common())]
    return f"{len(shown)} translations: " + " · ".join(counted)


def _article(translation: Translation) -> str:
    assert translation.target is not None
    best = translation.attempts[translation.best]
    names = (language(translation.source.language).own_name, language(translation.target.language).own_name)
    score = "no judgment" if best.score is None else f"{best.score:g} of 100"
    history = " → ".join("–" if a.score is None else f"{a.score:g}" for a in translation.attempts)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in translation.reasons)
    note = f"{translation.route} · {score} · versions {history} · {best.completer}"
    table = two_columns(_rows(translation, best), *names)
    return article(translation.id, note, f"{table}<ul>{reasons}{''.join(_notes(best))}</ul>")


def _rows(translation: Translation, best: Attempt) -> Iterator[tuple[str, str, str]]:
    assert translation.target is not None
    target = item_fields(translation.target)
    right = {f"options.{index}" for index in getattr(translation.source, "answers", ())}
    for name, text in item_fields(translation.source).items():
        mine = [*_found(best, name, source=True), *_quoted(best.spans, text, "source")]
        theirs = [*_found(best, name, source=False), *_quoted(best.spans, target.get(name, ""), "target")]
        yield (
            f"{name} ✓" if name in right else name,
            block(text, translation.source.language, mine),
            block(target.get(name, ""), translation.target.language, theirs),
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
        where = f" in {finding.field}" if finding.field else ""
        told = f"{finding.check} ({finding.severity}){where}: {finding.explanation}"
        yield f"<li>{escape(told)}</li>"
    for span in best.spans:
        quote = f"<bdi>{escape(span.quote)}</bdi>"
        yield f"<li>{quote}: {escape(f'{span.severity} {span.category}. {span.why}')}</li>"
