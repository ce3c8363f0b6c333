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
        ("...i->i", [(2, 3)], r"lacks the axes of '\.\.\.'"),
    ],
)
def test_einsum_refuses_what_numpy_refuses(subscripts, shapes, message) -> None:
    with pytest.raises(ValueError):
        np.einsum(subscripts, *map(np.zeros, shapes))
    with pytest.raises(ValueError, match=message):
        tl.einsum(subscripts, *map(tl.zeros, shapes))


def test_tensordot_names_the_axes() -> None:
    with pytest.raises(ValueError, match=r"axes \(1,\) of shape \(2, 3\) and \(0,\) of \(4, 3\)"):
        tl.tensordot(tl.zeros(2, 3), tl.zeros(4, 3), 1)
    with pytest.raises(ValueError, match="axes of b: axis 5 is out of bounds"):
        tl.tensordot(tl.zeros(2, 3), tl.zeros(4, 3), ((0,), (5,)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tl.inv(tl.zeros(2, 2)), np.linalg.LinAlgError, r"inv: Singular.*\(2, 2\)"),
        (lambda: tl.solve(tl.zeros(2, 2), tl.ones(2)), np.linalg.LinAlgError, "solve: Singular"),
        (lambda: tl.det(tl.zeros(2, 3)), np.linalg.LinAlgError, "det: .*square"),
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
    u, s, vh = tl.svd(x)
    (s.sum() + u.sum() + vh.sum()).backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_eigenvalues_of_a_multiple_of_the_identity() -> None:
    """Their sum is the trace, however the eigenvectors are chosen."""
    x = tl.tensor(np.eye(3) * 2, requires_grad=True)
    w, v = tl.eigh(x)
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
