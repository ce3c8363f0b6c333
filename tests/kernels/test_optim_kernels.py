"""Optimizer steps, the global norm and clipping against formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import SIZES, close, normal

from tensorlite.backend.kernels.declarations import families

pytestmark = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-14)]
)
LR, DECAY, SCALE = 0.1, 0.01, 0.5
_ADAM = {"beta1": 0.9, "beta2": 0.99}


def _hyper(kernel, skip=0.0, **own):
    """The kernel's numbers, in the order of its declaration."""
    values = {"lr": LR, "decay": DECAY, "scale": SCALE, "skip": skip, **own}
    (declared,) = [k for k in families("cpu")["optim"] if k.name == kernel]
    (names,) = [p.names for p in declared.parameters if p.names]
    return np.array([values.pop(name) for name in names], float)


def _state(n, dtype, count):
    arrays = [normal(i, n).astype(dtype) for i in range(2)]
    arrays += [np.abs(normal(i, n)).astype(dtype) for i in range(2, 2 + count)]
    return arrays, [array.astype(float) for array in arrays]


@pytest.mark.parametrize("nesterov", [0, 1])
@pytest.mark.parametrize("first", [0, 1])
def test_sgd(run, dtype, tolerance, nesterov, first):
    for n in SIZES:
        (p, g, b), (pf, gf, bf) = _state(n, dtype, 1)
        d = gf * SCALE + DECAY * pf
        wanted = d if first else 0.9 * bf + 0.7 * d
        step = d + 0.9 * wanted if nesterov else wanted
        hyper = _hyper("sgd", momentum=0.9, dampening=0.3, nesterov=nesterov, first=first)
        new, buffer = run("sgd", p, g, b, hyper, n, update=[0, 2])
        close(new, pf - LR * step, tolerance)
        close(buffer, wanted, tolerance)
        close(run("sgd", p, g, None, hyper, n, update=[0]), pf - LR * d, tolerance)


@pytest.mark.parametrize("decoupled", [0, 1])
def test_adam(run, dtype, tolerance, decoupled):
    for n in SIZES:
        (p, g, m, v), (pf, gf, mf, vf) = _state(n, dtype, 2)
        c1, c2 = 1 - 0.9**3, 1 - 0.99**3
        hyper = _hyper(
            "adam", **_ADAM, eps=1e-3, correction1=c1, correction2=c2, decoupled=decoupled
        )
        d = gf * SCALE + (0 if decoupled else DECAY * pf)
        mf, vf = 0.9 * mf + 0.1 * d, 0.99 * vf + 0.01 * d * d
        start = pf * (1 - LR * DECAY) if decoupled else pf
        new, *moments = run("adam", p, g, m, v, None, hyper, n, update=[0, 2, 3])
        close(new, start - LR / c1 * mf / (np.sqrt(vf / c2) + 1e-3), tolerance)
        close(moments[0], mf, tolerance)
        close(moments[1], vf, tolerance)

        greatest = np.abs(normal(9, n)).astype(dtype)  # AMSGrad
        largest = np.maximum(greatest.astype(float), vf)
        new, *_, kept = run("adam", p, g, m, v, greatest, hyper, n, update=[0, 2, 3, 4])
        close(new, start - LR / c1 * mf / (np.sqrt(largest / c2) + 1e-3), tolerance)
        close(kept, largest, tolerance)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [False, True])
def test_rmsprop(run, dtype, tolerance, centered, momentum):
    for n in SIZES:
        (p, g, s, b), (pf, gf, sf, bf) = _state(n, dtype, 2)
        mean = (normal(8, n) / 10).astype(dtype)
        d = gf * SCALE + DECAY * pf
        sf = 0.9 * sf + 0.1 * d * d
        mf = 0.9 * mean.astype(float) + 0.1 * d
        # A variance that rounding could make negative says nothing about the kernel.
        sound = sf - mf**2 > 1e-3 if centered else np.ones(n, bool)
        variance = np.where(sound, sf - mf**2 if centered else sf, 1)
        direction = d / (np.sqrt(variance) + 1e-2)
        step = 0.8 * bf + direction if momentum else direction
        args = (p, g, s, mean if centered else None, b if momentum else None)
        new, square, *_ = run(
            "rmsprop",
            *args,
            _hyper("rmsprop", alpha=0.9, eps=1e-2, momentum=0.8),
            n,
            update=[0, 2, 3, 4],
        )
        close(new[sound], (pf - LR * step)[sound], 20 * tolerance)
        close(square, sf, tolerance)


def test_adagrad(run, dtype, tolerance):
    for n in SIZES:
        (p, g, s), (pf, gf, sf) = _state(n, dtype, 1)
        d = gf * SCALE + DECAY * pf
        new, total = run("adagrad", p, g, s, _hyper("adagrad", eps=1e-3), n, update=[0, 2])
        close(new, pf - LR * d / (np.sqrt(sf + d * d) + 1e-3), tolerance)
        close(total, sf + d * d, tolerance)


def test_lion(run, dtype, tolerance):
    for n in SIZES:
        (p, g, m), (pf, gf, mf) = _state(n, dtype, 1)
        d = gf * SCALE
        new, mean = run("lion", p, g, m, _hyper("lion", beta1=0.9, beta2=0.99), n, update=[0, 2])
        close(new, pf - LR * (np.sign(0.9 * mf + 0.1 * d) + DECAY * pf), tolerance)
        close(mean, 0.99 * mf + 0.01 * d, tolerance)


def test_a_skipped_step_changes_nothing(run, dtype, tolerance):
    (p, g, m, v), (pf, _, mf, vf) = _state(33, dtype, 2)
    hyper = _hyper("adam", 1.0, **_ADAM, eps=1e-8, correction1=0.1, correction2=0.01, decoupled=1)
    results = run("adam", p, g, m, v, None, hyper, 33, update=[0, 2, 3])
    np.testing.assert_array_equal(results, [pf, mf, vf])


def test_norm_and_clipping(run, dtype, tolerance):
    acc = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    for n in [*SIZES, 100_003]:
        x = normal(1, n).astype(dtype)
        parts = run.parts(n)
        partial = run("square_sum", x, ((parts,), np.dtype(float)), n, parts)
        norm = np.linalg.norm(x.astype(float))
        for limit in (norm / 2, 2 * norm + 1):
            outputs = ((1,), acc), ((1,), np.dtype(dtype))
            found, factor = run("clip_factor", partial, *outputs, parts, limit)
            close(found, [norm], tolerance)
            close(factor, [min(1, limit / (norm + 1e-6))], tolerance)


@pytest.mark.parametrize(("value", "factor"), [(np.inf, 0), (np.nan, np.nan)])
def test_a_gradient_that_is_not_finite(run, dtype, tolerance, value, factor):
    x = normal(1, 1000).astype(dtype)
    x[517] = value
    acc = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    partial = run("square_sum", x, ((4,), np.dtype(float)), 1000, 4)
    results = run("clip_factor", partial, ((1,), acc), ((1,), np.dtype(dtype)), 4, 1.0)
    np.testing.assert_array_equal(results, [[value], [factor]])
