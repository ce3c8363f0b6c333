"""The cuBLASLt binding against NumPy in float64."""

from __future__ import annotations

import ctypes
import itertools
import threading

import cupy as cp
import ml_dtypes
import numpy as np
import pytest

import tensorlite as tl
from tensorlite.backend import blas, cublaslt
from tensorlite.backend.matmul_plan import plan_matmul

FLOATS = ["float16", ml_dtypes.bfloat16, "float32", "float64"]
TOLERANCE = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 2e-6, "float64": 1e-14}


@pytest.fixture(params=["compiled", "plain"], autouse=True)
def call(request, monkeypatch):
    """Whether the ordinary products are made in compiled code."""
    if request.param == "plain":
        monkeypatch.setattr(blas, "_compiled", None)
    elif blas._compiled is None:
        pytest.skip("no compiler: products are called from Python")
    return request.param


def draw(shape, dtype, seed=0):
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return cp.asarray(values.astype(dtype))


def wide(array):
    return cp.asnumpy(array).astype(np.float64)


def assert_close(actual, expected, scale=1.0):
    """Within the dtype's rounding, relative to the largest value (`scale` for long sums)."""
    assert actual.shape == expected.shape
    tolerance = TOLERANCE[actual.dtype.name] * scale * max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(wide(actual), expected, rtol=0, atol=tolerance)


SHAPES = [
    ((3, 4), (4, 5)),
    ((1, 1), (1, 1)),
    ((31, 33), (33, 17)),
    ((8, 300), (300, 8)),  # long enough for a split product, which needs workspace
    ((4,), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (2, 3, 4, 5)),
    ((2, 3, 4, 5), (5,)),
    ((6, 3, 4), (4, 5)),
    ((6, 1, 4), (4, 5)),
    ((3, 4), (6, 4, 5)),
    ((6, 3, 4), (6, 4, 5)),
    ((2, 6, 3, 4), (2, 6, 4, 5)),
    ((2, 6, 3, 4), (6, 4, 5)),
    ((2, 1, 3, 4), (1, 6, 4, 5)),
    ((2, 1, 7, 3, 4), (6, 1, 4, 5)),
    ((5, 1, 4), (1, 4, 1)),
    # no elements, or nothing to sum
    ((0, 4), (4, 5)),
    ((3, 4), (4, 0)),
    ((3, 0), (0, 5)),
    ((0,), (0,)),
    ((0, 3, 4), (4, 5)),
    ((2, 3, 0), (2, 0, 5)),
]


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize(("left", "right"), SHAPES, ids=str)
def test_shapes(left, right, dtype):
    a, b = draw(left, dtype), draw(right, dtype, 1)
    y = blas.matmul(a, b)
    assert y.dtype == a.dtype
    assert_close(y, np.matmul(wide(a), wide(b)), scale=4)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
@pytest.mark.parametrize(("left", "right"), SHAPES[::3], ids=str)
def test_integers(left, right, dtype):
    a, b = (
        cp.abs(draw(shape, "f8", seed) * 10).astype(dtype)
        for seed, shape in ((0, left), (1, right))
    )
    y = blas.matmul(a, b)
    expected = np.matmul(cp.asnumpy(a), cp.asnumpy(b))
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(cp.asnumpy(y), expected)


VIEWS = {
    "transposed": lambda x: cp.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2),
    "rows apart": lambda x: cp.concatenate([x, x], axis=-1)[..., : x.shape[-1]],
    "odd start": lambda x: cp.concatenate([x[..., :1], x], axis=-1)[..., 1:],
    "every second column": lambda x: cp.repeat(x, 2, axis=-1)[..., ::2],
    "every second row": lambda x: cp.repeat(x, 2, axis=-2)[..., ::2, :],
    "reversed rows": lambda x: cp.ascontiguousarray(x[..., ::-1, :])[..., ::-1, :],
    "reversed batch": lambda x: cp.ascontiguousarray(x[::-1])[::-1],
    "heads": lambda x: cp.ascontiguousarray(x.swapaxes(0, -2)).swapaxes(0, -2),
    "one batch repeated": lambda x: cp.broadcast_to(x[:1], x.shape),
    "one row repeated": lambda x: cp.broadcast_to(x[..., :1, :], x.shape),
}
IN_PLACE = {"transposed", "rows apart", "odd start", "every second row", "heads"}


@pytest.mark.parametrize(("view_a", "view_b"), list(itertools.product(VIEWS, VIEWS)))
def test_views(view_a, view_b):
    a = VIEWS[view_a](draw((2, 5, 6), "f4"))
    b = VIEWS[view_b](draw((2, 6, 7), "f4", 1))
    assert_close(blas.matmul(a, b), wide(a) @ wide(b), scale=4)


