"""Limited-memory BFGS."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from tensorlite.backend import Array, array_backend
from tensorlite.optim.foreign import as_number
from tensorlite.optim.optimizer import Optimizer
from tensorlite.optim.wolfe import Point, strong_wolfe
from tensorlite.tape import enable_grad, note_write, on_device_of
from tensorlite.tensor import Tensor, tensor_of

_LEAST_CURVATURE = 1e-10


class LBFGS(Optimizer):
    """Limited-memory BFGS (Liu and Nocedal, "On the limited memory BFGS method", 1989).

    A step runs up to `max_iter` iterations, and computes the loss several times: it needs a
    closure. All parameters are in one group, on one device and of one dtype.

    Parameters
    ----------
    params
        See `Optimizer`.
    lr
        Length of a step in units of the direction; with a line search the first that is tried.
    max_iter
        Most iterations per step.
    max_eval
        How often a step may compute the loss (default: max_iter · 5 / 4).
    tolerance_grad
        Stop when no element of the gradient is greater.
    tolerance_change
        Stop when neither the loss nor any parameter changes by more.
    history_size
        How many changes of the gradient are kept.
    line_search_fn
        None for steps of fixed length, or "strong_wolfe".

    Raises
    ------
    ValueError
        If there are several groups, devices or dtypes.

    Examples
    --------
    >>> optimizer = tl.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = F.cross_entropy(model(x), y)
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS takes one group of parameters: their steps are one step")
        places = {(str(p.device), str(p.dtype)) for p in self._parameters}
        if len(places) != 1:
            raise ValueError(
                f"LBFGS takes parameters on one device, of one dtype, not {sorted(places)}"
            )

    @property
    def _parameters(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    def check(self, settings: dict[str, Any]) -> None:
        """Refuse settings out of range."""
        super().check(settings)
        if settings["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                f"line_search_fn is None or 'strong_wolfe', not {settings['line_search_fn']!r}"
            )

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]  # LBFGS needs a closure, as torch's
        """Run up to `max_iter` iterations.

        Parameters
        ----------
        closure
            Clears the gradients, computes the loss and its gradients, and returns the loss.

        Returns
        -------
        Tensor
            The loss before the first iteration.
        """
        if closure is None:
            raise TypeError("LBFGS.step needs a closure, which computes the loss anew")
        with on_device_of(self._parameters[0].array):
            return _Step(self, closure).run()


