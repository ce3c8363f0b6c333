"""Optimizers whose steps are compared with torch's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

SHAPES = [(3, 5), (7,), (), (2, 2)]
STEPS = 20

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.99)}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "amsgrad": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1, "betas": (0.8, 0.99), "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.01}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "betas": (0.8, 0.99), "maximize": True}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.01, "centered": True}),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5, "alpha": 0.9}),
    ("ASGD", {"lr": 0.1, "lambd": 0.01, "t0": 5, "weight_decay": 0.1}),
    ("ASGD", {"maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.05, 0.3), "maximize": True}),
]

IDS = [f"{i}-{name}" for i, (name, _) in enumerate(CASES)]


def start() -> list[np.ndarray]:
    """Parameters before the first step."""
    rng = np.random.default_rng(0)
    return [np.asarray(np.round(rng.normal(size=shape), 3)) for shape in SHAPES]


def gradients() -> Iterator[list[np.ndarray | None]]:
    """The gradients of each step; one parameter has none in some."""
    rng = np.random.default_rng(1)
    for step in range(STEPS):
        found = [np.asarray(np.round(rng.normal(size=shape), 3)) for shape in SHAPES]
        yield [None if step % 7 == 3 and i == 1 else g for i, g in enumerate(found)]


LBFGS_STEPS = 6
LBFGS_CASES: list[dict[str, Any]] = [
    {"lr": 0.1},
    {"lr": 0.5, "max_iter": 4, "history_size": 3},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 5, "history_size": 2, "lr": 0.2},
    {"line_search_fn": "strong_wolfe", "max_iter": 3, "max_eval": 4},
    {"line_search_fn": "strong_wolfe", "lr": 50.0, "max_iter": 4},
]


def valley(x: Any, y: Any) -> Any:
    """Rosenbrock's function in two dimensions, of a vector and a number."""
    return ((1 - x) ** 2).sum() + 5 * ((x[1:] - x[:-1] ** 2) ** 2).sum() + (y - x[0] ** 2) ** 2


SCHEDULE_STEPS = 24

