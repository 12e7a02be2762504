"""Preparing conversations for training: layout, tokens, loss mask and packing, ours beside TRL's trainer.

All arms take the same invented conversations (English, Arabic and code-mixed, one to three turns, some with
a system message) as objects in memory, Mixtral's tokenizer and the same layout, and give packed rows of at
most 2,048 tokens with the marks of what bears loss:

- ours: `train.data.encode_samples`, `fill_micro_batches` and `pack`, as `bimedix train` runs them, which
  reads Mixtral's tokenizer with sentencepiece;
- ours_hub: the same with the tokenizer of transformers that TRL gets, as for any other model;
- trl: `SFTTrainer._prepare_dataset` with `assistant_only_loss` and `packing` ("bfd"), the layout written as a
  template with `{% generation %}` marks; into a fresh cache each time, in one process.

Before anything is timed, token ids and marks of every conversation are compared. The template encodes a
conversation in one go, where ours encodes prompt and reply apart and so puts a word's space before a reply;
the template is given that space, and so both have to give the same ids. Figures are tokens per CPU second of
one process; the tokenizer is held to one thread.

Goal: at least three times as many tokens a second as TRL.

    python benchmarks/prepare.py --quick --json
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import logging
import tempfile
from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

from _common import arguments, finish, median_of
from bimedix.model.load import mixtral_tokenizer
from bimedix.model.packing import Packed, pack
from bimedix.prompts.chat import MixtralPieces
from bimedix.records import Conversation, Message, Origin
from bimedix.train.data import Sample, encode_samples, fill_micro_batches

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
    """Return an invented conversation of 60 to 600 words."""
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


def prepare_ours(records: Sequence[Conversation], tokenizer: Any) -> list[Packed]:
    """Return packed rows, one optimizer step after the other."""
    samples = encode_ours(records, tokenizer)
    rows = []
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        for members in fill_micro_batches([len(sample) for sample in batch], ROW_TOKENS):
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


def main() -> None:
    given = arguments(__doc__)
    import datasets

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
        **ours.figures("ours"),
        **theirs.figures("trl"),
    }
    finish(figures, given.json, packages=("trl", "transformers", "tokenizers", "datasets"))


if __name__ == "__main__":
    main()
