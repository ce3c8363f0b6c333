"""Gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers


class SGD(FlatOptimizer):
    """Stochastic gradient descent; on all data at once, plain gradient descent.

    With d = gradient + weight_decay · p, momentum keeps b ← momentum · b + (1 − dampening) · d
    (b = d in the first step) and steps by b, or by d + momentum · b with Nesterov's variant
    (Sutskever et al., "On the importance of initialization and momentum", ICML 2013).

    Parameters
    ----------
    params
        See `Optimizer`.
    lr
        Learning rate.
    momentum, dampening, weight_decay, nesterov
        As above; Nesterov's variant wants momentum and no dampening.
    maximize
        Maximize instead: the gradient's sign is changed first.
    foreach, fused
        Accepted for torch's sake; a step is one kernel anyway.
    differentiable
        Must be False.

    Examples
    --------
    >>> optimizer = tl.optim.SGD(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    kernel_name = "sgd"
    state_names = ("momentum_buffer",)
    counts = False

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def check(self, settings: dict[str, Any]) -> None:
        """Refuse settings out of range, and Nesterov's variant without momentum."""
        super().check(settings)
        if settings["nesterov"] and (settings["momentum"] <= 0 or settings["dampening"] != 0):
            raise ValueError("nesterov=True needs momentum > 0 and dampening = 0")

    def state_of(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The momentum buffer, where there is momentum."""
        return self.state_names if group["momentum"] else ()

    def counted(self, group: dict[str, Any]) -> bool:
        """Steps without momentum leave no trace."""
        return bool(group["momentum"])

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """Momentum, dampening, nesterov, first step."""
        return {
            "momentum": group["momentum"],
            "dampening": group["dampening"],
            "nesterov": group["nesterov"],
            "first": step == 1,
        }

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: Numbers) -> None:
        """The formula above."""
        if h.decay:
            g += h.decay * p
        if "momentum_buffer" in state:
            b = state["momentum_buffer"]
            if h.first:
                b[...] = g
            else:
                b *= h.momentum
                b += (1 - h.dampening) * g
            g = g + h.momentum * b if h.nesterov else b
        p -= h.lr * g
