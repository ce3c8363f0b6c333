"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.optimizer import Optimizer


class RMSprop(Optimizer):
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
    """

    kernel_name = "rmsprop"
    state_names = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
            },
        )

    def state_of(self, settings: dict[str, Any]) -> tuple[str, ...]:
        """The mean only where centered, the buffer only with momentum."""
        absent = {
            "grad_avg": not settings["centered"],
            "momentum_buffer": not settings["momentum"],
        }
        return tuple(name for name in self.state_names if not absent.get(name))

    def hyper(self, group: dict[str, Any], step: Any) -> list:
        """α, eps, momentum."""
        return [group["alpha"], group["eps"], group["momentum"]]

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: list) -> None:
        """The formula above."""
        lr, decay, _, _, alpha, eps, momentum = h
        if decay:
            g += decay * p
        square = state["square_avg"]
        square *= alpha
        square += (1 - alpha) * g * g
        variance = square
        if "grad_avg" in state:
            mean = state["grad_avg"]
            mean += (1 - alpha) * (g - mean)
            variance = square - mean * mean
        g /= xp.sqrt(variance) + eps
        if "momentum_buffer" in state:
            buffer = state["momentum_buffer"]
            buffer *= momentum
            buffer += g
            g = buffer
        p -= lr * g
