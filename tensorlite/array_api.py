"""The Python array API standard (2024.12) over Tensors: what ``x.__array_namespace__()`` returns.

Its names and meanings differ from torch's in places, so it is a module of its own: `max` takes an
axis and returns values alone, `std` divides by n, `sort` returns no places, `meshgrid` begins with
columns. There are no complex dtypes, and no unsigned ones above 8 bits.
"""

from __future__ import annotations

import builtins
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tensorlite as tl
from tensorlite.array_api_linalg import linalg as linalg
from tensorlite.array_api_linalg import tensordot as tensordot

__array_api_version__ = "2024.12"

Axes = int | Sequence[int] | None

# What torch and the standard have with one name and one meaning.
_SAME = """
    abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_or
    bitwise_right_shift bitwise_xor ceil copysign cos cosh divide exp expm1 floor floor_divide
    greater greater_equal hypot isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp
    logical_and logical_not logical_or logical_xor maximum minimum multiply nextafter not_equal
    positive pow reciprocal remainder round sign signbit sin sinh sqrt square subtract tan tanh
    trunc matmul where moveaxis finfo iinfo result_type can_cast from_dlpack broadcast_shapes
    float32 float64 int8 int16 int32 int64 uint8 e inf nan pi newaxis
"""
for _name in _SAME.split():
    globals()[_name] = getattr(tl, _name)
bool = getattr(tl, "bool")  # noqa: B009 (the name hides Python's from here on)
bitwise_invert, equal, negative = tl.bitwise_not, tl.eq, tl.neg
isdtype_kinds = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "fV",
    "complex floating": "",
    "numeric": "iufV",
}


def _all(x: Any, axis: Axes) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else (*axis,)


# --- creation and dtypes ------------------------------------------------------------------------


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> tl.Tensor:
    """A Tensor of an array, numbers or nested lists; `copy` False refuses where one is needed."""
    if isinstance(obj, tl.Tensor):
        same = dtype in (None, obj.dtype) and device in (None, obj.device)
        if copy is False and not same:
            raise ValueError(f"asarray: {obj.dtype} as {dtype} without a copy: leave copy out")
        return obj if same and not copy else obj.to(device=device, dtype=dtype).clone()
    if copy is False:
        raise ValueError(f"asarray: a {type(obj).__name__} is always copied: leave copy out")
    return tl.tensor(obj, dtype=dtype, device=device)


def _made(function: Callable) -> Callable:
    @functools.wraps(function)
    def make(*args: Any, dtype: Any = None, device: Any = None, **options: Any) -> tl.Tensor:
        return function(*args, dtype=dtype, device=device, **options)

    return make


