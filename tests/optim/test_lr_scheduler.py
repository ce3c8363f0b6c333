"""Schedules against figures of torch 2.13, and their state."""

import math

import numpy as np
import pytest

from tensorlite.optim import SGD
from tensorlite.optim import lr_scheduler as schedules
from tensorlite.tensor import tensor_of

BASE = 0.1


def optimizer(lr=BASE):
    return SGD([tensor_of(np.ones(2, np.float32), requires_grad=True)], lr=lr)


def rates(schedule, steps):
    result = []
    for _ in range(steps):
        result.append(schedule.get_last_lr()[0])
        schedule.step()
    return result


def half_cosine(start, stop, done):
    return stop + (start - stop) * (1 + math.cos(math.pi * done)) / 2


CASES = {
    "step": (lambda o: schedules.StepLR(o, 3, 0.5), lambda t: BASE * 0.5 ** (t // 3)),
    "multistep": (
        lambda o: schedules.MultiStepLR(o, [5, 2]),
        lambda t: BASE * (1 if t < 2 else 0.1 if t < 5 else 0.01),
    ),
    "exponential": (lambda o: schedules.ExponentialLR(o, 0.9), lambda t: BASE * 0.9**t),
    "cosine": (
        lambda o: schedules.CosineAnnealingLR(o, 10, 0.01),
        lambda t: half_cosine(BASE, 0.01, t / 10),
    ),
    "warm restarts": (
        lambda o: schedules.CosineAnnealingWarmRestarts(o, 3, 2),
        lambda t: half_cosine(BASE, 0, t / 3 if t < 3 else (t - 3) / 6 if t < 9 else (t - 9) / 12),
    ),
    "linear": (
        lambda o: schedules.LinearLR(o, 0.2, total_iters=4),
        lambda t: BASE * (0.2 + 0.8 * min(t / 4, 1)),
    ),
    "one cycle": (
        lambda o: schedules.OneCycleLR(o, 0.5, 12, pct_start=0.25),
        lambda t: half_cosine(0.02, 0.5, t / 2) if t <= 2 else half_cosine(0.5, 2e-6, (t - 2) / 9),
    ),
    "chained": (
        lambda o: schedules.ChainedScheduler(
            [schedules.LinearLR(o, 0.2, total_iters=4), schedules.ExponentialLR(o, 0.9)]
        ),
        lambda t: BASE * (0.2 + 0.8 * min(t / 4, 1)) * 0.9**t,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rates_are_the_formula(name):
    make, formula = CASES[name]
    np.testing.assert_allclose(rates(make(optimizer()), 12), [formula(t) for t in range(12)])


@pytest.mark.parametrize("name", CASES)
def test_state_continues(name):
    make, formula = CASES[name]
    first = make(optimizer())
    rates(first, 5)
    second = make(optimizer(lr=7.0))
    second.load_state_dict(first.state_dict())
    np.testing.assert_allclose(rates(second, 5), [formula(t) for t in range(5, 10)])


@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau(mode):
    schedule = schedules.ReduceLROnPlateau(optimizer(), mode, factor=0.5, patience=2, min_lr=0.03)
    sign = 1 if mode == "min" else -1
    seen = []
    for measure in [5, 4, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3]:
        schedule.step(sign * measure)
        seen.append(schedule.get_last_lr()[0])
    assert seen == [0.1] * 4 + [0.05] * 3 + [0.03] * 5


@pytest.mark.parametrize(
    "make",
    [
        lambda o: schedules.StepLR(o, 0),
        lambda o: schedules.CosineAnnealingLR(o, 0),
        lambda o: schedules.CosineAnnealingWarmRestarts(o, 0),
        lambda o: schedules.LinearLR(o, total_iters=0),
        lambda o: schedules.OneCycleLR(o, 1.0, 1),
        lambda o: schedules.ChainedScheduler([]),
        lambda o: schedules.ReduceLROnPlateau(o, mode="least"),
        lambda o: schedules.ReduceLROnPlateau(o, factor=2.0),
    ],
)
def test_bad_settings(make):
    with pytest.raises(ValueError):
        make(optimizer())
