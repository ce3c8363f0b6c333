"""RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers


class RAdam(FlatOptimizer):
    """RAdam (Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020).

    With d = gradient + weight_decay · p, m and v as in `Adam`, ρ∞ = 2 / (1 − β₂) − 1 and
    ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ): p ← p − lr · m / (1 − β₁ᵗ) while ρ ≤ 5, and then that step times
    r · √(1 − β₂ᵗ) / (√v + eps), r² = (ρ − 4) (ρ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρ).

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
    decoupled_weight_decay
        Decay apart from the gradient, as `AdamW` does.

    Examples
    --------
    >>> optimizer = tl.optim.RAdam(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """β₁, β₂, eps, 1 − β₁ᵗ, r √(1 − β₂ᵗ) or 0 at first, decoupled."""
        beta1, beta2 = group["betas"]
        correction = 1 - beta2**step
        most = 2 / (1 - beta2) - 1
        rho = most - 2 * step * beta2**step / correction
        rectified = 0.0
        if rho > 5:
            ratio = (rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)
            rectified = (ratio * correction) ** 0.5
        return {
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "correction": 1 - beta1**step,
            "rectified": rectified,
            "decoupled": group["decoupled_weight_decay"],
        }

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: Numbers) -> None:
        """The formula above."""
        m, v = state["exp_avg"], state["exp_avg_sq"]
        if h.decay:
            if h.decoupled:
                p *= 1 - h.lr * h.decay
            else:
                g += h.decay * p
        m *= h.beta1
        m += (1 - h.beta1) * g
        v *= h.beta2
        v += (1 - h.beta2) * g * g
        if h.rectified:
            xp.sqrt(v, out=g)
            g += h.eps
            xp.divide(m, g, out=g)
            g *= h.rectified * h.lr / h.correction
            p -= g
        else:
            p -= m * (h.lr / h.correction)
