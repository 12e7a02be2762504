"""Several devices, as the shipped configurations of accelerate set them up, take the steps of one."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import pytest
from accelerate import Accelerator
from accelerate.utils import DistributedType

from bimedix.errors import MissingError, UsageError
from bimedix.model.adapters import load_adapter
from bimedix.model.load import load_model
from bimedix.train import Settings, run
from bimedix.train.devices import make_accelerator

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "accelerate"
CHILD = """
import sys, msgspec
from pathlib import Path
from bimedix.stage import Context
from bimedix.train import Settings, run
settings = msgspec.json.decode(sys.argv[1], type=Settings)
run(settings, {"mix": Path(sys.argv[2])}, Path(sys.argv[3]), Context(calls=Path(sys.argv[3] + "-calls")))
"""


def environment(config: str) -> dict[str, str]:
    """Return what `accelerate launch --config_file` gives the processes, by accelerate's own parser."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    given = launch_command_parser().parse_args(["--config_file", str(CONFIGS / f"{config}.yaml"), "x.py"])
    read, defaults, _ = _validate_launch_command(given)
    if not read.use_deepspeed:
        return dict(prepare_multi_gpu_env(read))
    read.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
    return dict(prepare_deepspeed_cmd_env(read)[1])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run_on_two(config: str, settings, mix, out: Path) -> None:
    """Train in two processes on this machine's processor."""
    on_processor(config, [sys.executable, "-c", CHILD, json.dumps(asdict(settings)), str(mix), str(out)])


def on_processor(config: str, command: list[str]) -> list[str]:
    """Run a command in two processes that know of each other; returns what each printed."""
    shared = environment(config) | {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    ranks = [
        subprocess.Popen(
            command, env={**shared, "RANK": rank, "LOCAL_RANK": rank}, stdout=subprocess.PIPE, text=True
        )
        for rank in ("0", "1")
    ]
    try:
        told = [rank.communicate(timeout=240)[0] for rank in ranks]
        assert [rank.returncode for rank in ranks] == [0, 0]
        return told
    finally:
        for rank in ranks:
            rank.kill()


def rows(folder: Path) -> list[dict]:
    return [msgspec.json.decode(line) for line in (folder / "metrics.jsonl").read_bytes().splitlines()]


@pytest.fixture
def uneven(settings):
    """Return settings whose batches two devices cannot share evenly: all weights, then adapters."""
    phases = tuple(replace(phase, batch_size=5 + 6 * (phase.mode == "full")) for phase in settings.phases)
    return replace(
        settings,
        balance_coefficient=0.02,
        z_coefficient=0.01,
        phases=phases,
        recompute="layers",
        keep_unmerged_only=False,
    )


def compare(one: Path, two: Path, rel: float, most: float) -> None:
    """Compare figures of all steps, then the adapted models."""
    ours, theirs = rows(one), rows(two)
    assert len(ours) == len(theirs) > 4
    for mine, other in zip(ours, theirs, strict=True):
        for key in ("loss", "gradient_norm", "balance", "z"):
            assert other[key] == pytest.approx(mine[key], rel=rel), (key, mine["step"])
        assert other["tokens"] == mine["tokens"]
        assert other["busiest_expert_share"] == pytest.approx(mine["busiest_expert_share"], abs=10 * rel)
    models = (load_adapter(load_model(run / "base"), run / "adapter") for run in (one, two))
    for mine, other in zip(*(model.parameters() for model in models), strict=True):
        assert (mine - other).abs().max() < most


@pytest.mark.slow
@pytest.mark.parametrize("config", ["ddp", "fsdp2", "zero3"])
def test_two_devices_take_the_steps_of_one(config, mix, uneven, context, tmp_path):
    """T13: loss, gradient, balance loss, z-loss, expert load and adapters; only the first device writes.

    Five samples a step, so that the devices have unlike numbers of micro-batches, and in the last step of
    an epoch one of them has none.
    """
    if config.startswith("zero"):
        pytest.importorskip("deepspeed")
    run(uneven, {"mix": mix}, tmp_path / "one", context)
    run_on_two(config, uneven, mix, tmp_path / "two")

    compare(tmp_path / "one", tmp_path / "two", rel=2e-4, most=2e-3)
    assert all(row["padding_share"] == 0 for row in rows(tmp_path / "one"))
    assert any(row["padding_share"] > 0 for row in rows(tmp_path / "two"))
    assert not (tmp_path / "two" / "checkpoints").exists()
    assert (tmp_path / "two" / "merged" / "model.safetensors").exists()


def stop_at_the_end_of_a_phase(*_):
    """Stand in for the validation that ends a phase: its checkpoints are on the disk by then."""
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "optimizer", "rel"), [("fsdp2", "adamw_8bit", 1e-2), ("zero2", "adamw_float32", 2e-4)]
)
def test_a_run_that_one_device_began_goes_on_with_two(
    config, optimizer, rel, mix, uneven, context, tmp_path, monkeypatch
):
    """Checkpoints hold whole tensors: weights and moments find their places on any number of devices.

    Eight-bit moments are rounded at random, by other draws on other devices: they agree less closely.
    """
    if config.startswith("zero"):
        pytest.importorskip("deepspeed")
    from bimedix.train import loop

    settings = replace(uneven, optimizer=optimizer, checkpoint_every_steps=1)
    settings = replace(settings, phases=tuple(replace(p, epochs=2) for p in settings.phases))
    run(settings, {"mix": mix}, tmp_path / "one", context)
    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "validate", stop_at_the_end_of_a_phase)
        with pytest.raises(KeyboardInterrupt):
            run(settings, {"mix": mix}, tmp_path / "two", context)
    begun = (tmp_path / "two" / "metrics.jsonl").read_bytes().splitlines()
    run_on_two(config, settings, mix, tmp_path / "two")

    compare(tmp_path / "one", tmp_path / "two", rel=rel, most=5e-2)
    assert (tmp_path / "two" / "metrics.jsonl").read_bytes().splitlines()[: len(begun) - 1] == begun[:-1]


