"""The room `mix`: one shuffled, decontaminated training set in a declared ratio, with its statistics.

First a survey: test items are indexed, and what may not be mixed at all is refused. Then two passes over a
spool: one notes size, language and draws of every admitted item in columns (about 240 bytes a record, most of
them for near-duplicates); the other reads the items back in their order and writes the chosen ones. Files:
`train.jsonl`, `validation.jsonl`, `records.jsonl` (both, in order), `passages.jsonl` (running text for
continued pre-training, whole or cut), `dropped.jsonl`, `statistics.json`, `decontamination.json`, and
`side_by_side.html`, some records with their pairs.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from bimedix.draws import uniform_draw
from bimedix.errors import BimedixError, DataError, RecipeError
from bimedix.files import RecordWriter, hash_file, write_json, write_text
from bimedix.mix.figures import TOKENIZER, Words, aligned_fertility, fertility, ratios, tables, write_checked
from bimedix.mix.gates import Survey, allowed, check_gates, survey
from bimedix.mix.inputs import (
    ROOMS,
    Mixed,
    describe,
    objection,
    read_inputs,
    test_files,
)
from bimedix.mix.repeats import repeated
from bimedix.mix.segments import segments_of
from bimedix.mix.select import (
    BY_RATIO,
    KEPT,
    PAIRED,
    REPEATED,
    TRAIN,
    VALIDATION,
    Candidates,
    Column,
    choose,
    draw,
    pair_key,
)
from bimedix.mix.settings import Settings
from bimedix.mix.side_by_side import drawn_pairs, side_by_side
from bimedix.overlap.contamination import Match, TestIndex, roots_of
from bimedix.overlap.near import NearDuplicates
from bimedix.pages import SHOWN, SIDE_BY_SIDE
from bimedix.prompts.questions import to_messages
from bimedix.records import (
    Conversation,
    Dialogue,
    MultipleChoice,
    OpenQuestion,
    Passage,
    content_hash,
    encode,
)
from bimedix.stage import RECORDS, Context, StageWriter, Summary
from bimedix.tokens import count_tokens

_decode = msgspec.json.Decoder(Mixed).decode
TYPES = {MultipleChoice: "mcqa", OpenQuestion: "qa", Dialogue: "chat"}
NEARLY = "nearly repeats another text"
_WHY = {
    BY_RATIO: "left out by the ratio",
    PAIRED: "another language's version of the item is in the mix",
    REPEATED: NEARLY,
}


@dataclass
class _Run:
    """What the passes share."""

    settings: Settings
    context: Context
    stage: StageWriter
    spool: IO[bytes]
    tests: TestIndex
    near: NearDuplicates
    read: int = 0
    checked: int = 0
    rows: Candidates = field(default_factory=Candidates)
    passages: list[tuple[int, int, int]] = field(default_factory=list)
    """Order, offset and length in the spool."""
    seen: set[int] = field(default_factory=set)
    rules: Counter[str] = field(default_factory=Counter)
    leaks: dict[str, str] = field(default_factory=dict)
    """Head of a lineage that holds a test item → that item."""
    repeats: dict[int, str] = field(default_factory=dict)
    """Place in the spool of a near-duplicate → id of the record that stays."""


def run(settings: Settings, inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Mix the records of `inputs` into `out`; see the module's text for the files."""
    found = survey(inputs, settings, context.base)
    check_gates(found, settings)
    with StageWriter(out, "mix") as stage, _spool(out) as spool:
        work = _Run(settings, context, stage, spool, found.tests, NearDuplicates(settings.near_duplicates))
        _admit_all(work, inputs)
        spool.flush()
        if settings.near_duplicates:
            work.repeats = repeated(work.near, lambda place: _reread(work, place))
        _check_sides(work.rows, settings)
        fate, ranked = choose(work.rows, settings, context.seed, set(work.repeats))
        shown = drawn_pairs(work.rows, fate == KEPT, SHOWN)
        words, licences, splits = _write_chosen(work, out, fate, ranked, shown)
        write_text(out / SIDE_BY_SIDE, side_by_side(shown, settings.source_language))
        passages = _write_passages(work, out)
        figures = _statistics(work, fate == KEPT, words, splits)
        figures |= {"licences": licences, "passages": passages, "near_duplicates": _near_figures(work)}
        write_json(out / "statistics.json", figures)
        write_json(out / "decontamination.json", _decontamination(work, found, inputs))
        _check_counts(work, passages["read"])
        return stage.summary(work.read, **_headlines(figures), registered_absent=found.absent)


@contextmanager
def _spool(out: Path) -> Iterator[IO[bytes]]:
    path = out / "spool.part"
    out.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("w+b") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


# --- first pass -----------------------------------------------------------------------------------------


def _admit_all(work: _Run, inputs: Mapping[str, Path]) -> None:
    for given in work.context.progress.track(read_inputs(inputs, work.settings), "mix: read"):
        work.read += 1
        if given.item is None:
            work.stage.drop(given.record, given.reason, id=given.id)
        elif reason := objection(given.item, work.settings):
            work.stage.drop(given.item, reason)
        elif not allowed(given.item.origin.licence, work.settings):
            work.stage.drop(given.item, "licence is not allowed", detail=given.item.origin.licence)
        elif not _is_leak(work, given.item, given.source):
            _admit(work, given.item)


