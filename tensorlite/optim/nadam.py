"""NAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers


class NAdam(FlatOptimizer):
    """NAdam (Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016).

    With d = gradient + weight_decay · p, m and v as in `Adam`, μₜ = β₁ (1 − ½ · 0.96^(t · ψ)) with
    ψ = momentum_decay, and Πₜ = μ₁ ⋯ μₜ:

    p ← p − lr · ((1 − μₜ) / (1 − Πₜ) · d + μₜ₊₁ / (1 − Πₜ₊₁) · m) / (√(v / (1 − β₂ᵗ)) + eps).

    Parameters
    ----------
    params
        See `Optimizer`.
    lr, betas, eps, weight_decay, momentum_decay
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
    >>> optimizer = tl.optim.NAdam(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    state_names = ("exp_avg", "exp_avg_sq")
    scalar_names = ("mu_product",)

    def __init__(
        self,
        params: Iterable,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def check(self, settings: dict[str, Any]) -> None:
        """Refuse settings out of range."""
        super().check(settings)
        if not settings["momentum_decay"] >= 0:
            raise ValueError(f"momentum_decay must be at least 0, not {settings['momentum_decay']}")

    def first_scalars(self, group: dict[str, Any]) -> tuple[float, ...]:
        """The empty product."""
        return (1.0,)

    def next_scalars(self, group: dict[str, Any], step: int, *scalars: float) -> tuple[float, ...]:
        """Πₜ."""
        return (scalars[0] * _mu(group, step),)

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """β₁, β₂, eps, 1 − β₂ᵗ, the factors of d and of m, decoupled."""
        beta1, beta2 = group["betas"]
        mu, following = _mu(group, step), _mu(group, step + 1)
        product = scalars[0] * mu
        return {
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "correction": 1 - beta2**step,
            "of_d": (1 - mu) / (1 - product),
            "of_m": following / (1 - product * following),
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
        root = xp.sqrt(v)
        root /= h.correction**0.5
        root += h.eps
        g *= h.lr * h.of_d
        g += h.lr * h.of_m * m
        g /= root
        p -= g


def _mu(group: dict[str, Any], step: int) -> float:
    """μ of a step."""
    return group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
