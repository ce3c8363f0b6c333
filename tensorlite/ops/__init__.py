"""Operations: primitives with their gradient rules, and functions written with primitives.

What few programs need is imported when it is first named: see `LATER`.
"""
# ruff: noqa: F403

from importlib import import_module as _import_module
from typing import Any as _Any

from tensorlite.ops.activation import *
from tensorlite.ops.arithmetic import *
from tensorlite.ops.axes import *
from tensorlite.ops.binary import *
from tensorlite.ops.compare import *
from tensorlite.ops.convert import *
from tensorlite.ops.creation import *
from tensorlite.ops.elementwise import *
from tensorlite.ops.extremes import *
from tensorlite.ops.faces import name_as_torch
from tensorlite.ops.gathering import *
from tensorlite.ops.index import *
from tensorlite.ops.joining import *
from tensorlite.ops.like import *
from tensorlite.ops.limits import *
from tensorlite.ops.linalg import *
from tensorlite.ops.random import *
from tensorlite.ops.ranges import *
from tensorlite.ops.rectifiers import *
from tensorlite.ops.reduce import *
from tensorlite.ops.reshaping import *
from tensorlite.ops.rounding import *
from tensorlite.ops.scan import *
from tensorlite.ops.shape import *
from tensorlite.ops.softmax import *
from tensorlite.ops.splitting import *
from tensorlite.ops.trigonometry import *

LATER = {
    "bessel": ("i0",),
    "contraction": ("einsum", "tensordot"),
    "counting": ("bincount", "histc", "histogram", "histogramdd"),
    "diagonals": (
        *("diag", "diag_embed", "diagflat", "diagonal", "diagonal_scatter"),
        *("tril", "tril_indices", "triu", "triu_indices"),
    ),
    "differences": ("cumulative_trapezoid", "diff", "gradient", "trapezoid", "trapz"),
    "distance": ("cdist", "cosine_similarity", "pairwise_distance", "pdist"),
    "distinct": ("isin", "unique", "unique_consecutive"),
    "gamma": ("digamma", "lgamma", "mvlgamma", "polygamma"),
    "incomplete_gamma": ("igamma", "igammac"),
    "kinds": (
        *("BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor"),
        *("FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "ShortTensor"),
    ),
    "matrix.older": (
        *("cholesky", "cholesky_inverse", "cholesky_solve", "det", "inverse", "logdet", "lu"),
        *("lu_solve", "lu_unpack", "matrix_exp", "pinverse", "qr", "slogdet", "svd"),
        "triangular_solve",
    ),
    "matrix.products": (
        *("bmm", "chain_matmul", "cross", "dot", "ger", "inner", "kron", "matrix_power", "mm"),
        *("mv", "outer", "trace", "vdot"),
    ),
    "matrix.sums": ("addbmm", "addmm", "addmv", "addr", "baddbmm"),
    "norms": ("dist", "norm", "renorm"),
    "order": ("argsort", "kthvalue", "median", "mode", "msort", "nanmedian", "sort", "topk"),
    "overwriting": ("index_put", "masked_scatter", "put", "select_scatter", "slice_scatter"),
    "probabilities": ("erfinv", "logit"),
    "quantiles": ("nanquantile", "quantile"),
    "scattering": (
        *("index_add", "index_copy", "index_fill", "index_reduce"),
        *("scatter", "scatter_add", "scatter_reduce"),
    ),
    "search": ("bucketize", "cartesian_prod", "combinations", "searchsorted"),
    "statistics": ("corrcoef", "cov", "std", "std_mean", "var", "var_mean"),
    "strides": ("as_strided", "sliding_window"),
    "tiling": ("flip", "fliplr", "flipud", "repeat_interleave", "roll", "rot90", "tile"),
    "typeinfo": (
        *("can_cast", "finfo", "iinfo", "is_complex", "is_floating_point", "is_tensor", "numel"),
        *("promote_types", "result_type"),
    ),
}
"""Modules that are imported when one of these names of theirs is first asked for.

None has the name of a function: an attribute of this package is one of both.
"""
_MODULE_OF = {name: module for module, names in LATER.items() for name in names}

__all__ = [
    name
    for name, value in globals().items()
    if callable(value) and name[0] != "_" and name != "name_as_torch"
]
name_as_torch([globals()[name] for name in __all__])
__all__ += _MODULE_OF

# Modules of functions of elements, and those of their functions that are something else.
_OF_ELEMENTS = (
    *("elementwise", "rounding", "trigonometry", "arithmetic", "limits", "binary", "compare"),
    *("activation", "rectifiers"),
)
_ELSE = {"allclose", "cast", "equal", "frexp", "glu", "masked_fill"}
_undescribed = {name for module in _OF_ELEMENTS for name in globals()[module].__all__} - _ELSE
_undescribed.update(*[LATER[m] for m in ("bessel", "gamma", "incomplete_gamma", "probabilities")])
_described: set[_Any] = set()


def complete(name: str) -> _Any:
    """The operation of that name, with all of its docstring.

    What docstrings of functions of elements say alike is added when one is first named.
    """
    found = globals()[name] if name in globals() else __getattr__(name)
    if name in _undescribed and found not in _described:
        from tensorlite.ops.described import describe

        _described.add(found)
        describe([found])
    return found


def __getattr__(name: str) -> _Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULE_OF[name]
    loaded = _import_module(f"{__name__}.{module}")
    found = {each: getattr(loaded, each) for each in LATER[module]}
    name_as_torch(found.values())
    globals().update(found)
    return found[name]
