"""Named tuples that functions with several results return, under torch's names.

``tl.max(x, 0)`` is a pair to take apart, ``values, indices = tl.max(x, 0)``, and has its parts by
name, ``tl.max(x, 0).indices``.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

FIELDS = {
    **dict.fromkeys(
        (
            "max",
            "min",
            "sort",
            "topk",
            "kthvalue",
            "mode",
            "median",
            "nanmedian",
            "cummax",
            "cummin",
        ),
        "values indices",
    ),
    "aminmax": "min max",
    "histogram": "hist bin_edges",
    "histogramdd": "hist bin_edges",
    "svd": "U S V",
    "linalg_svd": "U S Vh",
    "qr": "Q R",
    "linalg_qr": "Q R",
    "slogdet": "sign logabsdet",
    "linalg_slogdet": "sign logabsdet",
    "linalg_eigh": "eigenvalues eigenvectors",
    "linalg_cholesky_ex": "L info",
    "linalg_inv_ex": "inverse info",
    "linalg_solve_ex": "result info",
    "linalg_lstsq": "solution residuals rank singular_values",
    "linalg_lu": "P L U",
    "lu": "LU pivots info",
    "lu_unpack": "P L U",
    "linalg_lu_factor": "LU pivots",
    "linalg_lu_factor_ex": "LU pivots info",
    "triangular_solve": "solution cloned_coefficient",
}


def __getattr__(name: str) -> Any:
    """Make a type when it is first used: making all would take time at every import."""
    if name not in FIELDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()[name] = namedtuple(name, FIELDS[name])
    return made


def __dir__() -> list[str]:
    return sorted(FIELDS)
