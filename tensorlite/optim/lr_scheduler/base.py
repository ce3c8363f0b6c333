"""What all schedules share."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from tensorlite.optim.foreign import copied
from tensorlite.optim.optimizer import Optimizer
from tensorlite.tape import mode
from tensorlite.tensor import Tensor


def by_host(step: Callable) -> Callable:
    """A schedule's step, which a replay of a captured call takes again."""

    @functools.wraps(step)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        recorder = mode.switches.recorder
        if recorder is None or recorder.inside:
            return step(self, *args, **kwargs)
        recorder.on_host(type(self).__name__, functools.partial(wrapped, self, *args, **kwargs))
        with recorder.alone():
            return step(self, *args, **kwargs)

    return wrapped


class LRScheduler:
    """Base of the schedules, and of your own: give it a `get_lr`.

    Parameters
    ----------
    optimizer
        Its groups' present rates are the base rates.
    last_epoch
        −1 to begin; else the number of the last step when resuming, for which the groups must have
        their ``initial_lr``.

    Attributes
    ----------
    last_epoch : int
        Number of the present step, from 0.
    base_lrs : list of float
        The rates that the groups began with. Groups added to the optimizer later join with theirs.

    Raises
    ------
    KeyError
        If a group has no ``initial_lr`` when resuming.

    Examples
    --------
    >>> class WarmUp(tl.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base * min(1, (self.last_epoch + 1) / 100) for base in self.base_lrs]

    >>> scheduler = tl.optim.lr_scheduler.StepLR(optimizer, 2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.1]
    >>> scheduler.load_state_dict(scheduler.state_dict())
    >>> scheduler.welcome_groups()
    >>> scheduler.set_rates([0.5])
    >>> scheduler.new_group(optimizer.param_groups[0])
    """

    _step_count = 0
    _is_initial = False  # while the constructor sets the first rates
    _not_saved: tuple[str, ...] = ("optimizer",)

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"group {i} has no 'initial_lr', which resuming at last_epoch={last_epoch} "
                    "needs: load the optimizer's state first"
                )
        self.base_lrs = [copied(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the rates of the first step."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[float]:
        """Return the groups' rates at step `last_epoch`."""
        raise NotImplementedError

    @by_host
    def step(self, epoch: int | None = None) -> None:
        """Go on to the next step.

        Parameters
        ----------
        epoch
            Go to this one instead, computed from the base rates (deprecated, as in torch).
        """
        if self._step_count == 1 and not self.optimizer.steps_taken:
            warnings.warn(
                "lr_scheduler.step() before the first optimizer.step(): the first rate of the "
                "schedule is left out. Call optimizer.step() first",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warnings.warn("step(epoch) is deprecated: call step()", stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.welcome_groups()
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if epoch is not None and hasattr(self, "lr_at"):
            rates = [self.lr_at(base, epoch) for base in self.base_lrs]
        else:
            rates = self.get_lr()
        self.set_rates(rates)

    def welcome_groups(self) -> None:
        """Take in groups that were added to the optimizer since."""
        groups = self.optimizer.param_groups
        for group in groups[len(self.base_lrs) :]:
            group.setdefault("initial_lr", copied(group["lr"]))
            self.base_lrs.append(copied(group["initial_lr"]))
            self.new_group(group)

    def new_group(self, group: dict[str, Any]) -> None:
        """Give a group that was added later what this schedule needs."""

    def set_rates(self, rates: Sequence[float]) -> None:
        """Give the groups their rates; one that is a Tensor is filled.

        Raises
        ------
        ValueError
            If there are not as many as groups.
        """
        groups = self.optimizer.param_groups
        if len(rates) != len(groups):
            raise ValueError(
                f"{type(self).__name__}: {len(rates)} rates for {len(groups)} parameter groups"
            )
        for group, rate in zip(groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].array[...] = rate.array if isinstance(rate, Tensor) else rate
            else:
                group["lr"] = rate
        self._last_lr = [copied(group["lr"]) for group in groups]

    def get_last_lr(self) -> list[float]:
        """The groups' present rates."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here; not the rates, which the optimizer has.

        Functions are not in it; of other callables, their attributes.
        """
        return {key: copied(v) for key, v in self.__dict__.items() if key not in self._not_saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`, torch's as well. Load the optimizer's, too."""
        self.__dict__.update(copied(dict(state_dict)))


def check_optimizer(optimizer: Any) -> None:
    """Refuse what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"a schedule takes an Optimizer, not a {type(optimizer).__name__}")


def one_per_group(name: str, value: Any, optimizer: Optimizer) -> list:
    """A setting given once, or for each group in a list, as a list."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name}: {len(value)} values for {count} parameter groups")
    return list(value)


def attributes_of(function: Any) -> dict[str, Any] | None:
    """What to save of a callable: nothing of a function."""
    if function is None or isinstance(function, (types.FunctionType, types.BuiltinFunctionType)):
        return None
    return dict(getattr(function, "__dict__", {})) or None
