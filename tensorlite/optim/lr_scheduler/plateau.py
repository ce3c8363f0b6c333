"""A schedule that reacts to a measure, such as the validation loss."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from tensorlite.optim.lr_scheduler.base import LRScheduler, check_optimizer, one_per_group
from tensorlite.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
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
    threshold, threshold_mode
        Change that counts as improvement: a part of the best measure ("rel"), or "abs".
    cooldown
        Steps after a reduction that are not looked at.
    min_lr
        Rates never fall below it; one for all groups, or a list.
    eps
        A smaller change of a rate is not made.

    Raises
    ------
    ValueError
        If `factor` is not below 1, or there is no such mode.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    >>> for loss in (1.0, 2.0):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr(), scheduler.in_cooldown
    ([0.010000000000000002], False)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        check_optimizer(optimizer)
        if not 0 < factor < 1:
            raise ValueError(f"factor must lie between 0 and 1, not {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', not {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode must be 'rel' or 'abs', not {threshold_mode!r}")
        self.optimizer, self.mode, self.factor = optimizer, mode, factor
        self.patience, self.cooldown, self.eps = patience, cooldown, eps
        self.threshold, self.threshold_mode = threshold, threshold_mode
        several = isinstance(min_lr, (list, tuple))
        self.default_min_lr = None if several else min_lr
        self.min_lrs = one_per_group("min_lr", min_lr, optimizer)
        self.best = self.mode_worse = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: Any, epoch: int | None = None) -> None:
        """Take note of the measure after another step."""
        measure = float(metrics)
        if epoch is not None:
            warnings.warn("step(…, epoch) is deprecated: call step(…)", stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._better(measure):
            self.best, self.num_bad_epochs = measure, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self.num_bad_epochs > self.patience:
            rates = self._reduced(rates)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self.set_rates(rates)

    def _reduced(self, rates: list) -> list:
        missing = len(rates) - len(self.min_lrs)
        if missing and self.default_min_lr is None:
            raise RuntimeError(
                f"{len(self.min_lrs)} values of min_lr for {len(rates)} parameter groups: a group "
                "was added; extend min_lrs"
            )
        self.min_lrs += [self.default_min_lr] * missing
        lower = [max(float(r) * self.factor, m) for r, m in zip(rates, self.min_lrs, strict=True)]
        return [b if float(a) - b > self.eps else a for a, b in zip(rates, lower, strict=True)]

    @property
    def in_cooldown(self) -> bool:
        """Whether measures are not looked at."""
        return self.cooldown_counter > 0

    def _better(self, measure: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "abs":
            return sign * measure < sign * self.best - self.threshold
        return sign * measure < sign * self.best * (1 - sign * self.threshold)
