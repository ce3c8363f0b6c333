"""The array API over Tensors beside NumPy, whose own namespace follows the standard."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl

XP = tl.ones(1).__array_namespace__()

A = np.array([[1.5, -2.0, 0.25], [3.0, 0.5, -1.0]], np.float32)
B = np.array([[0.5, 2.0, 1.25], [-3.0, 0.5, 4.0]], np.float32)
V = np.array([3, 1, 2, 3, 1])
N = np.array([[4, -7, 2], [5, 3, -1]])
S = np.array([[2.0, 0.5], [0.5, 1.0]], np.float32)
M = A > 0

# A call as it is typed with either namespace.
CALLS = """
xp.abs(A) | xp.acos(A / 4) | xp.acosh(A + 5) | xp.add(A, B) | xp.asin(A / 4) | xp.asinh(A)
xp.atan(A) | xp.atan2(A, B) | xp.atanh(A / 4) | xp.bitwise_and(N, N + 1) | xp.bitwise_invert(N)
xp.bitwise_left_shift(N, 2) | xp.bitwise_or(N, 5) | xp.bitwise_right_shift(N, 1)
xp.bitwise_xor(N, 3) | xp.ceil(A) | xp.clip(A, -1, 1) | xp.clip(A, max=0.5) | xp.copysign(A, B)
xp.cos(A) | xp.cosh(A) | xp.divide(A, B) | xp.equal(N, N) | xp.exp(A) | xp.expm1(A) | xp.floor(A)
xp.floor_divide(N, 3) | xp.floor_divide(A, B) | xp.greater(A, B) | xp.greater_equal(A, B)
xp.hypot(A, B) | xp.isfinite(A) | xp.isinf(A) | xp.isnan(A) | xp.less(A, B) | xp.less_equal(A, B)
xp.log(A + 4) | xp.log10(A + 4) | xp.log1p(A + 4) | xp.log2(A + 4) | xp.logaddexp(A, B)
xp.logical_and(M, ~M) | xp.logical_not(M) | xp.logical_or(M, ~M) | xp.logical_xor(M, M)
xp.maximum(A, B) | xp.minimum(A, B) | xp.multiply(A, B) | xp.negative(A) | xp.nextafter(A, B)
xp.not_equal(N, 3) | xp.positive(A) | xp.pow(A + 4, B) | xp.reciprocal(A) | xp.remainder(N, 3)
xp.remainder(A, B) | xp.round(A) | xp.sign(A) | xp.signbit(A) | xp.sin(A) | xp.sinh(A)
xp.sqrt(A + 4) | xp.square(A) | xp.subtract(A, B) | xp.tan(A) | xp.tanh(A) | xp.trunc(A)
xp.sum(A) | xp.sum(A, axis=1) | xp.sum(A, axis=(0, 1), keepdims=True) | xp.sum(M)
xp.sum(N, dtype=xp.int64) | xp.prod(A) | xp.prod(A, axis=(0, 1)) | xp.prod(N, axis=0, keepdims=True)
xp.max(A) | xp.max(A, axis=0) | xp.min(A, axis=(0, 1)) | xp.min(N, axis=1, keepdims=True)
xp.mean(A) | xp.mean(A, axis=(1,)) | xp.std(A) | xp.std(A, axis=0, correction=1) | xp.var(A, axis=1)
xp.any(M, axis=0) | xp.all(M) | xp.argmax(A) | xp.argmax(A, axis=1) | xp.argmin(A, keepdims=True)
xp.count_nonzero(N) | xp.count_nonzero(M, axis=0) | xp.cumulative_sum(V)
xp.cumulative_sum(A, axis=1, include_initial=True) | xp.cumulative_prod(V, include_initial=True)
xp.diff(A) | xp.diff(V, n=2) | xp.diff(A, axis=0) | xp.sort(V) | xp.sort(A, axis=0) | xp.argsort(V)
xp.reshape(A, (3, 2)) | xp.permute_dims(A, (1, 0)) | xp.expand_dims(A, axis=1)
xp.squeeze(A[None], 0) | xp.concat((A, B)) | xp.concat((A, B), axis=None) | xp.stack((A, B), axis=1)
xp.unstack(A, axis=1) | xp.flip(A) | xp.flip(A, axis=1) | xp.roll(A, 1) | xp.roll(A, 1, axis=1)
xp.roll(A, (1, 2), axis=(0, 1)) | xp.tile(A, (2, 1)) | xp.repeat(A, 2) | xp.repeat(A, 2, axis=1)
xp.broadcast_to(A[:1], (4, 3)) | xp.broadcast_arrays(A, A[:1]) | xp.matrix_transpose(A)
xp.moveaxis(A, 0, 1) | xp.matmul(A, B.T) | xp.vecdot(A, B) | xp.tensordot(A, B, axes=([1], [1]))
xp.where(M, A, B) | xp.nonzero(M) | xp.take(A, V[1:3] - 1, axis=1)
xp.take_along_axis(A, N % 3, axis=1) | xp.searchsorted(xp.sort(V), V)
xp.searchsorted(xp.sort(V), V, side="right") | xp.sort(xp.unique_values(V)) | xp.unique_counts(V)
xp.unique_inverse(V) | xp.arange(5) | xp.arange(1, 7, 2) | xp.arange(3, 0) | xp.eye(3)
xp.eye(2, 3, k=1) | xp.linspace(0, 1, 5) | xp.linspace(0, 1, 4, endpoint=False)
xp.zeros((2, 3)) | xp.ones(3)
xp.full((2, 2), 7) | xp.full(3, 1.5) | xp.zeros_like(A) | xp.ones_like(N) | xp.full_like(A, 3.0)
xp.tril(A) | xp.triu(A, k=1) | xp.meshgrid(V, V[:2]) | xp.meshgrid(V, V[:2], indexing="ij")
xp.astype(A, xp.int64) | xp.astype(N, xp.float64) | xp.asarray(A) | xp.asarray([1, 2, 3])
xp.linalg.det(S) | xp.linalg.inv(S) | xp.linalg.cholesky(S) | xp.linalg.solve(S, S)
xp.linalg.matrix_norm(S) | xp.linalg.vector_norm(A) | xp.linalg.vector_norm(A, axis=1, ord=1)
xp.linalg.trace(S) | xp.linalg.matrix_rank(S) | xp.linalg.svdvals(A) | xp.linalg.eigvalsh(S)
xp.linalg.slogdet(S) | xp.linalg.matrix_power(S, 3) | xp.linalg.pinv(A) | xp.linalg.outer(V, V)
xp.linalg.cross(A, B) | xp.linalg.diagonal(S) | xp.linalg.vecdot(A, B)
xp.linalg.tensordot(A, B.T, axes=1) | xp.isin(V, V[:1]) | xp.isin(V, V[:1], invert=True)
""".replace("\n", "|").split("|")
CALLS = [call.strip() for call in CALLS if call.strip()]
ARRAYS = {"A": A, "B": B, "V": V, "N": N, "S": S, "M": M}


def leaves(x):
    return [y for part in x for y in leaves(part)] if isinstance(x, (tuple, list)) else [x]


@pytest.mark.parametrize("call", CALLS)
def test_beside_numpy(call):
    wanted = leaves(eval(call, {"xp": np, **ARRAYS}))
    found = leaves(eval(call, {"xp": XP, **{k: tl.tensor(v) for k, v in ARRAYS.items()}}))
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        theirs = np.asarray(theirs)
        assert ours.shape == theirs.shape
        assert ours.dtype.kind == theirs.dtype.kind
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=2e-5, atol=1e-6)


def test_all_that_the_standard_names_is_there():
    strict = pytest.importorskip("array_api_strict", reason="array_api_strict is not installed")
    absent = {"complex64", "complex128", "conj", "imag", "real", "uint16", "uint32", "uint64"}
    absent |= {"unique_all", "Device", "fft"}
    names = {name for name in strict.__all__ if "strict_flags" not in name.lower()}
    names -= {"ArrayAPIStrictFlags", "__version__"}
    assert {name for name in names if not hasattr(XP, name)} == absent
    assert not [name for name in strict.linalg.__all__ if not hasattr(XP.linalg, name)]


def test_dtypes_and_devices():
    assert XP.isdtype(tl.float32, "real floating")
    assert XP.isdtype(tl.int8, ("bool", "signed integer"))
    assert not XP.isdtype(tl.uint8, tl.int8)
    with pytest.raises(ValueError, match="none of"):
        XP.isdtype(tl.uint8, "whole")
    info = XP.__array_namespace_info__()
    assert info.dtypes(kind="unsigned integer") == {"uint8": tl.uint8}
    assert info.default_dtypes()["integral"] == tl.int64
    assert tl.device("cpu") in info.devices()
    assert info.capabilities()["boolean indexing"]


def test_what_needs_a_copy_is_refused_without_one():
    x = tl.ones(2, 3)
    assert XP.asarray(x) is x
    for wrong in (
        lambda: XP.asarray(x, dtype=tl.int64, copy=False),
        lambda: XP.asarray([1], copy=False),
    ):
        with pytest.raises(ValueError, match="copy"):
            wrong()
    with pytest.raises(ValueError, match="length 1"):
        XP.squeeze(x, 0)
    with pytest.raises(ValueError, match="say which"):
        XP.cumulative_sum(x)
    with pytest.raises(ValueError, match=r"2030\.12"):
        x.__array_namespace__(api_version="2030.12")
