"""Preparing conversations for training: layout, tokens, loss mask and packing, ours beside TRL's trainer.

All arms take the same invented conversations (English, Arabic and code-mixed, one to three turns, some with
a system message) as objects in memory, Mixtral's tokenizer and the same layout, and give packed rows of at
most 2,048 tokens with the marks of what bears loss:

- ours: `train.data.encode_samples`, `fill_rows` and `pack`, as `bimedix train` runs them, which reads
  Mixtral's tokenizer with sentencepiece;
- ours_hub: the same with the tokenizer of transformers that TRL gets, as for any other model;
- trl: `SFTTrainer._prepare_dataset` with `assistant_only_loss` and `packing` ("bfd"), the layout written as a
  template with `{% generation %}` marks; into a fresh cache each time, in one process.

Before anything is timed, token ids and marks of every conversation are compared. The template encodes a
conversation in one go, where ours encodes prompt and reply apart and so puts a word's space before a reply;
the template is given that space, and so both have to give the same ids. Figures are tokens per CPU second of
one process; the tokenizer is held to one thread.

Then the whole of a BiMed1.3M: 1,311,600 invented conversations (a part of them with `--quick`) are made into
shards by `train.prepare.prepare` in a fresh process, from JSON Lines on the disk to memory-mapped tokens, and
packed. Their lengths follow BiMediX, Fig. 3 and section 4.1: 423.8 K questions of 311 tokens on average,
638.1 K exam items of 537, 249.7 K dialogues of 633 (4.72 exchanges); a third is Arabic and has 2.33 times the
tokens of the English rest; around these twelve means log-normal with sigma 0.6, no sample below 24 tokens.
The spread is ours: the paper prints none. `packing_efficiency_N` is the share of tokens that are not empty
room when all samples of at most N tokens are laid whole into rows of N.

Goals: at least three times as many tokens a second as TRL; rows of 4,096 and 8,192 filled to 98 %.

    python benchmarks/prepare.py --quick --json
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import json
import logging
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np

from _common import arguments, finish, in_fresh_process, median_of, parser, peak_rss_mib
from bimedix.progress import Progress
from bimedix.prompts.chat import MixtralPieces
from bimedix.records import Conversation, Message, Origin
from bimedix.train.data import Sample, encode_samples, fill_rows
from bimedix.train.prepare import Encoding, prepare
from bimedix.train.samples import Samples

ROW_TOKENS = 2048
GOAL = 3.0
WORDS = {
    language: text.split()
    for language, text in (
        ("en", "which drug lowers blood pressure in an adult with chronic kidney disease and oedema 5 mg"),
        ("ar", "ما الدواء الذي يخفض ضغط الدم عند مريض بالغ مصاب بمرض كلوي مزمن ووذمة اليوم 5 ملغ"),
    )
}
WORDS["mixed"] = WORDS["en"] + WORDS["ar"]
TEMPLATE = (
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{% set ns.system = m['content'] + '\n\n' %}"
    "{% elif m['role'] == 'user' %}{{ '[INST] ' + ns.system + m['content'] + ' [/INST]' }}"
    "{% set ns.system = '' %}"
    "{% else %}{% generation %}{{ ' ' + m['content'] + eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
)
BATCH = 128
"""Conversations that are packed together; TRL takes 1,000 at a time."""


def conversation(index: int) -> Conversation:
    """Return an invented conversation of one to three exchanges of 60 to 200 words."""
    draw = Random(f"17:{index}")
    words = WORDS[("en", "ar", "mixed")[index % 3]]

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most)))

    messages = [Message("system", "Answer briefly and say when you are not sure.")] if index % 4 == 0 else []
    for _ in range(1 + index % 3):
        messages += [Message("user", text(30, 80) + "?"), Message("assistant", text(30, 120) + ".")]
    language = "ar" if index % 3 == 1 else "en"
    origin = Origin("demo", f"demo.jsonl:{index + 1}", "1.0", "CC0-1.0", "train")
    return Conversation(f"demo:{index}", language, origin, tuple(messages), "chat")


def encode_ours(records: Sequence[Conversation], tokenizer: Any) -> list[Sample]:
    return list(encode_samples(records, tokenizer, "mixtral", ROW_TOKENS, drop=refuse))


def refuse(dropped: Any) -> None:
    raise SystemExit(f"{dropped.id} was dropped: {dropped.reason}")


def prepare_ours(records: Sequence[Conversation], tokenizer: Any) -> list[Any]:
    """Return packed rows, one optimizer step after the other."""
    from bimedix.model.packing import pack

    samples = encode_ours(records, tokenizer)
    rows = []
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        for members in fill_rows([len(sample) for sample in batch], ROW_TOKENS):
            rows.append(pack([batch[at].document("replies") for at in members]))
    return rows


def prepare_trl(dataset: Any, tokenizer: Any, packing: bool, folder: str) -> Any:
    """Return TRL's prepared data set: `input_ids` and `labels`, -100 where nothing is learned."""
    from trl import SFTConfig, SFTTrainer

    settings = SFTConfig(
        output_dir=folder, packing=packing, max_length=ROW_TOKENS, assistant_only_loss=True,
        shuffle_dataset=False, use_cpu=True, bf16=False, report_to=[],
    )  # fmt: skip
    trainer: Any = SimpleNamespace(_tokenizer=tokenizer, chat_template=TEMPLATE, completion_only_loss=False)
    return SFTTrainer._prepare_dataset(trainer, dataset, tokenizer, settings, packing, None, "train")