@pytest.mark.parametrize("view", sorted(IN_PLACE | {"one batch repeated"}))
def test_views_that_are_not_copied(view):
    a, b = VIEWS[view](draw((2, 5, 6), "f4")), draw((2, 6, 7), "f4", 1)
    plan = plan_matmul(a.shape, a.strides, b.shape, b.strides, None, None, 4)
    assert not plan.copy_a
    assert len(plan.offsets) == 1


def test_out_and_accumulate():
    a, b = draw((3, 4), "f4"), draw((4, 5), "f4", 1)
    start = draw((3, 5), "f4", 2)
    product = wide(a) @ wide(b)
    out = start.copy()
    assert blas.matmul(a, b, out=out) is out
    assert_close(out, product, scale=4)
    out = start.copy()
    blas.matmul(a, b, out=out, accumulate=True)
    assert_close(out, wide(start) + product, scale=4)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_out_of_any_strides(accumulate, dtype):
    a, b = draw((2, 3, 4), dtype), draw((2, 4, 5), dtype, 1)
    for step in (
        lambda base: base[:2, :3, :5],
        lambda base: base[:2, :3, 1:11:2],
        lambda base: base[:5, :3, :2].swapaxes(0, 2),
    ):
        base = cp.full((5, 4, 12), 7, dtype)
        touched = np.zeros(base.shape, bool)
        step(touched)[...] = True
        blas.matmul(a, b, out=step(base), accumulate=accumulate)
        expected = wide(a) @ wide(b) + 7 * accumulate
        np.testing.assert_allclose(wide(step(base)), expected, rtol=1e-5, atol=1e-5)
        assert (cp.asnumpy(base)[~touched] == 7).all()


def test_out_may_overlap_an_operand():
    a, b = draw((4, 4), "f4"), draw((4, 4), "f4", 1)
    expected = wide(a) @ wide(b)
    blas.matmul(a, b, out=a)
    assert_close(a, expected, scale=4)


def test_nothing_to_sum_still_writes():
    a, b = cp.empty((3, 0), "f4"), cp.empty((0, 5), "f4")
    out, bias = cp.ones((3, 5), "f4"), cp.arange(5, dtype="f4")
    blas.matmul(a, b, out=out, accumulate=True)
    assert (out == 1).all()
    blas.matmul(a, b, out=out, bias=bias)
    assert (out == bias).all()


# --- epilogues --------------------------------------------------------------------------------


@pytest.fixture(params=["fused", "unfused"])
def fused(request, monkeypatch):
    """Whether epilogues may be fused; counts the calls that were."""
    runs = []
    original = blas._fused

    def attempt(*arguments):
        runs.append(request.param == "fused" and original(*arguments))
        return runs[-1]

    monkeypatch.setattr(blas, "_fused", attempt)
    monkeypatch.setattr(blas, "_compiled", None)
    yield request.param == "fused"
    assert runs, "no epilogue was tried"


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("n", [8, 13])
def test_a_bias_is_added(n, dtype, fused):
    x, w = draw((2, 6, 9), dtype), draw((n, 9), dtype, 1).T
    bias = draw((n,), dtype, 2)
    assert_close(blas.matmul(x, w, bias=bias), wide(x) @ wide(w) + wide(bias), scale=6)


def test_epilogue_after_accumulation(fused):
    x, w, bias, start = (
        draw((6, 9), "f4"),
        draw((9, 8), "f4", 1),
        draw((8,), "f4", 2),
        draw((6, 8), "f4"),
    )
    out = start.copy()
    blas.matmul(x, w, out=out, accumulate=True, bias=bias)
    assert_close(out, wide(start) + wide(x) @ wide(w) + wide(bias), scale=6)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
def test_bias_gradient_with_the_weight_gradient(dtype, fused):
    x, g = draw((20, 8), dtype), draw((20, 5), dtype, 1)
    bias = cp.full(5, np.nan, dtype)
    assert_close(blas.matmul(g.T, x, row_sums=bias), wide(g).T @ wide(x), scale=6)
    assert_close(bias, wide(g).sum(0), scale=6)


def test_which_epilogues_are_fused():
    """What this library offers runs as one call; the rest falls back and is right all the same."""
    x, w, bias = draw((6, 16), "f4"), draw((16, 8), "f4", 1), draw((8,), "f4", 2)
    out, batched = cp.empty((6, 8), "f4"), draw((3, 6, 16), "f4")

    def tries(a, b, out, *follows):
        plan = blas._plan(a, b, out)
        return blas._fused(a, b, plan, out, False, blas.Epilogue(*follows))

    assert tries(x, w, out, bias)
    assert tries(x, w, out, None, cp.empty(6, "f4"))
    shifted = cp.empty(9, "f4")[1:]
    assert not tries(x, w, out, shifted)  # misaligned bias
    many = cp.empty((3, 6, 8), "f4")
    assert tries(batched, w, many, bias)  # one weight: the batch becomes rows
    assert not tries(batched, draw((3, 16, 8), "f4"), many, bias)


