"""The array API standard's extension ``linalg``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import tensorlite as tl


def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    return tl.linalg.vector_norm(x, ord, axis, keepdims)


def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return tl.linalg.matrix_norm(x, ord, keepdim=keepdims)


def _trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return tl.sum(tl.linalg.diagonal(x, offset=offset), -1, dtype=dtype)


def _cholesky(x: Any, /, *, upper: bool = False) -> Any:
    return tl.linalg.cholesky(x, upper=upper)


def _cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return tl.linalg.cross(x1, x2, dim=axis)


def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return tl.linalg.vecdot(x1, x2, dim=axis)


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Products summed over `axes` axes: the last of one, the first of the other; or over pairs."""
    return tl.tensordot(x1, x2, axes)


linalg = SimpleNamespace(
    **{
        name: getattr(tl.linalg, name)
        for name in (
            *("det", "eigh", "eigvalsh", "inv", "matmul", "matrix_power", "matrix_rank", "pinv"),
            *("qr", "slogdet", "solve", "svd", "svdvals", "diagonal"),
        )
    },
    cholesky=_cholesky,
    cross=_cross,
    matrix_norm=_matrix_norm,
    matrix_transpose=lambda x, /: x.mT,
    outer=tl.outer,
    tensordot=tensordot,
    trace=_trace,
    vecdot=_vecdot,
    vector_norm=_vector_norm,
)
