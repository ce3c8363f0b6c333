"""Errors of operations in units in the last place, against mpmath: the table in docs/accuracy.md.

    python benchmarks/accuracy.py --write   # needs mpmath; with torch, its errors stand beside

Of each operation the largest error at `POINTS` numbers of its domain, drawn with a fixed seed and
rounded to the dtype first. One ulp is the distance of the dtype's numbers around the exact result.
"""

from __future__ import annotations

import argparse
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mpmath
import numpy as np

import tensorlite as tl
from tensorlite.nn import functional as F

POINTS, LENGTH = 2000, 1000
PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
DIGITS = {
    "float64": (53, -1074),
    "float32": (24, -149),
    "float16": (11, -24),
    "bfloat16": (8, -133),
}
mpmath.mp.prec = 200


class Function(NamedTuple):
    """An operation of one or two numbers, the exact one, and the domain of each number."""

    ours: Callable[..., Any]
    exact: Callable[..., Any]
    domains: tuple[tuple[float, float], ...]


def _gelu(x: Any) -> Any:
    return x * mpmath.ncdf(x)


def _gelu_tanh(x: Any) -> Any:
    inner = mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)
    return x / 2 * (1 + mpmath.tanh(inner))


def _one(name: str, low: float, high: float, exact: Any = None) -> Function:
    return Function(getattr(tl, name), exact or getattr(mpmath, name), ((low, high),))


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


FUNCTIONS = {
    "exp": _one("exp", -80, 80),
    "exp2": _one("exp2", -120, 120, lambda x: mpmath.mpf(2) ** x),
    "expm1": _one("expm1", -20, 80),
    "log": _one("log", 1e-30, 1e30),
    "log2": _one("log2", 1e-30, 1e30, lambda x: mpmath.log(x, 2)),
    "log10": _one("log10", 1e-30, 1e30, mpmath.log10),
    "log1p": _one("log1p", -0.99, 1e4),
    "sqrt": _one("sqrt", 1e-30, 1e30),
    "rsqrt": _one("rsqrt", 1e-30, 1e30, lambda x: 1 / mpmath.sqrt(x)),
    "sin": _one("sin", -100, 100),
    "cos": _one("cos", -100, 100),
    "tan": _one("tan", -100, 100),
    "asin": _one("asin", -1, 1),
    "acos": _one("acos", -1, 1),
    "atan": _one("atan", -1e3, 1e3),
    "sinh": _one("sinh", -80, 80),
    "cosh": _one("cosh", -80, 80),
    "tanh": _one("tanh", -12, 12),
    "asinh": _one("asinh", -1e6, 1e6),
    "acosh": _one("acosh", 1, 1e6),
    "atanh": _one("atanh", -0.999, 0.999),
    "sigmoid": _one("sigmoid", -80, 80, _sigmoid),
    "erf": _one("erf", -5, 5),
    "erfc": _one("erfc", -5, 8),
    "erfinv": _one("erfinv", -0.999, 0.999),
    "lgamma": _one("lgamma", 0.1, 1e4, mpmath.loggamma),
    "digamma": _one("digamma", 0.1, 1e4),
    "gelu": Function(F.gelu, _gelu, ((-1, 20),)),
    "gelu, tanh": Function(lambda x: F.gelu(x, approximate="tanh"), _gelu_tanh, ((-1, 20),)),
    "silu": Function(F.silu, lambda x: x * _sigmoid(x), ((-80, 80),)),
    "softplus": Function(
        F.softplus, lambda x: x if x > 20 else mpmath.log1p(mpmath.exp(x)), ((-60, 60),)
    ),
    "logsigmoid": Function(F.logsigmoid, lambda x: -mpmath.log1p(mpmath.exp(-x)), ((-60, 60),)),
    "elu": Function(F.elu, lambda x: x if x > 0 else mpmath.expm1(x), ((-30, 30),)),
    "mish": Function(F.mish, lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))), ((-60, 60),)),
    "div": Function(tl.div, lambda x, y: x / y, ((-1e3, 1e3), (0.01, 1e3))),
    "pow": Function(tl.pow, lambda x, y: x**y, ((0.01, 100), (-5, 5))),
    "atan2": Function(tl.atan2, mpmath.atan2, ((-1e3, 1e3), (-1e3, 1e3))),
    "hypot": Function(tl.hypot, mpmath.hypot, ((-1e3, 1e3), (-1e3, 1e3))),
    "logaddexp": Function(
        tl.logaddexp,
        lambda x, y: mpmath.log(mpmath.exp(x) + mpmath.exp(y)),
        ((0.5, 80), (0.5, 80)),
    ),
}


def _softmax(row: list) -> list:
    powers = [mpmath.exp(x) for x in row]
    total = mpmath.fsum(powers)
    return [p / total for p in powers]


# Of a row of `LENGTH` numbers from 0 to 1: their terms have one sign, so that ulp mean something.
ROWS: dict[str, tuple[Callable[..., Any], Callable[[list], Any]]] = {
    "sum": (lambda x: x.sum(-1), mpmath.fsum),
    "mean": (lambda x: x.mean(-1), lambda r: mpmath.fsum(r) / len(r)),
    "var": (
        lambda x: x.var(-1),
        lambda r: mpmath.fsum((v - mpmath.fsum(r) / len(r)) ** 2 for v in r) / (len(r) - 1),
    ),
    "norm": (lambda x: x.norm(dim=-1), lambda r: mpmath.sqrt(mpmath.fsum(v * v for v in r))),
    "dot": (
        lambda x: (x[:, None] @ x[:, :, None])[:, 0, 0],
        lambda r: mpmath.fsum(v * v for v in r),
    ),
    "cumsum, last": (lambda x: x.cumsum(-1)[:, -1], mpmath.fsum),
    "logsumexp": (
        lambda x: x.logsumexp(-1),
        lambda r: mpmath.log(mpmath.fsum(mpmath.exp(v) for v in r)),
    ),
    "softmax": (lambda x: x.softmax(-1), _softmax),
    "log_softmax": (lambda x: x.log_softmax(-1), lambda r: [mpmath.log(p) for p in _softmax(r)]),
}


