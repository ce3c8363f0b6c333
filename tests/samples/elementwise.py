"""Samples of functions of one and two numbers, comparisons, and choices."""

from __future__ import annotations

import math

import numpy as np

from samples.base import Input, Sample, booleans, distinct, integers, normal, positive, uniform
from tensorlite import ops
from tensorlite.ops.arithmetic import pow_slope, truncated_divide
from tensorlite.ops.binary import xlog1py
from tensorlite.ops.compare import close, select
from tensorlite.ops.limits import of_larger, of_smaller, within
from tensorlite.ops.promotion import cast_float
from tensorlite.ops.rounding import mantissa_and_exponent
from tensorlite.ops.trigonometry import tanh_backward
from tensorlite.primitive import alias

erf = np.vectorize(math.erf, otypes=[float])
erfc = np.vectorize(math.erfc, otypes=[float])


def off_integers(*shape: int) -> Input:
    """Numbers between -3 and 3, each a tenth or more from an integer and from a half."""
    return Input(
        shape,
        lambda generator, shape: (
            generator.integers(-6, 6, shape) / 2 + generator.uniform(0.1, 0.4, shape)
        ),
    )


def small(*shape: int) -> Input:
    """Numbers smaller than all that `positive` gives."""
    return uniform(*shape, low=0.1, high=0.4)


def bits_above_0(*shape: int) -> Input:
    return integers(*shape, low=0, high=30)


@np.vectorize(otypes=[int])
def integer_power(a, n):
    """0 to negative powers, but of 1 and -1."""
    return int(a) ** abs(int(n)) if n >= 0 or abs(a) == 1 else 0


def unary(op, reference, x=None, saves=(), **options) -> Sample:
    return Sample(op, [x or normal(3, 5)], reference=reference, saves=saves, **options)


def binary(op, reference, a=normal, b=normal, saves=None, **options) -> Sample:
    return Sample(
        op, [a(3, 4), b(3, 4)], reference=reference, saves=saves, broadcasts=True, **options
    )


inside = uniform(3, 5, low=-0.9, high=0.9)

UNARY = [
    unary(alias, lambda x: x),
    unary(ops.neg, np.negative),
    unary(ops.abs, np.abs, saves=("x",)),
    unary(ops.sign, np.sign),
    unary(ops.floor, np.floor, off_integers(3, 5)),
    unary(ops.ceil, np.ceil, off_integers(3, 5)),
    unary(ops.trunc, np.trunc, off_integers(3, 5)),
    unary(ops.round, np.round, off_integers(3, 5)),
    Sample(ops.round, [normal(7)], dict(decimals=1), reference=np.round, dtypes=("float64",)),
    unary(ops.positive, np.positive),
    unary(ops.signbit, np.signbit, saves=None, grad=()),
    unary(ops.nan_to_num, np.nan_to_num, saves=("x",)),
    Sample(
        mantissa_and_exponent,
        [positive(3, 5)],
        reference=np.frexp,
    ),
    unary(ops.sinc, np.sinc, saves=("x",), tolerance=4),
    unary(ops.square, np.square, saves=("x",)),
    unary(ops.sqrt, np.sqrt, positive(3, 5), saves=("y",)),
    unary(ops.rsqrt, lambda x: x**-0.5, positive(3, 5), saves=("y",)),
    unary(ops.reciprocal, lambda x: 1 / x, positive(3, 5), saves=("y",)),
    unary(ops.exp, np.exp, saves=("y",), tolerance=2),
    unary(ops.exp2, np.exp2, saves=("y",)),
    unary(ops.expm1, np.expm1, saves=("y",), tolerance=2),
    unary(ops.log, np.log, positive(3, 5), saves=("x",)),
    unary(ops.log2, np.log2, positive(3, 5), saves=("x",)),
    unary(ops.log10, np.log10, positive(3, 5), saves=("x",)),
    unary(ops.log1p, np.log1p, positive(3, 5), saves=("x",)),
    unary(ops.sin, np.sin, saves=("x",)),
    unary(ops.cos, np.cos, saves=("x",)),
    unary(ops.tan, np.tan, inside, saves=("y",)),
    unary(ops.asin, np.arcsin, inside, saves=("x",)),
    unary(ops.acos, np.arccos, inside, saves=("x",)),
    unary(ops.atan, np.arctan, saves=("x",)),
    unary(ops.sinh, np.sinh, saves=("x",)),
    unary(ops.cosh, np.cosh, saves=("x",)),
    unary(ops.tanh, np.tanh, saves=("y",)),
    Sample(
        tanh_backward,
        [normal(3, 5), uniform(3, 5, low=-0.9, high=0.9)],
        reference=lambda dy, out: dy * (1 - out**2),
    ),
    unary(ops.asinh, np.arcsinh, saves=("x",)),
    unary(ops.acosh, np.arccosh, uniform(3, 5, low=1.2, high=4), saves=("x",)),
    unary(ops.atanh, np.arctanh, inside, saves=("x",)),
    unary(ops.erf, erf, uniform(3, 20, low=-6, high=6), saves=("x",)),
    unary(ops.erfc, erfc, uniform(3, 20, low=-6, high=6), saves=("x",)),
    Sample(
        cast_float,
        [normal(3, 5)],
        dict(dtype=np.dtype("float64")),
        reference=lambda x, dtype: x,
        keeps_dtype=False,
        saves=(),
    ),
    Sample(
        ops.cast,
        [normal(3, 5)],
        dict(dtype="int64"),
        reference=lambda x, dtype: np.trunc(x).astype(int),
        grad=(),
    ),
]

