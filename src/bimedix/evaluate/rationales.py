"""How close a generated rationale comes to the reference: BLEU, ROUGE and chrF in seven languages.

Three protocols, named in every figure, because what MMedBench's table is headed is not what its released
script computes (mmed.md, section 8):

- `mmedbench_table`: BLEU-1 and ROUGE-1, as the table is headed;
- `mmedbench_code`: BLEU-4 with smoothing method 1 under the same head, ROUGE-L, and BERTScore;
- `bimedix`: BLEU-1 to 4, ROUGE-1, -2, -L, chrF and BERTScore, with intervals.

BERTScore takes a local encoder (see `evaluate.bertscore`) and is left out where none is given.

Words and punctuation are counted for spaced languages, characters for Chinese and Japanese, and Arabic in
the normal form of `bimedix.text`; `rouge_score` gives 0.0 for two identical Arabic, Chinese or Russian texts.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

from msgspec import Struct

from bimedix.errors import DataError, UsageError
from bimedix.evaluate.items import Asked
from bimedix.evaluate.splitters import splitter as split_words
from bimedix.evaluate.splitters import told
from bimedix.languages import language
from bimedix.prompts.questions import split_reply
from bimedix.records import Prediction
from bimedix.statistics import bootstrap_interval
from bimedix.text import normalise, words

if TYPE_CHECKING:
    from bimedix.evaluate.bertscore import BertScorer

Protocol = Literal["mmedbench_table", "mmedbench_code", "bimedix"]
Tokens = list[str]
EPSILON = 0.1
"""Smoothing method 1 of Chen and Cherry 2014, as nltk has it: a precision of 0 counts as 0.1 matches."""


class Rationale(Struct, frozen=True):
    """A generated rationale and the reference."""

    id: str
    language: str
    reference: str
    generated: str
    human_check_passed: bool | None = None


class Similarity(Struct, frozen=True):
    """One metric in one language, or the mean of languages."""

    protocol: Protocol
    metric: str
    language: str
    """A code, or `mean`: the plain mean of the languages."""
    items: int
    value: float
    """0 to 1."""
    low: float
    high: float
    signature: str
    """How it was computed, as sacrebleu's signatures say it."""


def _grams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[k:] for k in range(n)), strict=False))


def bleu(reference: Tokens, generated: Tokens, order: int, *, short_texts: bool = True) -> float:
    """Return sentence BLEU up to an order, with smoothing method 1.

    Args:
        reference: tokens of the reference.
        generated: tokens of the generated text.
        order: longest n-gram; uniform weights.
        short_texts: leave out orders for which the texts are too short, so that a text equals itself;
            False: as nltk.
    """
    if not reference or not generated:
        return float(reference == generated)
    logs = []
    for n in range(1, order + 1):
        made = _grams(generated, n)
        total = sum(made.values())
        if not total and short_texts:
            continue
        shared = sum((made & _grams(reference, n)).values())
        logs.append(math.log((shared or EPSILON) / max(total, 1)))
        if n == 1 and not shared:
            return 0.0
    brevity = min(0.0, 1 - len(reference) / len(generated))
    return math.exp(math.fsum(logs) / len(logs) + brevity)


def corpus_bleu(pairs: Iterable[tuple[Tokens, Tokens]], order: int = 4) -> float:
    """Return corpus BLEU of (reference, generated) pairs, unsmoothed; 0 when an order never matches."""
    shared, total = [0] * order, [0] * order
    long_reference = long_generated = 0
    for reference, generated in pairs:
        long_reference += len(reference)
        long_generated += len(generated)
        for n in range(order):
            made = _grams(generated, n + 1)
            shared[n] += sum((made & _grams(reference, n + 1)).values())
            total[n] += sum(made.values())
    if not all(shared):
        return 0.0
    precision = math.fsum(math.log(a / b) for a, b in zip(shared, total, strict=True)) / order
    return math.exp(precision + min(0.0, 1 - long_reference / long_generated))


def _f1(shared: int, reference: int, generated: int) -> float:
    return 2 * shared / (reference + generated) if reference + generated else 1.0


def rouge(reference: Tokens, generated: Tokens, n: int) -> float:
    """Return ROUGE-n F1 of clipped n-gram counts; 1 for equal texts that are too short to have any."""
    ours, theirs = _grams(generated, n), _grams(reference, n)
    if not ours and not theirs:
        return float(reference == generated)
    return _f1(sum((ours & theirs).values()), sum(theirs.values()), sum(ours.values()))


