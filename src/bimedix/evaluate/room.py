"""The room `evaluate`: test sets and a model in, predictions and a table with intervals out.

Files in `out`: `records.jsonl` (a `Prediction` per item, model and protocol), `dropped.jsonl` (items that
were not asked, with the reason), `integrity.jsonl` (items that fail a check), the table as `.json`, `.md`,
`.tex` and in lm-eval's shape, `report.html` with plots, and `predictions.sqlite`, by which a run that was
killed goes on.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bimedix.errors import MissingError
from bimedix.evaluate.asking import Asker, draw_shots, turned
from bimedix.evaluate.bertscore import check_encoder
from bimedix.evaluate.beside import plots_beside, sheets_beside
from bimedix.evaluate.cache import Cache, fingerprint, key_of
from bimedix.evaluate.efficiency import EFFICIENCY_FILE
from bimedix.evaluate.exports import lm_eval_results
from bimedix.evaluate.graded import RATINGS_FILE, RUBRICS_FILE, RubricRun, rate_answers
from bimedix.evaluate.items import ROOM, Asked, find_file, ids_in, read_items, room_file
from bimedix.evaluate.page import items_of, render_page
from bimedix.evaluate.predict import from_reply, from_scores
from bimedix.evaluate.reasons import RATIONALE_ITEMS, RATIONALES_FILE, compare_rationales
from bimedix.evaluate.remote import ask_completer
from bimedix.evaluate.settings import GENERATION, LETTERS, OPTIONS, OPTIONS_PER_CHARACTER, Settings
from bimedix.evaluate.soundness import SetReport, check_sound
from bimedix.evaluate.stopwatch import Stopwatch
from bimedix.evaluate.table import Table, make_table
from bimedix.evaluate.tables import Form, render
from bimedix.evaluate.trie import Scoring
from bimedix.files import read_records, write_json, write_text
from bimedix.prompts.questions import is_yes_no_maybe, pack_hash
from bimedix.records import MultipleChoice, Prediction
from bimedix.stage import Context, StageWriter, Summary

TABLE = "table.json"


@dataclass
class Subject:
    """A local model under test."""

    name: str
    model: Any
    asker: Asker
    key: str
    """Fingerprint of weights, tokenizer, adapter and number type."""
    end_id: int


@dataclass
class _Run:
    """What the steps of one run share."""

    settings: Settings
    context: Context
    asked: Sequence[Asked]
    cache: Cache
    reports: dict[str, Any] = field(default_factory=dict)
    integrity: list[SetReport] = field(default_factory=list)
    watch: Stopwatch | None = None
    rubrics: RubricRun | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Figures beside the table, for the summary."""


