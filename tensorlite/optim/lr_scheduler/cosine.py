"""Cosine annealing.

Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
"""

from __future__ import annotations

import math
import warnings

from tensorlite.optim.lr_scheduler.base import LRScheduler, by_host
from tensorlite.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """Fall from the base rate to `eta_min` along half a cosine of `T_max` steps, and rise again.

    Parameters
    ----------
    optimizer, last_epoch
        See `LRScheduler`.

    Raises
    ------
    ValueError
        If `T_max` is below 1.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05]
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_max < 1:
            raise ValueError(f"T_max must be at least 1, not {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates' distances from `eta_min`, as the cosine changes from step to step."""
        t, rates = self.last_epoch, [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial:
            return rates
        if self._step_count == 1 and t > 0:
            return [self.lr_at(base, t) for base in self.base_lrs]
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # up from the bottom, where that is 0 / 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            pairs = zip(rates, self.base_lrs, strict=True)
            return [rate + (base - self.eta_min) * rise for rate, base in pairs]
        ratio = self._height(t) / self._height(t - 1)
        return [self.eta_min + (rate - self.eta_min) * ratio for rate in rates]

    def _height(self, t: int) -> float:
        return 1 + math.cos(math.pi * t / self.T_max)

    def lr_at(self, base: float, t: int) -> float:
        """eta_min + (base − eta_min) · (1 + cos(π t / T_max)) / 2.

        Parameters
        ----------
        base : float
            The base rate.
        t : int
            The step.

        Examples
        --------
        >>> scheduler = tl.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
        >>> scheduler.lr_at(0.1, 1)
        0.05
        """
        return self.eta_min + (base - self.eta_min) * self._height(t) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that begins anew after `T_0` steps, then after `T_mult` times as many, ….

    Parameters
    ----------
    optimizer, last_epoch
        See `LRScheduler`.
    eta_min : float
        The lowest rate.

    Raises
    ------
    ValueError
        If `T_0` or `T_mult` is below 1.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        whole = isinstance(T_0, int) and isinstance(T_mult, int)
        if not whole or T_0 < 1 or T_mult < 1:
            raise ValueError(f"T_0 and T_mult must be whole, at least 1, not {T_0} and {T_mult}")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self.T_i: float = T_0  # length of the present period
        self.T_cur: float = last_epoch  # and the step in it
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The cosine of the present period."""
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    @by_host
    def step(self, epoch: float | None = None) -> None:
        """Go on to the next step, or to `epoch`: it may have a fraction, as epoch + batch / all.

        Raises
        ------
        ValueError
            For a negative one.
        """
        first = self._is_initial
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"the epoch must be at least 0, not {epoch}")
        else:
            self._enter(epoch)
        if not first and self._step_count == 0 and not self.optimizer.steps_taken:
            warnings.warn("lr_scheduler.step() before the first optimizer.step()", stacklevel=2)
        self.last_epoch = math.floor(epoch)
        self.welcome_groups()
        self.set_rates(self.get_lr())

    def _enter(self, epoch: float) -> None:
        """Find the period of a step."""
        self.T_i = self.T_0
        self.T_cur = epoch
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
            return
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
