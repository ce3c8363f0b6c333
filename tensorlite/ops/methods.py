"""Operators, methods and properties of Tensor, taken from the operations by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from tensorlite import ops
from tensorlite.gradients import backward
from tensorlite.ops import attributes, convert, creation, inplace, like
from tensorlite.ops.described import with_example
from tensorlite.ops.shape import transpose_axes
from tensorlite.tensor import Tensor
from tensorlite.unknown import note_missing

BINARY = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
UNARY = {"neg": "neg", "pos": "positive", "abs": "abs", "invert": "bitwise_not"}

# Modules all of whose functions become methods, those that are imported when one is first called,
# and the names of functions of other modules that become methods.
FAMILIES = (
    ops.elementwise,
    ops.rounding,
    ops.trigonometry,
    ops.arithmetic,
    ops.limits,
    ops.binary,
    ops.compare,
    ops.reduce,
    ops.extremes,
    ops.scan,
)
LATER_FAMILIES = (
    *("bessel", "gamma", "incomplete_gamma", "norms", "order", "probabilities", "statistics"),
)
NOT_METHODS = ("cast", "rsub", "where")
METHODS = (
    *("adjoint", "as_strided", "expand_dims", "flatten", "moveaxis", "movedim", "narrow", "ravel"),
    *("select", "squeeze", "swapaxes", "swapdims", "t", "transpose", "unflatten", "unsqueeze"),
    *("chunk", "dsplit", "hsplit", "split_with_sizes", "tensor_split", "unbind", "vsplit"),
    *("fliplr", "flipud", "repeat_interleave", "roll", "rot90"),
    *("argwhere", "gather", "index_select", "masked_select", "nonzero", "take"),
    *("take_along_axis", "take_along_dim"),
    *("index_add", "index_copy", "index_fill", "index_put", "index_reduce", "masked_scatter"),
    *("put", "scatter", "scatter_add", "scatter_reduce", "select_scatter", "slice_scatter"),
    *("diag", "diag_embed", "diagflat", "diagonal", "diagonal_scatter", "tril", "triu"),
    *("bincount", "diff", "histc", "histogram", "nanquantile", "quantile", "unique"),
    *("unique_consecutive",),
    *("addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "cholesky", "cholesky_inverse"),
    *("cholesky_solve", "cross", "det", "dot", "ger", "inner", "inverse", "kron", "logdet", "lu"),
    *("lu_solve", "matmul", "matrix_exp", "matrix_power", "mm", "mv", "outer", "pinverse", "qr"),
    *("slogdet", "svd", "trace", "triangular_solve", "vdot"),
    *("bernoulli", "log_softmax", "multinomial", "relu", "sigmoid", "softmax"),
)
# Methods that take lengths or axes one by one, or as one sequence.
SHAPE_METHODS = ("broadcast_to", "expand", "flip", "permute", "repeat", "reshape", "tile")
# Torch has these as methods only: the module of each, and its name there.
ONLY_METHODS = {
    **{name: ("axes", name) for name in ("expand", "expand_as")},
    **{name: ("reshaping", name) for name in ("reshape_as", "view", "view_as")},
    "polygamma_": ("gamma", "polygamma_"),
    "repeat": ("tiling", "repeat"),
    "split": ("splitting", "split_method"),
    "unfold": ("strides", "unfold"),
    **{
        name: ("random_writes", name)
        for name in (
            *("bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_"),
            *("random_", "uniform_"),
        )
    },
}

# What has a form with a trailing underscore that writes into the Tensor.
IN_PLACE = (
    *("abs", "absolute", "acos", "acosh", "add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv"),
    *("addr", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "asin"),
    *("asinh", "atan", "atan2", "atanh", "baddbmm", "bitwise_and", "bitwise_left_shift"),
    *("bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil", "clamp"),
    *("clamp_max", "clamp_min", "clip", "copysign", "cos", "cosh", "cumprod", "cumsum", "deg2rad"),
    *("digamma", "div", "divide", "eq", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "fix"),
    *("float_power", "floor", "floor_divide", "fmod", "frac", "gcd", "ge", "greater"),
    *("greater_equal", "gt", "heaviside", "hypot", "i0", "igamma", "igammac", "index_add"),
    *("index_copy", "index_fill", "index_put", "index_reduce", "lcm", "ldexp", "le", "lerp"),
    *("less", "less_equal", "lgamma", "log", "log10", "log1p", "log2", "logical_and"),
    *("logical_not", "logical_or", "logical_xor", "logit", "lt", "masked_fill", "masked_scatter"),
    *("mul", "multiply", "mvlgamma", "nan_to_num", "ne", "neg", "negative", "nextafter"),
    *("not_equal", "pow", "put", "rad2deg", "reciprocal", "relu", "remainder"),
    *("renorm", "round", "rsqrt", "scatter", "scatter_add", "scatter_reduce", "sgn", "sigmoid"),
    *("sign", "sin", "sinc", "sinh", "sqrt", "square", "sub", "subtract", "tan", "tanh", "tril"),
    *("triu", "true_divide", "trunc", "xlogy"),
)

DTYPE_METHODS = {
    "half": "float16",
    "bfloat16": "bfloat16",
    "float": "float32",
    "double": "float64",
    "char": "int8",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "byte": "uint8",
    "bool": "bool",
}


class Later:
    """Stands in Tensor for a method until that is first asked for; then it is made.

    Most programs use few of the methods, and making all of them would take a fifth of the time of
    an import.
    """

    def __init__(self, name: str, make: Callable[[str], Any]) -> None:
        self.name = name
        self.make = make

    def __get__(self, tensor: Any, owner: type) -> Any:
        if self.name in vars(Tensor) and vars(Tensor)[self.name] is self:
            setattr(Tensor, self.name, self.make(self.name))
        return getattr(owner if tensor is None else tensor, self.name)


def attach() -> None:
    """Give Tensor its operators, methods and properties."""
    for name, op in BINARY.items():
        function = getattr(ops, op)
        setattr(Tensor, f"__{name}__", function)
        setattr(Tensor, f"__r{name}__", _reflected(function))
        setattr(Tensor, f"__i{name}__", Later(f"__i{name}__", _operator_in_place))
    setattr(Tensor, "__rdiv__", Tensor.__rtruediv__)  # noqa: B010 (torch has the older name, too)
    for name in COMPARISONS:
        setattr(Tensor, f"__{name}__", _comparison(getattr(ops, name)))
    for name, op in UNARY.items():
        setattr(Tensor, f"__{name}__", getattr(ops, op))
    names = [name for family in FAMILIES for name in family.__all__] + list(METHODS)
    names += [name for family in LATER_FAMILIES for name in ops.LATER[family]]
    for name in names:
        if name not in NOT_METHODS:
            setattr(Tensor, name, Later(name, ops.complete))
    for name in ONLY_METHODS:
        setattr(Tensor, name, Later(name, _only_method))
    for name in SHAPE_METHODS:
        setattr(Tensor, name, Later(name, _shape_method))
    for name, dtype in DTYPE_METHODS.items():
        setattr(Tensor, name, _to_dtype(name, dtype))
    for function in (*convert.METHODS, *like.METHODS):
        setattr(Tensor, function.__name__, function)
    for name, function in attributes.METHODS.items():
        setattr(Tensor, name, function)
    for name, (value, doc) in attributes.PROPERTIES.items():
        setattr(Tensor, name, property(value, doc=doc))
    for name in IN_PLACE:
        setattr(Tensor, f"{name}_", Later(f"{name}_", _in_place))
    for function in (inplace.copy_, inplace.fill_, inplace.zero_):
        setattr(Tensor, function.__name__, function)
    for name, value in _special().items():
        setattr(Tensor, name, value)
    note_missing(Tensor)


_in_place_of = functools.cache(inplace.in_place)  # once for all names of an operation


def _in_place(name: str) -> Callable:
    return _in_place_of(ops.complete(name[:-1]))


def _operator_in_place(name: str) -> Callable:
    return _in_place_of(getattr(ops, BINARY[name[3:-2]]))


def _only_method(name: str) -> Callable:
    module, there = ONLY_METHODS[name]
    return getattr(import_module(f"tensorlite.ops.{module}"), there)


def _shape_method(name: str) -> Callable:
    return _with_shape(_only_method(name) if name in ONLY_METHODS else ops.complete(name))


def _special() -> dict[str, Any]:
    """The methods that are not made from a function by a general rule."""
    return {
        "__init__": creation.initialise,
        "type": convert.type_,
        "where": _where,
        "__getitem__": ops.getitem,
        "__setitem__": inplace.write,
        "__iter__": _iterate,
        "astype": ops.cast,
        "backward": backward,
        "cpu": _cpu,
        "cuda": _cuda,
        "T": property(
            transpose_axes,
            doc=with_example("The axes in reverse order.", "tl.zeros(2, 3).T.shape", "(3, 2)"),
        ),
        "mT": property(
            _matrix_transpose,
            doc=with_example(
                "The last two axes exchanged.", "tl.zeros(4, 2, 3).mT.shape", "(4, 3, 2)"
            ),
        ),
    }


def _reflected(op: Callable) -> Callable:
    """``other + x`` where `other` is no Tensor."""

    def reflected(x: Tensor, other: Any) -> Tensor:
        return op(other, x)

    return reflected


def _comparison(op: Callable) -> Callable:
    """The operator; what is no number, like None, is unequal to every Tensor, and unordered."""

    def compare(x: Tensor, other: Any) -> Any:
        if isinstance(other, (Tensor, int, float)) or hasattr(other, "dtype"):
            return op(x, other)
        return NotImplemented

    return compare


def _where(x: Tensor, condition: Tensor, other: Any) -> Tensor:
    """`x` where `condition` holds, `other` elsewhere.

    Parameters
    ----------
    condition : Tensor of bool
        Broadcasts with the others.
    other : Tensor or number

    Returns
    -------
    Tensor
        Of the shape that they broadcast to.

    Examples
    --------
    >>> tl.tensor([1.0, 2.0]).where(tl.tensor([True, False]), 0.0)
    tensor([1., 0.])
    """
    return ops.where(condition, x, other)


def _with_shape(op: Callable) -> Callable:
    """A method that takes lengths or axes one by one, or as one sequence."""

    def method(self: Tensor, *shape: Any, **named: Any) -> Tensor:
        if named:
            return op(self, *shape, **named)
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            (shape,) = shape
        return op(self, shape)

    method.__name__, method.__doc__ = op.__name__, op.__doc__
    return method


def _to_dtype(name: str, dtype: Any) -> Callable:
    def method(x: Tensor, memory_format: Any = None) -> Tensor:
        return ops.cast(x, dtype)

    method.__name__ = name
    method.__doc__ = f"""The same numbers as {dtype}, rounded or cut where that holds less.

    Returns
    -------
    Tensor
        Of the same shape; the Tensor itself where it has the dtype.

    Examples
    --------
    >>> str(tl.tensor([1, 2]).{name}().dtype)
    '{dtype}'
    """
    return method


def _iterate(x: Tensor) -> Iterator[Tensor]:
    if x.ndim == 0:
        raise TypeError("iteration over a Tensor with no axes")
    return iter(ops.unbind(x))


def _cpu(x: Tensor, memory_format: Any = None) -> Tensor:
    """`x` on the CPU; itself if it is there.

    Returns
    -------
    Tensor
        Of the same shape and dtype.

    Examples
    --------
    >>> tl.zeros(2).cpu().device
    device('cpu')
    """
    return convert.to_device(x, "cpu")


def _cuda(
    x: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None
) -> Tensor:
    """`x` on a CUDA device, by default the first; itself if it is there.

    Parameters
    ----------
    device : int, str or Device, optional
        Which.
    non_blocking : bool
        Changes nothing.

    Returns
    -------
    Tensor
        Of the same shape and dtype.

    Raises
    ------
    ValueError
        If there is no such device.

    Examples
    --------
    >>> x = tl.zeros(2).cuda() if tl.cuda.is_available() else tl.zeros(2)
    """
    return convert.to(x, 0 if device is None else device)


def _matrix_transpose(x: Tensor) -> Tensor:
    if x.ndim < 2:
        raise ValueError(f"mT of a Tensor of shape {x.shape}: it has no matrices")
    return ops.swapaxes(x, -2, -1)
