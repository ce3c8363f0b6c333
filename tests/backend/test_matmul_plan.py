"""Matmul plan, carried out on the host: NumPy reads each operand as the plan says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from tensorlite.backend.matmul_plan import packed_strides, plan_matmul, row_stride, shape_strides


def carry_out(a, b):
    """Multiply as `blas` does: pack, then one strided-batched product per offset."""
    g = plan_matmul(a.shape, a.strides, b.shape, b.strides, None, None, a.itemsize)
    out = np.full(g.shape, np.nan)
    if not g.offsets:
        out[...] = 0
        return g, out
    a, b = (_packed(x) if copy else x for x, copy in ((a, g.copy_a), (b, g.copy_b)))
    for da, db, do in g.offsets:
        left = _read(a, da, g.a, (g.batch, g.m, g.k))
        right = _read(b, db, g.b, (g.batch, g.k, g.n))
        _read(out, do, g.out, (g.batch, g.m, g.n))[...] = left @ right
    return g, out


def _packed(x):
    once = x[tuple(slice(None if s else 1) for s in x.strides[:-2])]
    return np.broadcast_to(np.ascontiguousarray(once), x.shape)


def _read(x, offset, matrix, shape):
    """View memory from an element of `x` on as a batch of matrices."""
    ends = (1, matrix.ld) if matrix.transposed else (matrix.ld, 1)
    strides = tuple(s * x.itemsize for s in (matrix.stride, *ends))
    start = as_strided(x, (), ())  # the first element of x, whatever its strides
    base = np.ndarray((), x.dtype, _memory(x), _address(start) - _start(x) + offset * x.itemsize)
    return as_strided(base, shape, strides)


def _memory(x):
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x.reshape(-1, order="A").view(np.uint8)


def _start(x):
    return _memory(x).ctypes.data


def _address(x):
    return x.__array_interface__["data"][0]


@st.composite
def operand(draw, lead, rows, columns):
    """An array of a shape that broadcasts to `lead`, of strides that views can have."""
    lead = lead[draw(st.integers(0, len(lead))) :]
    lead = tuple(draw(st.sampled_from([n, 1])) for n in lead)
    shape = (*lead, rows, columns)
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 2, -1])) for _ in shape]
    extra = [draw(st.integers(0, 2)) for _ in shape]
    memory = [shape[i] * abs(steps[i]) + extra[i] for i in order]
    x = np.arange(1.0, 1 + np.prod(memory)).reshape(memory) % 7
    x = x.transpose(np.argsort(order))
    for axis, (n, step) in enumerate(zip(shape, steps, strict=True)):
        index = slice(0, n * step, step) if step > 0 else slice(n - 1, None, -1)
        x = x[(slice(None),) * axis + (index,)]
    x = x.reshape(x.shape)
    assert x.shape == shape
    repeat = draw(st.sampled_from([None, *range(len(lead))]))
    if repeat is not None:  # a batch axis of stride 0
        x = np.broadcast_to(x[(slice(None),) * repeat + (slice(1),)], shape)
    return x


@st.composite
def products(draw):
    sizes = st.integers(1, 4)
    lead = tuple(draw(st.lists(sizes, max_size=3)))
    m, k, n = draw(sizes), draw(sizes), draw(sizes)
    a, b = draw(operand(lead, m, k)), draw(operand(lead, k, n))
    if a.ndim == 2 and draw(st.booleans()):
        a = a[0]
    if b.ndim == 2 and draw(st.booleans()):
        b = b[:, 0]
    return a, b


@given(products())
def test_the_plan_is_the_product(pair):
    a, b = pair
    _, out = carry_out(a, b)
    np.testing.assert_allclose(out, np.matmul(a, b))


@pytest.mark.parametrize(
    ("a", "b", "calls", "copies"),
    [
        (np.ones((2, 3, 4)), np.ones((4, 5)), (1, 1), 0),  # the batch becomes rows
        (np.ones((2, 6, 3, 4)), np.ones((6, 4, 5)), (2, 6), 0),  # broadcast along one of two
        (np.ones((2, 6, 3, 4)), np.ones((2, 6, 4, 5)), (1, 12), 0),
        (np.ones((3, 2, 4)).swapaxes(0, 1), np.ones((2, 4, 5)), (1, 2), 0),  # heads beside rows
        (np.ones((5, 7, 6, 4)).swapaxes(1, 2), np.ones((5, 6, 4, 3)), (1, 30), 1),  # two such axes
        (np.ones((4, 3)).T, np.ones((5, 4)).T, (1, 1), 0),
        (np.ones((3, 8))[:, ::2], np.ones((4, 5)), (1, 1), 1),
    ],
)
def test_few_calls_and_copies(a, b, calls, copies):
    plan, _ = carry_out(a, b)
    assert (len(plan.offsets), plan.batch) == calls
    assert plan.copy_a + plan.copy_b == copies


def test_out_must_have_rows():
    def copies(out):
        arguments = ((2, 3, 4), (96, 32, 8), (2, 4, 5), (160, 40, 8), out.shape, out.strides)
        return plan_matmul(*arguments, 8).copy_out

    base = np.empty((5, 4, 12))
    assert not copies(base[:2, :3, 2:7])
    assert copies(base[:2, :3, 1:11:2])
    assert copies(base[:5, :3, :2].swapaxes(0, 2))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3), (0, 3), (2, 0)])
def test_contiguous_strides(shape):
    assert shape_strides(shape, 8) == np.ones(shape).strides or 0 in shape


def test_packing_keeps_what_is_broadcast():
    assert packed_strides((4, 5, 2, 3), (0, 100, 1, 2), 1) == (0, 6, 3, 1)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (lambda x: x, 6),
        (lambda x: x[:, :, :5], 6),
        (lambda x: x[:, :2], None),
        (lambda x: x[..., ::2], None),
        (lambda x: x[0, 0], None),
    ],
)
def test_row_stride(view, expected):
    x = view(np.ones((4, 3, 6), "f4"))
    assert row_stride(x.shape, x.strides, 4) == expected
