"""The checker itself: it finds wrong rules, and tells a kink from one."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import ops
from tensorlite.testing import gradcheck


@pytest.fixture
def x(device):
    return tl.tensor(np.array([0.3, -1.2, 2.5]), device=device, requires_grad=True)


def primitive(rule):
    """The cube, with a rule."""

    @tl.primitive
    def cube(xp, x):
        return x * x * x

    cube.defvjp(x=rule)
    return cube


def cut(value):
    """A mistake: a value without the way it came."""
    return value.detach() if isinstance(value, tl.Tensor) else value


def test_accepts_right_rules(x):
    gradcheck(primitive(lambda g, x: 3 * g * x * x), [x], order=2)
    gradcheck(lambda x, n: (ops.exp(x), ops.sin(x) * n), [x, 2.0], order=2)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda g, x: 3.0001 * g * x * x, "first order: the rule gives"),
        (lambda g, x: 3 * g * x * cut(x), "second order: the rule gives"),
        (lambda g, x: 3 * cut(g) * x * x, "second order: the rule gives"),
    ],
)
def test_finds_wrong_rules(x, rule, message):
    with pytest.raises(AssertionError, match=message):
        gradcheck(primitive(rule), [x], order=2)


def test_shrinks_its_step_near_a_kink(device):
    near = tl.tensor(np.array([2e-5, 1.0]), device=device, requires_grad=True)
    gradcheck(ops.abs, [near])


def test_tells_a_kink_from_a_wrong_rule(device):
    at = tl.tensor(np.zeros(1), device=device, requires_grad=True)
    with pytest.raises(AssertionError, match=r"from the left -?0, from the right -?\d\.\d"):
        gradcheck(lambda x: ops.clip(x, 0.0), [at])
    close = tl.tensor(np.full(1, 1e-9), device=device, requires_grad=True)
    with pytest.raises(AssertionError, match="close to a kink"):
        gradcheck(ops.abs, [close])


def test_refuses_what_it_cannot_check(x):
    with pytest.raises(TypeError, match="input 0 is float32"):
        gradcheck(ops.exp, [ops.cast(x.detach(), "float32").requires_grad_()])
    with pytest.raises(ValueError, match="no input requires grad"):
        gradcheck(ops.exp, [x.detach()])
    with pytest.raises(ValueError, match="order 3"):
        gradcheck(ops.exp, [x], order=3)
