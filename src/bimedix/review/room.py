"""The room `review`: translations in, sheets for people out, and with their verdicts the final items."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import structs

from bimedix.aside import find_earlier
from bimedix.completers.tmx import write_tmx
from bimedix.errors import MissingError
from bimedix.files import RecordWriter, hash_file, read_records, write_json, write_records
from bimedix.records import (
    Approval,
    Item,
    MultipleChoice,
    ParallelText,
    Translation,
    Verdict,
    content_hash,
    item_fields,
    with_fields,
)
from bimedix.review.chain import append
from bimedix.review.decide import Ruling, latest_verdicts, rule
from bimedix.review.label_studio import export_tasks, write_page
from bimedix.review.queues import Entry, Place, audit_queue, entry_of, fill_sheets, risk_queue
from bimedix.review.report import Report
from bimedix.review.settings import Settings
from bimedix.review.sheets import Label, Problem, export_sheets, import_sheets
from bimedix.stage import APPROVALS, RECORDS, Context, StageWriter, Summary

ROOM = "review"
HISTORY = "review_history.jsonl"
"""Beside the call ledger of a run, where no stage that is redone takes it away."""
QUEUES = "queues.jsonl"
UNMATCHED = "unmatched.jsonl"
WAITING = "waiting for review"
_DROPS = {
    "rejected": "rejected by a reviewer",
    "disputed": "reviewers disagree",
    "waiting": "waiting for another review",
    "unread": WAITING,
}


def run(settings: Settings, inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Apply the verdicts so far, let through what is accepted or approved, and write sheets for the rest."""
    file = _records_of(inputs)
    entries = {t.id: entry_of(t, settings.strata) for t in read_records(file, Translation)}
    imported = import_sheets([_existing(context.base / name, out) for name in settings.verdicts])
    labels, unmatched = _match(imported.labels, imported.problems, entries)
    verdicts = _verdicts(file, labels)
    history = context.base / settings.history if settings.history else context.calls.parent / HISTORY
    chain = append(history, verdicts)
    held: dict[str, list[Verdict]] = defaultdict(list)
    for event in chain:
        if event.event.id in entries and event.event.version == entries[event.event.id].version:
            held[event.event.id].append(event.event)
    rulings = {key: rule(its, settings) for key, its in held.items()}
    places = _places(list(entries.values()), held, rulings, settings, context.seed)
    report = Report(settings, entries, held, rulings, context.seed)
    with StageWriter(out, ROOM) as stage, RecordWriter(out / APPROVALS) as approvals:
        approved = _write_items(file, rulings, settings, stage, approvals, report)
        _write_sheets(file, places, settings, held, out)
        write_tmx(out / "approved.tmx", approved)
    write_records(out / QUEUES, places)
    write_records(out / UNMATCHED, unmatched)
    figures = report.figures(places, unmatched)
    figures["history"] = {"events": len(chain), "head": chain[-1].hash if chain else ""}
    figures["certificate"]["translations_hash"] = hash_file(file)
    write_json(out / "certificate.json", figures["certificate"])
    return stage.summary(len(entries), **figures)


def _records_of(inputs: Mapping[str, Path]) -> Path:
    file = inputs.get("translate", Path()) / RECORDS
    if "translate" not in inputs or not file.exists():
        raise MissingError(
            f"[review] no translations to read: {file} does not exist.\n"
            "  Run `translate` first, or give the folder that holds its records."
        )
    return file


def _existing(path: Path, out: Path) -> Path:
    """Return filled sheets, also those that lay in the folder of this stage before it was redone."""
    found = path if path.exists() else find_earlier(path.resolve(), out.resolve())
    if found is None:
        raise MissingError(
            f"[review] verdicts: {path} does not exist.\n  Name filled sheets, or their folder."
        )
    return found


def _match(
    labels: Sequence[Label], problems: Sequence[Problem], entries: Mapping[str, Entry]
) -> tuple[list[Label], list[Problem]]:
    """Keep the labels whose record and version are here; list the others."""
    fitting: list[Label] = []
    listed = list(problems)
    for label in labels:
        entry = entries.get(label.id)
        if entry is None:
            listed.append(Problem(label.place, label.id, "no translation has this id"))
        elif entry.version != label.version:
            listed.append(Problem(label.place, label.id, "the translation has changed since this was read"))
        else:
            fitting.append(label)
    return fitting, listed


