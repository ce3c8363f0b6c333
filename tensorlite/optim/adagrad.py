"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers


class Adagrad(FlatOptimizer):
    """Adagrad (Duchi, Hazan and Singer, "Adaptive subgradient methods", JMLR 2011).

    With d = gradient + weight_decay · p: s ← s + d², and p ← p − lrₜ · d / (√s + eps), where
    lrₜ = lr / (1 + (t − 1) · lr_decay).

    Parameters
    ----------
    params
        See `Optimizer`.
    lr, lr_decay, weight_decay, eps
        As above.
    initial_accumulator_value
        The initial value of s.
    foreach, fused
        Accepted for torch's sake; a step is one kernel anyway.
    maximize
        Maximize instead: the gradient's sign is changed first.
    differentiable
        Must be False.

    Examples
    --------
    >>> optimizer = tl.optim.Adagrad(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    kernel_name = "adagrad"
    state_names = ("sum",)
    starts_with_state = True

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def check(self, settings: dict[str, Any]) -> None:
        """Refuse settings out of range."""
        super().check(settings)
        if not settings["initial_accumulator_value"] >= 0:
            raise ValueError(
                "initial_accumulator_value must be at least 0, not "
                f"{settings['initial_accumulator_value']}"
            )

    def initial(self, name: str, group: dict[str, Any]) -> float:
        """`initial_accumulator_value`."""
        return group["initial_accumulator_value"]

    def learning_rate(self, group: dict[str, Any], step: Any) -> Any:
        """The decayed rate lrₜ."""
        return group["lr"] / (1 + (step - 1) * group["lr_decay"])

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """Eps."""
        return {"eps": group["eps"]}

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: Numbers) -> None:
        """The formula above."""
        if h.decay:
            g += h.decay * p
        total = state["sum"]
        total += g * g
        p -= h.lr * g / (xp.sqrt(total) + h.eps)