def _is_leak(work: _Run, item: Mixed, source: Mixed | None) -> bool:
    """Drop an item that holds a test item, or comes from one that does: translation hides overlap."""
    if not work.settings.decontaminate:
        return False
    work.checked += 1
    match = _inherited(work, item) or work.tests.find(item)
    if match is None and source is not None:
        match = work.tests.find(source)
    if match is None:
        return False
    for root in roots_of(item):
        work.leaks.setdefault(root, match.test_id)
    work.rules[match.rule] += 1
    work.stage.drop(item, f"holds a test item: {match.rule}", place=match.test_id, detail=describe(match))
    return True


def _inherited(work: _Run, item: Mixed) -> Match | None:
    """Return the match of an earlier record of the same lineage; source languages are read first."""
    root = next((root for root in sorted(roots_of(item)) if root in work.leaks), None)
    return None if root is None else Match("lineage", work.leaks[root], 1.0, root)


def _admit(work: _Run, item: Mixed) -> None:
    """Lay an item out, put it on the spool, and note what choosing needs."""
    key = draw(0, "id", item.id)
    if key in work.seen:
        work.stage.drop(item, "id occurs twice")
        return
    work.seen.add(key)
    order = draw(work.context.seed, "order", content_hash(item))
    if isinstance(item, Passage):
        work.passages.append((order, *_spooled(work, item)))
        return
    try:
        laid_out = lay_out(item, work.settings.with_rationale, work.context.seed)
    except DataError as error:
        work.stage.drop(item, "nothing to learn from", detail=str(error))
        return
    offset, _ = _spooled(work, item)
    _note(work.rows, laid_out, _split_of(item, work), order, offset)


def lay_out(item: Mixed, with_rationale: float, seed: int) -> Conversation:
    """Return an item as chat messages; a pair of translations is laid out alike.

    Which multiple-choice items show their rationale is drawn from (seed, id without its language).
    """
    if isinstance(item, Conversation):
        return item
    if isinstance(item, Passage):
        raise TypeError("passages are not laid out as chat")
    shown = uniform_draw(seed, "rationale", pair_key(item.id)) < with_rationale
    messages = to_messages(item, with_rationale=shown)
    kind: Any = TYPES[type(item)]
    return Conversation(item.id, item.language, item.origin, messages, kind, item.parents)


def _split_of(item: Mixed, work: _Run) -> int:
    """Return the split of the item's lineage: all that was made from one item stays on one side."""
    root = min(roots_of(item))
    share = work.settings.validation_share
    return VALIDATION if uniform_draw(work.context.seed, "validation", root) < share else TRAIN


def _spooled(work: _Run, item: Mixed) -> tuple[int, int]:
    """Put an item on the spool; return its place and length."""
    offset, line = work.spool.tell(), encode(item)
    work.spool.write(line + b"\n")
    if work.settings.near_duplicates:
        work.near.add(item, offset)
    return offset, len(line)


def _reread(work: _Run, place: int) -> Mixed:
    """Return the item at a place of the spool."""
    work.spool.seek(place)
    item: Mixed = _decode(work.spool.readline())
    return item


def _note(rows: Candidates, record: Conversation, split: int, order: int, offset: int) -> None:
    rows.order.append(order)
    rows.pair.append(draw(0, "pair", pair_key(record.id)))
    rows.split.append(split)
    rows.type.append(rows.number("type", record.type))
    rows.language.append(rows.number("language", record.language))
    rows.source.append(rows.number("source", record.origin.dataset))
    rows.turns.append(sum(message.role == "assistant" for message in record.messages))
    rows.tokens.append(sum(count_tokens(message.content) for message in record.messages))
    rows.characters.append(sum(len(message.content) for message in record.messages))
    rows.offset.append(offset)


def _check_sides(rows: Candidates, settings: Settings) -> None:
    """Refuse a ratio with a side that is empty: it would leave the whole mix empty."""
    if not settings.languages or not len(rows) or min(settings.ratio) == 0:
        return
    targets = rows.of_languages(settings.languages)
    if targets.all() or not targets.any():
        empty = settings.source_language if targets.all() else ", ".join(settings.languages)
        raise RecipeError(
            f"mix: no record in '{empty}' was admitted, so a ratio of {settings.ratio[0]:g} : "
            f"{settings.ratio[1]:g} keeps nothing.\n"
            "  Look into dropped.jsonl for the reasons, or mix one side alone: `ratio = [1, 0]` keeps the "
            "target languages, `ratio = [0, 1]` the source language."
        )


# --- second pass ----------------------------------------------------------------------------------------