BINARY = [
    binary(ops.add, np.add, saves=("alpha",)),
    binary(ops.sub, np.subtract, saves=("alpha",)),
    Sample(
        ops.add, [normal(3), normal(3)], dict(alpha=2.5), reference=lambda a, b, alpha: a + 2.5 * b
    ),
    Sample(
        ops.sub, [normal(3), normal(3)], dict(alpha=2.5), reference=lambda a, b, alpha: a - 2.5 * b
    ),
    binary(ops.mul, np.multiply, saves=("x1", "x2")),
    binary(ops.true_divide, np.divide, b=positive, saves=("y", "x2")),
    *[
        Sample(op, inputs, reference=reference)
        for op, reference in (
            (ops.add, np.add),
            (ops.sub, np.subtract),
            (ops.mul, np.multiply),
            (ops.true_divide, np.divide),
            (ops.maximum, np.maximum),
            (ops.minimum, np.minimum),
        )
        for inputs in ([positive(3, 4), 1.7], [0.3, positive(5)])
    ],
    binary(ops.floor_divide, np.floor_divide, a=small, b=positive, saves=()),
    Sample(ops.floor_divide, [off_integers(3, 4), 1.0], reference=np.floor_divide, saves=()),
    binary(ops.remainder, np.mod, a=small, b=positive, saves=("x1", "x2")),
    Sample(
        ops.remainder,
        [uniform(40, low=-900, high=900), uniform(40, low=-1, high=-0.1)],
        reference=np.mod,
        grad=(),
    ),
    Sample(ops.remainder, [uniform(6, low=-1.9, high=-1.1), 1.0], reference=np.mod),
    binary(truncated_divide, lambda a, b: np.trunc(a / b), a=small, b=positive, saves=()),
    Sample(
        truncated_divide,
        [integers(40, low=-20, high=20), integers(40, low=1, high=5)],
        reference=lambda a, b: np.trunc(a / b).astype(int),
    ),
    binary(ops.fmod, np.fmod, a=small, b=positive, saves=("x1", "x2")),
    Sample(ops.fmod, [uniform(6, low=-1.9, high=-1.1), 1.0], reference=np.fmod),
    *[
        Sample(
            pow_slope,
            [normal(3, 4), positive(3, 4)],
            dict(exponent=n),
            reference=lambda dy, x, exponent: dy * exponent * x ** (exponent - 1),
            tolerance=4,
        )
        for n in (0, 0.5, 1, 2, 3, 4, 5, -1)
    ],
    Sample(
        of_larger,
        [normal(3, 4), distinct(3, 4), 0.1],
        reference=lambda dy, a, b: np.where(a > b, dy, 0),
        grad=(0,),
    ),
    Sample(
        of_smaller,
        [normal(3, 4), distinct(3, 4), 0.1],
        reference=lambda dy, a, b: np.where(a < b, dy, 0),
        grad=(0,),
    ),
    *[
        Sample(
            within,
            [normal(3, 4), distinct(3, 4), low, high],
            reference=lambda dy, x, low, high: np.where(
                (x >= (low or -9)) & (x <= (high or 9)), dy, 0
            ),
            grad=(0,),
        )
        for low, high in ((-0.6, 0.9), (None, 0.9), (-0.6, None))
    ],
    binary(ops.fmax, np.fmax, saves=("x1", "x2")),
    binary(ops.fmin, np.fmin, saves=("x1", "x2")),
    binary(ops.copysign, np.copysign, saves=("x1", "y")),
    binary(ops.heaviside, np.heaviside, b=normal, grad=()),
    binary(ops.nextafter, np.nextafter, grad=(), dtypes=("float64",)),
    binary(ops.logaddexp2, np.logaddexp2, saves=("x1", "x2")),
    binary(ops.ldexp, lambda a, b: a * 2.0**b, saves=("x2", "y")),
    Sample(
        ops.ldexp,
        [normal(3, 4), integers(3, 4, low=-5, high=5)],
        reference=np.ldexp,
        grad=(0,),
    ),
    binary(ops.xlogy, lambda a, b: a * np.log(b), b=positive, saves=("x1", "x2")),
    binary(xlog1py, lambda a, b: a * np.log1p(b), b=positive, saves=("x1", "x2")),
    binary(ops.gcd, np.gcd, bits_above_0, bits_above_0),
    binary(ops.lcm, np.lcm, bits_above_0, bits_above_0),
    binary(ops.pow, np.power, a=positive, saves=("x1", "x2", "y")),
    Sample(
        ops.pow,
        [integers(40, low=-3, high=4), integers(40, low=-3, high=4)],
        reference=integer_power,
    ),
    *[Sample(ops.pow, [normal(3, 4), n], reference=np.power, tolerance=4) for n in (0, 1, 2, 3)],
    *[
        Sample(ops.pow, [positive(3, 4), n], reference=np.power, tolerance=4)
        for n in (0.5, -1, -1.5)
    ],
    Sample(ops.pow, [2.0, normal(3, 4)], reference=np.power, tolerance=4),
    binary(ops.maximum, np.maximum, saves=("x1", "x2")),
    binary(ops.minimum, np.minimum, saves=("x1", "x2")),
    binary(ops.atan2, np.arctan2, saves=("x1", "x2")),
    binary(ops.hypot, np.hypot, saves=("x1", "x2", "y")),
    binary(ops.logaddexp, np.logaddexp, saves=("x1", "x2")),
    Sample(
        ops.lerp,
        [normal(3, 4), normal(3, 4), uniform(3, 4, low=0, high=1)],
        reference=lambda start, end, weight: (1 - weight) * start + weight * end,
        broadcasts=True,
        saves=("start", "end", "weight"),
    ),
    Sample(
        ops.lerp,
        [normal(3, 4), normal(3, 4), 0.3],
        reference=lambda start, end, weight: 0.7 * start + 0.3 * end,
    ),
    Sample(ops.clamp, [normal(3, 4), -0.5, 0.7], reference=np.clip),
    Sample(ops.clamp, [normal(3, 4), None, 0.7], reference=np.clip),
    Sample(ops.clamp, [normal(3, 4), -0.5], reference=lambda x, low: np.maximum(x, low)),
    Sample(
        ops.clamp,
        [distinct(3, 4), uniform(3, 4, low=-1, high=-0.5), uniform(3, 4, low=0.5, high=1)],
        reference=np.clip,
        broadcasts=True,
        saves=("x", "min", "max"),
    ),
]


