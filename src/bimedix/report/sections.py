"""The sections of the report: each takes the run and returns HTML, or nothing when its stage did not run."""

from collections.abc import Callable, Sequence
from html import escape
from itertools import islice
from typing import Any

from bimedix.benchmarks import published_rows
from bimedix.evaluate.beside import sheets_beside
from bimedix.evaluate.sheets import sheets
from bimedix.evaluate.table import Table
from bimedix.evaluate.tables import read_table
from bimedix.figures.page import Markup, block, page, table
from bimedix.figures.plots import bars, histogram, lines
from bimedix.languages import LANGUAGES
from bimedix.pages import block as blocks
from bimedix.path import stage_folder
from bimedix.records import Attempt, Translation, item_fields
from bimedix.report.facts import DECONTAMINATION, Run, held_against

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
        + _spend(run)
    )


def _spend(run: Run) -> str:
    """What the models were asked and what it cost, failed, repeated and lost attempts included."""
    told = {room: run.figures(room).get("spend") for room in run.ledgers}
    rows = [
        (
            room, whole["calls"], whole["attempts"], whole["attempts_lost"], whole["tokens_in"],
            whole["tokens_out"], f"${whole['cost_usd']:,.2f}", f"${whole['possibly_more_usd']:,.2f}",
            whole["attempts_unpriced"],
        )
        for room, spend in told.items() if spend and (whole := spend["whole_run"])
    ]  # fmt: skip
    if not rows:
        return ""
    head = (
        "stage",
        "calls",
        "attempts",
        "lost",
        "tokens in",
        "tokens out",
        "cost",
        "possibly more",
        "unpriced",
    )
    return "<h3>Calls to models, over all starts</h3>" + table(head, rows)


# --- data -----------------------------------------------------------------------------------------------


def data_section(run: Run) -> str:
    """The paper's Figures 3 and 4 for this data: counts by type, shares by source, ratio, frequent words."""
    told = run.json("mix", "statistics.json")
    if not told:
        return ""
    types = [
        (*(row[k] for k in ("type",)), *_counts(row))
        for row in [*told["by_type"], {"type": "total", **told["total"]}]
    ]
    languages = [(_language(row["language"]), *_counts(row)) for row in told["by_language"]]
    head = ("samples", "turns each", "tokens", "tokens each", "characters")
    shares = {
        f"{row['source']} ({row['language']})": {
            "samples": 100 * row["share_of_samples"],
            "tokens": 100 * row["share_of_tokens"],
        }
        for row in told["by_source"]
    }
    return (
        "<h2>Training data</h2>"
        f'<p class="note">Counted from the records. Tokens are those of {escape(told["tokenizer"])}.</p>'
        + table(("type", *head), types)
        + table(("language", *head), languages)
        + "<h3>Share by source</h3>"
        + bars(shares, unit="%")
        + _ratio(told)
        + _held(held_against(run.json("mix", DECONTAMINATION), told["near_duplicates"]))
        + _frequent(told)
    )


def _held(lines: Sequence[str]) -> str:
    told = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h3>Held against test sets</h3><ul>{told}</ul>" if lines else ""


def _counts(row: dict[str, Any]) -> tuple[Any, ...]:
    printed = row["printed"]
    return (
        printed["samples"], f"{row['turns_per_sample']:.2f}", printed["tokens"],
        f"{row['tokens_per_sample']:.0f}", printed["characters"],
    )  # fmt: skip


def _language(code: str) -> str:
    """Return the name of a language, or of several joined by +."""
    return " + ".join(LANGUAGES[part].name if part in LANGUAGES else part for part in code.split("+"))


def _ratio(told: dict[str, Any]) -> str:
    ratio = told["ratio"]
    rows = [
        (basis, ratio[basis]["target"], ratio[basis]["source"], ratio[basis]["target_per_source"])
        for basis in ("samples", "tokens", "characters")
    ]
    asked = " : ".join(f"{part:g}" for part in ratio["asked"])
    pairs = "".join(
        f"<p>{_language(code)} costs <b>{pair['ratio']:.2f} times</b> the tokens of the same content in the "
        f"source language, over {pair['pairs']:,} pairs (BiMediX implies 2.33 for Arabic).</p>"
        for code, pair in told["fertility_of_pairs"].items()
    )
    note = f'<p class="note">Asked for {asked} by {ratio["basis"]}; the other bases follow from it.</p>'
    return (
        "<h3>Target to source language</h3>" + note
        + table(("basis", "target", "source", "target per source"), rows) + pairs
    )  # fmt: skip