zeros, ones, empty = (_made(f) for f in (tl.zeros, tl.ones, tl.empty))
zeros_like, ones_like, empty_like = (_made(f) for f in (tl.zeros_like, tl.ones_like, tl.empty_like))
full_like = _made(tl.full_like)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> tl.Tensor:
    """One value everywhere."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return tl.full(shape, fill_value, dtype=dtype, device=device)


def arange(
    start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None
) -> tl.Tensor:
    """``start, start + step, …`` up to `stop`."""
    start, stop = (0, start) if stop is None else (start, stop)
    if (stop - start) * step <= 0:
        kind = dtype or tl.tensor([start, stop, step]).dtype
        return tl.zeros(0, dtype=kind, device=device)
    return tl.arange(start, stop, step, dtype=dtype, device=device)


def linspace(
    start: float,
    stop: float,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Any = None,
    endpoint: Any = True,
) -> tl.Tensor:
    """`num` numbers at equal distances; the last is `stop`, if `endpoint`."""
    if not endpoint:
        return tl.linspace(start, stop, num + 1, dtype=dtype, device=device)[:-1]
    return tl.linspace(start, stop, num, dtype=dtype, device=device)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
) -> tl.Tensor:
    """Ones on the diagonal `k`."""
    ones_ = tl.ones(n_rows, n_rows if n_cols is None else n_cols, dtype=dtype, device=device)
    return tl.triu(tl.tril(ones_, k), k)


def tril(x: tl.Tensor, /, *, k: int = 0) -> tl.Tensor:
    """What is not above the diagonal `k`."""
    return tl.tril(x, k)


def triu(x: tl.Tensor, /, *, k: int = 0) -> tl.Tensor:
    """What is not below the diagonal `k`."""
    return tl.triu(x, k)


def meshgrid(*arrays: tl.Tensor, indexing: str = "xy") -> list[tl.Tensor]:
    """Coordinates of a grid; "xy" begins with the columns."""
    return list(tl.meshgrid(*arrays, indexing=indexing))


def astype(x: tl.Tensor, dtype: Any, /, *, copy: Any = True, device: Any = None) -> tl.Tensor:
    """The values in another dtype."""
    return asarray(x, dtype=dtype, device=device, copy=copy or None)


def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether a dtype is another, or of a kind, or of one of several."""
    if isinstance(kind, tuple):
        return builtins.any(isdtype(dtype, each) for each in kind)
    if isinstance(kind, str):
        if kind not in isdtype_kinds:
            raise ValueError(f"isdtype: {kind!r} is none of {list(isdtype_kinds)}")
        return dtype.kind in isdtype_kinds[kind]
    return dtype == kind


# --- along axes ---------------------------------------------------------------------------------


def sum(x: tl.Tensor, /, *, axis: Axes = None, dtype: Any = None, keepdims: Any = False) -> Any:
    """Sum along some axes."""
    return tl.sum(x, _all(x, axis), keepdims, dtype=dtype) if x.ndim else tl.sum(x, dtype=dtype)


def prod(x: tl.Tensor, /, *, axis: Axes = None, dtype: Any = None, keepdims: Any = False) -> Any:
    """Product along some axes."""
    y = tl.prod(x, dtype=dtype) if not x.ndim else x
    for a in sorted((a % x.ndim for a in _all(x, axis)), reverse=True) if x.ndim else ():
        y = tl.prod(y, a, keepdims, dtype=dtype)
    return y


def _along(name: str) -> Callable:
    function = getattr(tl, name)

    def reduce(x: tl.Tensor, /, *, axis: Axes = None, keepdims: Any = False) -> tl.Tensor:
        return function(x, _all(x, axis), keepdims) if x.ndim else function(x)

    reduce.__name__, reduce.__doc__ = name, function.__doc__
    return reduce


max, min, mean, any, all = (_along(name) for name in ("amax", "amin", "mean", "any", "all"))


def std(x: tl.Tensor, /, *, axis: Axes = None, correction: float = 0, keepdims: Any = False) -> Any:
    """Standard deviation; the divisor is n - `correction`."""
    return tl.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def var(x: tl.Tensor, /, *, axis: Axes = None, correction: float = 0, keepdims: Any = False) -> Any:
    """Variance; the divisor is n - `correction`."""
    return tl.var(x, _all(x, axis), correction=correction, keepdim=keepdims)


def argmax(x: tl.Tensor, /, *, axis: int | None = None, keepdims: Any = False) -> tl.Tensor:
    """Place of the first largest element."""
    return tl.argmax(x, axis, keepdims)


def argmin(x: tl.Tensor, /, *, axis: int | None = None, keepdims: Any = False) -> tl.Tensor:
    """Place of the first smallest element."""
    return tl.argmin(x, axis, keepdims)


def count_nonzero(x: tl.Tensor, /, *, axis: Axes = None, keepdims: Any = False) -> tl.Tensor:
    """How many elements are not 0."""
    return sum(x != 0, axis=axis, keepdims=keepdims)


def cumulative_sum(
    x: tl.Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: Any = False
) -> tl.Tensor:
    """Sum up to each element; with a 0 before them, if `include_initial`."""
    return _cumulative(tl.cumsum, 0, x, axis, dtype, include_initial)


