"""The kernel in C: torch's numbers in every format, and torch itself where it cannot be."""

import shutil

import pytest
import torch

from bimedix.model import native
from bimedix.model.native import nf4_kernel
from bimedix.model.nf4 import Nf4Weight
from bimedix.model.products import nf4_product

needs_kernel = pytest.mark.skipif(nf4_kernel() is None, reason="no compiler, or no wide registers")


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Give the kernel a cache folder of its own, and forget what was made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native._kernel.cache_clear()
    yield tmp_path / "bimedix"
    native._kernel.cache_clear()


@needs_kernel
@pytest.mark.parametrize("scales", ["float32", "bfloat16", "nested"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_times_four_bits_is_a_row_times_what_they_say(scales, dtype, apart, monkeypatch):
    """A weight and each member of a stack, with the kernel and without."""
    draw = torch.Generator().manual_seed(1)
    stack = Nf4Weight(torch.randn(3, 37, 192, generator=draw), scales)
    one = Nf4Weight(torch.randn(37, 192, generator=draw), scales)
    x = torch.randn(1, 192, generator=draw).to(dtype)
    bound = 1e-6 if dtype == torch.float32 else 1e-2

    for switch in ("1", "0"):
        monkeypatch.setenv("BIMEDIX_NATIVE", switch)
        assert (nf4_kernel() is None) == (switch == "0")
        assert apart(nf4_product(x, one), x @ one.dense(dtype).T) <= bound
        for member in range(3):
            wanted = x @ stack.dense(dtype, member).T
            assert apart(nf4_product(x, stack, member), wanted) <= bound
            assert nf4_product(x, stack, member).dtype == dtype


@needs_kernel
def test_threads_share_the_rows(apart):
    """The same numbers to the bit on one thread and on two."""
    weight = Nf4Weight(torch.randn(1001, 128))
    x, before = torch.randn(1, 128), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(nf4_product(x, weight))
    finally:
        torch.set_num_threads(before)

    assert apart(found[0], x @ weight.dense(torch.float32).T) <= 1e-6
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@needs_kernel
def test_it_is_compiled_once(fresh):
    """A file in the user's cache that is there or not, and taken from there the next time."""
    assert nf4_kernel() is not None
    (made,) = fresh.iterdir()
    written = made.stat().st_mtime_ns
    native._kernel.cache_clear()

    assert nf4_kernel() is not None
    assert [file.stat().st_mtime_ns for file in fresh.iterdir()] == [written]


def test_without_a_compiler_torch_multiplies(fresh, monkeypatch, apart):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    weight, x = Nf4Weight(torch.randn(20, 64)), torch.randn(1, 64)

    assert nf4_kernel() is None
    assert apart(nf4_product(x, weight), x @ weight.dense(torch.float32).T) <= 1e-6


def test_a_compiler_that_fails_and_a_folder_that_others_write_to_are_not_used(fresh, monkeypatch):
    """The library is code: it is taken only from where nobody else could have put it."""
    with monkeypatch.context() as patch:
        patch.setattr(native, "FLAGS", ("-no-such-flag",))
        assert nf4_kernel() is None
    native._kernel.cache_clear()
    fresh.chmod(0o777)

    assert nf4_kernel() is None


@needs_kernel
def test_a_library_that_gives_other_numbers_is_not_used(fresh, monkeypatch):
    monkeypatch.setattr(native, "LEVELS", tuple(level / 2 for level in native.LEVELS))

    assert nf4_kernel() is None
