"""The dtype of results: every dtype beside every other, as Tensor, 0-d Tensor and Python number."""

from __future__ import annotations

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
UNARY = (
    *("exp", "sin", "sqrt", "log", "sigmoid", "tanh", "erf", "reciprocal", "rsqrt", "square"),
    *("abs", "neg", "sign", "floor", "ceil", "round", "trunc", "relu", "isnan"),
    *("sum", "prod", "mean", "amax", "argmax", "any", "all", "cumsum", "cumprod", "std", "median"),
    *("logsumexp", "softmax", "bitwise_not", "logical_not", "nonzero", "argsort"),
)
ALONG = ("cumsum", "cumprod", "logsumexp", "softmax")  # these want a `dim`
KINDS = ("tensor", "0-d", "number")


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
                found = [
                    answer(function, torch, operand(torch, left, a), operand(torch, right, b))
                    for right in dtypes_of(b)
                ]
                rows.append([a, left, b, " ".join(found)])
        table[name] = rows
    for name in UNARY:
        extra = (0,) if name in ALONG else ()
        found = [
            answer(getattr(torch, name), operand(torch, dtype, "tensor"), *extra)
            for dtype in DTYPES
        ]
        table[name] = [["tensor", " ".join(DTYPES), "", " ".join(found)]]
    return table