# By name: functions of the module of schedules, and of an optimizer with two groups.
SCHEDULES: dict[str, Any] = {
    "StepLR": lambda lib, o: lib.StepLR(o, 3, 0.5),
    "StepLR-resumed": lambda lib, o: lib.StepLR(o, 3, 0.5, last_epoch=4),
    "MultiStepLR": lambda lib, o: lib.MultiStepLR(o, [5, 2, 5, 11]),
    "MultiStepLR-resumed": lambda lib, o: lib.MultiStepLR(o, [5, 2, 5], last_epoch=3),
    "ConstantLR": lambda lib, o: lib.ConstantLR(o, 0.25, 4),
    "ConstantLR-default": lambda lib, o: lib.ConstantLR(o),
    "LinearLR": lambda lib, o: lib.LinearLR(o, 0.2, total_iters=4),
    "LinearLR-down": lambda lib, o: lib.LinearLR(o, 1.0, 0.0, 8),
    "LinearLR-resumed": lambda lib, o: lib.LinearLR(o, 0.2, total_iters=9, last_epoch=3),
    "ExponentialLR": lambda lib, o: lib.ExponentialLR(o, 0.9),
    "ExponentialLR-resumed": lambda lib, o: lib.ExponentialLR(o, 0.9, last_epoch=3),
    "PolynomialLR": lambda lib, o: lib.PolynomialLR(o, 7, 2.0),
    "PolynomialLR-resumed": lambda lib, o: lib.PolynomialLR(o, 9, 0.5, last_epoch=3),
    "CosineAnnealingLR": lambda lib, o: lib.CosineAnnealingLR(o, 5, 0.01),
    "CosineAnnealingLR-1": lambda lib, o: lib.CosineAnnealingLR(o, 1),
    "CosineAnnealingLR-resumed": lambda lib, o: lib.CosineAnnealingLR(o, 9, last_epoch=3),
    "WarmRestarts": lambda lib, o: lib.CosineAnnealingWarmRestarts(o, 3, 2, 0.001),
    "WarmRestarts-even": lambda lib, o: lib.CosineAnnealingWarmRestarts(o, 4),
    "LambdaLR": lambda lib, o: lib.LambdaLR(o, lambda t: 1 / (1 + t)),
    "LambdaLR-each": lambda lib, o: lib.LambdaLR(o, [lambda t: 0.9**t, lambda t: t]),
    "MultiplicativeLR": lambda lib, o: lib.MultiplicativeLR(o, lambda t: 1 - 1 / (t + 1)),
    "CyclicLR": lambda lib, o: lib.CyclicLR(o, 0.01, 0.2, 3, 5),
    "CyclicLR-halved": lambda lib, o: lib.CyclicLR(o, 0.01, 0.2, 4, mode="triangular2"),
    "CyclicLR-range": lambda lib, o: lib.CyclicLR(
        o, [0.01, 0.02], [0.2, 0.3], 4, mode="exp_range", gamma=0.9, cycle_momentum=False
    ),
    "CyclicLR-own": lambda lib, o: lib.CyclicLR(
        o, 0.01, 0.2, 4, scale_fn=lambda x: 1 / x, base_momentum=0.7, max_momentum=0.99
    ),
    "OneCycleLR": lambda lib, o: lib.OneCycleLR(o, 0.5, SCHEDULE_STEPS),
    "OneCycleLR-three": lambda lib, o: lib.OneCycleLR(
        o, [0.5, 0.3], epochs=4, steps_per_epoch=6, three_phase=True, anneal_strategy="linear"
    ),
    "OneCycleLR-short": lambda lib, o: lib.OneCycleLR(
        o, 0.5, SCHEDULE_STEPS, pct_start=0.01, cycle_momentum=False
    ),
    "SequentialLR": lambda lib, o: lib.SequentialLR(
        o, [lib.LinearLR(o, 0.1, total_iters=4), lib.ExponentialLR(o, 0.9)], [4]
    ),
    "SequentialLR-three": lambda lib, o: lib.SequentialLR(
        o,
        [lib.ConstantLR(o, 0.1, 30), lib.CosineAnnealingLR(o, 6), lib.StepLR(o, 2, 0.5)],
        [3, 10],
    ),
    "ChainedScheduler": lambda lib, o: lib.ChainedScheduler(
        [lib.LinearLR(o, 0.2, total_iters=4), lib.ExponentialLR(o, 0.9)], o
    ),
    "ChainedScheduler-three": lambda lib, o: lib.ChainedScheduler(
        [lib.ConstantLR(o, 0.1, 5), lib.MultiStepLR(o, [3, 9]), lib.CosineAnnealingLR(o, 7)]
    ),
    "SWALR": lambda lib, o: lib.SWALR(o, 0.02, 6),
    "SWALR-linear": lambda lib, o: lib.SWALR(o, [0.02, 0.5], 4, "linear"),
    "SWALR-at-once": lambda lib, o: lib.SWALR(o, 0.02, 0),
}

PLATEAUS: dict[str, dict[str, Any]] = {
    "min": {"factor": 0.5, "patience": 2, "min_lr": 0.02},
    "max": {"mode": "max", "factor": 0.5, "patience": 1, "cooldown": 2},
    "abs": {"patience": 1, "threshold": 0.3, "threshold_mode": "abs", "min_lr": [0.001, 0.03]},
    "max abs": {"mode": "max", "patience": 0, "threshold": 0.3, "threshold_mode": "abs"},
}
MEASURES = [5, 4, 4, 4, -1, -1, -1, -1.2, -1, 3, 3, 3, math.nan, 3, 2, 2, 2, 2, 2, -5, -6, -6, -6]


def two_groups(optim: Any, tensors: list[Any], resumed: bool) -> Any:
    """An optimizer with two groups; if `resumed`, with rates that a schedule has changed."""
    groups = [{"params": [tensors[0]]}, {"params": [tensors[1]], "lr": 0.05}]
    if resumed:
        groups = [{**group, "initial_lr": 0.4} for group in groups]
    return optim.SGD(groups, lr=0.1, momentum=0.5)
