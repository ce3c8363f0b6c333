"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.optimizer import Optimizer


class Adam(Optimizer):
    """Adam (Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015).

    With d = gradient + weight_decay · p: m ← β₁ m + (1 − β₁) d, v ← β₂ v + (1 − β₂) d², and
    p ← p − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + eps).

    Parameters
    ----------
    params
        See `Optimizer`.
    lr
        Learning rate.
    betas
        Decay rates of the two moments.
    eps
        Keeps the quotient finite.
    weight_decay
        Strength of the L2 penalty, which Adam adds to the gradient.
    """

    kernel_name = "adam"
    state_names = ("exp_avg", "exp_avg_sq")
    decoupled = False

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        )

    def hyper(self, group: dict[str, Any], step: Any) -> list:
        """β₁, β₂, eps, 1 − β₁ᵗ, 1 − β₂ᵗ, decoupled."""
        beta1, beta2 = group["betas"]
        corrections = [1 - beta1**step, 1 - beta2**step]
        return [beta1, beta2, group["eps"], *corrections, self.decoupled]

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: list) -> None:
        """The formula above."""
        lr, decay, _, _, beta1, beta2, eps, correction1, correction2, _ = h
        m, v = state["exp_avg"], state["exp_avg_sq"]
        if decay:
            if self.decoupled:
                p *= 1 - lr * decay
            else:
                g += decay * p
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        g *= g
        g *= 1 - beta2
        v += g
        xp.sqrt(v, out=g)
        g /= correction2**0.5
        g += eps
        xp.divide(m, g, out=g)
        g *= lr / correction1
        p -= g


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: p ← p − lr · weight_decay · p first.

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019. Parameters as
    those of `Adam`.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
