"""Averages of a model's weights.

Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tensorlite.nn.module import Module
from tensorlite.optim.lr_scheduler.base import LRScheduler, one_per_group
from tensorlite.optim.optimizer import Optimizer
from tensorlite.plan import is_float
from tensorlite.tape import no_grad, note_write, on_device_of
from tensorlite.tensor import Tensor, tensor_of
from tensorlite.unknown import answers_for

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def _check_decay(decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must lie in [0, 1], not {decay}")


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """Make a function (average, present, count) → decay · average + (1 − decay) · present.

    Parameters
    ----------
    decay : float
        In [0, 1].

    Raises
    ------
    ValueError
        If it is not.

    Examples
    --------
    >>> tl.optim.swa_utils.get_ema_avg_fn(0.75)(4.0, 0.0, 1)
    3.0
    """
    _check_decay(decay)

    @no_grad()
    def average(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return decay * ema_param + (1 - decay) * current_param

    return average


def get_swa_avg_fn() -> Callable:
    """Make a function (average, present, count) → the mean of count + 1 values.

    Examples
    --------
    >>> tl.optim.swa_utils.get_swa_avg_fn()(4.0, 0.0, 1)
    2.0
    """

    @no_grad()
    def average(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (int(num_averaged) + 1)

    return average


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """Make the function of `get_ema_avg_fn` for lists of Tensors, which changes the averages.

    Parameters
    ----------
    decay : float
        In [0, 1].

    Raises
    ------
    ValueError
        If it is not.

    Examples
    --------
    >>> average = [tl.tensor([4.0])]
    >>> tl.optim.swa_utils.get_ema_multi_avg_fn(0.75)(average, [tl.tensor([0.0])], 1)
    >>> average[0]
    tensor([3.])
    """
    _check_decay(decay)

    @no_grad()
    def average(ema_params: list[Tensor], current_params: list[Tensor], num_averaged: Any) -> None:
        for mean, present in zip(ema_params, current_params, strict=True):
            _approach(mean, present, 1 - decay)

    return average


def get_swa_multi_avg_fn() -> Callable:
    """Make the function of `get_swa_avg_fn` for lists of Tensors, which changes the averages.

    Examples
    --------
    >>> average = [tl.tensor([4.0])]
    >>> tl.optim.swa_utils.get_swa_multi_avg_fn()(average, [tl.tensor([0.0])], 1)
    >>> average[0]
    tensor([2.])
    """

    @no_grad()
    def average(means: list[Tensor], current_params: list[Tensor], num_averaged: Any) -> None:
        for mean, present in zip(means, current_params, strict=True):
            _approach(mean, present, 1 / (int(num_averaged) + 1))

    return average


def _approach(mean: Tensor, present: Tensor, part: float) -> None:
    """Move `mean` by a part of the way to `present`, in its own memory."""
    to, x = mean.array, present.array
    with on_device_of(to):
        if is_float(to):
            to += ((x - to) * part).astype(to.dtype, copy=False)
        else:
            to[...] = (to + (x - to) * part).astype(to.dtype)
    note_write(to)


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of that model's.

    Inputs and outputs are those of `model`, of any shapes.

    Parameters
    ----------
    model
        The model; it is copied.
    device
        Where the copy lies (default: where the model does).
    avg_fn
        ``avg_fn(average, present, count) -> average`` for each parameter (default: the mean).
    multi_avg_fn
        The same for lists of them, changing the averages in place.
    use_buffers
        Average buffers, too; else they are copied.

    Raises
    ------
    ValueError
        If both functions are given.

    Examples
    --------
    >>> ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    >>> for x, y in loader:
    ...     step(model, x, y)
    ...     ema.update_parameters(model)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel takes avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor_of(np.array(0, np.int64)))
        self.avg_fn, self.multi_avg_fn = avg_fn, multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the averaged model."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of `model` into the averages; at first, copy them."""
        means: list[Tensor] = list(self.module.parameters())
        present: list[Tensor] = list(model.parameters())
        buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
        if self.use_buffers:
            means += [mean for mean, _ in buffers]
            present += [value for _, value in buffers]
            buffers = []
        here = [p.detach().to(m.device) for m, p in zip(means, present, strict=True)]
        count = int(self.n_averaged)
        if count == 0:
            buffers = [*buffers, *zip(means, here, strict=True)]
        elif self.avg_fn is not None:
            for mean, value in zip(means, here, strict=True):
                _copy(mean, self.avg_fn(mean.detach(), value, self.n_averaged.to(mean.device)))
        else:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            for group in _by_place(means, here):
                update(*group, self.n_averaged.to(group[0][0].device))
        for mean, value in buffers:
            _copy(mean, value.detach().to(mean.device))
        self.n_averaged.array[...] = count + 1


def _copy(to: Tensor, value: Tensor) -> None:
    with on_device_of(to.array):
        to.array[...] = value.array
    note_write(to.array)


def _by_place(means: list[Tensor], present: list[Tensor]) -> list[tuple[list, list]]:
    """Pairs of lists, each of Tensors of one device and dtype."""
    groups: dict[Any, tuple[list, list]] = {}
    for mean, value in zip(means, present, strict=True):
        found = groups.setdefault((str(mean.device), mean.dtype), ([], []))
        found[0].append(mean.detach())
        found[1].append(value)
    return list(groups.values())


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the statistics of a model's batch norms anew, as means over what `loader` gives.

    Parameters
    ----------
    loader
        Batches: inputs, or lists and tuples that begin with them.
    model
        Its batch norms are in training mode meanwhile.
    device
        Where inputs are moved first.

    Examples
    --------
    >>> tl.optim.swa_utils.update_bn(loader, nn.Sequential(nn.BatchNorm1d(4)))
    """
    from tensorlite.nn.batch_norm import BatchNormNd

    norms = [module for module in model.modules() if isinstance(module, BatchNormNd)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    training = model.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    model.train()
    try:
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, (list, tuple)) else batch
                model(x if device is None else x.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(training)


class SWALR(LRScheduler):
    """Go from the present rates to `swa_lr` in `anneal_epochs` steps, and stay there.

    Parameters
    ----------
    optimizer
        The optimizer.
    swa_lr
        The rate in the end; one for all groups, or a list.
    anneal_epochs
        Steps on the way.
    anneal_strategy
        "cos" for half a cosine, "linear" for a line.
    last_epoch
        See `LRScheduler`.

    Raises
    ------
    ValueError
        If there is no such `anneal_strategy`, or `anneal_epochs` is negative.

    Examples
    --------
    >>> scheduler = tl.optim.swa_utils.SWALR(optimizer, swa_lr=0.05, anneal_epochs=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.075]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be at least 0, not {anneal_epochs}")
        rates = one_per_group("swa_lr", swa_lr, optimizer)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def new_group(self, group: dict[str, Any]) -> None:
        """The rate of the first group."""
        group.setdefault("swa_lr", self.optimizer.param_groups[0]["swa_lr"])

    def _part(self, step: int) -> float:
        """How much of the way is done."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[float]:
        """The present rates, moved on as the part of the way grows."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        rates = []
        for group in self.optimizer.param_groups:
            goal, rate = group["swa_lr"], group["lr"]
            start = goal if before == 1 else (rate - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates


__getattr__ = answers_for(__name__)
