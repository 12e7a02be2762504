"""Loading straight into NF4: the bytes of packing what was loaded whole, at a fraction of the memory."""

import json
import subprocess
import sys

import pytest
import torch

from bimedix.errors import BimedixError, DataError, MissingError
from bimedix.model import capacity, load, stream
from bimedix.model.adapters import measure_bits, save_adapter
from bimedix.model.blocks import attach
from bimedix.model.layouts import write_peft
from bimedix.model.load import load_model, save_model, tiny_model
from bimedix.model.settings import AdapterSettings, TinySettings
from bimedix.model.shards import write_shard
from bimedix.model.stream import load_nf4, open_model

SHAPE = TinySettings(hidden=64, ffn=128, layers=2, heads=4, kv_heads=2, experts=4, vocab=300, init_std=0.2)
WIDE = {
    "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300,
    "initializer_range": 0.2, "intermediate_size": 128,
}  # fmt: skip


def qwen():
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    torch.manual_seed(2)
    config = Qwen3MoeConfig(
        **WIDE, moe_intermediate_size=64, num_hidden_layers=3, num_experts=6, num_experts_per_tok=2,
        mlp_only_layers=[1], norm_topk_prob=True,
    )  # fmt: skip
    return Qwen3MoeForCausalLM(config).eval()


def dense(family, **more):
    import transformers

    torch.manual_seed(2)
    config = getattr(transformers, f"{family}Config")(**WIDE, num_hidden_layers=2, **more)
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


MODELS = {
    "mixtral": lambda: tiny_model(SHAPE),
    "qwen3-moe": qwen,
    "llama": lambda: dense("Llama"),
    "llama, tied": lambda: dense("Llama", tie_word_embeddings=True),
    "qwen2, biases": lambda: dense("Qwen2"),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", MODELS)
def test_bytes_are_those_of_packing_the_loaded_model(family, dtype, ids, tmp_path, monkeypatch):
    """The same state and the same logits to the bit, though rows are packed a few at a time."""
    save_model(MODELS[family]().to(getattr(torch, dtype)), tmp_path / "m")
    monkeypatch.setattr(stream, "WEIGHTS_AT_ONCE", 1000)
    whole = load_model(tmp_path / "m", dtype=dtype)
    attach(whole, AdapterSettings(rank=2, targets=("q",), base="nf4"))
    found = load_nf4(tmp_path / "m", dtype=dtype)

    wanted = {name: t for name, t in whole.state_dict().items() if ".lora_" not in name}
    assert found.state_dict().keys() == wanted.keys()
    assert all(torch.equal(found.state_dict()[name], tensor) for name, tensor in wanted.items())
    assert torch.equal(found(ids).logits, whole(ids).logits)


@pytest.mark.parametrize("scales", ["float32", "nested"])
def test_scales_are_kept_as_asked(scales, ids, tmp_path):
    save_model(tiny_model(SHAPE), tmp_path / "m")
    whole = attach(
        load_model(tmp_path / "m"), AdapterSettings(rank=2, targets=("q",), base="nf4", nf4_scales=scales)
    )

    assert torch.equal(load_nf4(tmp_path / "m", scales=scales)(ids).logits, whole(ids).logits)


def test_scales_of_a_bfloat16_checkpoint_take_two_bytes(tmp_path):
    """Even when activations are float32: 4.25 bits per weight, and nothing lost."""
    save_model(tiny_model(SHAPE).to(torch.bfloat16), tmp_path / "m")

    assert measure_bits(load_nf4(tmp_path / "m"))["experts"] == 4.25


@pytest.mark.parametrize("form", ["ours", "experts", "fused"])
def test_adapters_find_their_place_on_packed_weights(form, ids, tmp_path, with_values, apart):
    """From our folder, which says that it was trained over NF4, and from PEFT's when that is asked for."""
    save_model(tiny_model(SHAPE), tmp_path / "m")
    settings = AdapterSettings(rank=4, alpha=6, router="lora", base="nf4")
    model = with_values(attach(load_model(tmp_path / "m"), settings))
    if form == "ours":
        save_adapter(model, tmp_path / "a")
    else:
        write_peft(model, tmp_path / "a", form)
    again = open_model(tmp_path / "m", adapter=tmp_path / "a", weights="auto" if form == "ours" else "nf4")

    assert torch.equal(again(ids).logits, model(ids).logits)
    assert measure_bits(again)["experts"] == measure_bits(model)["experts"] == 4.5


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_files_that_do_not_fit_the_config_are_refused(tmp_path):
    """A tensor too few, one too many, another shape: each by name."""
    save_model(tiny_model(SHAPE), tmp_path / "m")
    change_config(tmp_path / "m", num_hidden_layers=3)
    with pytest.raises(MissingError, match=r"holds no tensor model\.layers\.2\."):
        load_nf4(tmp_path / "m")
    change_config(tmp_path / "m", num_hidden_layers=1)
    with pytest.raises(DataError, match=r"have no place in the model, such as \['model\.layers\.1"):
        load_nf4(tmp_path / "m")
    change_config(tmp_path / "m", num_hidden_layers=2, intermediate_size=64)
    with pytest.raises(DataError, match=r"experts\.0\.w1\.weight has the shape \[128, 64\]"):
        load_nf4(tmp_path / "m")


def test_too_little_memory_is_told_before_anything_is_read(tmp_path, monkeypatch):
    """Whole or packed; a model that would not fit whole may fit packed."""
    save_model(tiny_model(SHAPE), tmp_path / "m")
    monkeypatch.setattr(capacity, "free_memory", lambda device="cpu": 500_000)

    with pytest.raises(BimedixError, match=r"needs 1\.\d MiB of memory on cpu; 0\.5 MiB are free"):
        load_model(tmp_path / "m")
    load_nf4(tmp_path / "m")
    monkeypatch.setattr(capacity, "free_memory", lambda device="cpu": 100_000)
    with pytest.raises(BimedixError, match="m in NF4 needs"):
        load_nf4(tmp_path / "m")


def test_too_little_disk_is_told_before_a_download(monkeypatch, tmp_path):
    """The hub says how large the files are that are not there yet."""
    import huggingface_hub

    class File:
        will_download, file_size = True, 10**18

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, dry_run=False, **k: [File(), File()])
    with pytest.raises(BimedixError, match=r"needs 1,862,645,149\.2 GiB on the disk"):
        load.find_model("owner/name", tmp_path)


