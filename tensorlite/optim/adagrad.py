"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.optimizer import Optimizer


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer, "Adaptive subgradient methods", JMLR 2011).

    With d = gradient + weight_decay · p: s ← s + d², and p ← p − lrₜ · d / (√s + eps), where
    lrₜ = lr / (1 + (t − 1) · lr_decay).

    Parameters
    ----------
    params
        See `Optimizer`.
    lr, lr_decay, weight_decay, eps
        As above.
    """

    kernel_name = "adagrad"
    state_names = ("sum",)

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        )

    def learning_rate(self, group: dict[str, Any], step: Any) -> Any:
        """The decayed rate lrₜ."""
        return group["lr"] / (1 + (step - 1) * group["lr_decay"])

    def hyper(self, group: dict[str, Any], step: Any) -> list:
        """Eps."""
        return [group["eps"]]

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: list) -> None:
        """The formula above."""
        lr, decay, _, _, eps = h
        if decay:
            g += decay * p
        total = state["sum"]
        total += g * g
        p -= lr * g / (xp.sqrt(total) + eps)
