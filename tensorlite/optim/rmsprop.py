"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers


class RMSprop(FlatOptimizer):
    """RMSprop (Hinton, "Neural networks for machine learning", lecture 6e, 2012).

    With d = gradient + weight_decay · p: s ← α s + (1 − α) d², and p ← p − lr · d / (√s + eps).
    Centered, the root is of the variance s − a², with a ← α a + (1 − α) d (Graves, "Generating
    sequences with recurrent neural networks", 2013); with momentum the quotient is accumulated in
    b ← momentum · b + quotient.

    Parameters
    ----------
    params
        See `Optimizer`.
    lr, alpha, eps, weight_decay, momentum, centered
        As above.
    capturable, foreach
        Accepted for torch's sake; a step is one kernel anyway.
    maximize
        Maximize instead: the gradient's sign is changed first.
    differentiable
        Must be False.

    Notes
    -----
    Where gradients hardly change, s − a² is lost in rounding and may be negative. The variance is
    taken to be at least s · 2⁻²⁴ (2⁻⁵³ in float64).

    Examples
    --------
    >>> optimizer = tl.optim.RMSprop(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    kernel_name = "rmsprop"
    state_names = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def check(self, settings: dict[str, Any]) -> None:
        """Refuse settings out of range."""
        super().check(settings)
        if not settings["alpha"] >= 0:
            raise ValueError(f"alpha must be at least 0, not {settings['alpha']}")

    def state_of(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The mean only where centered, the buffer only with momentum."""
        mean = ("grad_avg",) if group["centered"] else ()
        return ("square_avg", *mean, *(("momentum_buffer",) if group["momentum"] else ()))

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """α, eps, momentum."""
        return {"alpha": group["alpha"], "eps": group["eps"], "momentum": group["momentum"]}

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: Numbers) -> None:
        """The formula above."""
        if h.decay:
            g += h.decay * p
        square = state["square_avg"]
        square *= h.alpha
        square += (1 - h.alpha) * g * g
        variance = square
        if "grad_avg" in state:
            mean = state["grad_avg"]
            mean += (1 - h.alpha) * (g - mean)
            least = square * (np.finfo(square.dtype).eps / 2)
            variance = xp.maximum(square - mean * mean, least)
        g /= xp.sqrt(variance) + h.eps
        if "momentum_buffer" in state:
            buffer = state["momentum_buffer"]
            buffer *= h.momentum
            buffer += g
            g = buffer
        p -= h.lr * g
