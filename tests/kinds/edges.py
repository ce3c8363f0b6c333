"""Which elementwise functions are driven to the edges, and with what.

`make_edges.py` asks torch for their values and gradients and keeps them in ``edges.npz``.
"""

from __future__ import annotations

import numpy as np

inf, nan = np.inf, np.nan

# Of one number: signed zeros, huge and tiny ones, infinities, NaN, corners and ends of domains.
ONE = np.array(
    [
        *(0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 20.5, -20.5, 1e-5, -1e-5),
        *(40.0, -40.0, 750.0, -750.0, 1e17, 1e200, -1e200, 1e-200, -1e-200, 1e300, -1e300),
        *(1.5e308, -1.5e308, 1e-300, -1e-300, inf, -inf, nan),
    ]
)
# Of two: all pairs.
TWO = np.array(
    [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -3.0, 1e7, 1e200, -1e200, 1e-200, 1e300, inf, -inf, nan]
)

# Names in tensorlite, and the call in torch where it is another.
UNARY = {
    **{
        name: name
        for name in (
            *("neg", "abs", "sign", "floor", "ceil", "trunc", "round", "positive", "signbit"),
            *(
                "nan_to_num",
                "frac",
                "square",
                "sqrt",
                "rsqrt",
                "reciprocal",
                "exp",
                "exp2",
                "expm1",
            ),
            *("log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh"),
            *("cosh", "tanh", "asinh", "acosh", "atanh", "sinc", "erf", "erfc", "erfinv", "lgamma"),
            *("digamma", "i0", "logit", "isnan", "isinf", "isfinite", "logical_not", "sigmoid"),
            *("relu", "selu", "celu", "special.entr", "special.erfcx", "special.i0e", "special.i1"),
            *("special.i1e", "special.ndtr", "special.ndtri", "special.log_ndtr"),
        )
    },
    **{
        f"nn.functional.{name}": f"nn.functional.{name}"
        for name in (
            *("leaky_relu", "hardtanh", "relu6", "hardsigmoid", "hardswish", "softplus", "silu"),
            *("logsigmoid", "softsign", "tanhshrink", "hardshrink", "softshrink", "mish", "elu"),
            "gelu",
        )
    },
}
# With further arguments: name, positional ones before and after the number, keywords.
MORE = {
    "gelu tanh": ("nn.functional.gelu", (), (), {"approximate": "tanh"}),
    "polygamma 1": ("polygamma", (1,), (), {}),
    "polygamma 2": ("polygamma", (2,), (), {}),
    "clamp": ("clamp", (), (-1.0, 2.0), {}),
    "clamp up": ("clamp", (), (3.0, 1.0), {}),
    "prelu": ("nn.functional.prelu", (), (np.array([0.25]),), {}),
    **{f"pow {n}": ("pow", (), (n,), {}) for n in (0, 0.5, 1, 2, 2.5, 3, 4, 5, -1, -2, -3)},
    **{f"base {b}": ("pow", (b,), (), {}) for b in (0.0, 0.5, 2.0, -10.0)},
}
BINARY = (
    *("add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "pow", "maximum", "minimum"),
    *("fmax", "fmin", "atan2", "hypot", "logaddexp", "logaddexp2", "copysign", "nextafter"),
    *("xlogy", "special.xlog1py", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"),
    "logical_xor",
)
# Of two numbers and a further argument.
MORE_BINARY = {
    "div trunc": ("div", {"rounding_mode": "trunc"}),
    "isclose": ("isclose", {}),
    "isclose nan": ("isclose", {"equal_nan": True}),
}


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """All pairs of `TWO`, as two long arrays."""
    return np.repeat(TWO, len(TWO)), np.tile(TWO, len(TWO))


def cases() -> dict[str, tuple[str, tuple, tuple, dict, tuple[np.ndarray, ...]]]:
    """Name: the function, arguments before and after, keywords, and the numbers."""
    found = {name: (name, (), (), {}, (ONE,)) for name in UNARY}
    found |= {name: (*case, (ONE,)) for name, case in MORE.items()}
    found |= {name: (name, (), (), {}, pairs()) for name in BINARY}
    found |= {name: (f, (), (), more, pairs()) for name, (f, more) in MORE_BINARY.items()}
    return found
