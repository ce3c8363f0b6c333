"""Every elementwise primitive at infinities, NaN, signed zeros, huge and tiny numbers.

Values and gradients are torch's (``edges.npz``), but where `DIFFERS` says otherwise: where torch
meets 0 · inf, or overflows on the way to a number that float64 holds, the limit stands here.
"""

from __future__ import annotations

import warnings
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from samples import SAMPLES
from samples.base import Input

import tensorlite as tl
from kinds.edges import cases
from tensorlite.call import listed
from tensorlite.primitive import PRIMITIVES
from tensorlite.tensor import tensor_of

CASES = cases()
inf, nan = np.inf, np.nan


def _hypot_slope(side, other):
    length = np.hypot(side, other)
    slope = np.where(length == 0, 0, side / length)
    slope = np.where(np.isinf(other), 0 * side, slope)
    return np.where(np.isinf(side), np.sign(side), slope)


def _angle_slope(side, other):
    length = np.hypot(side, other)
    slope = np.where(length == 0, 0, side / length / length)
    return np.where(np.isinf(length) & ~np.isnan(side), 0, slope)


def _copied_slope(x, y):
    return np.where(np.isnan(x), nan, np.sign(x) * np.copysign(1, y))


# The whole array of expected numbers, or some of them by the argument.
DIFFERS = {
    "sign: value": {nan: nan},
    "abs: gradient 0": {nan: nan},
    # NaN is on neither side of a corner.
    "relu: gradient 0": {nan: 0},
    **{
        f"nn.functional.{name}: gradient 0": {nan: 1}
        for name in ("hardtanh", "relu6", "hardshrink", "softshrink")
    },
    # Infinite slopes at the edge of a domain are 0; outside of it there is none.
    "sqrt: gradient 0": {0: 0},
    "pow 0.5: gradient 0": {0: 0, -inf: 0},
    "asin: gradient 0": {1: 0, -1: 0},
    "acos: gradient 0": {1: 0, -1: 0},
    "acosh: gradient 0": lambda x: np.where(
        x < 1, nan, np.where(x == 1, 0, 1 / np.sqrt(x - 1) / np.sqrt(x + 1))
    ),
    "asinh: gradient 0": {1e200: 1e-200, -1e200: 1e-200},
    "sinc: gradient 0": {
        **{s * x: -s * np.pi**2 / 3 * x for s in (1, -1) for x in (1e-5, 1e-200, 1e-300)},
        1e200: None,  # the cosine of pi times it has no digit that is right
        -1e200: None,
    },
    "lgamma: value": {-1.5e308: inf},
    "digamma: gradient 0": {-1: inf, -2: inf, -3: inf, -40: inf, -750: inf, 1e200: 1e-200}
    | {-1e200: inf, 1e300: 1e-300, -1e300: inf, 1.5e308: 1 / 1.5e308, -1.5e308: inf},
    "polygamma 1: value": {-1: inf, -2: inf, -3: inf, -40: inf, -750: inf, 1e200: 1e-200}
    | {-1e200: inf, 1e300: 1e-300, -1e300: inf, 1.5e308: 1 / 1.5e308, -1.5e308: inf},
    "polygamma 1: gradient 0": {inf: 0, -inf: nan},
    "polygamma 2: value": {inf: 0, -inf: nan},
    "polygamma 2: gradient 0": {inf: 0, -inf: nan},
    "i0: value": {inf: inf, -inf: inf},
    "i0: gradient 0": {inf: inf, -inf: -inf},
    "special.i1: value": {inf: inf, -inf: -inf},
    "special.i1: gradient 0": {
        nan: nan,
        **{s * x: inf for s in (1, -1) for x in (750.0, 1e200, 1e300, 1.5e308, inf)},
        1e17: inf,
    },
    "special.i1e: gradient 0": {nan: nan},
    "special.erfcx: gradient 0": {1e17: -1 / np.sqrt(np.pi) / 1e34, 1.5e308: 0, inf: 0},
    "special.ndtr: value": {-20.5: 1.0764673258790986e-93},
    "special.log_ndtr: gradient 0": {-x: x for x in (1e200, 1e300, 1.5e308, inf)},
    # torch multiplies by a sixth in float32.
    "nn.functional.hardsigmoid: gradient 0": lambda x: np.where(np.abs(x) < 3, 1 / 6, 0),
    "nn.functional.hardswish: value": {1.5e308: 1.5e308, -inf: 0},
    **{
        f"{name}: {what}": numbers
        for name in ("nn.functional.silu", "nn.functional.mish", "nn.functional.gelu", "gelu tanh")
        for what, numbers in (("value", {-inf: 0}), ("gradient 0", {inf: 1, -inf: 0}))
    },
    "nn.functional.gelu: value": {-20.5: None, -inf: 0},  # the tail that torch rounds to 0
    "nn.functional.gelu: gradient 0": {-20.5: None, inf: 1, -inf: 0},
    "gelu tanh: value": {-20.5: None, -inf: 0},
    "gelu tanh: gradient 0": {-20.5: None}
    | {s * x: s > 0 for s in (1, -1) for x in (1e200, 1e300, 1.5e308, inf)},
    "nn.functional.softsign: value": {inf: 1, -inf: -1},
    "nn.functional.softsign: gradient 0": {1e17: 1e-34, inf: 0, -inf: 0},
    "floor_divide: gradient 0": lambda x, y: 0 * np.sign(np.nan_to_num(x)),
    "floor_divide: gradient 1": lambda x, y: 0 * np.sign(np.nan_to_num(x)),
    **{
        f"{name}: value": lambda x, y, exact=exact: np.where(
            (np.abs(x) >= 1e7) & (np.abs(y) < 1) & np.isfinite(x) & (y != 0), exact(x, y), None
        )
        for name, exact in (("remainder", np.remainder), ("fmod", np.fmod))
    },
    "pow: gradient 0": lambda x, y: np.where(
        (x == 0) & (y >= 0) & (y < 1) | np.isinf(y) & (np.abs(x) ** y == 0),
        0,
        None,
    ),
    "pow: gradient 1": lambda x, y: np.where((x == inf) & (y < 0), 0, None),
    "hypot: gradient 0": _hypot_slope,
    "hypot: gradient 1": lambda x, y: _hypot_slope(y, x),
    "atan2: gradient 0": lambda x, y: _angle_slope(y, x),
    "atan2: gradient 1": lambda x, y: -_angle_slope(x, y),
    "copysign: gradient 0": _copied_slope,
    **{
        f"{name}: gradient {i}": lambda x, y: np.where(
            np.isinf(x) & (x == y), np.where(x > 0, 0.5, 0), None
        )
        for name in ("logaddexp", "logaddexp2")
        for i in (0, 1)
    },
    "xlogy: gradient 1": lambda x, y: np.where((x == 0) & (y == 0), 0, None),
    "special.xlog1py: gradient 1": lambda x, y: np.where((x == 0) & (y == -1), 0, None),
}