def cumulative_prod(
    x: tl.Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: Any = False
) -> tl.Tensor:
    """Product up to each element; with a 1 before them, if `include_initial`."""
    return _cumulative(tl.cumprod, 1, x, axis, dtype, include_initial)


def _cumulative(
    function: Callable, first: int, x: tl.Tensor, axis: int | None, dtype: Any, initial: Any
) -> tl.Tensor:
    if axis is None and x.ndim != 1:
        raise ValueError(f"a Tensor of shape {x.shape} has no single axis: say which")
    axis = axis or 0
    y = function(x, axis, dtype=dtype)
    if not initial:
        return y
    shape = [*y.shape]
    shape[axis] = 1
    return tl.cat((tl.full(tuple(shape), first, dtype=y.dtype, device=y.device), y), axis)


def diff(
    x: tl.Tensor, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> tl.Tensor:
    """Differences of neighbours, `n` times."""
    return tl.diff(x, n, axis, prepend, append)


def sort(x: tl.Tensor, /, *, axis: int = -1, descending: Any = False, stable: Any = True) -> Any:
    """The values in order."""
    return tl.sort(x, dim=axis, descending=descending, stable=stable).values


def argsort(x: tl.Tensor, /, *, axis: int = -1, descending: Any = False, stable: Any = True) -> Any:
    """The places of the values in order."""
    return tl.argsort(x, dim=axis, descending=descending, stable=stable)


def clip(x: tl.Tensor, /, min: Any = None, max: Any = None) -> tl.Tensor:
    """Values within limits; without any, as they are."""
    return x.clone() if min is None and max is None else tl.clip(x, min, max)


# --- shapes -------------------------------------------------------------------------------------


def reshape(x: tl.Tensor, /, shape: Sequence[int], *, copy: Any = None) -> tl.Tensor:
    """Another shape; `copy` False refuses where a copy is needed."""
    if copy is False:
        return x.view(*shape)
    return x.clone().reshape(shape) if copy else x.reshape(shape)


def permute_dims(x: tl.Tensor, /, axes: Sequence[int]) -> tl.Tensor:
    """The axes in another order."""
    return x.permute(*axes) if x.ndim else x


def expand_dims(x: tl.Tensor, /, *, axis: int = 0) -> tl.Tensor:
    """One more axis, of length 1."""
    return x.unsqueeze(axis)


def squeeze(x: tl.Tensor, /, axis: Axes) -> tl.Tensor:
    """Without these axes, which must be of length 1."""
    for a in _all(x, axis):
        if x.shape[a] != 1:
            raise ValueError(f"squeeze: axis {a} of shape {tuple(x.shape)} is not of length 1")
    return x.squeeze(_all(x, axis))


def concat(arrays: Sequence[tl.Tensor], /, *, axis: int | None = 0) -> tl.Tensor:
    """Join along an axis; with None, of all elements in a row."""
    return tl.cat([x.reshape(-1) for x in arrays] if axis is None else list(arrays), axis or 0)


def stack(arrays: Sequence[tl.Tensor], /, *, axis: int = 0) -> tl.Tensor:
    """Join along a new axis."""
    return tl.stack(list(arrays), axis)


def unstack(x: tl.Tensor, /, *, axis: int = 0) -> tuple[tl.Tensor, ...]:
    """The parts along an axis."""
    return tuple(x.unbind(axis))


def flip(x: tl.Tensor, /, *, axis: Axes = None) -> tl.Tensor:
    """In reverse along some axes."""
    return tl.flip(x, _all(x, axis))


def roll(x: tl.Tensor, /, shift: Any, *, axis: Axes = None) -> tl.Tensor:
    """Moved along axes; what leaves one end enters at the other."""
    return tl.roll(x, shift, axis)


def tile(x: tl.Tensor, repetitions: Sequence[int], /) -> tl.Tensor:
    """Repeated as a whole along each axis."""
    return tl.tile(x, tuple(repetitions))


def repeat(x: tl.Tensor, repeats: Any, /, *, axis: int | None = None) -> tl.Tensor:
    """Each element repeated."""
    return tl.repeat_interleave(x, repeats, axis)


def broadcast_to(x: tl.Tensor, /, shape: Sequence[int]) -> tl.Tensor:
    """Repeated to a shape, without a copy."""
    return tl.broadcast_to(x, tuple(shape))


def broadcast_arrays(*arrays: tl.Tensor) -> list[tl.Tensor]:
    """All in the shape that they have together."""
    return list(tl.broadcast_tensors(*arrays))


def matrix_transpose(x: tl.Tensor, /) -> tl.Tensor:
    """The last two axes exchanged."""
    return x.mT


def vecdot(x1: tl.Tensor, x2: tl.Tensor, /, *, axis: int = -1) -> tl.Tensor:
    """Products summed along an axis."""
    return tl.linalg.vecdot(x1, x2, dim=axis)


# --- places and sets ----------------------------------------------------------------------------


def nonzero(x: tl.Tensor, /) -> tuple[tl.Tensor, ...]:
    """For each axis the places of what is not 0."""
    return tuple(tl.nonzero(x, as_tuple=True))


def take(x: tl.Tensor, indices: tl.Tensor, /, *, axis: int | None = None) -> tl.Tensor:
    """Parts along an axis, by their places."""
    return tl.index_select(x, 0 if axis is None else axis, indices)


def take_along_axis(x: tl.Tensor, indices: tl.Tensor, /, *, axis: int = -1) -> tl.Tensor:
    """Elements by their places along an axis."""
    return tl.take_along_dim(x, indices, axis)


def searchsorted(
    x1: tl.Tensor, x2: tl.Tensor, /, *, side: str = "left", sorter: tl.Tensor | None = None
) -> tl.Tensor:
    """Where each of `x2` would stand in `x1`."""
    return tl.searchsorted(x1, x2, side=side, sorter=sorter)


def isin(x1: Any, x2: Any, /, *, invert: Any = False) -> tl.Tensor:
    """Which elements are among others."""
    return tl.isin(x1, x2, invert=invert)


def unique_values(x: tl.Tensor, /) -> tl.Tensor:
    """Each value once."""
    return tl.unique(x)


def unique_counts(x: tl.Tensor, /) -> tuple[tl.Tensor, tl.Tensor]:
    """Each value once, and how often it is there."""
    return tl.unique(x, return_counts=True)


def unique_inverse(x: tl.Tensor, /) -> tuple[tl.Tensor, tl.Tensor]:
    """Each value once, and which of them each element is."""
    return tl.unique(x, return_inverse=True)


class _Info:
    """What is here to be used."""

    def capabilities(self) -> dict[str, Any]:
        """Masks index, and shapes may depend on values."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Any:
        """Where Tensors are made."""
        return tl.get_default_device()

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """What numbers become."""
        real = tl.get_default_dtype()
        return {"real floating": real, "integral": tl.int64, "indexing": tl.int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """The dtypes, of a kind."""
        names = ("bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64")
        found = {name: getattr(tl, name) for name in names}
        return {n: d for n, d in found.items() if kind is None or isdtype(d, kind)}

    def devices(self) -> list[Any]:
        """The CPU, and CUDA's devices."""
        return [tl.device("cpu"), *(tl.device(f"cuda:{i}") for i in range(tl.cuda.device_count()))]


def __array_namespace_info__() -> _Info:
    """What is here to be used."""
    return _Info()


def namespace(self: tl.Tensor, *, api_version: str | None = None) -> Any:
    """The array API standard's functions for Tensors."""
    if api_version not in (None, "2021.12", "2022.12", "2023.12", __array_api_version__):
        raise ValueError(f"the array API {api_version} is not known: 2024.12 is the newest")
    return sys.modules[__name__]
