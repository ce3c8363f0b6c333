"""Schedules of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from tensorlite.optim.lr_scheduler.base import LRScheduler, by_host
from tensorlite.optim.lr_scheduler.plateau import ReduceLROnPlateau
from tensorlite.optim.optimizer import Optimizer


class _Composed(LRScheduler):
    """Several schedules of one optimizer."""

    _not_saved = ("optimizer", "_schedulers")

    def _take(self, optimizer: Optimizer | None, schedulers: Sequence[LRScheduler]) -> None:
        """Check the schedules and keep them."""
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name} needs at least one schedule")
        for i, schedule in enumerate(schedulers):
            if not isinstance(schedule, LRScheduler):
                raise TypeError(f"{name}: schedule {i} is a {type(schedule).__name__}")
            if isinstance(schedule, ReduceLROnPlateau):
                raise ValueError(
                    f"{name}: schedule {i} is ReduceLROnPlateau, whose step takes a measure: step "
                    "it yourself"
                )
        optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        for i, schedule in enumerate(schedulers):
            if schedule.optimizer is not optimizer:
                raise ValueError(f"{name}: schedule {i} is of another optimizer")
        self.optimizer = optimizer
        self._schedulers = list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler.state_dict`, with that of each schedule."""
        inner = [schedule.state_dict() for schedule in self._schedulers]
        return {**super().state_dict(), "_schedulers": inner}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As `LRScheduler.load_state_dict`."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for schedule, saved in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            schedule.load_state_dict(saved)


class ChainedScheduler(_Composed):
    """Several schedules at once: each is stepped, and changes what the one before it left.

    Parameters
    ----------
    schedulers
        Schedules of one optimizer; this one steps them all.
    optimizer
        That optimizer; need not be given.

    Examples
    --------
    >>> schedulers = tl.optim.lr_scheduler
    >>> first = schedulers.ConstantLR(optimizer, 0.5)
    >>> both = schedulers.ChainedScheduler([first, schedulers.ExponentialLR(optimizer, 0.9)])
    >>> both.step()
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._take(optimizer, schedulers)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    @by_host
    def step(self, epoch: int | None = None) -> None:
        """Step all schedules."""
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = self._schedulers[-1].get_last_lr()


class SequentialLR(_Composed):
    """One schedule after another.

    Parameters
    ----------
    optimizer
        The optimizer.
    schedulers
        Its schedules, in order.
    milestones
        The steps at which the second, the third … begins.
    last_epoch
        −1, to begin.

    Raises
    ------
    ValueError
        If there are not as many milestones as changes.

    Examples
    --------
    >>> schedulers = tl.optim.lr_scheduler
    >>> warm_up = schedulers.LinearLR(optimizer, 0.5, total_iters=4)
    >>> fall = schedulers.ExponentialLR(optimizer, 0.9)
    >>> scheduler = schedulers.SequentialLR(optimizer, [warm_up, fall], milestones=[4])
    >>> scheduler.step()
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self._take(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedules need {len(schedulers) - 1} milestones, "
                f"not {len(milestones)}"
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:  # the constructors of all schedules have changed it
            group["lr"] = group["initial_lr"]
        _undo(self)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        _begin(first)
        self._last_lr = first.get_last_lr()

    @by_host
    def step(self, epoch: int | None = None) -> None:
        """Step the schedule whose turn it is; it begins from the base rates."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            _restart(schedule)
        else:
            schedule.step()
        self._last_lr = schedule.get_last_lr()


def _restart(schedule: LRScheduler) -> None:
    """Let a schedule begin anew, from the base rates."""
    if isinstance(schedule, _Composed):
        for group in schedule.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        _begin(schedule)
    else:
        schedule._update_lr(0)


def _begin(schedule: LRScheduler) -> None:
    """Let a schedule take its first step from the present rates."""
    if isinstance(schedule, _Composed):
        inner = schedule._schedulers
        if isinstance(schedule, SequentialLR):
            schedule.last_epoch = 0
            inner = [inner[bisect_right(schedule._milestones, 0)]]
        for each in inner:
            _begin(each)
        schedule._last_lr = inner[-1].get_last_lr()
    else:
        schedule.last_epoch = -1
        schedule._initial_step()


def _undo(schedule: LRScheduler) -> None:
    """Take the constructor's step back."""
    if isinstance(schedule, _Composed):
        for inner in schedule._schedulers:
            _undo(inner)
    else:
        schedule.last_epoch -= 1