RECIPE = """
name = "two"
data = "."
[sources]
data = [{ source = "records", path = "mix/train.jsonl" }]
[mix]
languages = ["ar"]
ratio = [1, 1]
near_duplicates = 0.0
[train]
base = "tiny"
max_tokens_per_sample = 256
tiny = { hidden = 32, ffn = 48, heads = 2, kv_heads = 1, experts = 4 }
phases = [{ mode = "full", epochs = 1, batch_size = 4 }]
"""


@pytest.mark.slow
def test_the_whole_path_goes_on_in_several_processes_when_it_comes_to_training(mix, tmp_path):
    """`accelerate launch --module bimedix run`: the first goes through all stages, the others join one."""
    (tmp_path / "two.toml").write_text(RECIPE)
    command = [
        sys.executable,
        "-m",
        "bimedix",
        "run",
        str(tmp_path / "two.toml"),
        "--out",
        str(tmp_path / "run"),
    ]
    on_one = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--until", "mix", "-q"], env=on_one, check=True)
    told = on_processor("ddp", command)
    ledger = json.loads((tmp_path / "run" / "07_train" / "ledger.json").read_text())

    assert ledger["summary"]["written"] == 12
    assert "Report:" in told[0] and told[1] == ""
    assert (tmp_path / "run" / "07_train" / "base" / "model.safetensors").exists()


# --- configurations and refusals ------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_configuration_is_read_and_leaves_precision_to_the_recipe(path):
    found = environment(path.stem)

    assert found["ACCELERATE_MIXED_PRECISION"] == "no"
    if path.stem.startswith("fsdp2"):
        assert (found["ACCELERATE_USE_FSDP"], found["FSDP_VERSION"]) == ("true", "2")
    if path.stem.startswith("zero"):
        assert found["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == path.stem[-1]


@pytest.mark.parametrize(
    ("attribute", "value", "settings", "told"),
    [
        ("mixed_precision", "bf16", Settings(), r"mixed precision 'bf16'(?s:.*)mixed_precision: 'no'"),
        ("distributed_type", DistributedType.FSDP, Settings(), "fsdp_version: 2"),
        ("distributed_type", DistributedType.DEEPSPEED, Settings(optimizer="adamw_8bit"), "Use FSDP2"),
    ],
)
def test_what_the_loop_does_not_do_is_refused_at_once(
    monkeypatch, tmp_path, attribute, value, settings, told
):
    """Two precisions that contradict each other, an old FSDP, blocks of eight bits laid end to end."""
    monkeypatch.setattr(Accelerator, attribute, value)

    with pytest.raises(UsageError, match=told):
        make_accelerator(settings, tmp_path)


def test_a_tracker_that_is_not_installed_is_named(tmp_path):
    with pytest.raises(MissingError, match="pip install wandb"):
        make_accelerator(Settings(trackers=("wandb",)), tmp_path)