def _verdicts(file: Path, labels: Sequence[Label]) -> list[Verdict]:
    """Turn labels into verdicts, in their order; corrected fields become whole items."""
    wanted: dict[str, list[int]] = defaultdict(list)
    for at, label in enumerate(labels):
        wanted[label.id].append(at)
    verdicts: dict[int, Verdict] = {}
    for translation in read_records(file, Translation) if wanted else ():
        for at in wanted.get(translation.id, ()):
            verdicts[at] = _verdict(labels[at], translation)
    return [verdicts[at] for at in sorted(verdicts)]


def _verdict(label: Label, translation: Translation) -> Verdict:
    target = label.target
    if label.corrected and translation.target is not None:
        fields = item_fields(translation.target) | label.corrected
        target = with_fields(
            translation.source, fields, language=translation.target.language, id=translation.id
        )
    return Verdict(
        label.id, label.version, label.reviewer, label.decision, target, label.reason, label.seconds,
        label.severity,
    )  # fmt: skip


def _places(
    entries: Sequence[Entry],
    held: Mapping[str, Sequence[Verdict]],
    rulings: Mapping[str, Ruling],
    settings: Settings,
    seed: int,
) -> list[Place]:
    """Lay what is not decided yet on sheets."""
    still = [e for e in entries if e.id not in rulings or rulings[e.id].state in ("waiting", "disputed")]
    return fill_sheets(
        risk_queue(still, seed), audit_queue(still, seed),
        items=settings.sheet_items, sheets=settings.sheets, seed=seed,
    )  # fmt: skip


def _write_sheets(
    file: Path, places: Sequence[Place], settings: Settings, held: Mapping[str, Sequence[Verdict]], out: Path
) -> None:
    """Write each sheet as often as its items need reviews; copies are for different people."""
    shown = {place.id: place for place in places if place.sheet}
    found = {t.id: t for t in read_records(file, Translation) if t.id in shown} if shown else {}
    for sheet in sorted({place.sheet for place in shown.values()}):
        for copy in range(settings.reviews):
            items = [
                found[place.id]
                for place in places
                if place.sheet == sheet and len(latest_verdicts(held.get(place.id, ()))) <= copy
            ]
            name = f"sheet-{sheet:03d}" + (f"-{copy + 1}" if settings.reviews > 1 else "")
            export_sheets(items, out / "sheets", name)
            if settings.label_studio:
                export_tasks(items, out / "sheets", name)
    if settings.label_studio:
        write_page(list(found.values()), out / "sheets")


def _write_items(
    file: Path,
    rulings: Mapping[str, Ruling],
    settings: Settings,
    stage: StageWriter,
    approvals: RecordWriter,
    report: Report,
) -> list[ParallelText]:
    """Write the final items and their hashes; return the segments that a person approved, for the memory."""
    approved: list[ParallelText] = []
    for translation in read_records(file, Translation):
        ruling = rulings.get(translation.id, Ruling("unread"))
        item = _final(translation, ruling, settings)
        if item is None:
            unreadable = translation.target is None
            reason = "no readable translation" if unreadable else _DROPS[ruling.state]
            stage.drop(translation, reason, detail=ruling.reason)
            continue
        stage.write(item)
        if ruling.state != "rejected" and ruling.state != "disputed":
            approvals.write(Approval(item.id, content_hash(item), ruling.state))
        report.kept(translation, ruling, item)
        if ruling.state in ("approved", "corrected"):
            approved += _segments(translation, item)
    return approved


def _final(translation: Translation, ruling: Ruling, settings: Settings) -> Item | None:
    """Return the item that goes on, or None."""
    if translation.target is None or ruling.state == "rejected":
        return None
    if ruling.state in ("approved", "corrected"):
        return _checked(ruling.target or translation.target)
    if ruling.state == "disputed":
        return None
    return translation.target if translation.route != "review" or settings.waiting == "keep" else None


def _checked(item: Item) -> Item:
    if isinstance(item, MultipleChoice):
        return structs.replace(item, human_checked=True, human_check_passed=True)
    return item


def _segments(translation: Translation, item: Item) -> Iterator[ParallelText]:
    target = item_fields(item)
    for field, text in item_fields(translation.source).items():
        if field in target:
            source = translation.source
            yield ParallelText(
                f"{translation.id}/{field}",
                source.language,
                source.origin,
                text,
                target[field],
                item.language,
            )
