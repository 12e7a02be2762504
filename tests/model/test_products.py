"""Products with frozen weights: the same numbers from either library, and the rule that chooses one."""

import pytest
import torch

from bimedix.model import products


@pytest.fixture(autouse=True)
def fresh_choice(monkeypatch):
    """Choose anew in every test, and for small weights too."""
    monkeypatch.setattr(products, "LEAST_WEIGHTS", 0)
    forget = products.onednn_pays.cache_clear
    forget()
    yield
    forget()


def _relative(found, wanted):
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("pays", [True, False])
def test_a_product_is_right_whichever_library_gives_it(monkeypatch, pays):
    """Plain, transposed and strided operands against float64, as forward and backward use them."""
    monkeypatch.setattr(products, "onednn_pays", lambda: pays)
    source = torch.Generator().manual_seed(1)
    x, w = torch.randn(70, 256, generator=source), torch.randn(192, 256, generator=source)
    for a, b in ((x, w), (x[:, :128], w[:, 128:]), (x, w.T.contiguous().T), (x[:1], w)):
        assert _relative(products.product(a, b), a.double() @ b.double().T) < 2e-6
    assert products.product(x[:0], w).shape == (0, 192)


@pytest.mark.parametrize("pays", [True, False])
def test_a_frozen_layer_passes_the_gradient_on_and_keeps_none(monkeypatch, pays):
    """dX is dY W in any leading shape; the weight gets nothing."""
    monkeypatch.setattr(products, "onednn_pays", lambda: pays)
    source = torch.Generator().manual_seed(2)
    x, w = torch.randn(2, 9, 32, generator=source).requires_grad_(), torch.randn(24, 32, generator=source)
    dy = torch.randn(2, 9, 24, generator=source)
    products.frozen_linear(x, w).backward(dy)

    assert x.grad is not None
    assert _relative(x.grad, dy.double() @ w.double()) < 2e-6
    assert w.grad is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_stay_with_torch(monkeypatch, dtype):
    """oneDNN is asked for float32 alone, where MKL is what is slow."""
    monkeypatch.setattr(products, "onednn_pays", lambda: True)
    monkeypatch.setattr(products, "_onednn", lambda x, weight: pytest.fail("asked oneDNN"))
    x = torch.ones(3, 4, dtype=dtype)

    assert torch.equal(products.product(x, x), x @ x.T)


def test_small_weights_stay_with_torch(monkeypatch):
    """Low-rank factors are not worth the code that oneDNN keeps for every shape."""
    monkeypatch.setattr(products, "LEAST_WEIGHTS", 16)
    monkeypatch.setattr(products, "onednn_pays", lambda: True)
    monkeypatch.setattr(products, "_onednn", lambda x, weight: "onednn")
    x = torch.ones(2, 4)

    assert products.product(x, torch.ones(4, 4)) == "onednn"
    assert torch.equal(products.product(x, torch.ones(3, 4)), torch.full((2, 3), 4.0))


def test_the_choice_rests_on_the_processor(monkeypatch):
    """Intel's processors and narrower vectors stay with MKL, which serves them in full."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(products, "_agrees", lambda: True)
    monkeypatch.setattr(products, "_is_amd", lambda: False)
    assert not products.onednn_pays()
    products.onednn_pays.cache_clear()
    monkeypatch.setattr(products, "_is_amd", lambda: True)
    assert products.onednn_pays() == torch.backends.mkldnn.is_available()
    products.onednn_pays.cache_clear()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")

    assert not products.onednn_pays()


def test_a_library_that_disagrees_is_not_used(monkeypatch):
    """Wrong numbers, or an operator that is gone, mean torch's own product."""
    monkeypatch.setattr(products, "_onednn", lambda x, weight: 1.001 * (x @ weight.T))
    assert not products._agrees()

    def gone(x, weight):
        raise AttributeError("no such operator")

    monkeypatch.setattr(products, "_onednn", gone)

    assert not products._agrees()
