"""Named tuples that functions with several results return, under torch's names.

``tl.max(x, 0)`` is a pair to take apart, ``values, indices = tl.max(x, 0)``, and has its parts by
name, ``tl.max(x, 0).indices``.
"""

from __future__ import annotations

from collections import namedtuple


def _pair_of_values_and_indices(*names: str) -> None:
    for name in names:
        globals()[name] = namedtuple(name, ("values", "indices"))


_pair_of_values_and_indices("max", "min", "sort", "topk", "kthvalue", "mode")
_pair_of_values_and_indices("median", "nanmedian", "cummax", "cummin")
aminmax = namedtuple("aminmax", ("min", "max"))
histogram = namedtuple("histogram", ("hist", "bin_edges"))
histogramdd = namedtuple("histogramdd", ("hist", "bin_edges"))

svd = namedtuple("svd", ("U", "S", "V"))
linalg_svd = namedtuple("linalg_svd", ("U", "S", "Vh"))
qr = namedtuple("qr", ("Q", "R"))
linalg_qr = namedtuple("linalg_qr", ("Q", "R"))
slogdet = namedtuple("slogdet", ("sign", "logabsdet"))
linalg_slogdet = namedtuple("linalg_slogdet", ("sign", "logabsdet"))
linalg_eigh = namedtuple("linalg_eigh", ("eigenvalues", "eigenvectors"))
linalg_cholesky_ex = namedtuple("linalg_cholesky_ex", ("L", "info"))
linalg_inv_ex = namedtuple("linalg_inv_ex", ("inverse", "info"))
linalg_solve_ex = namedtuple("linalg_solve_ex", ("result", "info"))
linalg_lstsq = namedtuple("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))
linalg_lu = namedtuple("linalg_lu", ("P", "L", "U"))
lu = namedtuple("lu", ("LU", "pivots", "info"))
lu_unpack = namedtuple("lu_unpack", ("P", "L", "U"))
linalg_lu_factor = namedtuple("linalg_lu_factor", ("LU", "pivots"))
linalg_lu_factor_ex = namedtuple("linalg_lu_factor_ex", ("LU", "pivots", "info"))
triangular_solve = namedtuple("triangular_solve", ("solution", "cloned_coefficient"))
