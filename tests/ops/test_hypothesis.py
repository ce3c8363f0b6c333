"""Shapes, broadcasting, dtypes and axes that nobody thought of, against NumPy."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tensorlite as tl
from tensorlite import ops
from tensorlite.tensor import Tensor, tensor_of

# The same examples each time: a failure is a finding, never a flake.
settings.register_profile(
    "tensorlite",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("tensorlite")

FLOATS = [np.dtype(name) for name in ("float16", "float32", "float64")]
INTEGERS = [np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8")]
DTYPES = [*FLOATS, *INTEGERS, np.dtype(bool)]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)


def filled(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Small numbers, among them equal ones; none is 0."""
    values = np.arange(int(np.prod(shape))).reshape(shape) % 7 + 1
    return np.asarray(values, dtype)


def tensor(backend, array) -> Tensor:
    return tensor_of(backend.asarray(array))


def check(backend, actual: Tensor, expected) -> None:
    expected = np.asarray(expected)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    host = backend.to_host(actual.array)
    short = {np.dtype(np.float16): 2e-3, np.dtype(np.float32): 1e-5}
    rtol = short.get(expected.dtype, 1e-12)
    np.testing.assert_allclose(host, expected, rtol, rtol)


@pytest.mark.parametrize(
    ("op", "reference"),
    [
        (operator.add, np.add),
        (operator.mul, np.multiply),
        (operator.truediv, np.divide),
        (operator.floordiv, np.floor_divide),
        (operator.mod, np.mod),
        (operator.lt, np.less),
        (operator.eq, np.equal),
        (ops.maximum, np.maximum),
        (ops.hypot, np.hypot),
        (ops.logical_and, np.logical_and),
        (lambda a, b: ops.where(a > 2, a, b), lambda a, b: np.where(a > 2, a, b)),
    ],
)
@given(
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3),
    st.sampled_from(DTYPES),
    st.sampled_from(DTYPES),
)
def test_two_arrays(backend, op, reference, shapes, dtype1, dtype2):
    a, b = (filled(s, d) for s, d in zip(shapes.input_shapes, (dtype1, dtype2), strict=True))
    actual = op(tensor(backend, a), tensor(backend, b))
    if reference is not np.logical_and:
        a, b = brought_together(reference, a, b)
    check(backend, actual, reference(a, b))


def brought_together(reference, *operands) -> list:
    """The operands in the dtype that `tl.result_type` says, which has tests of its own."""
    dtype = tl.result_type(*operands)
    if reference in (np.divide, np.hypot, operator.truediv) and dtype.kind != "f":
        dtype = np.dtype(np.float32)
    return [np.asarray(x, dtype) for x in operands]


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv])
@given(SHAPES, st.sampled_from(DTYPES[:-1]), st.sampled_from([2, 3.5, True]), st.booleans())
def test_python_numbers_do_not_promote(backend, op, shape, dtype, number, reflected):
    x = filled(shape, dtype)
    actual = op(number, tensor(backend, x)) if reflected else op(tensor(backend, x), number)
    x, number = brought_together(op, x, number)
    check(backend, actual, op(number, x) if reflected else op(x, number))


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=4, min_side=0, max_side=3))
def test_gradients_have_the_inputs_shapes(backend, shapes):
    a, b, c = (filled(shape, np.float64) for shape in shapes.input_shapes)
    leaves = [tensor(backend, x).requires_grad_() for x in (a, b, c)]
    y = leaves[0] * leaves[1] + leaves[2]
    cotangent = filled(y.shape, np.float64)
    found = tl.grad(y, leaves, tensor(backend, cotangent))
    for d, partial in zip(found, (b, a, 1.0), strict=True):
        full = np.broadcast_to(cotangent * partial, y.shape)
        check(backend, d, summed_to(full, d.shape))


