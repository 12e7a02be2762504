"""Which base, adapters and template a folder stands for."""

import pytest

from bimedix.errors import MissingError
from bimedix.files import write_json
from bimedix.model.places import find_parts


def test_a_run_over_its_own_base_a_run_over_anothers_and_a_plain_model(tmp_path):
    """A base in the stage's folder goes first; else the adapters say what they belong to."""
    own, other, plain = tmp_path / "own" / "06_train", tmp_path / "other" / "06_train", tmp_path / "plain"
    for folder in (own / "base", plain):
        write_json(folder / "config.json", {})
    for stage in (own, other):
        write_json(stage / "adapter" / "adapter.json", {"base_model": "owner/name"})
        write_json(stage / "chat.json", {"template": "vicuna"})

    assert find_parts(tmp_path / "own") == find_parts(own) == (str(own / "base"), own / "adapter", "vicuna")
    assert find_parts(tmp_path / "other") == ("owner/name", other / "adapter", "vicuna")
    assert find_parts(other / "adapter") == ("owner/name", other / "adapter", "")
    assert find_parts(plain) == (str(plain), None, "")


def test_adapters_of_peft_name_their_base_too(tmp_path):
    write_json(tmp_path / "adapter_config.json", {"base_model_name_or_path": "owner/name"})

    assert find_parts(tmp_path) == ("owner/name", tmp_path, "")


def test_what_is_no_model_or_names_no_base_is_told(tmp_path):
    with pytest.raises(MissingError, match="holds no model"):
        find_parts(tmp_path)
    write_json(tmp_path / "adapter.json", {"base_model": None})
    with pytest.raises(MissingError, match="does not say which base"):
        find_parts(tmp_path)
