"""Shared by all tests: the folder of real records, and quiet libraries."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real records that BIMEDIX_DATA names; tests that need it skip without."""
    folder = os.environ.get("BIMEDIX_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("BIMEDIX_DATA names no folder of real records")
    return Path(folder)