def rouge_l(reference: Tokens, generated: Tokens) -> float:
    """Return ROUGE-L F1 from the longest common subsequence, over whole texts."""
    return _f1(longest_common(reference, generated), len(reference), len(generated))


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence; bit-parallel, one big integer a row.

    Source: Hyyrö 2004, bit-parallel LCS.
    """
    masks: dict[str, int] = {}
    for index, token in enumerate(first):
        masks[token] = masks.get(token, 0) | 1 << index
    whole = (1 << len(first)) - 1
    row = whole
    for token in second:
        met = row & masks.get(token, 0)
        row = ((row + met) | (row - met)) & whole
    return len(first) - row.bit_count()


def chrf(reference: str, generated: str, *, order: int = 6, beta: float = 2.0) -> float:
    """Return sentence chrF: mean F-beta of character n-grams, spaces left out.

    Source: Popović 2015; the same as sacrebleu's, whose `effective order` leaves out orders that neither
    text is long enough for.
    """
    ours, theirs = list("".join(generated.split())), list("".join(reference.split()))
    scores = []
    for n in range(1, order + 1):
        made, wanted = _grams(ours, n), _grams(theirs, n)
        if not made or not wanted:
            continue
        shared = sum((made & wanted).values())
        precision, recall = shared / sum(made.values()), shared / sum(wanted.values())
        weight = beta * beta * precision + recall
        scores.append((1 + beta * beta) * precision * recall / weight if weight else 0.0)
    return math.fsum(scores) / len(scores) if scores else float(ours == theirs)


@dataclass(frozen=True)
class Counted:
    """A pair as metrics see it: cut into tokens once."""

    reference: Tokens
    generated: Tokens
    reference_text: str
    """In normal form where the language is compared so."""
    generated_text: str


def counted(pair: Rationale, splitter: str = "") -> Counted:
    """Cut both texts of a pair; `splitter` names one of `evaluate.splitters`."""
    texts = [pair.reference, pair.generated]
    if language(pair.language).script == "ARABIC":
        texts = [normalise(text) for text in texts]
    cut = split_words(splitter) if splitter else partial(words, code=pair.language)
    reference, generated = texts
    return Counted(cut(reference), cut(generated), reference, generated)


Metric = Callable[[Counted], float]


def _tokens(score: Callable[[Tokens, Tokens], float]) -> Metric:
    return lambda pair: score(pair.reference, pair.generated)


METRICS: Mapping[Protocol, Mapping[str, Metric]] = {
    "mmedbench_table": {
        "BLEU-1": _tokens(lambda a, b: bleu(a, b, 1)),
        "ROUGE-1": _tokens(lambda a, b: rouge(a, b, 1)),
    },
    "mmedbench_code": {
        "BLEU-1 (computed as BLEU-4)": _tokens(lambda a, b: bleu(a, b, 4, short_texts=False)),
        "ROUGE-1 (computed as ROUGE-L)": _tokens(rouge_l),
    },
    "bimedix": {
        **{f"BLEU-{order}": _tokens(partial(bleu, order=order)) for order in (1, 2, 3, 4)},
        "ROUGE-1": _tokens(lambda a, b: rouge(a, b, 1)),
        "ROUGE-2": _tokens(lambda a, b: rouge(a, b, 2)),
        "ROUGE-L": _tokens(rouge_l),
        "chrF": lambda pair: chrf(pair.reference_text, pair.generated_text),
    },
}
BERTSCORE = "BERTScore"
WITH_BERTSCORE = ("mmedbench_code", "bimedix")
"""Protocols that hold BERTScore too, where an encoder is given."""


def signature(protocol: Protocol, metric: str, code: str, how: str = "", splitter: str = "") -> str:
    """Return how a figure was computed, so that it can be computed again."""
    if metric == BERTSCORE:
        return f"{protocol}|{metric} F1|{how}|mean of items|bimedix"
    spaced = code == "mean" or language(code).spaced
    tokens = "words+punctuation" if spaced else "characters, runs of ASCII kept"
    if splitter:
        tokens = told(splitter)
    if metric == "chrF":
        tokens = "characters 1-6, beta 2, no spaces"
    form = "normal form" if code != "mean" and language(code).script == "ARABIC" else "as written"
    smooth = "|smooth:method 1" if metric.startswith("BLEU") else ""
    return f"{protocol}|{metric}|tokens:{tokens}|text:{form}{smooth}|mean of items|bimedix"


class ItemScore(Struct, frozen=True):
    """What one rationale scored by one metric."""

    id: str
    language: str
    protocol: str
    metric: str
    value: float
    """0 to 1."""


def item_scores(
    pairs: Sequence[Rationale],
    protocol: Protocol,
    *,
    splitters: Mapping[str, str] = MappingProxyType({}),
    scorer: "BertScorer | None" = None,
) -> list[ItemScore]:
    """Score every pair by every metric of a protocol.

    Args:
        pairs: references and generated texts.
        protocol: which metrics.
        splitters: name of the word splitter by language; others are cut by `text.words`.
        scorer: computes BERTScore, in the protocols that hold it.
    """
    cut = [counted(pair, splitters.get(pair.language, "")) for pair in pairs]
    columns = {name: [measure(one) for one in cut] for name, measure in METRICS[protocol].items()}
    if scorer is not None and protocol in WITH_BERTSCORE:
        columns[BERTSCORE] = scorer.scores([(pair.reference, pair.generated) for pair in pairs])
    return [
        ItemScore(pair.id, pair.language, protocol, name, value)
        for name, values in columns.items()
        for pair, value in zip(pairs, values, strict=True)
    ]


def check_passed(pairs: Sequence[Rationale]) -> None:
    """Refuse references that no person has passed.

    Raises:
        DataError: one did not pass, or was never checked.
    """
    unchecked = [pair.id for pair in pairs if not pair.human_check_passed]
    if unchecked:
        raise DataError(
            f"{len(unchecked):,} of {len(pairs):,} reference rationales were not passed by a person, such as "
            f"{unchecked[0]}.\n"
            "  MMedBench scores passed ones only: leave the others out, or set `unfiltered`."
        )


def score_rationales(
    pairs: Sequence[Rationale],
    protocol: Protocol,
    *,
    unfiltered: bool = False,
    splitters: Mapping[str, str] = MappingProxyType({}),
    scorer: "BertScorer | None" = None,
    draws: int = 1_000,
    seed: int = 17,
    confidence: float = 0.95,
) -> list[Similarity]:
    """Score generated rationales, by language and as the plain mean of the languages.

    Args:
        pairs: references and generated texts.
        protocol: which metrics, computed how.
        unfiltered: take items too whose reference no person has passed.
        splitters: name of the word splitter by language.
        scorer: computes BERTScore.
        draws: resamples of items per interval.
        seed: fixes them.
        confidence: level of the intervals.

    Raises:
        DataError: a reference did not pass a person's check, or was never checked, and `unfiltered` is off.
        UsageError: the protocol is not known.
    """
    if protocol not in METRICS:
        raise UsageError(f"rationale protocol '{protocol}' is not known.\n  Known: {', '.join(METRICS)}.")
    if not unfiltered:
        check_passed(pairs)
    rows = item_scores(pairs, protocol, splitters=splitters, scorer=scorer)
    how = scorer.signature if scorer else ""
    return summarise(rows, how=how, splitters=splitters, draws=draws, seed=seed, confidence=confidence)


def summarise(
    rows: Sequence[ItemScore],
    *,
    how: str = "",
    splitters: Mapping[str, str] = MappingProxyType({}),
    draws: int = 1_000,
    seed: int = 17,
    confidence: float = 0.95,
) -> list[Similarity]:
    """Average the scores of items, by protocol, metric and language, and over the languages."""
    cells: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        cells.setdefault((row.protocol, row.metric), {}).setdefault(row.language, []).append(row.value)
    out = []
    for (name, metric), by_language in cells.items():
        protocol, means = cast(Protocol, name), []
        for code, values in by_language.items():
            interval = bootstrap_interval(_mean, values, draws=draws, seed=seed, confidence=confidence)
            told_by = signature(protocol, metric, code, how, splitters.get(code, ""))
            means.append(Similarity(protocol, metric, code, len(values), _mean(values), *interval, told_by))
        out += means
        if len(means) > 1:
            out.append(_mean_of_languages(means, how))
    return out


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _mean_of_languages(rows: Sequence[Similarity], how: str) -> Similarity:
    """Average languages; their intervals are independent, so half widths add up in squares."""
    value = _mean([row.value for row in rows])
    half = math.sqrt(math.fsum((row.high - row.low) ** 2 for row in rows)) / 2 / len(rows)
    first = rows[0]
    return Similarity(
        first.protocol, first.metric, "mean", sum(row.items for row in rows), value,
        max(0.0, value - half), min(1.0, value + half), signature(first.protocol, first.metric, "mean", how),
    )  # fmt: skip


def paired(asked: Sequence[Asked], predictions: Sequence[Prediction]) -> Iterable[tuple[Asked, Prediction]]:
    """Yield items with the replies that one model gave to them, in the items' order."""
    replies = {(row.benchmark, row.language, row.id): row for row in predictions if row.text is not None}
    for entry in asked:
        row = replies.get((entry.benchmark, entry.item.language, entry.item.id))
        if row is not None:
            yield entry, row


def rationale_pairs(
    answered: Iterable[tuple[Asked, Prediction]], *, unfiltered: bool
) -> Iterable[tuple[Asked, Rationale]]:
    """Yield the rationale of every reply whose item has one that a person passed (or any, `unfiltered`)."""
    for entry, row in answered:
        item = entry.item
        if item.rationale and (unfiltered or item.human_check_passed):
            generated = split_reply(row.text or "", item.language)[0]
            yield entry, Rationale(item.id, item.language, item.rationale, generated, item.human_check_passed)