def few(*shape: int) -> Input:
    """Small integers as floats, so that many are equal."""
    return Input(shape, lambda generator, shape: generator.integers(-1, 2, shape).astype(float))


def special(*shape: int) -> Input:
    """NaN, infinities and ordinary numbers."""
    values = np.array([np.nan, np.inf, -np.inf, 0.0, 1.5])
    return Input(shape, lambda generator, shape: generator.choice(values, shape))


def bits(*shape: int) -> Input:
    return integers(*shape, low=-50, high=50)


def shifts(*shape: int) -> Input:
    return integers(*shape, low=0, high=5)


ALIKE = [
    Sample(
        close,
        [few(3, 4), special(3, 4)],
        dict(rtol=0.1, atol=0.5, equal_nan=equal_nan),
        reference=lambda a, b, rtol, atol, equal_nan: np.isclose(a, b, rtol, atol, equal_nan),
        grad=(),
    )
    for equal_nan in (False, True)
]

COMPARISONS = [
    binary(op, reference, few, few, grad=())
    for op, reference in (
        (ops.eq, np.equal),
        (ops.ne, np.not_equal),
        (ops.lt, np.less),
        (ops.le, np.less_equal),
        (ops.gt, np.greater),
        (ops.ge, np.greater_equal),
        (ops.logical_and, np.logical_and),
        (ops.logical_or, np.logical_or),
        (ops.logical_xor, np.logical_xor),
    )
] + [
    unary(ops.isnan, np.isnan, special(3, 5), None, grad=()),
    unary(ops.isinf, np.isinf, special(3, 5), None, grad=()),
    unary(ops.isfinite, np.isfinite, special(3, 5), None, grad=()),
    unary(ops.logical_not, np.logical_not, few(3, 5), None, grad=()),
    unary(ops.bitwise_not, np.invert, bits(3, 5), None),
    unary(ops.bitwise_not, np.invert, booleans(3, 5), None),
    *[
        binary(op, reference, kind, kind)
        for op, reference in (
            (ops.bitwise_and, np.bitwise_and),
            (ops.bitwise_or, np.bitwise_or),
            (ops.bitwise_xor, np.bitwise_xor),
        )
        for kind in (bits, booleans)
    ],
    binary(ops.bitwise_left_shift, np.left_shift, bits, shifts),
    binary(ops.bitwise_right_shift, np.right_shift, bits, shifts),
]

CHOICES = [
    Sample(
        select,
        [booleans(3, 4), normal(3, 4), normal(3, 4)],
        reference=np.where,
        broadcasts=True,
        saves=("condition",),
    ),
    Sample(select, [booleans(3, 4), normal(3, 4), 0.0], reference=np.where),
    Sample(select, [booleans(3, 4), 1, normal(3, 4)], reference=np.where),
    Sample(
        ops.masked_fill,
        [normal(3, 4), booleans(3, 4), 0.5],
        reference=lambda x, mask, value: np.where(mask, value, x),
    ),
]

SAMPLES = UNARY + BINARY + ALIKE + COMPARISONS + CHOICES