def run(settings: Settings, inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Score every test set with the model, and table the results.

    Raises:
        MissingError: no test set is named, an item file or the model is not there.
        DataError: `integrity = "refuse"` and a row fails a check.
        BimedixError: batched scores differ from single ones, or the endpoint gives up.
    """
    if not settings.benchmarks:
        raise MissingError(
            "[evaluate] names no benchmarks.\n  Add a table [[evaluate.benchmarks]] per test set."
        )
    if settings.bertscore:
        check_encoder(context.base / settings.bertscore, settings.bertscore_layer)
    for name in (EFFICIENCY_FILE, RATIONALES_FILE, RATIONALE_ITEMS, RUBRICS_FILE, RATINGS_FILE):
        (out / name).unlink(missing_ok=True)  # of an earlier run with other settings
    with StageWriter(out, ROOM) as stage, Cache(out / "predictions.sqlite") as cache:
        read = [
            entry
            for benchmark in settings.benchmarks
            for entry in read_items(
                benchmark,
                find_file(benchmark, inputs, context.base),
                stage.put,
                ids_in(benchmark, inputs, context.base),
            )
        ]
        work = _Run(settings, context, _once(read, stage), cache)
        if settings.efficiency:
            work.watch = Stopwatch(settings.efficiency, work.asked, context, settings.with_rationale)
        if settings.rubrics:
            work.rubrics = RubricRun(settings.rubrics, context)
        if settings.integrity != "off":
            training = [room_file(name, inputs, context.base) for name in settings.trained_on]
            work.integrity = check_sound(
                work.asked, out, refuse=settings.integrity == "refuse", training=training
            )
        predictions = []
        chosen = settings.completer
        if chosen:
            asker = Asker(None, settings.template, 0, _shots(settings, context))
            rows = ask_completer(work.asked, asker, settings, chosen, context, stage, work.reports)
        else:
            rows = _from_models(work, inputs)
        for prediction in rows:
            predictions.append(prediction)
            stage.write(prediction)
        if work.watch and chosen:
            work.watch.time_completer(chosen, asker)
        if work.rubrics and chosen:
            work.rubrics.answer_remote(chosen)
    table = _table(work, predictions, items_of(out))
    write_json(out / TABLE, table)
    if work.watch:
        work.watch.write(out, settings.confidence)
    if settings.with_rationale:
        found = compare_rationales(settings, context, work.asked, predictions, table, out)
        work.extra["rationales"] = msgspec.to_builtins(found)
    if settings.ratings:
        ratings = rate_answers(
            settings.ratings, context, work.asked, predictions, out,
            unfiltered=settings.unfiltered_rationales, confidence=settings.confidence,
        )  # fmt: skip
        work.extra["ratings"] = msgspec.to_builtins(ratings)
    if work.rubrics:
        work.extra["rubrics"] = msgspec.to_builtins(work.rubrics.finish(out, settings.confidence))
    _write_forms(table, settings, out)
    figures = _figures(table, work.reports) | {"integrity": msgspec.to_builtins(work.integrity)}
    return stage.summary(len(read), **figures, **work.extra)


def _write_forms(table: Table, settings: Settings, out: Path) -> None:
    """Write the table for people and for other programs."""
    quote, more = settings.published, sheets_beside(out)
    forms: dict[str, Form] = {"table.md": "markdown", "table.tex": "latex"}
    for name, form in forms.items():
        write_text(out / name, render(table, form, quote=quote, more=more))
    for code in settings.page_languages:
        name = "report.html" if code == "en" else f"report.{code}.html"
        page = render_page(table, quote=quote, more=more, plots=plots_beside(out), code=code)
        write_text(out / name, page)
    for model in dict.fromkeys(row.model for row in table.accuracies):
        safe = re.sub(r"[^\w.-]+", "_", model)
        write_json(out / f"lm_eval.{safe}.json", lm_eval_results(table, model))


def _once(read: Sequence[Asked], stage: StageWriter) -> list[Asked]:
    """Ask an item once that stands in two files of one test set."""
    seen: dict[str, Asked] = {}
    for entry in read:
        if entry.key in seen:
            stage.drop(
                entry.item, "repeats an id of its test set", place=entry.item.id, detail=entry.benchmark
            )
        else:
            seen[entry.key] = entry
    return list(seen.values())


def _table(work: _Run, predictions: Sequence[Prediction], items: Mapping[str, str]) -> Table:
    settings = work.settings
    languages = sorted({entry.item.language for entry in work.asked})
    return make_table(
        predictions,
        {entry.benchmark: entry.group for entry in work.asked},
        confidence=settings.confidence,
        draws=settings.bootstrap_draws,
        seed=work.context.seed,
        about={
            "template": settings.template,
            "shots": settings.shots,
            "dtype": settings.dtype,
            "confidence": settings.confidence,
            "bootstrap_draws": settings.bootstrap_draws,
            "items": dict(items),
            "seed": work.context.seed,
            "question_packs": {code: pack_hash(code) for code in languages},
            "published": list(settings.published),
            "runs": work.reports,
            "integrity": msgspec.to_builtins(work.integrity),
        },
    )


def _figures(table: Table, reports: Mapping[str, Any]) -> dict[str, Any]:
    return {"table": msgspec.to_builtins(table), "runs": dict(reports)}


# --- local models


def _from_models(work: _Run, inputs: Mapping[str, Path]) -> Iterator[Prediction]:
    for subject in load_subjects(work.settings, inputs, work.context):
        for protocol in work.settings.protocols:
            if protocol == GENERATION:
                yield from _generated(work, subject)
            elif protocol != OPTIONS_PER_CHARACTER or OPTIONS not in work.settings.protocols:
                yield from _scored(work, subject, protocol)
        if work.watch:
            work.watch.time_model(subject.model, subject.asker, subject.name, subject.end_id)
        if work.rubrics:
            work.rubrics.answer_local(
                subject.model, subject.asker, subject.name, subject.end_id, work.settings.batch_tokens
            )
        del subject  # before the next one is loaded: two copies of a large model do not fit


def load_subjects(settings: Settings, inputs: Mapping[str, Path], context: Context) -> Iterator[Subject]:
    """Yield the models under test one after the other: the base where asked for, then the tuned one.

    Raises:
        MissingError: neither `model` nor the room `train` gives one.
    """
    folder, adapter = _model_folders(settings, inputs, context)
    name = folder.name if (context.base / settings.model).is_dir() else settings.model
    if adapter is None:
        yield _load(settings, context, name, folder, None)
        return
    if settings.compare_base:
        yield _load(settings, context, "base", folder, None)
    yield _load(settings, context, "tuned", folder, adapter)


def _model_folders(
    settings: Settings, inputs: Mapping[str, Path], context: Context
) -> tuple[Path, Path | None]:
    from bimedix.model.load import find_model
    from bimedix.model.places import find_parts

    if settings.model:
        adapter = context.base / settings.adapter if settings.adapter else None
        return find_model(settings.model, context.base), adapter
    if "train" not in inputs:
        raise MissingError(
            "[evaluate] has no model: the room `train` is not among the inputs.\n"
            "  Set `model` to a folder or hub id, or give a `completer`."
        )
    parts = find_parts(inputs["train"])
    return find_model(parts.base), parts.adapter


def _load(settings: Settings, context: Context, name: str, folder: Path, adapter: Path | None) -> Subject:
    import torch

    from bimedix.model.load import load_tokenizer
    from bimedix.model.stream import open_model

    context.progress.say(f"loading {folder}" + (f" with {adapter}" if adapter else ""))
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = open_model(folder, adapter=adapter, dtype=settings.dtype, device=device)
    tokenizer = load_tokenizer(settings.tokenizer or folder, context.base)
    folders = [folder] if adapter is None else [folder, adapter]
    longest = int(getattr(model.config, "max_position_embeddings", 2048))
    asker = Asker(tokenizer, settings.template, longest, _shots(settings, context))
    key = key_of(fingerprint(folders), settings.tokenizer, settings.dtype, device)
    return Subject(name, model, asker, key, int(tokenizer.eos_token_id))


def _shots(settings: Settings, context: Context) -> dict[str, tuple[MultipleChoice, ...]]:
    if not settings.shots:
        return {}
    pool = list(read_records(context.base / settings.shots_path, MultipleChoice))
    return draw_shots(pool, settings.shots, seed=context.seed)


def _by_set(asked: Sequence[Asked]) -> dict[tuple[str, str], list[Asked]]:
    """Group by test set and language, whose prompts share their examples."""
    out: dict[tuple[str, str], list[Asked]] = {}
    for entry in asked:
        out.setdefault((entry.benchmark, entry.item.language), []).append(entry)
    return out


def _scored(work: _Run, subject: Subject, protocol: str) -> Iterator[Prediction]:
    """Score all test sets by log-probability; character-normalised scores come from the same run."""
    from bimedix.evaluate.scoring import PLANNER_VERSION, score

    settings, cache = work.settings, work.cache
    orders = range(settings.orders if protocol == LETTERS else 1)
    with work.context.progress.task(f"{subject.name}, {protocol}", len(work.asked), "items") as task:
        for (benchmark, language), entries in _by_set(work.asked).items():
            requests = dict(_requests(subject.asker, entries, protocol, orders))
            keys = {
                name: key_of(PLANNER_VERSION, subject.key, settings.batch_tokens, r.context, r.continuations)
                for name, r in requests.items()
            }

            def known(id: str, keys: dict[str, str] = keys) -> tuple[float, ...] | None:
                found = cache.get(keys[id])
                return None if found is None else tuple(found)

            def keep(new: Mapping[str, Sequence[float]], keys: dict[str, str] = keys) -> None:
                cache.put({keys[name]: values for name, values in new.items()})
                task.advance(sum(name.startswith("0\x1f") for name in new))

            scores, report = score(
                subject.model, list(requests.values()), budget=settings.batch_tokens, verify=settings.verify,
                seed=work.context.seed, known=known, keep=keep,
            )  # fmt: skip
            work.reports[f"{subject.name}, {benchmark}, {language}, {protocol}"] = asdict(report)
            for entry in entries:
                yield from _predicted(work, subject, protocol, entry, scores, orders)


def _requests(
    asker: Asker, entries: Sequence[Asked], protocol: str, orders: range
) -> Iterator[tuple[str, Scoring]]:
    """Yield what to score by name; the orders of one question share a tree.

    Items answered by yes, no or maybe have no labels, and so one order.
    """
    for entry in entries:
        mine = orders[: 1 if is_yes_no_maybe(entry.item) else len(entry.item.options)]
        for by in mine:
            name = f"{by}\x1f{entry.key}"
            tree = entry.key if len(orders) > 1 else ""
            yield name, asker.scoring(name, turned(entry.item, by), protocol, tree=tree)


def _predicted(
    work: _Run,
    subject: Subject,
    protocol: str,
    entry: Asked,
    scores: Mapping[str, Sequence[float]],
    orders: range,
) -> Iterator[Prediction]:
    protocols = [protocol]
    if protocol == OPTIONS and OPTIONS_PER_CHARACTER in work.settings.protocols:
        protocols.append(OPTIONS_PER_CHARACTER)
    wordings = subject.asker.wordings(entry.item, protocol)
    for name in protocols:
        for by in orders:
            found = scores.get(f"{by}\x1f{entry.key}")
            if found is not None:
                yield from_scores(entry, found, protocol=name, model=subject.name, wordings=wordings, by=by)


def _generated(work: _Run, subject: Subject) -> Iterator[Prediction]:
    from bimedix.evaluate.generation import generate

    settings, cache, asker = work.settings, work.cache, subject.asker
    entries = {entry.key: entry for entry in work.asked}
    prompts = {
        key: asker.prompt(entry.item, with_rationale=settings.with_rationale)
        for key, entry in entries.items()
    }
    keys = {
        key: key_of("reply", subject.key, settings.batch_tokens, settings.max_new_tokens, prompt)
        for key, prompt in prompts.items()
    }
    with work.context.progress.task(f"{subject.name}, {GENERATION}", len(prompts), "items") as task:

        def known(id: str) -> tuple[int, ...] | None:
            found = cache.get(keys[id])
            return None if found is None else tuple(found)

        def keep(new: Mapping[str, Sequence[int]]) -> None:
            cache.put({keys[name]: ids for name, ids in new.items()})
            task.advance(len(new))

        replies = generate(
            subject.model, prompts, end_id=subject.end_id, max_new_tokens=settings.max_new_tokens,
            budget=settings.batch_tokens, known=known, keep=keep,
        )  # fmt: skip
    for key, entry in entries.items():
        text = asker.tokenizer.decode(list(replies[key]), skip_special_tokens=True).strip()
        yield from_reply(entry, text, model=subject.name)
