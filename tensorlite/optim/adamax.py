"""Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers


class Adamax(FlatOptimizer):
    """Adamax (Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 7).

    With d = gradient + weight_decay · p: m ← β₁ m + (1 − β₁) d, u ← max(β₂ u, |d| + eps), and
    p ← p − lr / (1 − β₁ᵗ) · m / u.

    Parameters
    ----------
    params
        See `Optimizer`.
    lr, betas, eps, weight_decay
        As above.
    foreach, capturable
        Accepted for torch's sake.
    maximize
        Maximize instead: the gradient's sign is changed first.
    differentiable
        Must be False.

    Examples
    --------
    >>> optimizer = tl.optim.Adamax(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    state_names = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Iterable,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """β₁, β₂, eps, 1 − β₁ᵗ."""
        beta1, beta2 = group["betas"]
        return {
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "correction": 1 - beta1**step,
        }

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: Numbers) -> None:
        """The formula above."""
        m, u = state["exp_avg"], state["exp_inf"]
        if h.decay:
            g += h.decay * p
        m *= h.beta1
        m += (1 - h.beta1) * g
        xp.abs(g, out=g)
        g += h.eps
        u *= h.beta2
        xp.maximum(u, g, out=u)
        xp.divide(m, u, out=g)
        g *= h.lr / h.correction
        p -= g
