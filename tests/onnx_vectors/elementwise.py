"""Adapters of operators that work element by element."""

from __future__ import annotations

import functools

import numpy as np
from onnx import helper, numpy_helper

from onnx_vectors import adapts, checked, same
from tensorlite import ops
from tensorlite.nn import functional as F

same(
    Abs=ops.abs,
    Acos=ops.acos,
    Acosh=ops.acosh,
    Add=ops.add,
    And=ops.logical_and,
    Asin=ops.asin,
    Asinh=ops.asinh,
    Atan=ops.atan,
    Atanh=ops.atanh,
    BitwiseAnd=ops.bitwise_and,
    BitwiseNot=ops.bitwise_not,
    BitwiseOr=ops.bitwise_or,
    BitwiseXor=ops.bitwise_xor,
    Ceil=ops.ceil,
    Cos=ops.cos,
    Cosh=ops.cosh,
    Equal=ops.eq,
    Erf=ops.erf,
    Exp=ops.exp,
    Floor=ops.floor,
    Greater=ops.gt,
    GreaterOrEqual=ops.ge,
    HardSwish=F.hardswish,
    Identity=lambda x: x,
    IsNaN=ops.isnan,
    Less=ops.lt,
    LessOrEqual=ops.le,
    Log=ops.log,
    Mish=F.mish,
    Mul=ops.mul,
    Neg=ops.neg,
    Not=ops.logical_not,
    Or=ops.logical_or,
    Reciprocal=ops.reciprocal,
    Relu=F.relu,
    Round=ops.round,
    Sigmoid=F.sigmoid,
    Sign=ops.sign,
    Sin=ops.sin,
    Sinh=ops.sinh,
    Softplus=F.softplus,
    Softsign=lambda x: x / (1 + ops.abs(x)),
    Sqrt=ops.sqrt,
    Sub=ops.sub,
    SwiGLU=lambda a, b: F.silu(a) * b,
    Tan=ops.tan,
    Tanh=ops.tanh,
    Where=ops.where,
    Xor=ops.logical_xor,
    PRelu=lambda x, slope: ops.where(x < 0, slope * x, x),
    Max=lambda *xs: functools.reduce(ops.maximum, xs),
    Min=lambda *xs: functools.reduce(ops.minimum, xs),
    Sum=lambda *xs: functools.reduce(ops.add, xs),
    Mean=lambda *xs: functools.reduce(ops.add, xs) / len(xs),
    Clip=lambda x, low=None, high=None: x if low is high is None else ops.clip(x, low, high),
)


@adapts("Div")
def div(a, b):
    if a.dtype.kind not in "iu":
        return ops.div(a, b)
    quotient = ops.floor_divide(ops.abs(a), ops.abs(b))  # integers are divided towards 0
    return ops.cast(ops.where((a < 0) ^ (b < 0), -quotient, quotient), a.dtype)


@adapts("Mod")
def mod(a, b, *, fmod=0):
    if not fmod:
        return ops.remainder(a, b)
    remainder = ops.remainder(ops.abs(a), ops.abs(b))  # the remainder has a's sign
    return ops.where(a < 0, -remainder, remainder)


@adapts("Pow")
def pow(x, exponent):
    return ops.cast(ops.pow(x, exponent), x.dtype)


@adapts("BitShift")
def bit_shift(x, places, *, direction):
    return (ops.bitwise_left_shift if direction == "LEFT" else ops.bitwise_right_shift)(x, places)


@adapts("IsInf")
def is_inf(x, *, detect_negative=1, detect_positive=1):
    if detect_negative and detect_positive:
        return ops.isinf(x)
    return ops.isinf(x) & (x > 0 if detect_positive else x < 0)


@adapts("Cast")
def cast(x, *, to, saturate=1, round_mode="up"):
    return ops.cast(x, checked(helper.tensor_dtype_to_np_dtype(to)))


@adapts("CastLike")
def cast_like(x, like, *, saturate=1, round_mode="up"):
    return ops.cast(x, like.dtype)


@adapts("LeakyRelu")
def leaky_relu(x, *, alpha=0.01):
    return F.leaky_relu(x, alpha)


@adapts("ThresholdedRelu")
def thresholded_relu(x, *, alpha=1.0):
    return ops.where(x > alpha, x, 0)


@adapts("Elu")
def elu(x, *, alpha=1.0):
    return F.elu(x, alpha)


@adapts("Celu")
def celu(x, *, alpha=1.0):
    return F.celu(x, alpha)


@adapts("Selu")
def selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    if (alpha, gamma) == (1.67326319217681884765625, 1.05070102214813232421875):
        return F.selu(x)
    return F.elu(x, alpha) * gamma


@adapts("Gelu")
def gelu(x, *, approximate="none"):
    return F.gelu(x, approximate)


@adapts("Swish")
def swish(x, *, alpha=1.0):
    return F.silu(x * alpha) / alpha


@adapts("HardSigmoid")
def hard_sigmoid(x, *, alpha=0.2, beta=0.5):
    return ops.clip(x * alpha + beta, 0, 1)


@adapts("Shrink")
def shrink(x, *, bias=0.0, lambd=0.5):
    shrunk = ops.where(x < -lambd, x + bias, ops.where(x > lambd, x - bias, 0))
    return ops.cast(shrunk, x.dtype)


@adapts("Constant")
def constant(*, value=None, value_int=None, value_ints=None, value_float=None, value_floats=None):
    if value is not None:
        return numpy_helper.to_array(value)
    if value_float is not None or value_floats is not None:
        given = value_floats if value_float is None else value_float
        return np.array(given, np.float32)
    return np.array(value_ints if value_int is None else value_int, np.int64)
