"""BERTScore against the package bert-score, on a tiny random encoder."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from bimedix.errors import DataError, MissingError  # noqa: E402
from bimedix.evaluate.bertscore import BertScorer  # noqa: E402
from bimedix.evaluate.rationales import BERTSCORE, Rationale, score_rationales  # noqa: E402

WORDS = [
    "fever",
    "cough",
    "pain",
    "chest",
    "acute",
    "renal",
    "with",
    "no",
    "and",
    "the",
    "حمى",
    "سعال",
    "ألم",
    "发",
    "热",
    "咳",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of three layers with a vocabulary of single words and pieces."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert") / "tiny-bert"
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##es", ".", ","]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    make: Any = BertTokenizerFast
    tokenizer = make(vocab=str(folder / "vocab.txt"), do_lower_case=False, model_max_length=40)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=40,
    )  # fmt: skip
    torch.manual_seed(5)
    BertModel(config).save_pretrained(folder)
    return folder


def pairs(count: int) -> list[tuple[str, str]]:
    draw = Random(4)
    made = [
        (
            " ".join(draw.choices(WORDS, k=draw.randint(1, 60))),
            " ".join(draw.choices(WORDS, k=draw.randint(1, 30))),
        )
        for _ in range(count)
    ]
    return [*made, (made[0][0], made[0][0]), ("  fever .", "fever .")]


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_scores_equal_the_package(encoder: Path, layer: int) -> None:
    """F1 to 1e-5 at every layer, long and repeated texts among them, whatever the batches."""
    package = pytest.importorskip("bert_score")
    asked = pairs(30)
    ours = BertScorer(encoder, layer).scores(asked)
    _, _, theirs = package.score(
        [generated for _, generated in asked], [reference for reference, _ in asked],
        model_type=str(encoder), num_layers=layer, device="cpu", use_fast_tokenizer=True,
    )  # fmt: skip

    assert ours == pytest.approx(theirs.tolist(), abs=1e-5)
    assert ours[30] == pytest.approx(1.0, abs=1e-6)
    assert BertScorer(encoder, layer).scores([("fever", ""), ("", "cough")]) == [0.0, 0.0]


def test_one_text_scores_the_same_alone_and_among_others(encoder: Path) -> None:
    scorer, asked = BertScorer(encoder), pairs(12)
    together = scorer.scores(asked)

    assert [scorer.scores([one])[0] for one in asked] == pytest.approx(together, abs=1e-6)


def test_the_signature_names_model_layer_and_cut_texts(encoder: Path) -> None:
    """A figure without its layer cannot be computed again."""
    scorer = BertScorer(encoder, 2)
    scorer.scores([("fever " * 80, "fever")])
    assert scorer.signature.startswith("model:tiny-bert@")
    assert "|layer:2|no idf|no baseline|texts cut at 40 tokens:1" in scorer.signature

    rows = score_rationales(
        [Rationale("r", "en", "fever and cough", "cough", True)], "mmedbench_code", scorer=scorer, draws=5
    )
    assert rows[-1].metric == BERTSCORE and "layer:2" in rows[-1].signature
    assert BERTSCORE not in {
        row.metric
        for row in score_rationales(
            [Rationale("r", "en", "fever", "cough", True)], "mmedbench_table", scorer=scorer, draws=5
        )
    }


def test_what_is_no_encoder_is_told(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="holds no config"):
        BertScorer(tmp_path)
    with pytest.raises(DataError, match="has 3 layers, so there is no layer 4"):
        BertScorer(encoder, 4)
    other = tmp_path / "code"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "x.y"}}))
    (other / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="asks to run code"):
        BertScorer(other)
