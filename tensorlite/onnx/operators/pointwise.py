"""Operations of single elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite.onnx.graph import CONVERTERS, Graph, converts
from tensorlite.onnx.sizes import Step

#: Primitives that ONNX has with the same meaning, by the names of their functions.
SAME = """
    sin Sin, cos Cos, tan Tan, asin Asin, acos Acos, atan Atan, sinh Sinh, cosh Cosh, tanh Tanh,
    asinh Asinh, acosh Acosh, atanh Atanh, abs Abs, ceil Ceil, floor Floor, neg Neg, sign Sign,
    exp Exp, log Log, erf Erf, sqrt Sqrt, reciprocal Reciprocal, isnan IsNaN, isinf IsInf,
    relu Relu, sigmoid Sigmoid, softsign Softsign, mish Mish, hardswish HardSwish, det Det,
    mul Mul, true_divide Div, pow Pow, maximum Max, minimum Min, matmul MatMul, select Where,
    eq Equal, lt Less, le LessOrEqual, gt Greater, ge GreaterOrEqual,
    logical_and And, logical_or Or, logical_xor Xor, logical_not Not,
    copied Identity, alias Identity, positive Identity
"""
SAME_OPERATORS = dict(pair.split() for pair in SAME.split(","))
CONVERTERS.update(
    {
        ours: lambda g, s, *xs, theirs=theirs: g.node(theirs, *xs)
        for ours, theirs in SAME_OPERATORS.items()
    }
)


def number(step: Step, value: float) -> np.ndarray:
    """A constant of the dtype of the first operand."""
    return np.array(value, step.dtype())


@converts("add", "sub")
def _add(g: Graph, s: Step, a: str, b: str, alpha: float) -> str:
    if s.output().dtype.kind == "b":
        return g.node("Or", a, b)
    b = b if alpha == 1 else g.node("Mul", b, np.array(alpha, s.output().dtype))
    return g.node({"add": "Add", "sub": "Sub"}[s.primitive.name], a, b)


@converts("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
def _bitwise(g: Graph, s: Step, *xs: str) -> str:
    op = s.primitive.name.removeprefix("bitwise_").title()
    return g.node(op if s.dtype().kind == "b" else f"Bitwise{op}", *xs)


@converts("to_device_array")
def _to(g: Graph, s: Step, x: str, **static: Any) -> str:
    return x


@converts("cast_float")
def _cast(g: Graph, s: Step, x: str, dtype: Any) -> str:
    return g.cast(x, dtype)


@converts("ne")
def _ne(g: Graph, s: Step, a: str, b: str) -> str:
    return g.node("Not", g.node("Equal", a, b))


@converts("isfinite")
def _isfinite(g: Graph, s: Step, x: str) -> str:
    return g.node("Not", g.node("Or", g.node("IsNaN", x), g.node("IsInf", x)))


@converts("square")
def _square(g: Graph, s: Step, x: str) -> str:
    return g.node("Mul", x, x)


@converts("rsqrt")
def _rsqrt(g: Graph, s: Step, x: str) -> str:
    return g.node("Reciprocal", g.node("Sqrt", x))


@converts("exp2")
def _exp2(g: Graph, s: Step, x: str) -> str:
    return g.node("Pow", number(s, 2), x)


@converts("expm1")
def _expm1(g: Graph, s: Step, x: str) -> str:
    # ONNX has no such; 2 tanh(x/2) / (1 - tanh(x/2)) keeps small numbers exact.
    t = g.node("Tanh", g.node("Mul", x, number(s, 0.5)))
    small = g.node("Div", g.node("Mul", t, number(s, 2)), g.node("Sub", number(s, 1), t))
    large = g.node("Sub", g.node("Exp", x), number(s, 1))
    near = g.node("Less", g.node("Abs", x), number(s, 1))
    return g.node("Where", near, small, large)


@converts("log1p")
def _log1p(g: Graph, s: Step, x: str) -> str:
    # 2 atanh(x / (2 + x)) for small numbers; ONNX's Log alone loses them.
    small = g.node("Atanh", g.node("Div", x, g.node("Add", x, number(s, 2))))
    near = g.node("Less", g.node("Abs", x), number(s, 0.5))
    large = g.node("Log", g.node("Add", x, number(s, 1)))
    return g.node("Where", near, g.node("Mul", small, number(s, 2)), large)


@converts("log2", "log10")
def _log_of_base(g: Graph, s: Step, x: str) -> str:
    base = {"log2": 2, "log10": 10}[s.primitive.name]
    return g.node("Mul", g.node("Log", x), number(s, 1 / math.log(base)))


@converts("erfc")
def _erfc(g: Graph, s: Step, x: str) -> str:
    return g.node("Sub", number(s, 1), g.node("Erf", x))


@converts("round")
def _round(g: Graph, s: Step, x: str, decimals: int) -> str:
    if not decimals:
        return g.node("Round", x)
    power = number(s, 10.0**decimals)
    return g.node("Div", g.node("Round", g.node("Mul", x, power)), power)


@converts("trunc")
def _trunc(g: Graph, s: Step, x: str) -> str:
    return g.node("Mul", g.node("Sign", x), g.node("Floor", g.node("Abs", x)))


@converts("floor_divide")
def _floor_divide(g: Graph, s: Step, a: str, b: str) -> str:
    if s.output().dtype.kind == "f":
        return g.node("Floor", g.node("Div", a, b))
    rest = g.node("Mod", a, b)  # of b's sign
    return g.node("Div", g.node("Sub", a, rest), b)


@converts("remainder")
def _remainder(g: Graph, s: Step, a: str, b: str) -> str:
    if s.output().dtype.kind != "f":
        return g.node("Mod", a, b)
    return g.node("Sub", a, g.node("Mul", b, g.node("Floor", g.node("Div", a, b))))


@converts("fmod")
def _fmod(g: Graph, s: Step, a: str, b: str) -> str:
    return g.node("Mod", a, b, fmod=1)


@converts("clamp")
def _clamp(g: Graph, s: Step, x: str, low: str | None, high: str | None) -> str:
    x = x if low is None else g.node("Max", x, low)
    return x if high is None else g.node("Min", x, high)


@converts("lerp")
def _lerp(g: Graph, s: Step, start: str, end: str, weight: str) -> str:
    return g.node("Add", start, g.node("Mul", weight, g.node("Sub", end, start)))


# --- activations --------------------------------------------------------------------------------


@converts("leaky_relu")
def _leaky_relu(g: Graph, s: Step, x: str, negative_slope: float) -> str:
    return g.node("LeakyRelu", x, alpha=float(negative_slope))


@converts("hardtanh")
def _hardtanh(g: Graph, s: Step, x: str, min_val: float, max_val: float) -> str:
    return g.node("Clip", x, number(s, min_val), number(s, max_val))


@converts("hardsigmoid")
def _hardsigmoid(g: Graph, s: Step, x: str) -> str:
    return g.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@converts("silu")
def _silu(g: Graph, s: Step, x: str) -> str:
    return g.node("Mul", x, g.node("Sigmoid", x))


@converts("softplus")
def _softplus(g: Graph, s: Step, x: str, beta: float, threshold: float) -> str:
    scaled = x if beta == 1 else g.node("Mul", x, number(s, beta))
    y = g.node("Softplus", scaled)
    y = y if beta == 1 else g.node("Div", y, number(s, beta))
    if threshold >= 20:  # where both agree to the last bit of a float32
        return y
    return g.node("Where", g.node("Greater", scaled, number(s, threshold)), x, y)


@converts("logsigmoid")
def _logsigmoid(g: Graph, s: Step, x: str) -> str:
    return g.node("Neg", g.node("Softplus", g.node("Neg", x)))


@converts("gelu")
def gelu(g: Graph, s: Step, x: str, approximate: str) -> str:
    """By the operator, or written out before opset 20."""
    if g.opset >= 20:
        return g.node("Gelu", x, approximate=approximate)
    if approximate == "tanh":
        cube = g.node("Mul", g.node("Mul", x, x), g.node("Mul", x, number(s, 0.044715)))
        inner = g.node("Mul", g.node("Add", x, cube), number(s, math.sqrt(2 / math.pi)))
        part = g.node("Tanh", inner)
    else:
        part = g.node("Erf", g.node("Mul", x, number(s, math.sqrt(0.5))))
    return g.node("Mul", g.node("Mul", x, number(s, 0.5)), g.node("Add", part, number(s, 1)))


@converts("scaled_elu")
def _elu(g: Graph, s: Step, x: str, alpha: float, scale: float, steepness: float) -> str:
    if steepness == 1:
        y = g.node("Elu", x, alpha=float(alpha))
    elif math.isclose(alpha * steepness, 1):
        y = g.node("Celu", x, alpha=float(alpha))
    else:
        below = g.node("Sub", g.node("Exp", g.node("Mul", x, number(s, steepness))), number(s, 1))
        below = g.node("Mul", below, number(s, alpha))
        y = g.node("Where", g.node("Greater", x, number(s, 0)), x, below)
    return y if scale == 1 else g.node("Mul", y, number(s, scale))


@converts("prelu_of_channels")
def _prelu(g: Graph, s: Step, x: str, weight: str) -> str:
    return g.node("PRelu", x, per_channel(g, weight, s.ndim()))


def per_channel(g: Graph, x: str, ndim: int) -> str:
    """A vector so that it broadcasts along the second axis."""
    return x if ndim <= 2 else g.node("Reshape", x, g.ints([-1, *[1] * (ndim - 2)]))


@converts("nan_to_num")
def _nan_to_num(
    g: Graph, s: Step, x: str, nan: float | None, posinf: float | None, neginf: float | None
) -> str:
    limits = np.finfo(s.dtype())
    y = g.node("Where", g.node("IsNaN", x), number(s, nan or 0), x)
    for value, other, way in ((posinf, limits.max, "positive"), (neginf, limits.min, "negative")):
        only = {
            "detect_negative": int(way == "negative"),
            "detect_positive": int(way == "positive"),
        }
        y = g.node(
            "Where", g.node("IsInf", x, **only), number(s, other if value is None else value), y
        )
    return y


# --- likelihoods --------------------------------------------------------------------------------


@converts("huber")
def _huber(g: Graph, s: Step, d: str, delta: float) -> str:
    near = g.node("Clip", d, number(s, -delta), number(s, delta))
    return g.node("Mul", near, g.node("Sub", d, g.node("Mul", near, number(s, 0.5))))


@converts("cross_entropy_of_logits")
def _cross_entropy_of_logits(g: Graph, s: Step, x: str, t: str) -> str:
    # max(x, 0) - x t + log(1 + exp(-|x|)), which does not overflow
    smooth = g.node("Softplus", g.node("Neg", g.node("Abs", x)))
    return g.node("Add", g.node("Sub", g.node("Relu", x), g.node("Mul", x, t)), smooth)