MEASURE = """
import sys, torch
from pathlib import Path
from bimedix.model import stream
from bimedix.model.stream import load_nf4
torch.set_num_threads(1)
status = lambda key: int(next(r for r in Path("/proc/self/status").open() if r.startswith(key)).split()[1])
load_nf4(Path(sys.argv[2]))  # libraries, caches
before = status("VmRSS:")
Path("/proc/self/clear_refs").write_text("5")
model = load_nf4(Path(sys.argv[1]))
print(status("VmHWM:") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_that_of_the_packed_model(tmp_path):
    """A bfloat16 checkpoint of 270 MB in many shards is loaded with less than 45 % of its size."""
    shape = TinySettings(hidden=512, ffn=1024, layers=10, heads=8, kv_heads=2, experts=8, vocab=1000)
    whole = tmp_path / "whole"
    size = write_many_shards(whole, shape)
    save_model(tiny_model(SHAPE), tmp_path / "small")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, whole, tmp_path / "small"], capture_output=True, text=True, check=True
    )

    assert size > 250e6
    assert int(done.stdout) * 1024 < 0.45 * size


def write_many_shards(folder, shape):
    """Write a random bfloat16 Mixtral, a shard per layer, without ever holding it; returns its bytes."""
    import dataclasses

    save_model(tiny_model(dataclasses.replace(shape, layers=1)).to(torch.bfloat16), folder)
    layer = load.Checkpoint(load.shard_files(folder))
    weight_map, total = {}, 0
    for at in range(shape.layers):
        file = f"model-{at + 1:05d}-of-{shape.layers:05d}.safetensors"
        names = {
            name.replace(".layers.0.", f".layers.{at}."): name
            for name in layer
            if at == 0 or ".layers.0." in name
        }
        write_shard(
            folder / file,
            {new: (layer[old].dtype, layer[old].shape) for new, old in names.items()},
            (layer.read(old) for old in names.values()),
        )
        weight_map |= dict.fromkeys(names, file)
        total += sum(layer[old].bytes for old in names.values())
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    change_config(folder, num_hidden_layers=shape.layers)
    return total
