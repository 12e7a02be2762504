"""The sections of the report: each takes the run and returns HTML, or nothing when its stage did not run."""

from collections.abc import Callable
from html import escape
from itertools import islice

from bimedix.records import Translation, item_fields
from bimedix.report.facts import Run
from bimedix.report.page import Markup, block, page, paragraphs, table
from bimedix.report.plots import histogram

NOTICE = (
    "Research software and research data. Nothing here is fit for clinical decisions; "
    "answers of the model can be wrong or harmful."
)


def report_page(run: Run) -> str:
    """Return the whole page."""
    title = run.recipe.title or run.recipe.name
    head = f'<h1>{escape(title)}</h1><p class="notice" role="note">{NOTICE}</p>'
    return page(title, head + "".join(section(run) for section in SECTIONS))


def path_section(run: Run) -> str:
    """What each stage read, wrote and dropped."""
    rows = [
        (
            f"{number:02d} {room}",
            told["summary"]["read"],
            told["summary"]["written"],
            sum(told["summary"]["dropped"].values()),
            f"{told['seconds']:.1f} s",
        )
        for number, (room, told) in enumerate(run.ledgers.items(), 1)
    ]
    recipe = run.recipe
    told = next(iter(run.ledgers.values()))
    return (
        "<h2>The path</h2>"
        f'<p class="note">Recipe <code>{escape(recipe.name)}</code>, seed {recipe.seed}, '
        f"bimedix {escape(told['code'])} at <code>{escape(told['revision'][:12])}</code>.</p>"
        + table(("stage", "read", "written", "dropped", "time"), rows)
    )


def translation_section(run: Run) -> str:
    """Scores before and after revision, routes, and one record of each fate."""
    first: list[float] = []
    kept: list[float] = []
    routes: dict[str, int] = {}
    shown: dict[str, Translation] = {}
    for translation in run.translations():
        routes[translation.route] = routes.get(translation.route, 0) + 1
        attempts = [a.score for a in translation.attempts if a.score is not None]
        if attempts:
            first.append(attempts[0])
            kept.append(
                max(attempts) if translation.best < 0 else translation.attempts[translation.best].score or 0.0
            )
        fate = "revised" if translation.best > 0 and translation.route == "accepted" else translation.route
        shown.setdefault(fate, translation)
    if not routes:
        return ""
    edges = (0, 50, 60, 70, 80, 90, 95, 100)
    plot = histogram({"first translation": first, "after revision": kept}, edges=edges, unit="records")
    settings = run.recipe.rooms["translate"]
    rows = [
        (name, count, f"{100 * count / sum(routes.values()):.1f} %") for name, count in sorted(routes.items())
    ]
    return (
        "<h2>Translation</h2>"
        f'<p class="note">Score from 0 to 100 per record; accepted from {settings.threshold:g} '
        "with no failed integrity check. A failed check outweighs any score.</p>"
        + plot
        + table(("route", "records", "share"), rows)
        + "".join(_example(fate, shown[fate]) for fate in ("revised", "review", "accepted") if fate in shown)
    )


_FATES = {
    "revised": "Mended by the loop",
    "review": "Sent to a reviewer",
    "accepted": "Accepted at once",
}


def _example(fate: str, translation: Translation) -> str:
    source = item_fields(translation.source)
    target = item_fields(translation.target) if translation.target else {}
    rows = [
        (
            name,
            Markup(paragraphs(text, translation.source.language)),
            Markup(paragraphs(target.get(name, ""))),
        )
        for name, text in islice(source.items(), 6)
    ]
    history = [
        (
            attempt.round,
            "" if attempt.score is None else attempt.score,
            Markup("<br>".join(block(f"{f.check}: {f.explanation}") for f in attempt.findings[:4])),
            "kept" if index == translation.best else "",
        )
        for index, attempt in enumerate(translation.attempts)
    ]
    reasons = f'<p class="note">{escape("; ".join(translation.reasons))}</p>' if translation.reasons else ""
    return (
        f"<h3>{_FATES[fate]}: <code>{escape(translation.id)}</code></h3>{reasons}"
        + table(("field", "source", "translation"), rows)
        + table(("round", "score", "findings", ""), history)
    )


# --- drops ----------------------------------------------------------------------------------------------


def drops_section(run: Run) -> str:
    """What was left out, by stage and reason, with an example of each."""
    rows = []
    for room, told in run.ledgers.items():
        for reason, count in told["summary"]["dropped"].items():
            example = next(iter(run.drops(room, reason, 1)), None)
            place = example.place or example.id if example else ""
            rows.append((room, reason, count, place))
    if not rows:
        return "<h2>Left out</h2><p>Nothing was dropped.</p>"
    note = (
        '<p class="note">Every dropped record is kept whole in the stage\'s <code>dropped.jsonl</code>.</p>'
    )
    return "<h2>Left out, and why</h2>" + note + table(("stage", "reason", "records", "first one"), rows)


SECTIONS: tuple[Callable[[Run], str], ...] = (
    path_section,
    translation_section,
    drops_section,
)
