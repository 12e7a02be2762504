"""Rationale metrics: one load of the encoder for all items, beside one load per item, as in MMedLM's script.

Both sides compute the three figures of the protocol `mmedbench_code` (4-gram BLEU with smoothing, ROUGE-L,
BERTScore) of invented English rationales, in one process, and every value has to agree to 1e-5. Theirs is
made again from what `metrics/rationale_similarity.py` does: for each item nltk's `sentence_bleu`, ROUGE-L,
and `bert_score.score` of one pair, which loads tokenizer and encoder anew. ROUGE-L is that of `rouge_score`.
Ours gives intervals too.

The encoder is a random BERT with the vocabulary (119,547) and depth of bert-base-multilingual-cased, the
script's encoder, and a twelfth of its width (64 of 768): loading costs much and reading little, as on an
accelerator. `mbert_*` are figures at full width, where one CPU thread spends most of its time on reading, for
both sides alike; theirs is then the mean of a few items times their number.

    python benchmarks/rationales.py --quick --json
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from _common import arguments, finish

GOAL = 20.0
ITEMS = 200
MBERT_ITEMS = 8
LAYER, LAYERS, VOCABULARY = 9, 12, 119_547
"""Of bert-base-multilingual-cased; bert-score takes its ninth layer."""
_TEXT = """the a of in with and patient presents history chronic acute renal hepatic pressure blood serum
    level shows normal elevated fever cough pain left right lower abdomen because therefore option answer
    correct treatment most likely diagnosis increased decreased risk therapy dose artery muscle nerve not
    since"""
WORDS = _TEXT.split()


def texts(count: int) -> list[tuple[str, str]]:
    """Return (reference, generated) pairs of 60 to 140 words, a fifth of them changed."""
    draw, out = Random(8), []
    for _ in range(count):
        reference = draw.choices(WORDS, k=draw.randint(60, 140))
        generated = [word if draw.random() < 0.8 else draw.choice(WORDS) for word in reference]
        out.append((" ".join(reference), " ".join(generated[: draw.randint(50, 140)])))
    return out


def make_encoder(folder: Path, width: int) -> Path:
    """Save a random BERT of the script's vocabulary and depth."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(WORDS))]
    vocabulary += [f"##{n}" for n in range(VOCABULARY - len(vocabulary))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=512)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=width, num_hidden_layers=LAYERS, num_attention_heads=width // 16,
        intermediate_size=4 * width,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def ours(folder: Path, pairs: Sequence[tuple[str, str]]) -> dict[str, list[float]]:
    """Score by the room's own code: tokens once, encoder once, intervals included."""
    from bimedix.evaluate.bertscore import BertScorer
    from bimedix.evaluate.rationales import Rationale, item_scores, summarise

    rationales = [Rationale(str(n), "en", a, b, True) for n, (a, b) in enumerate(pairs)]
    rows = item_scores(rationales, "mmedbench_code", scorer=BertScorer(folder, LAYER))
    summarise(rows)
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.metric.split(" ")[0], []).append(row.value)
    return found


def theirs(folder: Path, pairs: Sequence[tuple[str, str]]) -> dict[str, list[float]]:
    """Score item by item, the encoder loaded for each."""
    import bert_score
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from rouge_score.rouge_scorer import RougeScorer

    smooth, rouge = SmoothingFunction().method1, RougeScorer(["rougeL"])
    found: dict[str, list[float]] = {"BLEU-1": [], "ROUGE-1": [], "BERTScore": []}
    for reference, generated in pairs:
        tokens = reference.split(), generated.split()
        found["BLEU-1"].append(sentence_bleu([tokens[0]], tokens[1], smoothing_function=smooth))
        found["ROUGE-1"].append(rouge.score(reference, generated)["rougeL"].fmeasure)
        _, _, f1 = bert_score.score(
            [generated], [reference], model_type=str(folder), num_layers=LAYER, device="cpu",
            use_fast_tokenizer=True,
        )  # fmt: skip
        found["BERTScore"].append(float(f1[0]))
    return found


def differences(mine: dict[str, list[float]], other: dict[str, list[float]]) -> float:
    """Return the largest difference of two values of one item; more than 1e-5 is an error."""
    apart = max(abs(a - b) for name in other for a, b in zip(mine[name], other[name], strict=False))
    assert apart <= 1e-5, apart
    return apart


def full_width(place: Path, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Measure at the size of the script's encoder: 178 million parameters."""
    folder = make_encoder(place / "mbert", 768)
    theirs(folder, pairs[:1])
    seconds, mine = cpu_s(ours, folder, pairs)
    slow, other = cpu_s(theirs, folder, pairs[:MBERT_ITEMS])
    differences(mine, other)
    each = slow / MBERT_ITEMS
    return {
        "mbert_ours_cpu_s": round(seconds, 2),
        "mbert_one_load_per_item_cpu_s_each": round(each, 3),
        "mbert_speedup_rationales": round(each * len(pairs) / seconds, 1),
    }


def cpu_s(work: Any, *given: Any) -> tuple[float, Any]:
    start = time.process_time()
    value = work(*given)
    return time.process_time() - start, value


def main() -> None:
    chosen = arguments(__doc__)
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    pairs = texts(ITEMS)
    with tempfile.TemporaryDirectory() as place:
        folder = make_encoder(Path(place) / "narrow", 64)
        theirs(folder, pairs[:2])
        runs = [cpu_s(ours, folder, pairs) for _ in range(chosen.repeats)]
        slow, other = cpu_s(theirs, folder, pairs)
        wide = {} if chosen.quick else full_width(Path(place), pairs)
    apart = differences(runs[0][1], other)
    seconds = sorted(run[0] for run in runs)[len(runs) // 2]
    figures = {
        "items": ITEMS,
        "ours_cpu_s": round(seconds, 3),
        "one_load_per_item_cpu_s": round(slow, 3),
        "speedup_rationales": round(slow / seconds, 1),
        "goal_speedup_rationales": GOAL,
        "largest_difference": apart,
        **wide,
    }
    finish(figures, chosen.json, packages=("torch", "transformers", "bert-score", "nltk", "rouge-score"))


if __name__ == "__main__":
    main()
