"""`benchmarks/gpu.py` on the CPU with tiny sizes: every part runs, and every comparison in it holds."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.py"
ABSENT = (
    "accelerate", "ahocorasick_rs", "aiohttp", "bitsandbytes", "click", "datasets", "jinja2",
    "mistral_common", "msgspec", "openpyxl", "peft", "pyarrow", "pypdfium2", "rapidfuzz", "rich",
    "safetensors", "sentencepiece", "transformers", "trl", "zstandard",
)  # fmt: skip
WITHOUT = """
import runpy, sys
sys.modules.update(dict.fromkeys({absent!r}))
sys.argv = [{script!r}, "--rehearse", "--json"]
sys.path.insert(0, {folder!r})
runpy.run_path({script!r}, run_name="__main__")
"""
OURS = ("loop", "loop_again", "loop_one_stream", "loop_resident", "loop_gate_up_again", "grouped")


def run(*words):
    """Run Python with these words; return the figures of the last line."""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=bare)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])["figures"]


@pytest.mark.slow
def test_every_part_runs_with_torch_and_numpy_alone():
    """All parts; nothing else that the project depends on can be imported, and such arms are named."""
    figures = run("-c", WITHOUT.format(absent=ABSENT, script=str(SCRIPT), folder=str(SCRIPT.parent)))

    assert {"ceilings", "correct", "dequant", "block", "step", "decode"} <= figures.keys()
    assert figures["correct"]["experts_loop_zipf_error"] <= 1e-2
    assert figures["dequant"]["bitsandbytes"] == "left out: not installed"
    for case in figures["block"].values():
        assert case["peft_grouped_mm"] == "left out: not installed: transformers, peft"
        assert all(case[arm]["ms"] > 0 and case[arm]["difference"] <= 2e-2 for arm in OURS)
        assert case["whole_layer_grouped_all_again"]["difference"] > 0
    step = figures["step"]
    assert step["policies"]["layers_difference"] == step["policies"]["gate_up_difference"] == 0
    assert "within_45_gb" not in step["lean"]  # No peak is known of a processor.
    assert step["all_again_64"]["layers"] == step["all_kept_64"]["none"] == 2
    assert step["planned_64"]["resident_layers"] == 2
    assert step["lean"]["tokens_per_s"] > 0
    assert figures["decode"]["adapters_3"]["ms"] > 0
    assert "times mean nothing" in figures["rehearsal"]


@pytest.mark.slow
def test_arms_of_others_give_the_same_before_they_are_timed():
    """PEFT's layer and bitsandbytes' unpacking, where they are installed."""
    for package in ("peft", "bitsandbytes"):
        pytest.importorskip(package)
    figures = run(str(SCRIPT), "--rehearse", "--json", "--part", "dequant", "block")

    assert figures["block"]["zipf_48"]["peft_grouped_mm"]["difference"] <= 2e-2
    assert figures["dequant"]["bitsandbytes"]["ms"] > 0


def test_a_machine_without_a_gpu_is_told_what_to_do(monkeypatch):
    """No figures of a processor under the name of a card."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])

    with pytest.raises(SystemExit, match="--rehearse"):
        importlib.import_module("gpu").main()
