"""Linear algebra under torch's names in ``torch.linalg``.

Leading axes are batches. Decompositions run on the CPU; on CUDA through CuPy, where cuSOLVER is
installed. Matrices have a float dtype of 32 or 64 bits.
"""

from __future__ import annotations

from typing import Any

from tensorlite.ops.decompositions import LinAlgError
from tensorlite.ops.faces import name_wrong_types, takes_axis
from tensorlite.ops.linalg import matmul
from tensorlite.ops.matrix.factors import (
    cholesky,
    cholesky_ex,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lu,
    lu_factor,
    lu_factor_ex,
    qr,
    svd,
    svdvals,
)
from tensorlite.ops.matrix.norms import (
    cond,
    det,
    diagonal,
    matrix_exp,
    matrix_norm,
    norm,
    slogdet,
    vander,
    vector_norm,
)
from tensorlite.ops.matrix.products import cross_along, matrix_power, multi_dot, vecdot
from tensorlite.ops.matrix.solvers import (
    inv,
    inv_ex,
    lstsq,
    lu_solve,
    matrix_rank,
    pinv,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
)
from tensorlite.unknown import answers_for

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]


@takes_axis
def cross(input: Any, other: Any, *, dim: int = -1) -> Any:
    """Cross products of vectors along an axis of length 3; the other axes broadcast.

    Parameters
    ----------
    input, other : Tensor
        Of shapes that broadcast.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        Of the shape that they broadcast to.

    Raises
    ------
    RuntimeError
        If the axis is not 3 long.

    Examples
    --------
    >>> tl.linalg.cross(tl.tensor([1.0, 0.0, 0.0]), tl.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    return cross_along("linalg.cross", input, other, dim)


name_wrong_types(globals())

__getattr__ = answers_for(__name__)
