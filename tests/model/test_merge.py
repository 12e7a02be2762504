"""Merging from files into files: what transformers reads equals the adapter model, at constant memory."""

import json
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from test_decode import MODELS
from test_stream import write_many_shards

from bimedix.cli import cli
from bimedix.errors import BimedixError, DataError, UsageError
from bimedix.files import read_json
from bimedix.model import capacity, merge
from bimedix.model.adapters import save_adapter
from bimedix.model.blocks import attach
from bimedix.model.layouts import write_peft
from bimedix.model.load import load_model, save_model, tiny_model
from bimedix.model.merge import merge_files
from bimedix.model.probe import Matrices, probe, probe_ids
from bimedix.model.settings import AdapterSettings, TinySettings
from bimedix.model.shards import Checkpoint, shard_files
from bimedix.model.stream import open_model

SHAPES = {"wide": (64, 128), "hidden = 2 ffn": (128, 64), "square": (64, 64)}


def tiny_of(hidden=64, ffn=128):
    return tiny_model(
        TinySettings(
            hidden=hidden, ffn=ffn, layers=2, heads=4, kv_heads=2, experts=4, vocab=300, init_std=0.2
        )
    )


def put(folder, model, with_values, dtype=torch.float32, **settings):
    """Write a base and adapters with values on it; returns both folders."""
    save_model(model.to(dtype), folder / "base")
    wanted = AdapterSettings(**{"rank": 8, "alpha": 12, "router": "lora"} | settings)
    save_adapter(with_values(attach(load_model(folder / "base"), wanted)), folder / "adapter")
    return folder / "base", folder / "adapter"


@pytest.mark.parametrize("family", MODELS)
def test_the_probe_gives_the_logits_of_transformers(family, apart, tmp_path):
    """Written out over files, for every family."""
    model = MODELS[family]()
    save_model(model, tmp_path / "m")
    found = probe(tmp_path / "m", Matrices(Checkpoint(shard_files(tmp_path / "m")))).logits
    if "window" in family:
        model.config.sliding_window = None
    assert apart(found, model(probe_ids(300)[None]).logits[0]) <= 1e-5


