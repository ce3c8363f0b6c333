"""Averaged gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers


class ASGD(FlatOptimizer):
    """Averaged stochastic gradient descent.

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992. With
    d = gradient + weight_decay · p: p ← (1 − λ η) p − η d, and the average ax ← ax + μ (p − ax);
    then η ← lr / (1 + λ lr t)^α and μ ← 1 / max(1, t − t0). At first η = lr and μ = 1.

    Parameters
    ----------
    params
        See `Optimizer`.
    lr, lambd, alpha, t0, weight_decay
        As above.
    foreach, capturable
        Accepted for torch's sake.
    maximize
        Maximize instead: the gradient's sign is changed first.
    differentiable
        Must be False.

    Examples
    --------
    >>> optimizer = tl.optim.ASGD(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    state_names = ("ax",)
    scalar_names = ("eta", "mu")

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def first_scalars(self, group: dict[str, Any]) -> tuple[float, ...]:
        """η and μ of the first step."""
        return (float(group["lr"]), 1.0)

    def next_scalars(self, group: dict[str, Any], step: int, *scalars: float) -> tuple[float, ...]:
        """η and μ of the next step."""
        lr, lambd = float(group["lr"]), group["lambd"]
        return (lr / (1 + lambd * lr * step) ** group["alpha"], 1 / max(1, step - group["t0"]))

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """λ, η, μ."""
        eta, mu = scalars
        return {"lambd": group["lambd"], "eta": eta, "mu": mu}

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: Numbers) -> None:
        """The formula above."""
        average = state["ax"]
        if h.decay:
            g += h.decay * p
        p *= 1 - h.lambd * h.eta
        p -= h.eta * g
        if h.mu == 1:
            average[...] = p
        else:
            average += h.mu * (p - average)
