"""Loading: only safetensors, only known architectures, no code."""

import json

import pytest
import torch

from bimedix.errors import DataError, MissingError, UsageError
from bimedix.model import load
from bimedix.model.load import load_model, load_tokenizer, mixtral_tokenizer, save_model


@pytest.fixture
def folder(tiny, tmp_path):
    save_model(tiny(), tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_is_a_plain_checkpoint_of_transformers(tiny, ids, folder):
    """The hub's names for experts, and the same logits to the bit."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        names = set(file.keys())

    assert "model.layers.0.block_sparse_moe.experts.5.w2.weight" in names
    assert torch.equal(load_model(folder)(ids).logits, tiny()(ids).logits)


def test_large_models_are_written_in_shards(tiny, ids, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "SHARD_BYTES", 200_000)
    save_model(tiny(), tmp_path / "model")

    assert len(list((tmp_path / "model").glob("model-*.safetensors"))) > 2
    assert torch.equal(load_model(tmp_path / "model")(ids).logits, tiny()(ids).logits)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickled_weights_are_refused(folder, name):
    """They can run code when opened."""
    (folder / "model.safetensors").rename(folder / name)

    with pytest.raises(MissingError, match="can run code when opened"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"auto_map": {"AutoModelForCausalLM": "x.Y"}}, "asks to run code"),
        ({"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel"),
        ({"architectures": ["MixtralForCausallM"]}, "Did you mean 'MixtralForCausalLM'"),
    ],
)
def test_code_and_unknown_architectures_are_refused(folder, change, match):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))

    with pytest.raises(DataError, match=match):
        load_model(folder)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingError, match="no such model folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(MissingError, match=r"no config\.json"):
        load_model(tmp_path)
    with pytest.raises(UsageError, match="Did you mean 'float32'"):
        load_model(save(tmp_path), dtype="float23")


def save(tmp_path):
    from bimedix.model.load import tiny_model
    from bimedix.model.settings import TinySettings

    save_model(tiny_model(TinySettings(hidden=16, ffn=16, layers=1, vocab=20)), tmp_path / "m")
    return tmp_path / "m"


def test_the_tokenizer_travels_with_the_model(tiny, tmp_path):
    """Read back from the model's folder it gives the same ids, spaces at the front included."""
    save_model(tiny(), tmp_path / "model", mixtral_tokenizer())
    again = load_tokenizer(tmp_path / "model")
    text = "  two  spaces, جرعة ٥ mg\n"

    assert again.encode(text) == mixtral_tokenizer().encode(text)
    assert again.decode(again.encode(text), skip_special_tokens=True) == text
    assert (again.bos_token_id, again.eos_token_id) == (1, 2)
