"""The dtype of results: every dtype beside every other, as Tensor, 0-d Tensor and Python number."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from parity.values import DTYPES

BINARY: dict[str, Callable] = {
    "add": lambda lib, a, b: lib.add(a, b),
    "sub": lambda lib, a, b: lib.sub(a, b),
    "mul": lambda lib, a, b: lib.mul(a, b),
    "div": lambda lib, a, b: lib.div(a, b),
    "floor_divide": lambda lib, a, b: lib.floor_divide(a, b),
    "remainder": lambda lib, a, b: lib.remainder(a, b),
    "pow": lambda lib, a, b: lib.pow(a, b),
    "+": lambda lib, a, b: a + b,
    "-": lambda lib, a, b: a - b,
    "*": lambda lib, a, b: a * b,
    "/": lambda lib, a, b: a / b,
    "//": lambda lib, a, b: a // b,
    "%": lambda lib, a, b: a % b,
    "**": lambda lib, a, b: a**b,
    "eq": lambda lib, a, b: lib.eq(a, b),
    "lt": lambda lib, a, b: lib.lt(a, b),
    "maximum": lambda lib, a, b: lib.maximum(a, b),
    "atan2": lambda lib, a, b: lib.atan2(a, b),
    "where": lambda lib, a, b: lib.where(lib.tensor([True, False]), a, b),
    "add_": lambda lib, a, b: a.add_(b),
    "cat": lambda lib, a, b: lib.cat([lib.atleast_1d(a), lib.atleast_1d(b)]),
}
# Functions of two Tensors, without those above: two Tensors of ones of every two dtypes. Not
# here are huber_loss and binary_cross_entropy_with_logits, whose result torch rounds to the shorter
# of two floats, at times, and tensorlite does not.
OF_TWO = (
    *("arctan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_xor", "copysign"),
    *("dot", "float_power", "fmax", "fmin", "fmod", "gcd", "ge", "heaviside", "hypot"),
    *("kron", "lcm", "ldexp", "logaddexp", "logaddexp2", "logical_and", "logical_xor", "matmul"),
    *("minimum", "ne", "nextafter", "normal", "outer", "rsub", "trapezoid", "vdot", "xlogy"),
    *("special.xlog1py", "special.zeta", "linalg.vecdot"),
    "nn.functional.binary_cross_entropy",
    *("nn.functional.hinge_embedding_loss", "nn.functional.kl_div", "nn.functional.l1_loss"),
    *("nn.functional.mse_loss", "nn.functional.poisson_nll_loss", "nn.functional.smooth_l1_loss"),
    *("nn.functional.soft_margin_loss", "nn.functional.pairwise_distance"),
)
UNARY = (
    *("exp", "sin", "sqrt", "log", "sigmoid", "tanh", "erf", "reciprocal", "rsqrt", "square"),
    *("abs", "neg", "sign", "floor", "ceil", "round", "trunc", "relu", "isnan"),
    *("sum", "prod", "mean", "amax", "argmax", "any", "all", "cumsum", "cumprod", "std", "median"),
    *("logsumexp", "softmax", "bitwise_not", "logical_not", "nonzero", "argsort"),
    *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "sinh", "tan", "expm1"),
    *("exp2", "log10", "log1p", "log2", "logit", "erfc", "erfinv", "digamma", "lgamma", "i0"),
    *("sinc", "deg2rad", "rad2deg", "frac", "positive", "sgn", "signbit", "isfinite", "isinf"),
    *("isneginf", "nan_to_num", "clone", "diff", "ones_like", "rand_like"),
    *("argmin", "amin", "nanmean", "nansum", "std", "var", "trapezoid", "count_nonzero"),
    *("repeat_interleave", "unique", "bincount", "histc", "cov", "selu", "celu"),
    *("special.entr", "special.erfcx", "special.i0e", "special.i1", "special.i1e"),
    *("special.log_ndtr", "special.ndtr", "special.ndtri", "special.gammaln", "special.expit"),
    *("nn.functional.relu6", "nn.functional.hardtanh", "nn.functional.elu", "nn.functional.gelu"),
    *("nn.functional.silu", "nn.functional.mish", "nn.functional.softplus"),
    *("nn.functional.softsign", "nn.functional.tanhshrink", "nn.functional.hardshrink"),
    *("nn.functional.softshrink", "nn.functional.hardsigmoid", "nn.functional.hardswish"),
    *("nn.functional.leaky_relu", "nn.functional.logsigmoid", "nn.functional.dropout"),
    *("nn.functional.gumbel_softmax", "nn.functional.rrelu"),
)
ALONG = ("cumsum", "cumprod", "logsumexp", "softmax")  # these want a `dim`
# Taken in more dtypes than torch takes, where only one answer makes sense: targets of integers,
# places of any integers, mixed dtypes where torch wants them alike.
MORE = (
    *("cov", "heaviside", "linalg.vecdot", "nn.functional.binary_cross_entropy"),
    *("nn.functional.kl_div", "trapezoid"),
)
KINDS = ("tensor", "0-d", "number")


def found(lib: Any, name: str) -> Callable:
    """The function of a dotted name."""
    return functools.reduce(getattr, name.split("."), lib)


def operand(lib: Any, dtype: str, kind: str) -> Any:
    """Ones of a dtype; a number is Python's own of that kind."""
    if kind == "number":
        return {"bool": True, "int64": 1, "float64": 1.0}[dtype]
    return lib.ones((2,) if kind == "tensor" else (), dtype=getattr(lib, dtype))


def pairs() -> Iterator[tuple[str, str]]:
    """Kinds of two operands, one of them a Tensor."""
    for a in KINDS:
        for b in KINDS:
            if "number" not in (a, b) or a != b:
                yield a, b


def dtypes_of(kind: str) -> tuple[str, ...]:
    """What dtypes an operand of a kind has."""
    return ("bool", "int64", "float64") if kind == "number" else DTYPES


def made(torch: Any) -> dict[str, list]:
    """What torch answers: a row of dtypes for each dtype of the left operand.

    ``-`` stands where it refuses, and ``?`` where it merely has no code.
    """

    def answer(function: Callable, *args: Any) -> str:
        try:
            return str(function(*args).dtype)[6:]
        except (RuntimeError, TypeError, AttributeError) as error:
            return "?" if "not implemented for" in str(error) else "-"

    table: dict[str, list] = {}
    for name, function in BINARY.items():
        rows = []
        for a, b in pairs():
            for left in dtypes_of(a):
                row = [
                    answer(function, torch, operand(torch, left, a), operand(torch, right, b))
                    for right in dtypes_of(b)
                ]
                rows.append([a, left, b, " ".join(row)])
        table[name] = rows
    for name in OF_TWO:
        function = found(torch, name)
        of = {dtype: operand(torch, dtype, "tensor") for dtype in DTYPES}
        table[name] = [
            ["tensor", a, "tensor", " ".join(answer(function, of[a], of[b]) for b in DTYPES)]
            for a in DTYPES
        ]
    for name in UNARY:
        extra = (0,) if name in ALONG else ()
        row = [
            answer(found(torch, name), operand(torch, dtype, "tensor"), *extra) for dtype in DTYPES
        ]
        table[name] = [["tensor", " ".join(DTYPES), "", " ".join(row)]]
    return table
