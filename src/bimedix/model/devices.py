"""Where the Triton kernels serve, and where plain torch does the same work."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from torch import Tensor


@cache
def _kernels() -> ModuleType | None:
    """Return the kernels, or None without triton, which torch's builds for CUDA bring along."""
    return import_module("bimedix.model.kernels") if find_spec("triton") else None


def kernels_of(x: Tensor) -> ModuleType | None:
    """Return the kernels that work on this tensor, or None where plain torch has to."""
    return _kernels() if x.is_cuda else None
