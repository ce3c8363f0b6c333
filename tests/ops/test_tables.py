"""Rows of tables, alone and in bags: what the samples leave open."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.nn import functional as F

generator = np.random.default_rng(5)


@pytest.fixture
def tensor(device):
    """Make a Tensor on the device under test."""
    return lambda array, **options: tl.tensor(np.asarray(array), device=device, **options)


def host(t: tl.Tensor) -> np.ndarray:
    return t.detach().to("cpu").numpy()


def test_padding_counts_from_the_end(tensor) -> None:
    w = tensor(np.ones((4, 2)), requires_grad=True)
    F.embedding(tensor([3, 0, 3]), w, padding_idx=-1).sum().backward()
    assert host(w.grad)[:, 0].tolist() == [1, 0, 0, 0]


def test_gradients_by_frequency(tensor) -> None:
    """Each row that was looked up gets the mean of its cotangents."""
    numbers = np.array([0, 4, 5, 5, 5, 5, 5, 4])
    for bagged in (False, True):
        w = tensor(np.zeros((6, 1)), requires_grad=True)
        if bagged:
            y = F.embedding_bag(
                tensor(numbers), w, tensor([0]), mode="sum", scale_grad_by_freq=True
            )
        else:
            y = F.embedding(tensor(numbers), w, scale_grad_by_freq=True)
        y.sum().backward()
        np.testing.assert_allclose(host(w.grad).ravel(), [1, 0, 0, 0, 1, 1])


@pytest.mark.parametrize("norm_type", [1.0, 2.0])
def test_long_rows_are_shortened_in_the_table(norm_type, tensor) -> None:
    table = generator.standard_normal((5, 3))
    w = tensor(table.copy(), requires_grad=True)
    y = F.embedding(tensor([[1, 3], [1, 1]]), w, max_norm=0.7, norm_type=norm_type)
    lengths = np.linalg.norm(table, norm_type, axis=1, keepdims=True)
    shortened = np.where(lengths > 0.7, table * 0.7 / (lengths + 1e-7), table)
    np.testing.assert_allclose(host(w)[[1, 3]], shortened[[1, 3]])
    np.testing.assert_array_equal(host(w)[[0, 2, 4]], table[[0, 2, 4]])
    np.testing.assert_allclose(host(y)[0], shortened[[1, 3]])
    y.sum().backward()
    assert host(w.grad)[:, 0].tolist() == [0, 3, 0, 1, 0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_many_equal_rows_are_added_up(dtype, tensor) -> None:
    """20,000 lookups of one row: in 16 bits a sum would stop at 2,048 or 256."""
    numbers = tensor(np.zeros(20_000, np.int64))
    for lookup in (
        lambda w: F.embedding(numbers, w),
        lambda w: F.embedding_bag(numbers.reshape(-1, 4), w, mode="sum"),
        lambda w: F.embedding_bag(numbers, w, tl.arange(20_000, device=w.device), mode="max"),
    ):
        w = tensor(np.ones((2, 1), np.float32)).to(dtype).requires_grad_()
        y = lookup(w)
        y.backward(tl.ones_like(y))
        assert abs(host(w.grad)[0].astype(np.float64).item() / 20_000 - 1) < 0.004
    w = tensor(np.ones((2, 1), np.float32)).to(dtype)
    total = F.embedding_bag(numbers, w, tensor([0]), mode="sum")
    assert abs(host(total).astype(np.float64).item() / 20_000 - 1) < 0.004


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_empty_bags_are_zeros(mode, tensor) -> None:
    w = tensor(generator.standard_normal((4, 3)), requires_grad=True)
    y = F.embedding_bag(tensor([2, 1]), w, tensor([0, 0, 2, 2]), mode=mode)
    assert y.shape == (4, 3)
    assert (host(y)[[0, 2, 3]] == 0).all()
    empty = F.embedding_bag(tensor(np.zeros(0, np.int64)), w, tensor([0, 0]), mode=mode)
    assert (host(empty) == 0).all() and empty.shape == (2, 3)
    empty.sum().backward()
    assert (host(w.grad) == 0).all()


def test_the_first_of_equal_largest_rows(tensor) -> None:
    w = tensor(np.array([[1.0], [2.0], [2.0]]), requires_grad=True)
    F.embedding_bag(tensor([[0, 2, 1], [1, 2, 0]]), w, mode="max").backward(
        tensor([[1.0], [10.0]]).double()
    )
    assert host(w.grad).ravel().tolist() == [0, 10, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i, w: F.embedding_bag(i, w, mode="min"), "mode 'min' is none of"),
        (lambda i, w: F.embedding_bag(i.reshape(-1), w), r"must be \(bags, n\), or \(n,\) with"),
        (
            lambda i, w: F.embedding_bag(i, w, tl.tensor([0])),
            "offsets are for an input of one axis",
        ),
        (
            lambda i, w: F.embedding_bag(i.reshape(-1), w, tl.tensor([1, 2])),
            r"offsets \[1, 2\] must ascend from 0 to at most 4",
        ),
        (
            lambda i, w: F.embedding_bag(i, w, per_sample_weights=tl.ones(2, 2)),
            "they are for 'sum'",
        ),
        (
            lambda i, w: F.embedding_bag(i, w, mode="max", scale_grad_by_freq=True),
            "scale_grad_by_freq is not for mode 'max'",
        ),
        (
            lambda i, w: F.embedding(i, w, padding_idx=-5),
            "padding_idx -5 is no row of a table of 4",
        ),
    ],
)
def test_refusals(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(tl.tensor([[0, 1], [2, 3]]), tl.zeros(4, 2))
