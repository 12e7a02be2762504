"""Settings of the room `evaluate`; free of torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bimedix.completers.settings import CompleterSettings, files_of
from bimedix.completers.settings import check as check_completer
from bimedix.errors import RecipeError, did_you_mean
from bimedix.evaluate.labels import LABELLED
from bimedix.evaluate.splitters import SPLITTERS
from bimedix.languages import language

LETTERS = "letters"
OPTIONS = "options"
OPTIONS_PER_CHARACTER = "options_per_character"
GENERATION = "generation"
PROTOCOLS = (LETTERS, OPTIONS, OPTIONS_PER_CHARACTER, GENERATION)
RATIONALE_PROTOCOLS = ("mmedbench_table", "mmedbench_code", "bimedix")
PLAIN = "plain"
VERBATIM = "verbatim"
"""Template of imported tasks: the question is the whole prompt, and options continue it after a space."""
"""Template of base models: the question as plain text and an answer cue, tokenised as lm-eval does it."""


@dataclass(frozen=True)
class Benchmark:
    """One test set: a file of multiple-choice records."""

    name: str
    """Name in tables; a name of `bimedix.benchmarks.NINE` makes it a column of the nine. Files in several
    languages share the name, so that they are paired item by item."""
    path: str
    """JSON Lines of multiple-choice records or of translations, whose targets are taken."""
    room: str = ""
    """Room whose output folder the path starts from, such as `sources`; empty: the recipe's folder."""
    language: str = "auto"
    """ISO 639-1 of the items to take; `auto` takes all, and tables them by language."""
    group: str = ""
    """Free name by which cells are averaged, such as `taught` and `unseen`."""
    split: str = ""
    """Take items of this split only (train, validation, test); empty: all."""
    dataset: str = ""
    """Take items of this data set only, by its name in the records; empty: all."""
    subject: str = ""
    """Take items of this subject only, such as `anatomy` of `mmlu_medical`; empty: all."""
    only_in: str = ""
    """Take items only whose id stands in this records file, such as `mix/train.jsonl`: what was taught.
    `room/file`, or a path from the recipe's folder."""
    limit: int = 0
    """Most items per language, the first ones by hash of the id; 0: all."""

    def __post_init__(self) -> None:
        if self.language != "auto":
            language(self.language)
        if not self.name or not self.path:
            raise RecipeError(f"[evaluate] benchmark '{self.name}': needs a name and a path.")
        if self.limit < 0:
            raise RecipeError(f"[evaluate] benchmark '{self.name}': limit = {self.limit}; 0 or more.")


@dataclass(frozen=True)
class Timing:
    """How speed and memory are measured."""

    items: int = 16
    """Answers per language that are timed."""
    warm_up: int = 2
    """Answers before them that count for nothing."""
    max_new_tokens: int = 128
    """Longest answer in tokens (BiMediX's table 5 implies 512)."""
    exact: bool = False
    """A local model writes exactly so many tokens, past its stop token; for comparing machines."""
    share_of_bandwidth: float = 0.64
    """For the estimate beside: what decoding reaches of the memory's bandwidth (gpt-fast's int8 Mixtral on
    one A100 reaches 0.64 of what its weights allow)."""

    def __post_init__(self) -> None:
        if self.items < 1 or self.warm_up < 0 or self.max_new_tokens < 2:
            raise RecipeError("[evaluate.efficiency] items >= 1, warm_up >= 0, max_new_tokens >= 2.")
        if not 0 < self.share_of_bandwidth <= 1:
            raise RecipeError("[evaluate.efficiency] share_of_bandwidth: above 0, at most 1.")


@dataclass(frozen=True)
class Rubrics:
    """Answers to conversations, graded by criteria (HealthBench's files)."""

    path: str = ""
    """JSON Lines with prompt_id, prompt and rubrics; from the recipe's folder."""
    judge: CompleterSettings | None = None
    """Who grades; empty: answers and a sheet for people are written, and nothing is graded."""
    marks: tuple[str, ...] = ()
    """Filled copies of rubric_sheet.csv, one per person: how far the judge says the same."""
    max_new_tokens: int = 512
    """Longest answer in tokens."""
    limit: int = 0
    """Most conversations, the first ones by hash of the id; 0: all."""

    def __post_init__(self) -> None:
        if not self.path or self.limit < 0 or self.max_new_tokens < 1:
            raise RecipeError("[evaluate.rubrics] needs a path, max_new_tokens >= 1 and limit >= 0.")


