"""Tiny models that every test of this folder shares."""

import contextlib

import pytest

torch = pytest.importorskip("torch")

from bimedix.model.load import tiny_model  # noqa: E402
from bimedix.model.settings import TinySettings  # noqa: E402

TINY = TinySettings(hidden=64, ffn=96, layers=2, heads=4, kv_heads=2, experts=6, vocab=300, init_std=0.2)


@pytest.fixture
def tiny():
    """Return a function that makes the same tiny Mixtral again and again."""
    return lambda: tiny_model(TINY)


@pytest.fixture
def ids():
    """Tokens enough that every expert gets some."""
    return torch.randint(0, 300, (2, 40), generator=torch.Generator().manual_seed(3))


def relative(mine, other):
    """Return the Frobenius norm of the difference, relative to that of the other."""
    return float((mine - other).detach().norm() / other.detach().norm().clamp(min=1e-30))


@pytest.fixture
def apart():
    """Return `relative`."""
    return relative


def randomise(model, std=0.1, seed=5):
    """Give every adapter tensor, A and B, values of its own."""
    from bimedix.model.adapters import named_adapters

    source = torch.Generator().manual_seed(seed)
    for name, view in named_adapters(model):
        if not name.endswith("gate.weight"):
            view.normal_(0, std, generator=source)
    return model


@pytest.fixture
def with_values():
    """Return `randomise`."""
    return randomise


@contextlib.contextmanager
def noting_bytes(model):
    """Yield a list that gets, at the end, the bytes that layers kept for backward, weights left out."""
    from bimedix.model import norms

    held, found, as_it_is = {}, [], norms.Watch.pack

    def noted(self, tensor):
        kept = as_it_is(self, tensor)
        value = kept.x if isinstance(kept, norms._Again) else kept
        held[value.untyped_storage().data_ptr()] = value
        return kept

    norms.Watch.pack = noted
    try:
        yield found
    finally:
        norms.Watch.pack = as_it_is
    weights = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    found.append(sum(t.untyped_storage().nbytes() for at, t in held.items() if at not in weights))


@pytest.fixture
def kept_for_backward():
    """Return `noting_bytes`."""
    return noting_bytes