class _Step:
    """One call of `step`: the point where the parameters are, and the memory."""

    def __init__(self, optimizer: LBFGS, closure: Callable[[], Any]) -> None:
        self.settings = optimizer.param_groups[0]
        self.parameters: list[Tensor] = self.settings["params"]
        self.closure = closure
        self.state = optimizer.state[self.parameters[0]]
        self.xp = array_backend((self.parameters[0].array,)).xp
        self.first_loss: Any = None

    # --- the function to minimize -------------------------------------------------------------

    def _compute(self) -> tuple[float, Array]:
        """The loss and the flat gradient where the parameters are."""
        with enable_grad():
            loss = self.closure()
        if self.first_loss is None:
            self.first_loss = loss
        self.state["func_evals"] += 1
        parts = [
            self.xp.zeros(p.numel(), p.dtype) if p.grad is None else p.grad.array.reshape(-1)
            for p in self.parameters
        ]
        return float(loss), self.xp.concatenate(parts)

    def _move(self, start: list[Array], t: float, direction: Array) -> None:
        """Put the parameters at ``start + t * direction``."""
        at = 0
        for p, x in zip(self.parameters, start, strict=True):
            p.array[...] = x + (t * direction[at : at + p.numel()]).reshape(p.shape)
            note_write(p.array)
            at += p.numel()

    def _point(self, start: list[Array], t: float, direction: Array) -> Point:
        self._move(start, t, direction)
        loss, gradient = self._compute()
        return Point(t, loss, gradient, float(gradient @ direction))

    # --- the iterations -----------------------------------------------------------------------

    def run(self) -> Any:
        """Iterate; return the first loss."""
        settings, state = self.settings, self.state
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        before = state["func_evals"]
        loss, gradient = self._compute()
        if self._peak(gradient) <= settings["tolerance_grad"]:
            return self.first_loss
        for iteration in range(1, settings["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(gradient)
            slope = float(gradient @ direction)
            previous = loss
            state["prev_flat_grad"], state["prev_loss"] = tensor_of(gradient.copy()), loss
            t = as_number(settings["lr"])
            if state["n_iter"] == 1:
                t = min(1.0, 1.0 / float(abs(gradient).sum())) * t
            state["d"], state["t"] = tensor_of(direction), t
            if slope > -settings["tolerance_change"]:
                break
            start = [p.array.copy() for p in self.parameters]
            here = Point(0.0, loss, gradient, slope)
            last = iteration == settings["max_iter"]
            used = state["func_evals"] - before
            found = self._searched(start, here, t, direction, settings["max_eval"] - used, last)
            t, loss, gradient = found.t, found.loss, found.gradient
            state["t"] = t
            used = state["func_evals"] - before
            if used >= settings["max_eval"] or self._peak(gradient) <= settings["tolerance_grad"]:
                break
            moved = self._peak(t * direction)
            if min(moved, abs(loss - previous)) <= settings["tolerance_change"]:
                break
        return self.first_loss

    def _peak(self, x: Array) -> float:
        return float(abs(x).max()) if x.size else 0.0

    def _searched(
        self, start: list[Array], here: Point, t: float, d: Array, most: int, last: bool
    ) -> Point:
        """Go along the direction; return the point where the parameters are then."""
        if self.settings["line_search_fn"] is None:
            if last:  # the loss there is not needed
                self._move(start, t, d)
                return here._replace(t=t)
            return self._point(start, t, d)
        found, _ = strong_wolfe(
            lambda t: self._point(start, t, d),
            here,
            t,
            self._peak(d),
            self.settings["tolerance_change"],
            most,
        )
        self._move(start, found.t, d)
        return found

    def _direction(self, gradient: Array) -> Array:
        """−H · gradient, with H from the memory (Nocedal and Wright, algorithm 7.4)."""
        state = self.state
        if state["n_iter"] == 1:
            state["old_dirs"], state["old_stps"], state["ro"] = [], [], []
            state["H_diag"] = 1
            return -gradient
        self._remember(gradient)
        changes = [x.array for x in state["old_dirs"]]
        steps = [x.array for x in state["old_stps"]]
        weights = [x.array for x in state["ro"]]
        q = -gradient
        alphas = []
        for y, s, rho in reversed(list(zip(changes, steps, weights, strict=True))):
            alphas.append((s @ q) * rho)
            q -= alphas[-1] * y
        scale = state["H_diag"]
        q *= scale.array if isinstance(scale, Tensor) else scale
        for y, s, rho in zip(changes, steps, weights, strict=True):
            q += (alphas.pop() - (y @ q) * rho) * s
        return q

    def _remember(self, gradient: Array) -> None:
        """Take the last step and the change of the gradient into the memory, if it curves."""
        state, backend = self.state, array_backend((gradient,))
        change = gradient - state["prev_flat_grad"].array
        step = state["d"].array * as_number(state["t"])
        curvature = change @ step
        if not (float(curvature) > _LEAST_CURVATURE and math.isfinite(float(curvature))):
            return
        if len(state["old_dirs"]) >= self.settings["history_size"]:
            for name in ("old_dirs", "old_stps", "ro"):
                state[name].pop(0)
        state["old_dirs"].append(tensor_of(change))
        state["old_stps"].append(tensor_of(step))
        state["ro"].append(tensor_of(backend.asarray(1 / curvature)))
        state["H_diag"] = tensor_of(backend.asarray(curvature / (change @ change)))