def _write_chosen(
    work: _Run, out: Path, fate: Column, ranked: Column, shown: dict[int, list[Conversation]]
) -> tuple[Words, list[dict[str, Any]], dict[str, int]]:
    """Write the kept records in order, drop the others; return words, samples by licence, sizes of splits."""
    words, licences = Words(), Counter[tuple[str, str]]()
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(RecordWriter(out / f"{name}.jsonl"))
            for split, name in ((TRAIN, "train"), (VALIDATION, "validation"))
        }
        rows = ranked.tolist()
        for row in work.context.progress.track(rows, "mix: write", total=len(rows)):
            place = work.rows.offset[row]
            item = _reread(work, place)
            if fate[row] != KEPT:
                work.stage.drop(item, _WHY[int(fate[row])], place=work.repeats.get(place, ""))
                continue
            record = lay_out(item, work.settings.with_rationale, work.context.seed)
            work.stage.write(record)
            files[work.rows.split[row]].write(record)
            if work.rows.pair[row] in shown:
                shown[work.rows.pair[row]].append(record)
            licences[record.origin.dataset, record.origin.licence] += 1
            words.add(item)
            words.measure(record)
    listed = [{"source": s, "licence": t, "samples": n} for (s, t), n in sorted(licences.items())]
    return words, listed, {"train": files[TRAIN].tally.written, "validation": files[VALIDATION].tally.written}


def _write_passages(work: _Run, out: Path) -> dict[str, Any]:
    """Write the passages, whole or cut, in the order of their draws."""
    settings, counts = work.settings, Counter[str]()
    with RecordWriter(out / "passages.jsonl") as file:
        for _, offset, _ in sorted(work.passages):
            passage = _reread(work, offset)
            if offset in work.repeats:
                work.stage.drop(passage, NEARLY, place=work.repeats[offset])
                continue
            assert isinstance(passage, Passage)
            counts["read"] += 1
            counts["characters"] += len(passage.text)
            for piece, tokens in _pieces(passage, settings):
                file.write(piece)
                counts["written"] += 1
                counts["tokens"] += tokens
                counts["characters_written"] += len(piece.text)
    whole, given = counts["characters_written"], counts["characters"]
    multiplier = round(whole / given, 4) if given else None
    names = ("read", "written", "tokens", "characters")
    return {"segments": settings.segments, "text_multiplier": multiplier} | {n: counts[n] for n in names}


def _pieces(passage: Passage, settings: Settings) -> Iterator[tuple[Passage, int]]:
    if settings.segments == "off":
        yield passage, count_tokens(passage.text)
    else:
        overlap = settings.segment_overlap_tokens
        yield from segments_of(passage, settings.segment_tokens, mode=settings.segments, overlap=overlap)


# --- reports --------------------------------------------------------------------------------------------


def _statistics(work: _Run, kept: Column, words: Words, splits: dict[str, int]) -> dict[str, Any]:
    settings = work.settings
    found = tables(work.rows, kept)
    write_checked(found, work.stage.written, _complain)
    languages = [row["language"] for row in found["by_language"]]
    return found | {
        "tokenizer": TOKENIZER,
        "seed": work.context.seed,
        "splits": splits,
        "ratio": {"asked": list(settings.ratio), "basis": settings.basis, "per_type": settings.per_type}
        | ratios(work.rows, kept, settings.languages),
        "fertility": fertility(found, words),
        "fertility_of_pairs": aligned_fertility(work.rows, settings.source_language),
        "frequent_words": {
            code: words.most_frequent(code, settings.frequent_words) for code in sorted(set(languages))
        },
    }


def _complain(what: str) -> None:
    raise BimedixError(f"mix: {what}. Please report this; the mix is not complete.")


def _near_figures(work: _Run) -> dict[str, Any]:
    return {
        "least_share_of_runs": work.settings.near_duplicates,
        "left_out": len(work.repeats),
        "kept_though_alike": work.near.kept_apart,
        "texts_compared": work.near.compared,
    }


def _decontamination(work: _Run, found: Survey, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Return what was held against which test items, and the hashes of the files on both sides."""
    files = test_files(work.settings, work.context.base)
    base = work.context.base
    return {
        "on": work.settings.decontaminate,
        "held_out": list(work.settings.held_out),
        "test_items": len(work.tests),
        "test_files": {os.path.relpath(path, base): hash_file(path) for path in files},
        "inputs": {room: hash_file(inputs[room] / RECORDS) for room in ROOMS if room in inputs},
        "checked": work.checked,
        "dropped_by_rule": dict(sorted(work.rules.items())),
        "approvals_checked": found.approved,
    } | found.figures()


def _check_counts(work: _Run, passages: int) -> None:
    """Prove that no record got lost."""
    gone = work.stage.dropped.total()
    if work.read != work.stage.written + passages + gone:
        _complain(
            f"{work.read:,} records were read, {work.stage.written:,} written, {passages:,} are passages, "
            f"{gone:,} dropped; the sum does not hold"
        )


def _headlines(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the few figures that the report shows; the rest is in statistics.json."""
    return {
        "total": figures["total"],
        "by_type": figures["by_type"],
        "by_language": figures["by_language"],
        "splits": figures["splits"],
        "ratio": figures["ratio"],
        "fertility": figures["fertility"],
        "fertility_of_pairs": figures["fertility_of_pairs"],
        "passages": figures["passages"],
        "near_duplicates": figures["near_duplicates"],
    }
