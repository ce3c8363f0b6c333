"""Schedules that multiply rates by factors."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tensorlite.optim.lr_scheduler.base import LRScheduler, attributes_of, one_per_group
from tensorlite.optim.optimizer import Optimizer


class _Factors(LRScheduler):
    """A schedule that says by what the rate changes from step t − 1 to step t."""

    resumes_unchanged = False  # whether resuming at last_epoch leaves the rate alone

    def ratio(self, t: int) -> float:
        """The rate at step `t` over that at ``t - 1``; at 0, over the base rate."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        """The present rates times the ratio."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial and self.last_epoch > 0 and self.resumes_unchanged:
            return rates
        ratio = self.ratio(self.last_epoch)
        return rates if ratio == 1 else [rate * ratio for rate in rates]


class StepLR(_Factors):
    """Multiply by `gamma` every `step_size` steps.

    Parameters
    ----------
    optimizer, last_epoch
        See `LRScheduler`.

    Raises
    ------
    ValueError
        If `step_size` is below 1.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr(), scheduler.lr_at(0.1, 3)
    ([0.05], 0.0125)
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size < 1:
            raise ValueError(f"step_size must be at least 1, not {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def ratio(self, t: int) -> float:
        """Gamma at multiples of the step size."""
        return self.gamma if t > 0 and t % self.step_size == 0 else 1.0

    def lr_at(self, base: float, t: int) -> float:
        """Base rate · gamma^⌊t / step_size⌋.

        Parameters
        ----------
        base : float
        t : int
        """
        return base * self.gamma ** (t // self.step_size)


class MultiStepLR(_Factors):
    """Multiply by `gamma` at each of `milestones`; one given twice counts twice.

    Parameters
    ----------
    optimizer, last_epoch
        See `LRScheduler`.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3])
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.010000000000000002]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def ratio(self, t: int) -> float:
        """Gamma for each milestone here."""
        return self.gamma ** self.milestones[t] if t in self.milestones else 1.0

    def lr_at(self, base: float, t: int) -> float:
        """Base rate · gamma^(milestones passed).

        Parameters
        ----------
        base : float
            The base rate.
        t : int
            The step.

        Examples
        --------
        >>> scheduler = tl.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3])
        >>> scheduler.lr_at(0.1, 1)
        0.010000000000000002
        """
        return base * self.gamma ** bisect_right(sorted(self.milestones.elements()), t)

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler.state_dict`."""
        return {**super().state_dict(), "milestones": Counter(self.milestones)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As `LRScheduler.load_state_dict`."""
        super().load_state_dict(state_dict)
        self.milestones = Counter({int(t): n for t, n in self.milestones.items()})


class ConstantLR(_Factors):
    """Times `factor` until step `total_iters`.

    Parameters
    ----------
    optimizer, last_epoch
        See `LRScheduler`.

    Raises
    ------
    ValueError
        If `factor` is not in [0, 1].

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.ConstantLR(optimizer, 0.5)
    >>> scheduler.get_last_lr()
    [0.05]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"factor must lie in [0, 1], not {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def ratio(self, t: int) -> float:
        """The factor at first, and its inverse in the end."""
        if t == 0:
            return self.factor
        return 1 / self.factor if t == self.total_iters and self.factor else 1.0

    def get_lr(self) -> list[float]:
        """The present rates times the ratio; after a factor of 0, the base rates."""
        if self.factor == 0 and self.last_epoch == self.total_iters:
            return list(self.base_lrs)
        return super().get_lr()

    def lr_at(self, base: float, t: int) -> float:
        """Base rate · factor, or the base rate in the end.

        Parameters
        ----------
        base : float
            The base rate.
        t : int
            The step.

        Examples
        --------
        >>> scheduler = tl.optim.lr_scheduler.ConstantLR(optimizer, 0.5)
        >>> scheduler.lr_at(0.1, 1)
        0.05
        """
        return base * (1.0 if t >= self.total_iters else self.factor)


class LinearLR(_Factors):
    """Warm up: from `start_factor` to `end_factor` times the base rate in `total_iters` steps.

    Parameters
    ----------
    optimizer, last_epoch
        See `LRScheduler`.

    Raises
    ------
    ValueError
        If a factor is out of range, or `total_iters` below 1.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.LinearLR(optimizer, 0.5, total_iters=1)
    >>> scheduler.get_last_lr()
    [0.05]
    """

    resumes_unchanged = True

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"start_factor must lie in (0, 1], not {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"end_factor must lie in [0, 1], not {end_factor}")
        if total_iters < 1:
            raise ValueError(f"total_iters must be at least 1, not {total_iters}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def ratio(self, t: int) -> float:
        """One point of the line over the one before."""
        if t == 0:
            return self.start_factor
        if t > self.total_iters:
            return 1.0
        change = self.end_factor - self.start_factor
        return 1 + change / (self.total_iters * self.start_factor + (t - 1) * change)

    def lr_at(self, base: float, t: int) -> float:
        """The line between the two factors, then constant.

        Parameters
        ----------
        base : float
            The base rate.
        t : int
            The step.

        Examples
        --------
        >>> scheduler = tl.optim.lr_scheduler.LinearLR(optimizer, 0.5)
        >>> scheduler.lr_at(0.1, 1)
        0.06
        """
        done = min(t, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


class ExponentialLR(_Factors):
    """Multiply by `gamma` every step.

    Parameters
    ----------
    optimizer, last_epoch
        See `LRScheduler`.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    resumes_unchanged = True

    def ratio(self, t: int) -> float:
        """Gamma, but at first."""
        return self.gamma if t > 0 else 1.0

    def lr_at(self, base: float, t: int) -> float:
        """Base rate · gammaᵗ.

        Parameters
        ----------
        base : float
            The base rate.
        t : int
            The step.

        Examples
        --------
        >>> scheduler = tl.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        >>> scheduler.lr_at(0.1, 1)
        0.05
        """
        return base * self.gamma**t


class PolynomialLR(_Factors):
    """Fall to 0 in `total_iters` steps as (1 − t / total_iters)^power.

    Parameters
    ----------
    optimizer, last_epoch
        See `LRScheduler`.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05]
    """

    resumes_unchanged = True

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def ratio(self, t: int) -> float:
        """What is left over what was left."""
        if t == 0 or t > self.total_iters:
            return 1.0
        left, before = 1 - t / self.total_iters, 1 - (t - 1) / self.total_iters
        return (left / before) ** self.power

    def lr_at(self, base: float, t: int) -> float:
        """Base rate · (1 − t / total_iters)^power, then 0.

        Parameters
        ----------
        base : float
            The base rate.
        t : int
            The step.

        Examples
        --------
        >>> scheduler = tl.optim.lr_scheduler.PolynomialLR(optimizer, 2)
        >>> scheduler.lr_at(0.1, 1)
        0.05
        """
        return base * (1 - min(t, self.total_iters) / self.total_iters) ** self.power


class _Functions(LRScheduler):
    """A schedule by functions of the user's."""

    _not_saved = ("optimizer", "lr_lambdas")

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self.lr_lambdas = one_per_group("lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda is a {type(function).__name__}, not a function")
        super().__init__(optimizer, last_epoch)

    def new_group(self, group: dict[str, Any]) -> None:
        """The function of all groups; where they have several, of the last."""
        self.lr_lambdas.append(self.lr_lambdas[-1])

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler.state_dict`."""
        return {**super().state_dict(), "lr_lambdas": [attributes_of(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As `LRScheduler.load_state_dict`."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for function, saved in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=False):
            if saved is not None:
                function.__dict__.update(saved)


class LambdaLR(_Functions):
    """The base rate times ``lr_lambda(step)``, a function for all groups or one for each.

    Parameters
    ----------
    optimizer, last_epoch
        See `LRScheduler`.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, lr_lambda, last_epoch)

    def get_lr(self) -> list[float]:
        """Base rate · lr_lambda(step)."""
        t = self.last_epoch
        return [base * f(t) for f, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(_Functions):
    """The present rate times ``lr_lambda(step)``, a function for all groups or one for each.

    Parameters
    ----------
    optimizer, last_epoch
        See `LRScheduler`.

    Examples
    --------
    >>> scheduler = tl.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda step: 0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, lr_lambda, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rate · lr_lambda(step); at first the base rate."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial:
            return rates
        t = self.last_epoch
        return [rate * f(t) for f, rate in zip(self.lr_lambdas, rates, strict=True)]