def drawn(domains: Any, dtype: str) -> list[tl.Tensor]:
    """Points of a domain: half of them evenly spread, half over its magnitudes."""
    rng = np.random.default_rng(0)
    found = []
    for low, high in domains:
        largest = 6e4 if dtype == "float16" else 1e300
        low, high = max(low, -largest), min(high, largest)
        least = max(low, 1e-4) if low > 0 or dtype == "float16" else 1e-6
        size = np.exp(rng.uniform(np.log(least), np.log(high), POINTS // 2))
        if low < 0:
            size = np.clip(size * rng.choice([-1, 1], size.shape), low, high)
        points = np.concatenate([rng.uniform(low, high, POINTS - size.size), size])
        found.append(tl.tensor(points).to(getattr(tl, dtype)))
    return found


def in_ulp(values: list[float], exact: list[Any], dtype: str) -> float:
    """Largest error where the exact result is a normal number of the dtype."""
    digits, least = DIGITS[dtype]
    largest = 0.0
    limit = mpmath.mpf(
        65504
        if dtype == "float16"
        else float(np.finfo(dtype if "b" not in dtype else "float32").max)
    )
    for value, true in zip(values, exact, strict=True):
        true = mpmath.re(true)
        if true == 0 or abs(true) > limit:
            continue
        exponent = mpmath.frexp(true)[1] - digits
        if exponent < least:
            continue
        largest = max(largest, float(abs(value - true) / mpmath.mpf(2) ** exponent))
    return largest


def of_function(name: str, dtype: str, call: Callable[[Any], Any]) -> float:
    """Error of a function of one or two numbers; `call` computes with Tensors."""
    function = FUNCTIONS[name]
    points = drawn(function.domains, dtype)
    numbers = [p.tolist() for p in points]
    exact = [function.exact(*map(mpmath.mpf, row)) for row in zip(*numbers, strict=True)]
    return in_ulp(call(name, function.ours, points), exact, dtype)


def of_rows(name: str, dtype: str, call: Callable[[Any], Any]) -> float:
    """Error of a function of rows."""
    ours, exact_of = ROWS[name]
    rows = tl.tensor(np.random.default_rng(0).random((4, LENGTH))).to(getattr(tl, dtype))
    exact = [exact_of(list(map(mpmath.mpf, row))) for row in rows.tolist()]
    if isinstance(exact[0], list):
        exact = [value for row in exact for value in row]
    return in_ulp(call(name, ours, [rows]), exact, dtype)


def ours(name: str, function: Any, points: list) -> list[float]:
    """Results of tensorlite."""
    return function(*points).double().reshape(-1).tolist()


def of_torch(name: str, function: Any, points: list) -> list[float]:
    """Results of torch: the same names, and the same methods."""
    import torch

    given = [torch.from_numpy(p.numpy()) for p in points]
    if name in ROWS:
        function = ROWS[name][0]
    else:
        plain = name.split(",")[0]
        function = getattr(torch, plain, None) or getattr(torch.nn.functional, plain)
        if name == "gelu, tanh":
            given = [*given, "tanh"]
            function = lambda x, kind: torch.nn.functional.gelu(x, approximate=kind)  # noqa: E731
    return function(*given).double().reshape(-1).tolist()


def table() -> list[str]:
    """The table, as lines of Markdown."""
    columns = [(dtype, ours) for dtype in DIGITS]
    heads = list(DIGITS)
    if importlib.util.find_spec("torch"):
        columns.append(("float32", of_torch))
        heads.append("torch, float32")
    lines = ["| operation | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for names, measure in ((FUNCTIONS, of_function), (ROWS, of_rows)):
        for name in names:
            errors = [measure(name, dtype, call) for dtype, call in columns]
            lines.append(f"| {name} | " + " | ".join(f"{e:.2f}" for e in errors) + " |")
    return lines


HEAD = """# How exact the operations are

Largest errors on the CPU in units in the last place (ulp), against mpmath: of functions at 2,000
numbers of their domain, of reductions over rows of 1,000 numbers from 0 to 1. A result that is
rounded right has at most 0.5.

float16 and bfloat16 are computed in float32 and rounded once; sums in them are as exact for 20,000
terms as for two (`tests/kinds/test_short_floats.py`, `test_accumulation.py`). Kernels are held to
their bounds (`tests/kernels/test_math.py`), and whole layers to 1.5 times the error of torch
(`tests/nn/test_accuracy.py`). float32 without the compiled kernels is NumPy's.

Near a zero of a function that is not at 0 (`lgamma` at 1 and 2, `digamma` at 1.46) units of the
result are small beside those of what it is computed from; so they are in `gelu` left of -1, where
it goes to 0: its error there is below 2e-7.
"""
FOOT = "Made by `python benchmarks/accuracy.py --write`."


def main() -> None:
    """Print the table or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/accuracy.md")
    write = parser.parse_args().write
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        lines = table()
    if write:
        PAGE.write_text("\n".join([HEAD, *lines, "", FOOT]) + "\n")
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
