"""Lion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers


class Lion(FlatOptimizer):
    """Lion (Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023).

    p ← p − lr · (sign(β₁ m + (1 − β₁) gradient) + weight_decay · p), m ← β₂ m + (1 − β₂) gradient.

    Parameters
    ----------
    params
        See `Optimizer`.
    lr
        Learning rate: the paper advises a third to a tenth of AdamW's.
    betas, weight_decay
        As above.
    maximize
        Maximize instead: the gradient's sign is changed first.

    Examples
    --------
    >>> optimizer = tl.optim.Lion(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    kernel_name = "lion"
    state_names = ("exp_avg",)

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"betas": tuple(betas), "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {"lr": lr, **settings})

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """β₁, β₂."""
        beta1, beta2 = group["betas"]
        return {"beta1": beta1, "beta2": beta2}

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: Numbers) -> None:
        """The formula above."""
        m = state["exp_avg"]
        direction = xp.sign(h.beta1 * m + (1 - h.beta1) * g)
        p -= h.lr * (direction + h.decay * p)
        m *= h.beta2
        m += (1 - h.beta2) * g