def _frequent(told: dict[str, Any]) -> str:
    columns = {code: entries[:20] for code, entries in told["frequent_words"].items() if entries}
    if not columns:
        return ""
    rows = [
        tuple(
            f"{column[i]['word']} ({column[i]['count']:,})" if i < len(column) else ""
            for column in columns.values()
        )
        for i in range(max(map(len, columns.values())))
    ]
    return "<h3>Frequent words</h3>" + table(tuple(map(_language, columns)), rows)


# --- translation ----------------------------------------------------------------------------------------


def translation_section(run: Run) -> str:
    """Scores and checks before and after revision, routes, and one record of each fate."""
    first: list[Attempt] = []
    kept: list[Attempt] = []
    routes: dict[str, int] = {}
    shown: dict[str, Translation] = {}
    for translation in run.translations():
        routes[translation.route] = routes.get(translation.route, 0) + 1
        if translation.attempts:
            first.append(translation.attempts[0])
            kept.append(translation.attempts[max(translation.best, 0)])
        fate = "revised" if translation.best > 0 and translation.route == "accepted" else translation.route
        shown.setdefault(fate, translation)
    if not routes:
        return ""
    total, threshold = sum(routes.values()), run.recipe.rooms["translate"].threshold
    versions = {"first translation": first, "after revision": kept}
    scores = {name: [a.score for a in group if a.score is not None] for name, group in versions.items()}
    passed = [(name, *_passing(group, threshold)) for name, group in versions.items()]
    rows = [(name, count, f"{100 * count / total:.1f} %") for name, count in sorted(routes.items())]
    return (
        "<h2>Translation</h2>"
        f'<p class="note">Score from 0 to 100 per record; accepted from {threshold:g} with no failed '
        "integrity check. A failed check outweighs any score.</p>"
        + histogram(scores, edges=(0, 50, 60, 70, 80, 90, 95, 100), unit="records")
        + table(("", "no failed check", f"score of {threshold:g} or more", "both"), passed)
        + table(("route", "records", "share"), rows)
        + _outside(run.figures("translate").get("outside"))
        + "".join(_example(fate, shown[fate]) for fate in ("revised", "review", "accepted") if fate in shown)
    )


def _outside(told: dict[str, Any] | None) -> str:
    """Who else scored, and under which licence."""
    if not told or told["mean"] is None:
        return ""
    beside = told["spearman_with_judge"]
    return (
        f"<p>Also scored by {escape(told['scorer'])} (licence of the scorer: {escape(told['licence'])}): "
        f"mean {told['mean']:.1f} of 100 over {told['records']:,} records"
        + (f", rank correlation with the judge {beside:.2f}" if beside is not None else "")
        + f"; {told['sent_to_review']:,} sent to review by it.</p>"
    )


def _passing(group: Sequence[Attempt], threshold: float) -> tuple[int, int, int]:
    """Return how many versions pass the checks, the threshold, and both."""
    sound = [all(f.severity != "error" for f in attempt.findings) for attempt in group]
    good = [attempt.score is not None and attempt.score >= threshold for attempt in group]
    return sum(sound), sum(good), sum(a and b for a, b in zip(sound, good, strict=True))


_FATES = {
    "revised": "Mended by the loop",
    "review": "Sent to a reviewer",
    "accepted": "Accepted at once",
}


