"""Linear algebra beyond the samples: what is refused, and what is degenerate."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.ops.decompositions import inv

# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3), (4, 5)), ((3,), (4,)), ((2, 3, 4), (3, 4, 5)), ((), (3,)), ((3, 2), (3, 2))],
)
def test_matmul_names_both_shapes(a, b) -> None:
    with pytest.raises(ValueError) as caught:
        tl.zeros(a) @ tl.zeros(b)
    assert str(caught.value).startswith(f"matmul: shapes {a} and {b} do not fit")


@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij,jk", [(2, 3)], "is for 2 operands, not 1"),
        ("ij", [(2, 3, 4)], "operand 0 has 3 axes"),
        ("ij->ii", [(2, 3)], "axes once"),
        ("ij->k", [(2, 3)], "after one of the operands"),
        ("i1", [(2, 3)], "axes are letters"),
        ("ij,jk", [(2, 3), (4, 5)], "operand 1 has length 4, where others of that name have 3"),
        ("ii", [(1, 3)], "lengths 1 and 3 of one operand"),
    ],
)
def test_einsum_refuses_what_numpy_refuses(subscripts, shapes, message) -> None:
    with pytest.raises(ValueError):
        np.einsum(subscripts, *map(np.zeros, shapes))
    with pytest.raises(ValueError, match=message):
        tl.einsum(subscripts, *map(tl.zeros, shapes))


def test_tensordot_names_the_axes() -> None:
    message = r"axes \(1,\) of shape \(2, 3\) and \(0,\) of \(4, 3\)"
    with pytest.raises(RuntimeError, match=message):
        tl.tensordot(tl.zeros(2, 3), tl.zeros(4, 3), 1)
    with pytest.raises(IndexError, match="tensordot: b: dim 5 is out of range"):
        tl.tensordot(tl.zeros(2, 3), tl.zeros(4, 3), ((0,), (5,)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tl.inverse(tl.zeros(2, 2)), tl.linalg.LinAlgError, r"inv: Singular.*\(2, 2\)"),
        (lambda: tl.linalg.solve(tl.zeros(2, 2), tl.ones(2)), RuntimeError, "solve: Singular"),
        (lambda: tl.det(tl.zeros(2, 3)), RuntimeError, "linalg.det: square"),
        (lambda: tl.det(tl.zeros(3)), RuntimeError, "linalg.det: matrices are needed"),
        (lambda: tl.det(tl.ones(2, 2, dtype=tl.int64)), RuntimeError, "floats are needed"),
        (lambda: tl.cholesky(-tl.eye(2)), np.linalg.LinAlgError, "cholesky: .*positive definite"),
        (lambda: tl.svd(tl.eye(2).half()), TypeError, "svd: there is none for float16"),
    ],
)
def test_decompositions_refuse(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


def test_missing_cusolver_is_named() -> None:
    def fail(*_) -> None:
        raise ImportError("libcusolver.so.12: not found\nmore lines")

    namespace = SimpleNamespace(linalg=SimpleNamespace(inv=fail))
    with pytest.raises(RuntimeError, match=r"inv: CUDA needs cuSOLVER.*not found\).*x.cpu\(\)"):
        inv.primitive.reference(namespace, np.eye(2))


# --- degenerate matrices ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4)])
def test_svd_gradient_is_finite_where_values_are_equal_or_zero(shape) -> None:
    a = np.eye(*shape)
    a[2, 2] = 0.0
    x = tl.tensor(a, requires_grad=True)
    u, s, vh = tl.linalg.svd(x, full_matrices=False)
    (s.sum() + u.sum() + vh.sum()).backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_eigenvalues_of_a_multiple_of_the_identity() -> None:
    """Their sum is the trace, however the eigenvectors are chosen."""
    x = tl.tensor(np.eye(3) * 2, requires_grad=True)
    w, v = tl.linalg.eigh(x)
    (w.sum() + 0.0 * v.sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), np.eye(3), atol=1e-15)


# --- order of contraction -----------------------------------------------------------------------


def test_einsum_takes_the_cheap_order() -> None:
    """From the left, an array of 2000 x 2000 would come up."""
    a = tl.ones(2000, 1, requires_grad=True)
    y = tl.einsum("ij,jk,kl->il", a, tl.ones(1, 2000), tl.ones(2000, 1))
    node, sizes = y.node, []
    while not isinstance(node, tl.Tensor):  # down to the leaf
        sizes.append(math.prod(node.shape))
        node = next(parent for parent in node.parents if parent is not None)
    assert node is a and max(sizes) == 2000


# --- dtypes -------------------------------------------------------------------------------------


def test_products_refuse_several_dtypes() -> None:
    a, b = tl.ones(2, 2), tl.ones(2, 2, dtype=tl.float64)
    for call in (tl.matmul, tl.mm, lambda x, y: x @ y, lambda x, y: tl.einsum("ij,jk", x, y)):
        with pytest.raises(RuntimeError, match=r"float32 and float64|float32, float64"):
            call(a, b)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_are_added_up_in_float32(dtype) -> None:
    """In their own dtype sums of ones would stop at 2,048 and 256."""
    a = tl.ones(1, 20_000, dtype=dtype)
    for y in (a @ a.mT, tl.einsum("ij,ij->i", a, a), tl.tensordot(a, a), tl.einsum("ij->", a)):
        assert y.dtype == a.dtype
        np.testing.assert_allclose(y.float().numpy(), 20_000, rtol=2**-8)


# --- functions of matrices that samples do not reach --------------------------------------------


def test_determinant_of_singular_matrices_has_slopes() -> None:
    """Those are the cofactors, which need no inverse."""
    a = np.array([[1.0, 2.0], [2.0, 4.0]])
    x = tl.tensor(a, requires_grad=True)
    (slope,) = tl.grad(tl.det(x), [x], create_graph=True)
    np.testing.assert_allclose(slope.detach().numpy(), [[4, -2], [-2, 1]], atol=1e-14)
    (slope * tl.tensor([[1.0, 0], [0, 0]], dtype=tl.float64)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [0, 1]], atol=1e-13)


def test_lu_puts_the_matrix_together_again() -> None:
    generator = np.random.default_rng(3)
    for shape in [(70, 70), (2, 50, 40), (40, 50), (0, 3, 3), (3, 0)]:
        a = generator.standard_normal(shape)
        p, lower, upper = tl.linalg.lu(tl.tensor(a))
        np.testing.assert_allclose((p @ lower @ upper).numpy(), a, atol=1e-12)
        assert (abs(lower.numpy()) <= 1).all()


def test_matrix_exp_of_large_and_small_matrices_side_by_side() -> None:
    """Of diagonal matrices it is known; nilpotent ones end the series."""
    diagonal = np.array([[-30.0, 1e-9, 2.0], [0.0, 0.0, 0.0], [40.0, 1.0, -1.0]])
    x = tl.diag_embed(tl.tensor(diagonal))
    expected = np.exp(diagonal)
    got = tl.diagonal(tl.matrix_exp(x), dim1=-2, dim2=-1).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-13)
    nilpotent = tl.tensor([[0.0, 3.0], [0.0, 0.0]], dtype=tl.float64)
    np.testing.assert_allclose(tl.matrix_exp(nilpotent).numpy(), [[1, 3], [0, 1]], rtol=1e-15)


def test_failures_are_told_without_an_exception() -> None:
    good, bad = np.eye(3), np.diag([1.0, -1.0, 2.0])
    factor, info = tl.linalg.cholesky_ex(tl.tensor(np.stack([good, bad])))
    assert info.tolist() == [0, 2] and info.dtype == tl.int32
    np.testing.assert_array_equal(factor[0].numpy(), good)
    singular = tl.tensor(np.diag([1.0, 0.0, 2.0]))
    assert tl.linalg.inv_ex(singular).info.item() == 2
    assert tl.linalg.lu_factor_ex(singular).info.item() == 2
    with pytest.raises(tl.linalg.LinAlgError):
        tl.linalg.inv_ex(singular, check_errors=True)


def test_condition_numbers_of_singular_matrices_are_infinite() -> None:
    a = tl.tensor(np.stack([np.eye(2), np.ones((2, 2))]))
    assert tl.linalg.cond(a, 1).tolist() == [1, math.inf]
    assert tl.linalg.cond(a, 2)[1].item() > 1e15


def test_eigenvalues_that_may_be_complex_are_refused() -> None:
    for function in (tl.linalg.eig, tl.linalg.eigvals):
        with pytest.raises(NotImplementedError, match=r"complex.*linalg\.eigh"):
            function(tl.ones(2, 2))


def test_the_full_decomposition_has_no_gradient_of_what_is_not_determined() -> None:
    x = tl.tensor(np.random.default_rng(0).standard_normal((4, 3)), requires_grad=True)
    q, _ = tl.linalg.qr(x, "complete")
    with pytest.raises(RuntimeError, match="mode='complete'"):
        q.sum().backward()
    u, s, _ = tl.linalg.svd(x)
    u[:, 3].sum().backward()
    assert not x.grad.numpy().any() and u.shape == (4, 4) and s.shape == (3,)


def test_multi_dot_takes_the_cheap_order() -> None:
    a = tl.ones(500, 1, requires_grad=True)
    y = tl.linalg.multi_dot([a, tl.ones(1, 500), tl.ones(500, 1)])
    assert math.prod(y.node.parents[1].shape if y.node.parents[1] else (1,)) == 1
    np.testing.assert_array_equal(y.detach().numpy(), 500)


def test_cdist_far_apart_and_equal() -> None:
    x = tl.tensor(np.random.default_rng(1).standard_normal((30, 4)), requires_grad=True)
    d = tl.cdist(x, x)  # by a product
    direct = tl.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    np.testing.assert_allclose(d.detach().numpy(), direct.detach().numpy(), atol=1e-7)
    d.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