def test_epilogue_with_a_vector():
    a, v, bias = draw((2, 3, 4), "f4"), draw((4,), "f4", 1), draw((3,), "f4", 2)
    assert_close(blas.matmul(a, v, bias=bias), wide(a) @ wide(v) + wide(bias), scale=4)


# --- precision, capture, errors ---------------------------------------------------------------


def test_tf32_rounds_only_float32_and_only_when_asked():
    a, b = draw((32, 64), "f4"), draw((64, 32), "f4", 1)
    expected = wide(a) @ wide(b)

    def error(x, y):
        return np.abs(wide(blas.matmul(x, y)) - expected).max()

    assert tl.get_float32_matmul_precision() == "highest"
    exact = error(a, b)
    tl.set_float32_matmul_precision("high")
    try:
        assert error(a, b) > 20 * exact
        assert error(a.astype("f8"), b.astype("f8")) < 1e-12
    finally:
        tl.set_float32_matmul_precision("highest")
    assert error(a, b) == exact
    with pytest.raises(ValueError, match="medium"):
        tl.set_float32_matmul_precision("medium")


def test_half_precision_accumulates_in_float32():
    ones = cp.ones((1, 4096), "f2")
    assert blas.matmul(ones, ones.T).item() == 4096  # a float16 sum stops at 2048


def test_a_known_shape_is_captured_and_replayed():
    stream = cp.cuda.Stream(non_blocking=True)
    a, b = draw((8, 300), "f4"), draw((300, 8), "f4", 1)  # needs workspace
    out = cp.empty((8, 8), "f4")
    cp.cuda.Device().synchronize()
    with stream:
        blas.matmul(a, b, out=out)
        hits = cublaslt.product.cache_info().misses
        stream.begin_capture()
        blas.matmul(a, b, out=out)
        graph = stream.end_capture()
        assert cublaslt.product.cache_info().misses == hits
        a *= 2
        graph.launch()
        stream.synchronize()
    assert_close(out, wide(a) @ wide(b), scale=20)


@pytest.mark.parametrize("status", [cublaslt.NOT_SUPPORTED, cublaslt.INVALID_VALUE])
def test_a_product_refused_after_the_heuristic_said_yes(status, monkeypatch):
    """The unfused way is taken, now and later; without one it is an error that says so."""
    monkeypatch.setattr(blas, "_compiled", None)
    x, w, bias = draw((6, 24), "f4"), draw((24, 8), "f4", 1), draw((8,), "f4", 2)
    library = cublaslt.library()
    matmul, fused = library.cublasLtMatmul, []

    class Refusing:
        def __getattr__(self, name):
            return getattr(library, name)

        def cublasLtMatmul(self, *args):
            fused.append(len(fused))
            return status if len(fused) == 1 else matmul(*args)

    cublaslt.product.cache_clear()
    monkeypatch.setattr(cublaslt, "library", Refusing)
    for _ in range(2):
        y = blas.matmul(x, w, bias=bias)
        assert_close(y, wide(x) @ wide(w) + wide(bias), scale=6)
    assert len(fused) == 3  # refused once, then plain twice
    monkeypatch.setattr(Refusing, "cublasLtMatmul", lambda self, *args: status)
    cublaslt.product.cache_clear()
    with pytest.raises(cublaslt.CublasLtError, match="has no algorithm"):
        blas.matmul(x, w)
    cublaslt.product.cache_clear()


@pytest.mark.parametrize("status", [cublaslt.NOT_SUPPORTED, cublaslt.INVALID_VALUE, 13])
def test_a_compiled_product_refused_by_the_library(status, call, monkeypatch):
    if call == "plain":
        pytest.skip("of the compiled call alone")
    calls = []
    refuse = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 16)(
        lambda *args: calls.append(args) or status
    )
    addresses = cublaslt.Product.addresses
    refusing = ctypes.cast(refuse, ctypes.c_void_p).value
    monkeypatch.setattr(
        cublaslt.Product, "addresses", lambda self: (refusing, *addresses(self)[1:])
    )
    x, w = draw((7, 25), "f4"), draw((25, 9), "f4", 1)
    if status == 13:
        with pytest.raises(cublaslt.CublasLtError, match=r"\(7, 25\) @ \(25, 9\).*status 13"):
            blas.matmul(x, w)
    else:
        for _ in range(2):  # the second is not even tried
            assert_close(blas.matmul(x, w), wide(x) @ wide(w), scale=6)
    assert len(calls) == 1
    cublaslt.release_workspaces()  # forgets what was made ready


