"""Indexing against NumPy: every kind of index, drawn by hypothesis, and the errors.

As in torch, integers beside index arrays come first, which NumPy takes for arrays themselves.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorlite as tl
from tensorlite.nn import functional as F
from tensorlite.testing import gradcheck

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


@st.composite
def index_of(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple:
    """Any index that NumPy allows: basic parts mixed with integer and boolean arrays."""
    parts: list[Any] = []
    broadcast = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3))
    axis = 0
    masked = False
    while axis < len(shape) and draw(st.integers(0, 9)) < 8:
        n = shape[axis]
        kind = draw(st.sampled_from(["int", "slice", "array", "mask", "None"]))
        if kind == "None":
            parts.append(None)
            if len(parts) > 6:
                break
            continue
        if kind == "int":
            parts.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            parts.append(draw(st.slices(n)))
        elif kind == "mask" and not masked and broadcast == ():
            masked = True  # a mask's length must broadcast with the arrays: only with scalars here
            parts.append(draw(hnp.arrays(bool, n)))
        else:
            parts.append(draw(hnp.arrays(np.int64, broadcast, elements=st.integers(-n, n - 1))))
        axis += 1
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), ...)
    return tuple(parts)


@st.composite
def arrays_and_indices(draw: st.DrawFn) -> tuple[np.ndarray, tuple]:
    shape = draw(SHAPES)
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape), draw(index_of(shape))


def fits(x: np.ndarray, index: tuple) -> bool:
    """Whether NumPy takes the index (an ellipsis may have moved arrays to shorter axes)."""
    try:
        x[index]
        picked(x, index)
    except IndexError:
        return False
    return True


def place(x: np.ndarray, index: tuple) -> tuple[np.ndarray, tuple]:
    """A view of `x` by integers, slices and None, and the index into it that is left."""
    numbers = [isinstance(part, np.ndarray) and part.shape == () for part in index]
    index = tuple(
        int(part) if number else part for part, number in zip(index, numbers, strict=True)
    )
    if not any(isinstance(part, np.ndarray) for part in index):
        return x[(*index, ...) if ... not in index else index], ()
    first, second = [], []
    for part in index:
        array = isinstance(part, np.ndarray)
        first.append(slice(None) if array else part)
        if not isinstance(part, int):
            second.append(part if array or part is ... else slice(None))
    return x[tuple(first)], tuple(second)


def picked(x: np.ndarray, index: tuple) -> np.ndarray:
    view, rest = place(x, index)
    return view[rest]


@settings(max_examples=150, deadline=None)
@given(arrays_and_indices())
def test_getitem(case) -> None:
    x, index = case
    t = tl.tensor(x)
    if not fits(x, index):
        with pytest.raises(IndexError):
            t[index]
        return
    np.testing.assert_array_equal(t[index].numpy(), picked(x, index))
    as_tensors = tuple(tl.from_numpy(i) if isinstance(i, np.ndarray) else i for i in index)
    np.testing.assert_array_equal(t[as_tensors].numpy(), picked(x, index))


@settings(max_examples=100, deadline=None)
@given(arrays_and_indices())
def test_gradient_counts_how_often_each_element_is_taken(case) -> None:
    x, index = case
    if not fits(x, index):
        return
    t = tl.tensor(x, requires_grad=True)
    y = t[index]
    weights = np.arange(1.0, y.numel() + 1).reshape(y.shape)
    expected = np.zeros_like(x)
    np.add.at(*place(expected, index), weights)
    y.backward(weights)
    np.testing.assert_array_equal(t.grad.numpy(), expected)


@settings(max_examples=25, deadline=None)
@given(arrays_and_indices())
def test_gradient_by_differences(case) -> None:
    x, index = case
    if not fits(x, index) or x[index].size == 0:
        return
    t = tl.tensor(np.sin(x), requires_grad=True)
    gradcheck(lambda t: t[index] * t[index], [t], order=2)


@settings(max_examples=100, deadline=None)
@given(arrays_and_indices(), st.booleans())
def test_setitem(case, recorded) -> None:
    x, index = case
    if not fits(x, index):
        return
    shape = picked(x, index).shape
    value = -1.0 - np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    expected = x.copy()
    view, rest = place(expected, index)
    view[rest] = value
    leaf = tl.tensor(x, requires_grad=recorded)
    t = leaf * 1 if recorded else leaf
    t[index] = value
    np.testing.assert_array_equal(t.detach().numpy(), expected)
    if recorded:
        t.sum().backward()
        np.testing.assert_array_equal(leaf.grad.numpy(), expected >= 0)


def test_basic_index_is_a_view_and_advanced_a_copy() -> None:
    t = tl.zeros(4)
    basic, single, advanced = t[1:3], t[2], t[[1, 2]]
    t[...] = 5
    assert basic.tolist() == [5, 5] and single.item() == 5 and advanced.tolist() == [0, 0]


@pytest.mark.parametrize(
    "index", [2, np.int64(2), tl.tensor(2), np.array(2), (2, ...), [2], tl.tensor([2])]
)
def test_spellings(index, device) -> None:
    t = tl.arange(12, device=device).reshape(4, 3)
    where = index.to(device) if isinstance(index, tl.Tensor) else index
    assert t[where].cpu().reshape(3).tolist() == [6, 7, 8]


def test_python_booleans_and_empty_lists() -> None:
    t = tl.arange(3)
    assert t[True].tolist() == [[0, 1, 2]] and t[False].shape == (0, 3)
    assert t[[]].shape == (0,) and t[None, []].shape == (1, 0)


def test_boolean_masks(device) -> None:
    x = tl.tensor([[1.0, -2.0], [-3.0, 4.0]], device=device, requires_grad=True)
    negative = x < 0
    y = x[negative]
    assert y.detach().cpu().tolist() == [-2, -3]
    (y * y).sum().backward()
    assert x.grad.cpu().tolist() == [[0, -4], [-6, 0]]
    t = x.detach().clone()
    t[negative] = 0
    assert t.cpu().tolist() == [[1, 0], [0, 4]]


def test_sums_are_the_same_every_time(device) -> None:
    """The order of additions into a repeated place is fixed."""
    generator = np.random.default_rng(0)
    rows = tl.tensor(generator.integers(0, 7, 500), device=device)
    values = tl.tensor(generator.standard_normal((500, 5)), dtype="float32", device=device)
    sums = [
        tl.index_add(tl.zeros(7, 5, device=device), 0, rows, values).cpu().numpy() for _ in range(3)
    ]
    assert all((s == sums[0]).all() for s in sums)
    expected = np.zeros((7, 5))
    np.add.at(expected, rows.cpu().numpy(), values.cpu().numpy().astype(np.float64))
    np.testing.assert_allclose(sums[0], expected, atol=1e-4)


def test_short_floats_add_in_float32(device) -> None:
    """4096 ones: in float16 the sum would stay at 2048."""
    ones = tl.ones(4096, 2, dtype="float16", device=device)
    rows = tl.zeros(4096, dtype="int64", device=device)
    total = tl.index_add(tl.zeros(1, 2, dtype="float16", device=device), 0, rows, ones)
    assert total.dtype == np.float16 and total.cpu().tolist() == [[4096, 4096]]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (5, "index 5 is out of bounds for axis 0 with size 2"),
        ((0, -4), "index -4 is out of bounds for axis 1 with size 3"),
        (([0, 2],), "item: index 2 is out of bounds for axis 0 with size 2"),
        ((0, 0, 0), "too many indices"),
        ((..., ...), "ellipsis"),
        (1.0, "an index has dtype float32"),
        ("a", "an index has dtype <U1"),
        ([True, False, True], "boolean index did not match"),
        (([0, 1], [0, 1, 2]), "could not be broadcast"),
    ],
)
def test_errors(index, message) -> None:
    t = tl.zeros(2, 3)
    with pytest.raises(IndexError, match=message):
        t[index]
    with pytest.raises(IndexError, match=message):
        t[index] = 1.0


def test_errors_of_the_others() -> None:
    x = tl.zeros(4, 3)
    cases = [
        (
            lambda: x.index_select(1, tl.tensor([7])),
            IndexError,
            "index_select: index 7 is out of bounds for an axis of length 3",
        ),
        (
            lambda: tl.index_select(x, 2, tl.tensor([0])),
            IndexError,
            "index_select: dim 2 is out of range for a Tensor of 2 axes",
        ),
        (lambda: x.take(tl.zeros(2)), IndexError, "an index has dtype float32"),
        (lambda: x.take(tl.tensor([12])), IndexError, "take: index 12 is out of bounds"),
        (lambda: x.gather(0, tl.tensor([[-1]])), IndexError, "gather: index -1 is out of bounds"),
        (
            lambda: x.take_along_axis(tl.tensor([[0, 9, 0]]), 0),
            IndexError,
            "take_along_axis: index 9 is out of bounds for axis 0 with size 4",
        ),
        (
            lambda: x.gather(0, tl.zeros(5, 4, dtype="int64")),
            RuntimeError,
            r"gather: index of shape \(5, 4\) does not fit a Tensor of shape \(4, 3\)",
        ),
        (
            lambda: x.scatter_add(0, tl.zeros(2, 3, dtype="int64"), tl.zeros(1, 3)),
            RuntimeError,
            r"scatter_add: index of shape \(2, 3\) does not fit a Tensor of shape \(1, 3\)",
        ),
        (
            lambda: x.index_add(0, tl.tensor([0, 1]), tl.zeros(3, 3)),
            RuntimeError,
            r"index_add: index of shape \(2,\) and source of shape \(3, 3\)",
        ),
        (lambda: x.index_add(0, tl.tensor([4]), tl.zeros(1, 3)), IndexError, "index 4"),
        (lambda: F.one_hot(tl.tensor([0, 3]), 3), IndexError, "label 3 is out of bounds for 3"),
        (lambda: F.one_hot(tl.tensor([-1]), 3), IndexError, "label -1"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
