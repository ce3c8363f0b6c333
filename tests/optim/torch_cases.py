"""Optimizers whose steps are compared with torch's."""

from __future__ import annotations

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