def summed_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What broadcasting `shape` to `x`'s shape spread out, one element after the other."""
    total = np.zeros(shape)
    for index in np.ndindex(x.shape):
        place = index[x.ndim - len(shape) :]
        total[tuple(i if n > 1 else 0 for i, n in zip(place, shape, strict=True))] += x[index]
    return total


def total(x: np.ndarray, **options) -> np.ndarray:
    return np.sum(x, dtype=np.int64 if x.dtype.kind in "iub" else None, **options)


def product(x: np.ndarray, **options) -> np.ndarray:
    return np.prod(x, dtype=np.int64 if x.dtype.kind in "iub" else None, **options)


def truth(reference):
    """Of uint8 in uint8, as in torch."""

    def of(x: np.ndarray, **options) -> np.ndarray:
        return np.asarray(reference(x, **options), np.uint8 if x.dtype == np.uint8 else bool)

    return of


@st.composite
def reductions(draw) -> tuple[tuple[int, ...], int | tuple[int, ...] | None]:
    """A shape and one of the axes, some of them, or None."""
    shape = draw(SHAPES)
    axes = st.integers(-len(shape), len(shape) - 1)
    some = st.sets(axes.map(lambda i: i % len(shape)) if shape else st.nothing()).map(tuple)
    return shape, draw(st.none() | some | (axes if shape else st.nothing()))


@pytest.mark.parametrize(
    ("op", "reference"),
    [
        (ops.sum, total),
        (ops.prod, product),
        (ops.mean, np.mean),
        (ops.var, np.var),
        (ops.amax, np.max),
        (ops.amin, np.min),
        (ops.any, truth(np.any)),
        (ops.all, truth(np.all)),
    ],
)
@given(reductions(), st.booleans(), st.sampled_from(FLOATS + INTEGERS[2:]))
def test_reductions(backend, op, reference, case, keepdims, dtype):
    shape, axis = case
    x = filled(shape, dtype)
    if op is ops.prod:
        x[x > 2] = 1  # lest it overflows
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    whole = axis == () and op not in (ops.any, ops.all)  # where () is all of them, as in torch
    if whole:
        axes = range(x.ndim)
    if op in (ops.mean, ops.var, ops.amax, ops.amin) and 0 in [shape[i] for i in axes]:
        return
    if op in (ops.mean, ops.var) and x.dtype.kind in "iu":
        with pytest.raises(TypeError, match=f"of {x.dtype} is no {x.dtype}"):
            op(tensor(backend, x), axis=axis, keepdims=keepdims)
        return
    options = {"correction": 0} if op is ops.var else {}
    y = op(tensor(backend, x), axis=axis, keepdims=keepdims, **options)
    check(backend, y, reference(x, axis=None if whole else axis, keepdims=keepdims))


@pytest.mark.parametrize(
    ("op", "reference"),
    [
        (lambda x, axis: ops.sort(x, axis).values, np.sort),
        (ops.argsort, lambda x, axis: np.argsort(x, axis, kind="stable")),
        (ops.cumsum, np.cumsum),
        (ops.cumprod, np.cumprod),
        (ops.flip, np.flip),
    ],
)
@given(reductions(), st.sampled_from([np.dtype("float32"), np.dtype("int64")]))
def test_along_one_axis(backend, op, reference, case, dtype):
    shape, axis = case
    if not isinstance(axis, int):
        return
    x = filled(shape, dtype)
    check(backend, op(tensor(backend, x), axis=axis), reference(x, axis=axis))


@given(SHAPES, st.sampled_from(DTYPES), st.sampled_from(DTYPES))
def test_cast(backend, shape, source, target):
    x = filled(shape, source)
    check(backend, ops.cast(tensor(backend, x), target), x.astype(target))


@given(st.data(), SHAPES)
def test_permutations(backend, data, shape):
    x = filled(shape, np.float32)
    axes = data.draw(st.permutations(range(len(shape))))
    check(backend, ops.permute(tensor(backend, x), axes), x.transpose(axes))
    check(backend, ops.reshape(tensor(backend, x), shape=shape[::-1]), x.reshape(shape[::-1]))
