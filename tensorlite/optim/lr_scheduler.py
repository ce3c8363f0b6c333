"""Learning-rate schedules, with torch's names.

Each schedule is a closed formula ``lr_at(base, t)``: the rate at step ``t`` from the rate the group
began with. So a schedule has no state but ``t``, and any point can be computed, plotted or resumed.
Call ``schedule.step()`` after ``optimizer.step()``, once a batch or once an epoch as you count.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from tensorlite.optim.optimizer import Optimizer


class LRScheduler:
    """Base of the schedules.

    Parameters
    ----------
    optimizer
        Its groups' present rates are the base rates.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.t = 0
        self._apply()

    def lr_at(self, base: float, t: int) -> float:
        """Rate at step `t` for a group whose base rate is `base`."""
        raise NotImplementedError

    def step(self) -> None:
        """Go on to the next step."""
        self.t += 1
        self._apply()

    def _apply(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.lr_at(base, self.t)

    def get_last_lr(self) -> list[float]:
        """The groups' present rates."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {"t": self.t, "base_lrs": self.base_lrs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.t, self.base_lrs = int(state["t"]), list(state["base_lrs"])
        self._apply()


class StepLR(LRScheduler):
    """Multiply by `gamma` every `step_size` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(f"step_size must be at least 1, not {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def lr_at(self, base: float, t: int) -> float:
        """Base rate · gamma^⌊t / step_size⌋."""
        return base * self.gamma ** (t // self.step_size)


class MultiStepLR(LRScheduler):
    """Multiply by `gamma` at each of `milestones`."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def lr_at(self, base: float, t: int) -> float:
        """Base rate · gamma^(milestones passed)."""
        return base * self.gamma ** bisect_right(self.milestones, t)


class ExponentialLR(LRScheduler):
    """Multiply by `gamma` every step."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def lr_at(self, base: float, t: int) -> float:
        """Base rate · gammaᵗ."""
        return base * self.gamma**t


class CosineAnnealingLR(LRScheduler):
    """Fall from the base rate to `eta_min` along half a cosine of `T_max` steps.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        if T_max < 1:
            raise ValueError(f"T_max must be at least 1, not {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def lr_at(self, base: float, t: int) -> float:
        """eta_min + (base − eta_min) · (1 + cos(π t / T_max)) / 2."""
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * t / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that begins anew after `T_0` steps, then after `T_mult` times as many, ….

    Same paper as `CosineAnnealingLR`.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0
    ) -> None:
        if T_0 < 1 or T_mult < 1:
            raise ValueError(f"T_0 and T_mult must be at least 1, not {T_0} and {T_mult}")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def lr_at(self, base: float, t: int) -> float:
        """The cosine of the present period."""
        period = self.T_0
        while t >= period:
            t -= period
            period *= self.T_mult
            if self.T_mult == 1:
                t %= period
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * t / period)) / 2


class LinearLR(LRScheduler):
    """Warm up: from `start_factor` to `end_factor` times the base rate in `total_iters` steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        if total_iters < 1:
            raise ValueError(f"total_iters must be at least 1, not {total_iters}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def lr_at(self, base: float, t: int) -> float:
        """The line between the two factors, then constant."""
        done = min(t / self.total_iters, 1.0)
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


class OneCycleLR(LRScheduler):
    """Up to `max_lr`, then down to almost nothing, along half cosines.

    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2018; the cosine form of fast.ai and torch. The groups' own rates are not used.

    Parameters
    ----------
    optimizer
        The optimizer.
    max_lr
        The peak.
    total_steps
        Length of the cycle; the rate then stays at its least.
    pct_start
        Part of the cycle that rises.
    div_factor, final_div_factor
        The cycle begins at max_lr / div_factor, and ends at that divided by final_div_factor.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if total_steps < 2 or not 0 < pct_start < 1:
            raise ValueError("total_steps must be at least 2 and pct_start in (0, 1)")
        self.max_lr, self.total_steps, self.pct_start = max_lr, total_steps, pct_start
        self.first = max_lr / div_factor
        self.last = self.first / final_div_factor
        super().__init__(optimizer)

    def lr_at(self, base: float, t: int) -> float:
        """The rising or the falling half cosine."""
        peak = self.pct_start * self.total_steps - 1
        end = self.total_steps - 1
        if t <= peak:
            start, stop, done = self.first, self.max_lr, t / peak
        else:
            start, stop, done = self.max_lr, self.last, min((t - peak) / (end - peak), 1.0)
        return stop + (start - stop) / 2 * (1 + math.cos(math.pi * done))


class ChainedScheduler(LRScheduler):
    """Several schedules at once: their factors multiply.

    Parameters
    ----------
    schedulers
        Schedules of one optimizer; this one steps them all.
    """

    def __init__(self, schedulers: Sequence[LRScheduler]) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler needs at least one schedule")
        first = schedulers[0]
        if any(schedule.optimizer is not first.optimizer for schedule in schedulers):
            raise ValueError("all schedules of a ChainedScheduler must have the same optimizer")
        self.schedulers = list(schedulers)
        for group, base in zip(first.optimizer.param_groups, first.base_lrs, strict=True):
            group["lr"] = base
        super().__init__(first.optimizer)

    def lr_at(self, base: float, t: int) -> float:
        """The base rate times the schedules' factors."""
        if base == 0:
            return 0.0
        return base * math.prod(schedule.lr_at(base, t) / base for schedule in self.schedulers)


class ReduceLROnPlateau:
    """Multiply the rates by `factor` when a measure has not improved for `patience` steps.

    Parameters
    ----------
    optimizer
        The optimizer.
    mode
        "min" if less is better, "max" if more is.
    factor
        What rates are multiplied with.
    patience
        Steps without improvement that are accepted.
    threshold
        Relative change that counts as improvement.
    min_lr
        Rates never fall below it.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        min_lr: float = 0.0,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', not {mode!r}")
        if not 0 < factor < 1:
            raise ValueError(f"factor must lie between 0 and 1, not {factor}")
        self.optimizer, self.mode, self.factor = optimizer, mode, factor
        self.patience, self.threshold, self.min_lr = patience, threshold, min_lr
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_steps = 0

    def step(self, measure: float) -> None:
        """Take note of the measure after another step."""
        measure = float(measure)
        if self._better(measure):
            self.best, self.bad_steps = measure, 0
            return
        self.bad_steps += 1
        if self.bad_steps > self.patience:
            for group in self.optimizer.param_groups:
                group["lr"] = max(group["lr"] * self.factor, self.min_lr)
            self.bad_steps = 0

    def _better(self, measure: float) -> bool:
        if math.isinf(self.best):
            return math.isfinite(measure)
        margin = self.threshold * abs(self.best)
        if self.mode == "min":
            return measure < self.best - margin
        return measure > self.best + margin

    def get_last_lr(self) -> list[float]:
        """The groups' present rates."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {"best": self.best, "bad_steps": self.bad_steps, "lrs": self.get_last_lr()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.best, self.bad_steps = float(state["best"]), int(state["bad_steps"])
        for group, lr in zip(self.optimizer.param_groups, state["lrs"], strict=True):
            group["lr"] = lr