@pytest.mark.parametrize("router", ["full", "lora", "frozen"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_merged_files_are_the_adapter_model(shape, router, ids, tmp_path, apart, with_values):
    """T20: reloaded by transformers, with shapes in which a transposed matrix would fit."""
    targets = ("q", "k", "v", "w1", "w2", "w3") + (() if router == "frozen" else ("gate",))
    router = "lora" if router == "frozen" else router
    base, adapter = put(tmp_path, tiny_of(*shape), with_values, targets=targets, router=router)
    found = merge_files(base, adapter, tmp_path / "merged")
    wanted = open_model(base, adapter=adapter)(ids).logits

    assert apart(load_model(tmp_path / "merged")(ids).logits, wanted) <= 1e-5
    assert apart(load_model(base)(ids).logits, wanted) > 1e-2
    assert found.base == "stored float32" and found.difference <= 1e-5 and found.rerouted == 0
    assert read_json(tmp_path / "merged" / "merge.json")["largest_relative_difference"] == found.difference
    assert f"{found.difference:.1e}" in (tmp_path / "merged" / "README.md").read_text()


@pytest.mark.parametrize("family", [name for name in MODELS if name != "mixtral"])
def test_other_families_merge_by_the_same_code(family, ids, tmp_path, apart, with_values):
    gate = ("gate",) if family == "qwen3-moe" else ()
    base, adapter = put(tmp_path, MODELS[family](), with_values, targets=("q", "o", "w1", "w2", "w3", *gate))
    merge_files(base, adapter, tmp_path / "merged")
    wanted = open_model(base, adapter=adapter)(ids).logits

    assert apart(load_model(tmp_path / "merged")(ids).logits, wanted) <= 1e-5


@pytest.mark.parametrize("scales", ["auto", "nested"])
@pytest.mark.parametrize("over", ["auto", "stored", "dequantised"])
def test_what_is_added_to_is_stated(over, scales, ids, tmp_path, apart, with_values):
    """Adapters trained over NF4 go on what NF4 holds, unless the stored weights are asked for."""
    base, adapter = put(tmp_path, tiny_of(), with_values, base="nf4", nf4_scales=scales)
    found = merge_files(base, adapter, tmp_path / "merged", over=over)
    wanted = open_model(base, adapter=adapter, weights="plain" if over == "stored" else "auto")(ids).logits
    other = open_model(base, adapter=adapter, weights="auto" if over == "stored" else "plain")(ids).logits
    merged = load_model(tmp_path / "merged")(ids).logits

    assert found.base == ("stored float32" if over == "stored" else "dequantised nf4")
    assert apart(merged, wanted) <= 1e-5
    assert apart(merged, other) > 1e-2


def test_a_half_precision_base_is_added_to_in_float32_and_rounded_once(tmp_path, with_values):
    base, adapter = put(tmp_path, tiny_of(), with_values, dtype=torch.bfloat16)
    found = merge_files(base, adapter, tmp_path / "merged")
    name = "model.layers.1.block_sparse_moe.experts.2.w2"
    pairs, files = Checkpoint([adapter / "adapter.safetensors"]), Checkpoint(shard_files(base))
    a, b = pairs.read(f"{name}.lora_A"), pairs.read(f"{name}.lora_B")
    wanted = (files.read(f"{name}.weight").float() + 1.5 * b @ a).to(torch.bfloat16)
    merged = Checkpoint(shard_files(tmp_path / "merged")).read(f"{name}.weight")

    assert found.base == "stored bfloat16"
    assert float((merged != wanted).float().mean()) < 0.01  # sums in another order, at a tie of rounding
    assert 0 < found.difference < 0.05


@pytest.mark.parametrize("layout", ["experts", "fused"])
def test_adapters_of_peft_are_merged_too(layout, ids, tmp_path, apart, with_values):
    base, adapter = put(tmp_path, tiny_of(), with_values)
    write_peft(open_model(base, adapter=adapter), tmp_path / "peft", layout)
    merge_files(base, tmp_path / "peft", tmp_path / "merged")

    wanted = open_model(base, adapter=adapter)(ids).logits
    assert apart(load_model(tmp_path / "merged")(ids).logits, wanted) <= 1e-5
    assert not (tmp_path / "merged" / "adapter").exists()


def test_what_does_not_fit_is_refused_before_work(tmp_path, with_values, monkeypatch):
    """Another base, a transposed pair, a folder that is there, too little disk."""
    base, adapter = put(tmp_path, tiny_of(), with_values)
    other, _ = put(tmp_path / "o", tiny_of(ffn=64), with_values)
    with pytest.raises(DataError, match=r"is for a matrix of \[128, 64\]; the base's is \[64, 64\]"):
        merge_files(other, adapter, tmp_path / "merged")
    with pytest.raises(UsageError, match="is there already"):
        merge_files(base, adapter, base)
    with monkeypatch.context() as patch:
        patch.setattr(capacity.shutil, "disk_usage", lambda place: type("", (), {"free": 1000}))
        with pytest.raises(BimedixError, match=r"needs .* on the disk"):
            merge_files(base, adapter, tmp_path / "merged")
    turn_round(adapter, "model.layers.0.block_sparse_moe.experts.0.w1")
    with pytest.raises(DataError, match="the right way round"):
        merge_files(base, adapter, tmp_path / "merged")

    assert not (tmp_path / "merged").exists()


def turn_round(adapter, name):
    from safetensors.torch import load_file, save_file

    tensors = load_file(adapter / "adapter.safetensors")
    tensors |= {f"{name}.lora_{side}": tensors[f"{name}.lora_{side}"].T.contiguous() for side in "AB"}
    save_file(tensors, adapter / "adapter.safetensors")


def test_other_logits_are_never_reported_as_success(tmp_path, with_values, monkeypatch):
    """A merge that leaves an expert out is caught by the probe, and the folder does not get its name."""
    base, adapter = put(tmp_path, tiny_of(), with_values)
    right = merge._Changed.merged
    monkeypatch.setattr(
        merge._Changed,
        "merged",
        lambda self, name: self.files.read(name) if ".experts.1.w2" in name else right(self, name),
    )

    with pytest.raises(BimedixError, match="merged logits differ"):
        merge_files(base, adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


MERGE = """
import sys, torch
from pathlib import Path
from bimedix.model.merge import merge_files
torch.set_num_threads(1)
status = lambda key: int(next(r for r in Path("/proc/self/status").open() if r.startswith(key)).split()[1])
small, large = Path(sys.argv[1]), Path(sys.argv[2])
merge_files(small / "base", small / "adapter", small / "out")  # libraries, caches
before = status("VmRSS:")
Path("/proc/self/clear_refs").write_text("5")
merge_files(large / "base", large / "adapter", large / "out")
print(status("VmHWM:") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_model(tmp_path, with_values):
    """500 MB in ten shards, merged and verified with less than 40 MB: a few blocks of rows."""
    put(tmp_path / "small", tiny_of(), with_values)
    shape = TinySettings(hidden=512, ffn=2048, layers=10, heads=8, kv_heads=2, vocab=1000, init_std=0.04)
    size = write_many_shards(tmp_path / "large" / "base", shape)
    model = attach(tiny_model(shape), AdapterSettings(rank=4, alpha=6, router="lora"))
    save_adapter(with_values(model), tmp_path / "large" / "adapter")
    del model
    done = subprocess.run(
        [sys.executable, "-c", MERGE, tmp_path / "small", tmp_path / "large"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert size > 500e6
    assert int(done.stdout) * 1024 < 40e6


@pytest.mark.slow
def test_a_killed_merge_leaves_no_folder_that_looks_whole(tmp_path, with_values):
    """kill -9 while shards are written; the next merge is not hindered by what lies there."""
    base, adapter = put(tmp_path, tiny_of(), with_values)
    slow = (
        "import sys, time; from pathlib import Path; from bimedix.model import merge\n"
        "write = merge._write_like\n"
        "merge._write_like = lambda *a: (write(*a), print('written', flush=True), time.sleep(60))\n"
        "merge.merge_files(*map(Path, sys.argv[1:]))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", slow, base, adapter, tmp_path / "merged"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "written\n"
    child.kill()
    child.wait()

    assert (tmp_path / "merged.part").exists() and not (tmp_path / "merged").exists()
    merge_files(base, adapter, tmp_path / "merged")
    assert (tmp_path / "merged" / "merge.json").exists() and not (tmp_path / "merged.part").exists()


@pytest.mark.parametrize("router", ["full", "lora"])
def test_the_command_exports_a_run_in_three_forms(router, ids, tmp_path, apart, with_values):
    """Merged, and for PEFT in both layouts; chat finds the merged model's template."""
    stage = tmp_path / "run" / "06_train"
    put(stage, tiny_of(), with_values, router=router)
    (stage / "chat.json").write_text('{"template": "vicuna"}')
    wanted = open_model(stage / "base", adapter=stage / "adapter")(ids).logits
    for form in ("merged", "peft", "peft-fused"):
        said = CliRunner().invoke(
            cli, ["export", str(tmp_path / "run"), str(tmp_path / form), "--to", form], catch_exceptions=False
        )
        assert said.exit_code == 0, said.output

    assert apart(load_model(tmp_path / "merged")(ids).logits, wanted) <= 1e-5
    assert json.loads((tmp_path / "merged" / "chat.json").read_text()) == {"template": "vicuna"}
    peft = pytest.importorskip("peft")
    for form in ("peft", "peft-fused"):
        theirs = peft.PeftModel.from_pretrained(load_model(stage / "base"), tmp_path / form)
        assert apart(theirs(ids).logits, wanted) <= 1e-5