@dataclass(frozen=True)
class Ratings:
    """Generated explanations, rated by people on blinded sheets."""

    raters: int = 3
    """Sheets that are written, each in another order."""
    items: int = 30
    """Answers per model and language on a sheet."""
    highest: int = 5
    """Ratings go from 1 to this."""
    sheets: tuple[str, ...] = ()
    """Filled sheets, one per person; from the recipe's folder."""
    judge: CompleterSettings | None = None
    """Who rates the same answers beside people; empty: nobody."""

    def __post_init__(self) -> None:
        if self.raters < 1 or self.items < 1 or self.highest < 2:
            raise RecipeError("[evaluate.ratings] raters >= 1, items >= 1, highest >= 2.")


@dataclass(frozen=True)
class Settings:
    """One table `[evaluate]` of a recipe."""

    benchmarks: tuple[Benchmark, ...] = ()
    """The test sets."""
    protocols: tuple[str, ...] = (LETTERS,)
    """How an answer is taken: `letters` (log-probability of the option labels), `options` (of the answer as
    the model was taught to word it, or of the bare option text with the template `plain`),
    `options_per_character` (the same, divided by its characters), `generation` (a reply, read)."""
    model: str = ""
    """Model folder or hub id; empty: `base` and `adapter` of the room `train`."""
    adapter: str = ""
    """Adapter folder to put on `model`; empty: none."""
    compare_base: bool = True
    """Also score the base without its adapter, and compare item by item."""
    completer: CompleterSettings | None = None
    """Who answers in place of a local model (`letters` where it offers log-probabilities, `generation`): an
    endpoint, or a recording of one."""
    tokenizer: str = ""
    """Tokenizer folder, hub id or `mixtral`; empty: the model's own."""
    template: str = "mixtral"
    """Chat layout: `mixtral`, `vicuna`, `tokenizer`, `plain` for base models that know no chat, or
    `verbatim` for questions that are whole prompts."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the weights; scores are float32 always."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: cuda where there is one."""
    shots: int = 0
    """Worked examples before every question (BiMediX: not stated, 0 is likely)."""
    shots_path: str = ""
    """Multiple-choice records that examples are drawn from, by language; from the recipe's folder."""
    orders: int = 1
    """Cyclic orders of the options to score with `letters`: 1 is the printed one only; 4 shows how much the
    order decides (arXiv 2309.03882)."""
    with_rationale: bool = False
    """`generation` asks for the reason first."""
    rationale_protocols: tuple[str, ...] = ("mmedbench_table", "mmedbench_code", "bimedix")
    """How generated rationales are compared with the items' own; needs `with_rationale`."""
    unfiltered_rationales: bool = False
    """Compare with references too that no person has passed; MMedBench takes passed ones only."""
    bertscore: str = ""
    """Folder of a local encoder, such as bert-base-multilingual-cased, for BERTScore; empty: none."""
    bertscore_layer: int = 0
    """Hidden layer whose vectors are compared, from 1; 0: the last. bert-score takes 9 of the above."""
    word_splitters: tuple[str, ...] = ()
    """`jieba` counts Chinese, `janome` Japanese by words; else by characters (extra `cjk`)."""
    leaderboard: bool = False
    """Also write MMedBench's four leaderboard files, for the last model; needs `with_rationale`."""
    max_new_tokens: int = 64
    """Longest reply in tokens; give rationales 512."""
    batch_tokens: int = 2048
    """Tokens that go through the model at once."""
    verify: int = 32
    """Items per test set that are scored a second time alone, to prove that batching changes nothing."""
    confidence: float = 0.95
    """Level of all intervals."""
    bootstrap_draws: int = 10_000
    """Resamples of paired comparisons."""
    integrity: Literal["report", "refuse", "off"] = "report"
    """Before scoring, test sets are checked for rows that are no sound question: translations against their
    sources, duplicates, keys of empty options. `report` counts them beside the table, `refuse` stops."""
    trained_on: tuple[str, ...] = ()
    """Record files that the model was trained on, `room/file` such as `mix/train.jsonl` or paths from the
    recipe's folder: test items found in them, by lineage in any language or by their words, fail the check
    `overlap`."""
    published: tuple[str, ...] = ()
    """Published tables to quote beside ours, by id, such as `bimedix-3`."""
    rubrics: Rubrics | None = None
    """Also answer conversations, and have the answers graded."""
    ratings: Ratings | None = None
    """Also write sheets of generated rationales for people to rate, and read filled ones."""
    efficiency: Timing | None = None
    """Also measure speed and memory by language, of a local model or an OpenAI-compatible endpoint."""
    page_languages: tuple[str, ...] = ("en",)
    """Languages of the report: `en` (report.html) and `ar` (report.ar.html, from right to left)."""

    def __post_init__(self) -> None:
        for protocol in self.protocols:
            if protocol not in PROTOCOLS:
                raise RecipeError(
                    f"[evaluate] protocol '{protocol}' is not known.{did_you_mean(protocol, PROTOCOLS)}\n"
                    f"  Known: {', '.join(PROTOCOLS)}."
                )
        if not self.protocols or len(set(self.protocols)) != len(self.protocols):
            raise RecipeError("[evaluate] protocols: name at least one, and each once.")
        if self.completer and not set(self.protocols) <= {LETTERS, GENERATION}:
            raise RecipeError(
                "[evaluate] a completer gives replies and the likeliest letters, no log-probabilities of "
                f"chosen words.\n  Set `protocols` to `{LETTERS}`, `{GENERATION}` or both, or score a local "
                "model."
            )
        if self.efficiency and self.completer and self.completer.kind != "openai":
            raise RecipeError(
                f"[evaluate.efficiency] a completer of kind '{self.completer.kind}' cannot be timed.\n"
                "  Time a local model, or a completer of kind 'openai', which streams its answers."
            )
        if self.ratings and not self.with_rationale:
            raise RecipeError("[evaluate.ratings] rates rationales: set `with_rationale = true` as well.")
        if self.rubrics and not self.completer and self.template in (PLAIN, VERBATIM):
            raise RecipeError(
                f"[evaluate.rubrics] conversations need a chat template, not '{self.template}'."
            )
        if self.orders < 1 or (self.orders > 1 and LETTERS not in self.protocols):
            raise RecipeError(f"[evaluate] orders = {self.orders}: 1 or more, and with protocol `{LETTERS}`.")
        if (self.with_rationale or self.leaderboard) and GENERATION not in self.protocols:
            raise RecipeError(f"[evaluate] rationales are generated: add the protocol `{GENERATION}`.")
        if self.leaderboard and not self.with_rationale:
            raise RecipeError("[evaluate] leaderboard: set `with_rationale = true` as well.")
        for name in self.rationale_protocols:
            if name not in RATIONALE_PROTOCOLS:
                raise RecipeError(
                    f"[evaluate] rationale protocol '{name}' is not known."
                    f"{did_you_mean(name, RATIONALE_PROTOCOLS)}\n  Known: {', '.join(RATIONALE_PROTOCOLS)}."
                )
        for code in self.page_languages:
            if code not in LABELLED:
                raise RecipeError(f"[evaluate] page language '{code}': known are {', '.join(LABELLED)}.")
        for name in self.word_splitters:
            if name not in SPLITTERS:
                raise RecipeError(f"[evaluate] word splitter '{name}': known are {', '.join(SPLITTERS)}.")
        if self.shots < 0 or (self.shots and not self.shots_path):
            raise RecipeError(f"[evaluate] shots = {self.shots}: 0 or more, drawn from `shots_path`.")
        if not 0 < self.confidence < 1:
            raise RecipeError(f"[evaluate] confidence = {self.confidence}; between 0 and 1.")
        if min(self.batch_tokens, self.max_new_tokens, self.bootstrap_draws) < 1:
            raise RecipeError("[evaluate] batch_tokens, max_new_tokens and bootstrap_draws are 1 or more.")