def expected_of(table, what, numbers):
    """What torch says, with what differs put in its place; None where there is nothing to say."""
    differs = DIFFERS.get(what, {})
    if callable(differs):
        with np.errstate(all="ignore"):
            ours = np.asarray(differs(*numbers))
        if ours.dtype != object:
            return ours, np.ones(ours.shape, bool)
        expected = table[what].copy()
        put = np.array([value is not None for value in ours])
        expected[put] = ours[put].astype(float)
        return expected, np.ones(put.shape, bool)
    expected = table[what].copy()
    known = np.ones(expected.shape, bool)
    for x, value in differs.items():
        there = np.isnan(numbers[0]) if np.isnan(x) else numbers[0] == x
        assert there.any(), f"{what}: {x} is no number of the table"
        expected[there], known[there] = (nan, False) if value is None else (value, True)
    return expected, known


@pytest.fixture(scope="module")
def table():
    with np.load(Path(__file__).with_name("edges.npz")) as stored:
        return dict(stored)


@pytest.mark.parametrize("name", CASES)
def test_at_the_edges(backend, table, name):
    function, before, after, keywords, numbers = CASES[name]

    def wrapped(x, **options):
        return tensor_of(backend.asarray(x.copy()), **options)

    after = [wrapped(a) if isinstance(a, np.ndarray) else a for a in after]
    leaves = [wrapped(x, requires_grad=True) for x in numbers]
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        y = reduce(getattr, function.split("."), tl)(*before, *leaves, *after, **keywords)
        found = {"value": y}
        if y.requires_grad:
            gradients = tl.grad(y.sum(), leaves, allow_unused=True)
            found |= {f"gradient {i}": d for i, d in enumerate(gradients) if d is not None}
    wanted = {key.partition(": ")[2] for key in (*table, *DIFFERS) if key.startswith(f"{name}: ")}
    assert found.keys() == wanted
    for what, got in found.items():
        expected, known = expected_of(table, f"{name}: {what}", numbers)
        got = backend.to_host(got.detach().array)
        # Subnormal numbers may be flushed to 0; a logarithm may be nearly 0 at 1.
        np.testing.assert_allclose(
            got[known],
            expected[known],
            rtol=1e-9,
            atol=1e-16 if "log" in name else 1e-290,
            err_msg=f"{name}: {what}",
        )


