"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers


class Adadelta(FlatOptimizer):
    """Adadelta (Zeiler, "ADADELTA: an adaptive learning rate method", 2012).

    With d = gradient + weight_decay · p: s ← ρ s + (1 − ρ) d², δ = √(a + eps) / √(s + eps) · d,
    a ← ρ a + (1 − ρ) δ², and p ← p − lr · δ.

    Parameters
    ----------
    params
        See `Optimizer`.
    lr, rho, eps, weight_decay
        As above.
    foreach, capturable
        Accepted for torch's sake.
    maximize
        Maximize instead: the gradient's sign is changed first.
    differentiable
        Must be False.

    Examples
    --------
    >>> optimizer = tl.optim.Adadelta(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    state_names = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Iterable,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def check(self, settings: dict[str, Any]) -> None:
        """Refuse settings out of range."""
        super().check(settings)
        if not 0 <= settings["rho"] <= 1:
            raise ValueError(f"rho must lie in [0, 1], not {settings['rho']}")

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """ρ, eps."""
        return {"rho": group["rho"], "eps": group["eps"]}

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: Numbers) -> None:
        """The formula above."""
        square, total = state["square_avg"], state["acc_delta"]
        if h.decay:
            g += h.decay * p
        square *= h.rho
        square += (1 - h.rho) * g * g
        g *= xp.sqrt(total + h.eps) / xp.sqrt(square + h.eps)
        total *= h.rho
        total += (1 - h.rho) * g * g
        p -= h.lr * g
