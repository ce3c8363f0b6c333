"""Schedules that let rates rise and fall, and momentum the other way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tensorlite.optim.lr_scheduler.base import (
    LRScheduler,
    attributes_of,
    check_optimizer,
    one_per_group,
)
from tensorlite.optim.optimizer import Optimizer


class _WithMomentum(LRScheduler):
    """A schedule that sets momentum, or the first of the betas, too."""

    cycle_momentum: bool
    use_beta1: bool

    def _begin_momentum(self, wanted: bool, base: Any, most: Any, last_epoch: int) -> None:
        """Note the bounds in the groups and begin at the upper one."""
        self.cycle_momentum = wanted
        if not wanted:
            return
        defaults = self.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            raise ValueError(
                f"cycle_momentum=True: {type(self.optimizer).__name__} has neither momentum nor "
                "betas; pass cycle_momentum=False"
            )
        self.use_beta1 = "betas" in defaults
        bases = one_per_group("base_momentum", base, self.optimizer)
        mosts = one_per_group("max_momentum", most, self.optimizer)
        for group, low, high in zip(self.optimizer.param_groups, bases, mosts, strict=True):
            if last_epoch == -1:
                group["base_momentum"], group["max_momentum"] = low, high
                self._set_momentum(group, high)

    def _set_momentum(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value

    def _like_the_last(self, group: dict[str, Any], names: Sequence[str]) -> None:
        """Give a group that was added later the settings of the one before it."""
        groups = self.optimizer.param_groups
        before = groups[[g is group for g in groups].index(True) - 1]
        for name in names:
            if name in before:
                group.setdefault(name, before[name])


class CyclicLR(_WithMomentum):
    """Up and down between two rates (Smith, "Cyclical learning rates", WACV 2017).

    Parameters
    ----------
    optimizer
        The optimizer.
    base_lr, max_lr
        The bounds; one for all groups, or lists. The groups' own rates are not used.
    step_size_up, step_size_down
        Steps that rise, and that fall (default: as many).
    mode
        How the amplitude changes: "triangular", not; "triangular2", halved each cycle;
        "exp_range", times gamma^step.
    gamma
        For "exp_range".
    scale_fn, scale_mode
        A function of one's own in place of `mode`, of the number of the "cycle" (from 1) or of
        "iterations".
    cycle_momentum, base_momentum, max_momentum
        Let momentum, or the first of the betas, fall while the rate rises.
    last_epoch
        See `LRScheduler`.

    Raises
    ------
    ValueError
        If there is no such `mode`, or momentum is to fall and there is none.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.CyclicLR(optimizer, 0.1, 0.5, 4, cycle_momentum=False)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.2]
    """

    _not_saved = ("optimizer", "_scale_fn_custom")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(
                f"mode must be 'triangular', 'triangular2' or 'exp_range', not {mode!r}, or a "
                "scale_fn given"
            )
        base_lrs = one_per_group("base_lr", base_lr, optimizer)
        self.max_lrs = one_per_group("max_lr", max_lr, optimizer)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = rate
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma = mode, gamma
        self._scale_fn_custom = scale_fn
        by_step = mode == "exp_range" and scale_fn is None
        self.scale_mode = "iterations" if by_step else scale_mode
        if scale_fn is None and not by_step:
            self.scale_mode = "cycle"
        self._begin_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch)
        if cycle_momentum:
            groups = optimizer.param_groups
            self.base_momentums = one_per_group("base_momentum", base_momentum, optimizer)
            self.max_momentums = [group["max_momentum"] for group in groups]
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def new_group(self, group: dict[str, Any]) -> None:
        """The bounds of the group before it."""
        self.base_lrs[-1] = self.base_lrs[-2]
        self.max_lrs.append(self.max_lrs[-1])
        if self.cycle_momentum:
            self.base_momentums.append(self.base_momentums[-1])
            self.max_momentums.append(self.max_momentums[-1])

    def scale_fn(self, x: float) -> float:
        """The amplitude in cycle `x`, or at step `x`.

        Parameters
        ----------
        x : float

        Examples
        --------
        >>> scheduler = tl.optim.lr_scheduler.CyclicLR(optimizer, 0.1, 0.5, cycle_momentum=False)
        >>> scheduler.scale_fn(1.0)
        1.0
        """
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 0.5 ** (x - 1) if self.mode == "triangular2" else self.gamma**x

    def get_lr(self) -> list[float]:
        """The rates; sets momentum, too."""
        t = self.last_epoch
        cycle = math.floor(1 + t / self.total_size)
        done = 1 + t / self.total_size - cycle
        up = done <= self.step_ratio
        height = done / self.step_ratio if up else (done - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else t)
        if self.cycle_momentum:
            bounds = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, bounds, strict=True):
                self._set_momentum(group, high - (high - low) * height)
        if self._is_initial:  # `base_lrs` are not known yet where a group had an initial_lr
            return (
                [group["lr"] for group in self.optimizer.param_groups]
                if t == 0
                else [
                    low + (high - low) * height
                    for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
                ]
            )
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * height for low, high in pairs]

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler.state_dict`."""
        return {**super().state_dict(), "_scale_fn_custom": attributes_of(self._scale_fn_custom)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As `LRScheduler.load_state_dict`."""
        saved = state_dict.get("_scale_fn_custom")
        rest = {k: v for k, v in state_dict.items() if k != "_scale_fn_custom"}
        super().load_state_dict(rest)
        if saved is not None:
            self._scale_fn_custom.__dict__.update(saved)


class OneCycleLR(_WithMomentum):
    """Up to `max_lr`, then down to almost nothing.

    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2018. The groups' own rates are not used.

    Parameters
    ----------
    optimizer
        The optimizer.
    max_lr
        The peak; one for all groups, or a list.
    total_steps
        Length of the cycle, or else epochs · steps_per_epoch.
    epochs, steps_per_epoch
        See `total_steps`.
    pct_start
        Part of the cycle that rises.
    anneal_strategy
        "cos" for half cosines, "linear" for lines.
    cycle_momentum, base_momentum, max_momentum
        Let momentum, or the first of the betas, fall while the rate rises.
    div_factor, final_div_factor
        The cycle begins at max_lr / div_factor, and ends at that divided by final_div_factor.
    three_phase
        Come down as fast as up, and only then fall to the end.
    last_epoch
        See `LRScheduler`.

    Raises
    ------
    ValueError
        From `step`, after more than `total_steps` steps.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.OneCycleLR(
    ...     optimizer, max_lr=1.0, total_steps=10, cycle_momentum=False
    ... )
    >>> scheduler.get_last_lr()
    [0.040000000000000036]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _length(total_steps, epochs, steps_per_epoch)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start must lie in [0, 1], not {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}")
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, float(pct_start), three_phase)
        peaks = one_per_group("max_lr", max_lr, optimizer)
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        if last_epoch == -1:
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["initial_lr"], group["max_lr"] = peak / div_factor, peak
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self._begin_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def new_group(self, group: dict[str, Any]) -> None:
        """The bounds of the group before it."""
        group["initial_lr"] = self.optimizer.param_groups[0]["initial_lr"]
        self._like_the_last(group, ("max_lr", "min_lr", "base_momentum", "max_momentum"))

    def get_lr(self) -> list[float]:
        """The rates; sets momentum, too."""
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR: step {t} of a cycle of {self.total_steps}: it has ended")
        start = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if t <= end:
                break
            start = end
        else:
            start, end = (self._schedule_phases[-2]["end_step"], end)
        done = min((t - start) / (end - start), 1.0) if end > start else 1.0
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                bounds = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, self._between(*bounds, done))
        groups = self.optimizer.param_groups
        return [self._between(g[phase["start_lr"]], g[phase["end_lr"]], done) for g in groups]

    def _between(self, start: float, end: float, done: float) -> float:
        if self._anneal_func_type == "linear":
            return start + (end - start) * done
        return end + (start - end) / 2 * (1 + math.cos(math.pi * done))


def _length(total_steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    """The number of steps of a cycle."""
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("give total_steps, or epochs and steps_per_epoch")
    given = [epochs, steps_per_epoch] if total_steps is None else [total_steps]
    for number in given:
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"the numbers of steps and epochs must be at least 1, not {number}")
    return math.prod(given)


def _phases(total: int, rising: float, three: bool) -> list[dict[str, Any]]:
    """Where the phases end, and from what to what they go, by the names in the groups."""

    def phase(end: float, rates: str, momenta: str) -> dict[str, Any]:
        (start_lr, end_lr), (start, stop) = rates.split(), momenta.split()
        return {
            "end_step": end,
            "start_lr": start_lr,
            "end_lr": end_lr,
            "start_momentum": start,
            "end_momentum": stop,
        }

    up = phase(rising * total - 1, "initial_lr max_lr", "max_momentum base_momentum")
    if not three:
        return [up, phase(total - 1, "max_lr min_lr", "base_momentum max_momentum")]
    down = phase(2 * rising * total - 2, "max_lr initial_lr", "base_momentum max_momentum")
    return [up, down, phase(total - 1, "initial_lr min_lr", "max_momentum max_momentum")]
