"""Rprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers


class Rprop(FlatOptimizer):
    """Resilient backpropagation.

    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP
    algorithm", ICNN 1993. Each element has a step size, at first lr: times etas[1] where the
    gradient keeps its sign, times etas[0] where it turns, within `step_sizes`.
    p ← p − size · sign(gradient), but not where it turned.

    Parameters
    ----------
    params
        See `Optimizer`.
    lr, etas, step_sizes
        As above.
    foreach, capturable
        Accepted for torch's sake.
    maximize
        Maximize instead: the gradient's sign is changed first.
    differentiable
        Must be False.

    Examples
    --------
    >>> optimizer = tl.optim.Rprop(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    state_names = ("prev", "step_size")

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": tuple(etas),
            "step_sizes": tuple(step_sizes),
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def check(self, settings: dict[str, Any]) -> None:
        """Refuse settings out of range."""
        super().check(settings)
        if not 0 < settings["etas"][0] < 1 < settings["etas"][1]:
            raise ValueError(f"etas must be below and above 1, not {settings['etas']}")

    def initial(self, name: str, group: dict[str, Any]) -> float:
        """The first step size is the learning rate."""
        return float(group["lr"]) if name == "step_size" else 0.0

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """Both etas, the least and the greatest size, first step."""
        shrink, grow = group["etas"]
        least, most = group["step_sizes"]
        return {
            "shrink": shrink,
            "grow": grow,
            "least": least,
            "most": most,
            "first": step == 1,
        }

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: Numbers) -> None:
        """The formula above."""
        prev, size = state["prev"], state["step_size"]
        if h.first:
            size[...] = h.lr
        turn = xp.sign(g) * xp.sign(prev)
        size *= xp.where(turn > 0, h.grow, xp.where(turn < 0, h.shrink, 1)).astype(size.dtype)
        xp.clip(size, h.least, h.most, out=size)
        xp.copyto(g, 0, where=turn < 0)
        prev[...] = g
        p -= xp.sign(g) * size