def test_a_call_site_is_checked_again(call):
    """Another layout, dtype, alignment, device or precision is another product."""
    x, w = draw((6, 8), "f4"), draw((8, 4), "f4", 1)
    for a, b in [
        (x, w),
        (x.astype("f8"), w.astype("f8")),
        (cp.asfortranarray(x), w),
        (x, cp.asfortranarray(w)),
        (draw((6, 16), "f4")[:, ::2], w),
        (draw((49,), "f4")[1:].reshape(6, 8), w),
        (x[:3], w),
        (x[::-1], w),
        (x, w),
    ]:
        assert_close(blas.matmul(a, b), wide(a) @ wide(b), scale=6)
    with pytest.raises(TypeError, match="not an array on CUDA"):
        blas.matmul(x, cp.asnumpy(w))
    with pytest.raises(ValueError, match="the last axis of the first has 8"):
        blas.matmul(x, w.T)
    with pytest.raises(TypeError, match="must be float32"):
        blas.matmul(x, w, out=cp.empty((6, 4), "f8"))
    assert blas.matmul(x, w.astype("f8")).dtype == "f8"
    if cp.cuda.runtime.getDeviceCount() > 1:
        with cp.cuda.Device(1):
            there = cp.asarray(cp.asnumpy(x)), cp.asarray(cp.asnumpy(w))
            assert_close(blas.matmul(*there), wide(x) @ wide(w), scale=6)
        assert blas.matmul(*there).device.id == 1  # though it is not the current one
        with pytest.raises(ValueError, match="different devices"):
            blas.matmul(x, there[1])


def test_threads_do_not_share_the_workspace_of_their_default_streams():
    addresses, both = [], threading.Barrier(2)  # else the second may get the first's number

    def work():
        addresses.append(cublaslt.workspace(0, 2))
        both.wait()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({cublaslt.workspace(0, 2), *addresses}) == 3
    cublaslt.release_workspaces()


def test_streams_have_workspaces_of_their_own():
    first, second = (cp.cuda.Stream(non_blocking=True) for _ in range(2))
    addresses = {cublaslt.workspace(0, s.ptr) for s in (first, second, first)}
    assert len(addresses) == 2
    assert all(address % 256 == 0 for address in addresses)
    cublaslt.release_workspaces()


@pytest.mark.parametrize(
    ("left", "right", "options", "message"),
    [
        ((3, 4), (5, 6), {}, r"\(3, 4\) @ \(5, 6\).*4.*5"),
        ((2, 3, 4), (3, 4, 5), {}, "batch axes"),
        ((), (3,), {}, "at least one axis"),
        ((3, 4), (4, 5), {"out": (3, 6)}, r"out has shape \(3, 6\)"),
        ((3, 4), (4, 5), {"accumulate": True}, "needs out"),
        ((3, 4), (4, 5), {"bias": (4,)}, r"bias has shape \(4,\)"),
        ((3, 4), (4, 5), {"bias": (5,), "row_sums": (3,)}, "bias or row_sums"),
        ((3, 4), (4, 5), {"row_sums": (5,)}, r"row_sums has shape \(5,\)"),
        ((2, 3, 4), (4, 5), {"row_sums": (3,)}, "2-d"),
    ],
)
def test_misfits_are_named(left, right, options, message):
    options = {k: cp.zeros(v, "f4") if isinstance(v, tuple) else v for k, v in options.items()}
    with pytest.raises(ValueError, match=message):
        blas.matmul(cp.zeros(left, "f4"), cp.zeros(right, "f4"), **options)


def test_dtypes():
    a = draw((3, 4), "f4")
    assert blas.matmul(a, cp.ones((4, 5), "f8")).dtype == np.float64
    assert blas.matmul(a, cp.ones((4, 5), "i2")).dtype == np.float32
    with pytest.raises(TypeError, match="out, bias and row_sums must be float32"):
        blas.matmul(a, a.T, out=cp.empty((3, 3), "f8"))
    with pytest.raises(TypeError, match="no common dtype"):
        blas.matmul(a.astype("f2"), a.T.astype(ml_dtypes.bfloat16))
    with pytest.raises(TypeError, match="complex64"):
        blas.matmul(a.astype("c8"), a.T.astype("c8"))
    with pytest.raises(TypeError, match="not an array on CUDA"):
        blas.matmul(a, np.zeros((4, 5), "f4"))