def compare(records: Sequence[Conversation], dataset: Any, tokenizer: Any, folder: str) -> int:
    """Return the number of tokens; ends when ids or marks of a conversation differ."""
    ours, by_hub = encode_ours(records, MixtralPieces()), encode_ours(records, tokenizer)
    theirs = prepare_trl(dataset, tokenizer, False, folder)
    if ours != by_hub:
        raise SystemExit("arms differ: sentencepiece and transformers give other ids")
    if len(ours) != len(theirs):
        raise SystemExit(f"arms differ: {len(ours)} conversations and {len(theirs)}")
    for sample, row in zip(ours, theirs, strict=True):
        marks = [label != -100 for label in row["labels"]]
        if sample.ids.tolist() != row["input_ids"] or [bool(mark) for mark in sample.supervised] != marks:
            raise SystemExit(f"arms differ at {sample.id}")
    return sum(len(sample) for sample in ours)


# --- a BiMed1.3M ----------------------------------------------------------------------------------------

TYPES = {"qa": (423_800, 131.8e6, 1), "mcqa": (638_100, 342.5e6, 1), "chat": (249_700, 158.0e6, 5)}
"""Samples, tokens, exchanges (BiMediX, Fig. 3; 4.72 exchanges on average there)."""
ARABIC_SHARE, ENGLISH_TOKENS, ARABIC_TOKENS, MEAN_TOKENS = 0.3393, 332, 774, 482.1
SIGMA, LEAST_TOKENS, WINDOWS = 0.6, 24, (4096, 8192)
PACKING_GOAL = 0.98


def paper_samples(share: float) -> list[tuple[str, str, int]]:
    """Return (type, language, tokens) of a part of BiMed1.3M, in a drawn order."""
    draw = np.random.default_rng(17)
    made = []
    for kind, (count, tokens, _) in TYPES.items():
        count = round(count * share)
        arabic = draw.random(count) < ARABIC_SHARE
        means = np.where(arabic, ARABIC_TOKENS, ENGLISH_TOKENS) / MEAN_TOKENS * tokens / TYPES[kind][0]
        lengths = draw.lognormal(np.log(means) - SIGMA**2 / 2, SIGMA).astype(int).clip(LEAST_TOKENS)
        made += zip([kind] * count, np.where(arabic, "ar", "en").tolist(), lengths.tolist(), strict=True)
    return [made[at] for at in draw.permutation(len(made))]


def words_of(language: str) -> str:
    """Return a long run of invented text of which slices are taken."""
    return " ".join(Random(language).choices(WORDS[language], k=20_000))


