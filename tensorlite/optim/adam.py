"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorlite.backend import Array
from tensorlite.optim.flat import FlatOptimizer, Numbers
from tensorlite.optim.foreign import as_number

_MOMENTS = ("exp_avg", "exp_avg_sq")


class Adam(FlatOptimizer):
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
    amsgrad
        Divide by the greatest v so far (Reddi, Kale and Kumar, "On the convergence of Adam and
        beyond", ICLR 2018).
    maximize
        Maximize instead: the gradient's sign is changed first.
    foreach, capturable, fused
        Accepted for torch's sake; a step is one kernel anyway.
    differentiable
        Must be False.
    decoupled_weight_decay
        Decay apart from the gradient, as `AdamW` does.

    Examples
    --------
    >>> optimizer = tl.optim.Adam(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    kernel_name = "adam"
    state_names = (*_MOMENTS, "max_exp_avg_sq")

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def state_of(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The greatest second moment only for AMSGrad."""
        return self.state_names if group["amsgrad"] else _MOMENTS

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """β₁, β₂, eps, 1 − β₁ᵗ, 1 − β₂ᵗ, decoupled."""
        beta1, beta2 = group["betas"]
        if not (beta1.__class__ is beta2.__class__ is float):
            beta1, beta2 = as_number(beta1), as_number(beta2)
        return {
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "correction1": 1 - beta1**step,
            "correction2": 1 - beta2**step,
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
        g *= g
        g *= 1 - h.beta2
        v += g
        if "max_exp_avg_sq" in state:
            v = xp.maximum(v, state["max_exp_avg_sq"], out=state["max_exp_avg_sq"])
        xp.sqrt(v, out=g)
        g /= h.correction2**0.5
        g += h.eps
        xp.divide(m, g, out=g)
        g *= h.lr / h.correction1
        p -= g


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: p ← p − lr · weight_decay · p first.

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019. Parameters as
    those of `Adam`.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay
        As of `Adam`.
    amsgrad, maximize, foreach, capturable, differentiable, fused
        As of `Adam`.

    Examples
    --------
    >>> optimizer = tl.optim.AdamW(model.parameters(), lr=0.001)
    >>> loss.backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
