"""Safetensors tensor by tensor: what the library writes we read, what we write it reads, damage is named."""

import json

import pytest
import torch

from bimedix.errors import DataError, MissingError
from bimedix.model.shards import Checkpoint, read_header, shard_files, write_shard

TENSORS = {
    "a.bias": torch.arange(5, dtype=torch.int64),
    "a.weight": torch.randn(7, 3).to(torch.bfloat16),
    "none": torch.zeros(0, 4),
    "one": torch.tensor(2.5),
    "packed": torch.arange(12, dtype=torch.uint8).reshape(3, 4),
}


def test_what_the_library_writes_is_read(tmp_path):
    from safetensors.torch import save_file

    save_file(TENSORS, tmp_path / "a.safetensors")
    found = Checkpoint([tmp_path / "a.safetensors"])

    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found.read(name), tensor) for name, tensor in TENSORS.items())
    assert torch.equal(found.read("a.weight", slice(2, 5)), TENSORS["a.weight"][2:5])
    assert found.bytes == sum(t.numel() * t.element_size() for t in TENSORS.values())


def test_what_we_write_the_library_reads(tmp_path):
    from safetensors.torch import load_file

    write_shard(
        tmp_path / "a", {name: (t.dtype, t.shape) for name, t in TENSORS.items()}, iter(TENSORS.values())
    )
    found = load_file(tmp_path / "a")

    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def test_damage_is_named_before_anything_is_used(tmp_path):
    """Cut off, not of this format, places that do not fit: an error with the file's name each time."""
    file = tmp_path / "a.safetensors"
    write_shard(file, {"x": (torch.float32, (4, 4))}, [torch.ones(4, 4)])
    whole = file.read_bytes()

    for broken, said in (
        (whole[:-4], "cut off inside x"),
        (whole[:20], "cut off"),
        (b"\xff" * 99, "cut off"),
    ):
        file.write_bytes(broken)
        with pytest.raises(DataError, match=said):
            read_header(file)
    for told in ({"dtype": "F32", "shape": [4, 5], "data_offsets": [0, 64]}, {"dtype": "F3"}):
        header = json.dumps({"x": told}).encode()
        file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
        with pytest.raises(DataError, match=r"a\.safetensors: .*x"):
            read_header(file)


def test_a_file_that_the_index_names_and_that_is_not_there_is_named(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"x": "b.safetensors"}}')

    with pytest.raises(MissingError, match=r"b\.safetensors is not there"):
        shard_files(tmp_path)


def test_a_tensor_of_another_shape_than_announced_is_not_written(tmp_path):
    with pytest.raises(DataError, match="came as"):
        write_shard(tmp_path / "a", {"x": (torch.float32, (2, 2))}, [torch.ones(2, 3)])
