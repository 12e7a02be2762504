"""Log-probability scoring: the planner beside lm-eval's HF backend, same model object, prompts and process.

Cases, with invented questions whose lengths follow the real sets (Mixtral's tokenizer):

- 5shot: letters after five worked examples, short questions (MMLU) and long ones (MedQA);
- options: continuations of several tokens: Arabic yes / no / maybe after an abstract, option texts;
- 0shot: letters without examples in the nine sets of the papers, English and Arabic, where nothing but the
  question can be shared;
- orders: four cyclic orders of the options, letters, after five examples and without; what counts is tokens:
  lm-eval's, counted as its model is called at batch 1, for one order (`share_of_one_order`) and for four
  (`naive_ratio`).

Every case is first checked: the same best option on every item, and |difference| of log-probability. lm-eval
runs at batch 1, 8 and 32 and its best counts (at 8 with --quick). Speed-ups are CPU time on one thread,
tokenising included, and the lowest of a group's tasks is reported. The model is a random Mixtral of 30 or 139
million parameters in float32: a vocabulary of 32,000 weighs more in it than in a large one, so the ratio of
tokens is printed beside every ratio of time.

    python benchmarks/scoring.py --quick --json
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from _common import arguments, finish, parser

GOALS = {
    "30m": {"5shot": 10.0, "options": 4.5, "worst": 2.5},
    "139m": {"5shot": 5.0, "options": 3.0, "worst": 1.5},
}
SHAPES = {
    "30m": {"hidden": 256, "ffn": 512, "layers": 4, "heads": 8, "kv_heads": 4},
    "139m": {"hidden": 512, "ffn": 1024, "layers": 8, "heads": 8, "kv_heads": 4},
}
_TEXT = {
    "en": """a the of in with and patient presents history chronic acute renal hepatic pressure blood serum
        level examination shows normal elevated fever cough pain left right lower abdomen week days year-old
        woman man treatment most likely diagnosis which following increased decreased risk therapy dose artery
        muscle nerve""",
    "ar": """مريض يعاني من ألم في البطن منذ أيام مع حمى وسعال ارتفاع ضغط الدم مستوى السكر في المصل الفحص طبيعي
        العلاج الأنسب التشخيص الأكثر احتمالا أي مما يلي زيادة نقصان خطر جرعة شريان عضلة عصب كبد كلية رئة قلب
        مزمن حاد""",
}
WORDS = {code: text.split() for code, text in _TEXT.items()}
YES_NO_MAYBE = {"en": ("yes", "no", "maybe"), "ar": ("نعم", "لا", "ربما")}


@dataclass(frozen=True)
class Task:
    """A set of prompts with their continuations."""

    name: str
    group: str
    language: str
    words: int
    """Median words of a question; lengths spread as in exams, half to double."""
    shots: int = 0
    continuations: str = "letters"
    option_words: int = 3
    shot_words: int = 0
    """Median words of the examples' questions; 0: those of the question."""
    quick: bool = True
    """Also asked with --quick."""


NINE_WORDS = {
    "clinical_knowledge": 18, "college_biology": 28, "college_medicine": 40, "medical_genetics": 16,
    "professional_medicine": 105, "anatomy": 15, "medqa": 110, "medmcqa": 14, "pubmedqa": 200,
}  # fmt: skip
"""Median words of a question, context included: of the same order as in the nine sets."""
TASKS = (
    Task("mmlu_5shot", "5shot", "en", 22, shots=5),
    Task("medqa_5shot", "5shot", "en", 110, shots=5),
    Task("pubmedqa_ar_words", "options", "ar", 90, continuations="words"),
    Task("medmcqa_texts", "options", "en", 14, continuations="texts", option_words=4),
    *(
        Task(f"{name}_{code}_0shot", "0shot", code, words, quick=(name, code) in {
            ("clinical_knowledge", "en"), ("medqa", "en"), ("college_biology", "ar"),
        })
        for name, words in NINE_WORDS.items()
        for code in ("en", "ar")
    ),
)  # fmt: skip
ORDERS = (
    Task("medqa_5shot", "orders", "en", 110, shots=5),
    # 544 tokens a question in lm-eval, as where the goal comes from: examples longer than the questions.
    Task("medmcqa_5shot", "orders", "en", 14, shots=5, option_words=4, shot_words=38),
    Task("medmcqa_5shot_short", "orders", "en", 14, shots=5, option_words=4),
    Task("medqa_0shot", "orders", "en", 110),
)