def _example(fate: str, translation: Translation) -> str:
    source = item_fields(translation.source)
    target = item_fields(translation.target) if translation.target else {}
    code = translation.target.language if translation.target else translation.source.language
    rows = [
        (
            name,
            Markup(blocks(text, translation.source.language)),
            Markup(blocks(target.get(name, ""), code)),
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


# --- training -------------------------------------------------------------------------------------------


def training_section(run: Run) -> str:
    """The loss curve, what was trained, and what a tiny model is."""
    figures = run.figures("train")
    if not figures:
        return ""
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in run.rows("train", "metrics.jsonl"):
        name = _phase_name(figures, row["phase"])
        curves.setdefault(name, []).append((row["step"], row["loss"]))
        if row.get("validation_loss") is not None:
            curves.setdefault(f"{name}, held back", []).append((row["step"], row["validation_loss"]))
    rows = [
        (
            _phase_name(figures, number), phase["steps"], phase["tokens"], phase["supervised_tokens"],
            f"{phase['trainable_parameters']:,} ({100 * phase['trainable_share']:.2f} %)",
            phase["loss"], phase["validation_loss"],
        )
        for number, phase in enumerate(figures["phases"])
    ]  # fmt: skip
    head = (
        "phase",
        "steps",
        "tokens",
        "of them with loss",
        "trainable parameters",
        "last loss",
        "validation loss",
    )
    timing = figures.get("timing", {})
    rates = ", ".join(f"{phase['tokens_per_s']:,.0f}" for phase in timing.get("phases", []))
    note = (
        f"Tokens per second by phase: {rates}. Peak memory {timing.get('peak_memory_gib', 0):.2f} GiB."
        if rates
        else ""
    )
    return (
        "<h2>Training</h2>" + _tiny_notice(run) + table(head, rows)
        + lines(curves, x="steps", y="loss, nats per token") + f'<p class="note">{note}</p>'
    )  # fmt: skip


def _phase_name(figures: dict[str, Any], number: int) -> str:
    mode = figures["phases"][number]["mode"] if number < len(figures["phases"]) else ""
    return f"{number + 1}: {'all weights' if mode == 'full' else 'adapters'}"


def _tiny_notice(run: Run) -> str:
    if run.recipe.rooms["train"].base != "tiny":
        return ""
    return (
        '<p class="notice"><b>This model knows nothing but the questions of this run.</b> Its base is a '
        "random Mixtral of a few million parameters that was trained here, in this run, on the same records. "
        "It shows that the path works: what was taught is recalled, what was not taught is guessed.</p>"
    )


# --- evaluation -----------------------------------------------------------------------------------------


def evaluation_section(run: Run) -> str:
    """Accuracy in each language and bilingual, with intervals; published rows quoted beside."""
    told = run.json("evaluate", "table.json")
    if told is None:
        return ""
    found = read_table(told)
    quote = run.recipe.rooms["evaluate"].published
    parts = ["<h2>Evaluation</h2>", _accuracy_plot(found)]
    beside = sheets_beside(stage_folder(run.folder, "evaluate"))
    for sheet in [*sheets(found, quote=quote), *beside]:
        rows = [*sheet.rows, *sheet.quoted]
        quoted = frozenset(range(len(sheet.rows), len(rows)))
        notes = "".join(f'<p class="note">{block(note)}</p>' for note in sheet.notes)
        parts.append(f"<h3>{escape(sheet.title)}</h3>" + table(sheet.header, rows, quoted) + notes)
    return "".join([*parts, _published(quote)])


def _published(tables: Sequence[str]) -> str:
    """Quote published averages with their protocol; they are not comparable with the sets of this run."""
    rows = [
        (
            row.model, _language(row.language), row.printed_average,
            None if row.average is None else round(row.average, 2), row.setting, row.protocol, row.note,
        )
        for name in tables
        for row in published_rows(name)
        if row.printed_average is not None
    ]  # fmt: skip
    if not rows:
        return ""
    head = ("model", "language", "printed mean, %", "mean of its cells, %", "setting", "protocol", "remark")
    note = (
        "Quoted from the papers, with what they say of their protocol. Other test sets and protocols than "
        "those of this run: not to be ranked with it."
    )
    quoted = frozenset(range(len(rows)))
    return f'<h3>Published figures, quoted</h3><p class="note">{note}</p>' + table(head, rows, quoted)


def _accuracy_plot(found: Table) -> str:
    protocol = next((row.protocol for row in found.accuracies), "")
    groups: dict[str, dict[str, float]] = {}
    for row in found.accuracies:
        if row.protocol == protocol:
            name = f"{row.benchmark} ({row.language})"
            groups.setdefault(name, {})[row.model] = 100 * row.accuracy
            groups[name]["chance"] = 100 * row.chance
    return bars(groups, unit=f"% right, {protocol}", top=100.0)


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
    data_section,
    translation_section,
    training_section,
    evaluation_section,
    drops_section,
)