def write_paper_samples(path: Path, samples: Sequence[tuple[str, str, int]]) -> None:
    """Write conversations of about these lengths as JSON Lines."""
    texts = {language: words_of(language) for language in ("en", "ar")}
    per_token = {k: len(text) / len(MixtralPieces().encode(text)) for k, text in texts.items()}
    with path.open("wb") as file:
        for number, (kind, language, tokens) in enumerate(samples):
            exchanges = TYPES[kind][2]
            size = max(4, int((tokens - 10 * exchanges) * per_token[language] / (2 * exchanges)))
            text, at, messages = texts[language], number * 31 % 4000, []
            for turn in range(2 * exchanges):
                start = at + turn * 997
                messages.append(
                    {"role": ("user", "assistant")[turn % 2], "content": text[start : start + size]}
                )
            record = {
                "kind": "conversation", "id": f"made:{number}", "language": language,
                "origin": {"dataset": "made"}, "messages": messages, "type": kind,
            }  # fmt: skip
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def measure_shards(source: str, root: str) -> None:
    """Prepare a file in this process and its workers; the last line says what that took."""
    began = time.perf_counter()
    folder = prepare(Path(source), Encoding("mixtral", "mixtral", max(WINDOWS)), Path(root), 0, Progress())
    seconds = time.perf_counter() - began
    parent = peak_rss_mib()
    samples = Samples.open(folder)
    told = {
        "shards_s": round(seconds, 2),
        "shards_tokens": int(samples.lengths.sum()),
        "shards_samples": len(samples),
        "shards_parent_rss_mib": round(parent, 1),
        "shards_worker_rss_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
        "shards_bytes_per_token": round(
            sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / int(samples.lengths.sum()), 3
        ),
    }
    for window in WINDOWS:
        began = time.perf_counter()
        lengths = [n for n in samples.lengths.tolist() if n <= window]
        rows = fill_rows(lengths, window)
        told[f"packing_efficiency_{window}"] = round(sum(lengths) / (len(rows) * window), 5)
        told[f"packing_{window}_s"] = round(time.perf_counter() - began, 2)
        told[f"longer_than_{window}"] = len(samples) - len(lengths)
    print(json.dumps(told))


def shards(share: float) -> dict[str, Any]:
    """Prepare this share of BiMed1.3M in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "train.jsonl"
        wanted = paper_samples(share)
        write_paper_samples(source, wanted)
        told = in_fresh_process(__file__, "--measure", str(source), str(Path(folder) / "prepared"))
        told["shards_input_mib"] = source.stat().st_size >> 20
    return told | {
        "shards_share_of_bimed": share,
        "shards_tokens_per_s": round(told["shards_tokens"] / told["shards_s"]),
        "shards_whole_bimed_s": round(told["shards_s"] / share, 1),
        "packing_goal_met": all(told[f"packing_efficiency_{window}"] >= PACKING_GOAL for window in WINDOWS),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--measure", nargs=2, metavar=("SOURCE", "ROOT"), help="What the fresh process does."
    )
    given = arguments(options=options)
    if given.measure:
        measure_shards(*given.measure)
        return
    import datasets

    from bimedix.model.load import mixtral_tokenizer

    datasets.disable_progress_bars()
    logging.getLogger("trl").setLevel(logging.ERROR)
    tokenizer = mixtral_tokenizer()
    records = [conversation(index) for index in range(1_500 if given.quick else 6_000)]
    dataset = datasets.Dataset.from_list(
        [{"messages": [{"role": m.role, "content": m.content} for m in r.messages]} for r in records]
    )
    with tempfile.TemporaryDirectory() as folder:
        tokens = compare(records, dataset, tokenizer, folder)
        rows = prepare_trl(dataset, tokenizer, True, folder)
        packed = prepare_ours(records, MixtralPieces())
        if (
            sum(len(row["input_ids"]) for row in rows) != tokens
            or sum(sum(p.lengths) for p in packed) != tokens
        ):
            raise SystemExit("arms differ: tokens after packing")
        ours = median_of(lambda: prepare_ours(records, MixtralPieces()), given.repeats)
        by_hub = median_of(lambda: prepare_ours(records, tokenizer), given.repeats, warmup=0)
        encoding = median_of(lambda: encode_ours(records, MixtralPieces()), given.repeats, warmup=0)
        theirs = median_of(lambda: prepare_trl(dataset, tokenizer, True, folder), given.repeats, warmup=0)
    speedup = theirs.median_cpu_s / ours.median_cpu_s
    figures = {
        "conversations": len(records),
        "tokens": tokens,
        "speedup": round(speedup, 2),
        "goal_met": speedup >= GOAL,
        "speedup_hub": round(theirs.median_cpu_s / by_hub.median_cpu_s, 2),
        "ours_tokens_per_cpu_s": round(ours.cpu_rate(tokens)),
        "ours_hub_tokens_per_cpu_s": round(by_hub.cpu_rate(tokens)),
        "trl_tokens_per_cpu_s": round(theirs.cpu_rate(tokens)),
        "ours_share_encoding": round(encoding.median_cpu_s / ours.median_cpu_s, 3),
        "ours_filled_share": round(tokens / (len(packed) * ROW_TOKENS), 3),
        "trl_filled_share": round(tokens / (len(rows) * ROW_TOKENS), 3),
        **shards(1 / 50 if given.quick else 1.0),
        **ours.figures("ours"),
        **theirs.figures("trl"),
    }
    finish(figures, given.json, packages=("trl", "transformers", "tokenizers", "datasets"))


if __name__ == "__main__":
    main()