def prompts(task: Task, count: int) -> list[tuple[str, list[str]]]:
    """Return (context, continuations) as an lm-eval task would build them."""
    draw = Random(task.name)
    shot = replace(task, words=task.shot_words or task.words)
    head = "".join(_question(shot, draw) + " " + _answer(shot, draw) + "\n\n" for _ in range(task.shots))
    out = []
    for _ in range(count):
        question = _question(task, draw)
        out.append((head + question, [f" {text}" for text in _continuations(task, question)]))
    return out


def _text(task: Task, draw: Random, words: int) -> str:
    return " ".join(draw.choices(WORDS[task.language], k=max(1, round(words * 2 ** draw.uniform(-1, 1)))))


def _question(task: Task, draw: Random) -> str:
    lines = [f"Question: {_text(task, draw, task.words)}?"]
    if task.continuations != "words":
        lines += [f"{letter}. {_text(task, draw, task.option_words)}" for letter in "ABCD"]
    return "\n".join([*lines, "Answer:"])


def _answer(task: Task, draw: Random) -> str:
    return draw.choice("ABCD")


def _continuations(task: Task, question: str) -> list[str]:
    if task.continuations == "words":
        return list(YES_NO_MAYBE[task.language])
    lines = [line for line in question.splitlines() if line[:3] in ("A. ", "B. ", "C. ", "D. ")]
    return [line[3:] if task.continuations == "texts" else line[0] for line in lines]


def ours(model: Any, tokenizer: Any, asked: Sequence[tuple[str, list[str]]]) -> tuple[list[list[float]], Any]:
    """Score as the room does, tokenising included; the tie guard is on, the replay off."""
    from bimedix.evaluate.asking import encode_pairs
    from bimedix.evaluate.scoring import score
    from bimedix.evaluate.trie import Scoring

    requests = []
    for number, (context, continuations) in enumerate(asked):
        requests.append(Scoring(str(number), *encode_pairs(tokenizer, context, continuations)))
    scores, report = score(model, requests, verify=0)
    return [list(scores[str(number)]) for number in range(len(asked))], report


def theirs(
    model: Any, tokenizer: Any, asked: Sequence[tuple[str, list[str]]], batch: int
) -> list[list[float]]:
    """Score with lm-eval's own loglikelihood."""
    import logging

    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch, device="cpu")
    instances = [
        Instance("loglikelihood", {}, (context, continuation), index)
        for context, continuations in asked
        for index, continuation in enumerate(continuations)
    ]
    found = iter(lm.loglikelihood(instances, disable_tqdm=True))
    return [[next(found)[0] for _ in continuations] for _, continuations in asked]