def input_files(settings: Settings, base: Path) -> Iterator[Path]:
    """Yield the files and folders that a run depends on, beside the outputs of other rooms."""
    yield from (base / benchmark.path for benchmark in settings.benchmarks if not benchmark.room)
    own = (
        settings.model, settings.adapter, settings.tokenizer, settings.shots_path, settings.bertscore,
    )  # fmt: skip
    graded = settings.rubrics, settings.ratings
    people = [*(graded[0].marks if graded[0] else ()), *(graded[1].sheets if graded[1] else ())]
    rubrics = (settings.rubrics.path,) if settings.rubrics else ()
    judges = [name for part in graded if part for name in files_of(part.judge)]
    named = (*own, *people, *rubrics, *judges, *settings.trained_on, *files_of(settings.completer))
    yield from (base / name for name in named if name and (base / name).exists())


def check(settings: Settings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell which test sets and models are there."""
    if not settings.benchmarks:
        yield "error", "names no benchmarks; add a table [[evaluate.benchmarks]] per test set"
    named = [b.path for b in settings.benchmarks if not b.room] + [settings.shots_path]
    absent = sorted({name for name in named if name and not (base / name).is_file()})
    yield from (("missing", f"{base / name}: no such file") for name in absent)
    if not absent and settings.benchmarks:
        sets = {b.name for b in settings.benchmarks}
        yield "ok", f"{len(sets)} test sets in {len(settings.benchmarks)} parts: {', '.join(sorted(sets))}"
    if settings.completer is not None:
        yield from (
            (level, f"completer: {text}") for level, text in check_completer(settings.completer, base)
        )
    for name in (settings.model, settings.adapter, settings.bertscore):
        if name.startswith((".", "/")) and not (base / name).is_dir():
            yield "missing", f"{base / name}: no such model folder"