def test_what_differs_is_of_the_table(table):
    names = {key.partition(": ")[0] for key in DIFFERS}
    assert names <= CASES.keys()
    allowed = {f"floor_divide: gradient {i}" for i in (0, 1)}
    assert DIFFERS.keys() - table.keys() == allowed


# What gradients of functions in the table are computed with: they are at the edges, too.
RULES = {
    *("relu_backward", "leaky_relu_backward", "sigmoid_backward", "softplus_backward"),
    *("logsigmoid_backward", "softsign_backward", "silu_backward", "mish_backward"),
    *("gelu_backward", "elu_backward", "tanh_backward", "pow_slope", "of_larger", "of_smaller"),
    *("within", "prelu_backward", "cross_entropy_of_logits_backward"),
}
# Elementwise, and not driven to the edges.
ELSEWHERE = {
    "alias": "returns what it is given",
    "cast": "tests/kernels and tests/backend cast every awkward number",
    "where": "moves numbers",
    "clone": "returns what it is given",
    "searchsorted": "finds places",
    "binary_cross_entropy": "its edges are in tests/ops/test_losses.py",
    "binary_cross_entropy_with_logits": "its edges are in tests/ops/test_losses.py",
    "huber": "its edges are in tests/ops/test_losses.py",
    "kl_div": "its edges are in tests/ops/test_losses.py",
    "lerp": "sums and products",
    "heaviside": "has no gradient, and torch none either",
    "ldexp": "takes integers",
    "frexp": "returns two",
    "polygamma": "in the table by its public name",
    "zeta": "takes two numbers of different kinds",
    "igamma": "its edges are in tests/ops/test_special.py",
    "igammac": "its edges are in tests/ops/test_special.py",
}


def _is_elementwise(sample) -> bool:
    """Whether the elements of the result, shuffled like those of the arguments, stay the same."""
    arrays = [i for i in sample.inputs if isinstance(i, Input)]
    if not arrays or len({i.shape for i in arrays}) > 1 or not arrays[0].shape:
        return False
    drawn = sample.draw()
    shape = arrays[0].shape
    order = np.random.default_rng(3).permutation(int(np.prod(shape)))
    shuffled = [
        a.reshape(-1)[order].reshape(shape) if isinstance(i, Input) else a
        for i, a in zip(sample.inputs, drawn, strict=True)
    ]
    results = []
    for arguments in (drawn, shuffled):
        try:
            (y,) = listed(sample.op(*arguments, **sample.static))
        except ValueError:  # several results, or another order is refused
            return False
        results.append(np.asarray(y))
    y, moved = results
    return y.shape == shape and np.array_equal(y.reshape(-1)[order], moved.reshape(-1))


def test_every_elementwise_primitive_is_in_the_table() -> None:
    driven = {case[0].rpartition(".")[2] for case in CASES.values()} | RULES | ELSEWHERE.keys()
    driven |= {"true_divide", "truncated_divide", "floor_divide", "elu", "prelu"}  # of div, selu …
    missing = set()
    for sample in SAMPLES:
        made = getattr(sample.op, "primitive", None)
        floats = any(np.asarray(a).dtype.kind == "f" for a in sample.draw())
        if made is None or made.name in driven or not floats or sample.devices != ("cpu", "cuda"):
            continue
        if PRIMITIVES.get(f"{made.reference.__module__}.{made.reference.__name__}") is None:
            continue
        if _is_elementwise(sample):
            missing.add(made.name)
    assert not missing, (
        f"{sorted(missing)}: put them in tests/kinds/edges.py, and run make_edges.py, or say in "
        "RULES or ELSEWHERE why not"
    )