def cpu_s(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    value = work()
    return time.process_time() - start, value


def measure(
    task: Task, model: Any, tokenizer: Any, count: int, sizes: Sequence[int], repeats: int
) -> dict[str, Any]:
    """Return times, speed-up over lm-eval's best batch size, ratio of tokens, and how far scores agree."""
    asked = prompts(task, count)
    runs = [cpu_s(lambda: ours(model, tokenizer, asked)) for _ in range(repeats)]
    mine, report = runs[0][1]
    best, equal, apart = float("inf"), 1.0, 0.0
    for size in sizes:
        seconds, other = cpu_s(lambda size=size: theirs(model, tokenizer, asked, size))
        best = min(best, seconds)
        equal = min(equal, sum(_best(a) == _best(b) for a, b in zip(mine, other, strict=True)) / len(mine))
        apart = max(
            apart, *(abs(x - y) for a, b in zip(mine, other, strict=True) for x, y in zip(a, b, strict=True))
        )
    seconds = sorted(run[0] for run in runs)[len(runs) // 2]
    return {
        "ours_cpu_s": seconds, "lm_eval_cpu_s": best, "speedup": best / seconds,
        "token_ratio": report.tokens_flat / report.tokens, "argmax_equal": equal, "largest_difference": apart,
    }  # fmt: skip


def turned(context: str, by: int) -> str:
    """Move the four options of the last question on by `by` places; the letters stay."""
    *before, a, b, c, d, cue = context.split("\n")
    texts = [line[3:] for line in (a, b, c, d)]
    moved = [f"{letter}. {texts[(n + by) % 4]}" for n, letter in enumerate("ABCD")]
    return "\n".join([*before, *moved, cue])


def measure_orders(task: Task, model: Any, tokenizer: Any, count: int) -> dict[str, Any]:
    """Return tokens that four orders take, beside lm-eval's for one and for four; choices are equal."""
    from bimedix.evaluate.asking import encode_pairs
    from bimedix.evaluate.scoring import score
    from bimedix.evaluate.trie import Scoring

    asked = prompts(task, count)
    runs = [[(turned(context, by), letters) for context, letters in asked] for by in range(4)]
    requests = [
        Scoring(f"{number}@{by}", *encode_pairs(tokenizer, *pair), tree=str(number))
        for by, run in enumerate(runs)
        for number, pair in enumerate(run)
    ]
    scores, report = score(model, requests, verify=0)
    read = []
    seen = model.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(
            (kwargs["input_ids"] if "input_ids" in kwargs else args[0]).numel()
        ),
        with_kwargs=True,
    )
    equal, totals = 0, []
    for by, run in enumerate(runs):
        read.clear()
        found = theirs(model, tokenizer, run, 1)
        totals.append(sum(read))
        equal += sum(_best(values) == _best(scores[f"{n}@{by}"]) for n, values in enumerate(found))
    seen.remove()
    return {
        "lm_eval_tokens_per_question": totals[0] / count,
        "share_of_one_order": report.tokens / totals[0], "naive_ratio": sum(totals) / report.tokens,
        "argmax_equal": equal / len(requests),
    }  # fmt: skip


def _best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda index: values[index])


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--items", type=int, default=0, help="Questions per task; 0: 6 when quick, else 48.")
    options.add_argument(
        "--sizes", nargs="+", choices=list(SHAPES), help="Models; 30m when quick, else both."
    )
    chosen = arguments(options=options)
    import torch

    from bimedix.model.load import mixtral_tokenizer, tiny_model
    from bimedix.model.settings import TinySettings

    torch.set_num_threads(1)
    tokenizer = mixtral_tokenizer()
    count = chosen.items or (6 if chosen.quick else 48)
    figures: dict[str, Any] = {}
    equal, apart = 1.0, 0.0
    for size in chosen.sizes or (["30m"] if chosen.quick else list(SHAPES)):
        model = tiny_model(TinySettings(**SHAPES[size]))
        ours(model, tokenizer, prompts(TASKS[0], 2))
        theirs(model, tokenizer, prompts(TASKS[0], 2), 8)
        groups: dict[str, float] = {}
        for task in (task for task in TASKS if task.quick or not chosen.quick):
            found = measure(
                task, model, tokenizer, count, (8,) if chosen.quick else (1, 8, 32), 1 if chosen.quick else 3
            )
            equal, apart = min(equal, found["argmax_equal"]), max(apart, found["largest_difference"])
            print(f"{size} {task.name}: {found['speedup']:.2f} x", file=sys.stderr, flush=True)
            groups[task.group] = min(groups.get(task.group, float("inf")), found["speedup"])
            figures |= {f"{task.name}_{size}_{name}": round(value, 6) for name, value in found.items()}
        figures[f"speedup_5shot_{size}"] = round(groups["5shot"], 2)
        figures[f"speedup_options_{size}"] = round(groups["options"], 2)
        figures[f"speedup_worst_{size}"] = round(min(groups.values()), 2)
        figures |= {f"goal_{name}_{size}": goal for name, goal in GOALS[size].items()}
        if size == "30m":
            for task in ORDERS:
                found = measure_orders(task, model, tokenizer, count)
                equal = min(equal, found["argmax_equal"])
                figures |= {f"orders_{task.name}_{name}": round(value, 4) for name, value in found.items()}
    figures["argmax_equal"] = equal
    figures["largest_difference"] = apart
    finish(figures, chosen.json, packages=("torch", "transformers", "lm-eval"))


if __name__ == "__main__":
    main()
