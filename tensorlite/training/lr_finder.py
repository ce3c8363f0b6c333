"""The learning-rate range test."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from tensorlite.nn.module import Module
from tensorlite.optim import Optimizer
from tensorlite.tensor import Tensor
from tensorlite.training.evaluation import Batch, device_of, moved

__all__ = ["LRCurve", "find_lr"]

SMOOTHING = 0.9
TOO_HIGH = 4.0  # times the lowest loss: from there on it only gets worse
FEWEST = 10


class LRCurve(NamedTuple):
    """Rates, the smoothed losses at them, and the rate where the loss fell fastest.

    Attributes
    ----------
    rates, losses : numpy.ndarray, shape (n,)
    suggestion : float

    Examples
    --------
    >>> curve = tl.training.find_lr(model, optimizer, F.cross_entropy, loader, steps=10)
    >>> curve.rates.shape == curve.losses.shape
    True
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float


def find_lr(
    model: Module,
    optimizer: Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    loader: Iterable[Batch],
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
) -> LRCurve:
    """Raise the learning rate at every step, and look where the loss falls fastest.

    Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3. Model and
    optimizer are afterwards as they were.

    Parameters
    ----------
    model, optimizer
        To be trained.
    loss
        ``loss(output, target)``: the mean over a batch, of shape ().
    loader
        Batches whose last Tensor is the target; begun again where it ends.
    lowest, highest
        The range of rates; steps are even in their logarithm.
    steps
        At most so many: it ends where the loss is four times its lowest.

    Returns
    -------
    LRCurve
        ``rates`` (n,), ``losses`` (n,) smoothed exponentially, and ``suggestion``.

    Raises
    ------
    ValueError
        If the range is empty, or the loss is not finite from the first steps on.

    Examples
    --------
    >>> curve = find_lr(model, optimizer, F.cross_entropy, loader)
    >>> optimizer = tl.optim.AdamW(model.parameters(), lr=curve.suggestion)
    """
    if not 0 < lowest < highest < math.inf or steps < FEWEST:
        raise ValueError(
            f"find_lr: needs 0 < lowest < highest and at least {FEWEST} steps, not {lowest}, "
            f"{highest} and {steps}"
        )
    weights = {name: value.cpu().numpy().copy() for name, value in model.state_dict().items()}
    state, mode = copy.deepcopy(optimizer.state_dict()), model.training
    rates: list[float] = []
    losses: list[float] = []
    try:
        model.train()
        with np.errstate(all="ignore"):
            for value in _losses(model, optimizer, loss, loader, lowest, highest, steps, rates):
                last = losses[-1] if losses else 0.0
                smoothed = SMOOTHING * last + (1 - SMOOTHING) * value
                if not math.isfinite(value):
                    break
                losses.append(smoothed)
                true = smoothed / (1 - SMOOTHING ** len(losses))
                lowest_yet = min(each / (1 - SMOOTHING ** (i + 1)) for i, each in enumerate(losses))
                if len(losses) > FEWEST and true > TOO_HIGH * lowest_yet:
                    break
    finally:
        model.load_state_dict(weights)
        optimizer.load_state_dict(state)
        model.train(mode)
    if len(losses) < FEWEST:
        raise ValueError(
            f"find_lr: the loss is not finite at a learning rate of {rates[-1]:.2g}: scale the data"
        )
    corrected = np.array(losses) / (1 - SMOOTHING ** np.arange(1, len(losses) + 1))
    used = np.array(rates[: len(losses)])
    slopes = np.gradient(corrected, np.log(used))
    inner = slice(FEWEST // 2, max(int(np.argmin(corrected)) + 1, FEWEST // 2 + 1))
    steepest = FEWEST // 2 + int(np.argmin(slopes[inner]))
    return LRCurve(used, corrected, float(used[steepest]))


def _losses(
    model: Module,
    optimizer: Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    loader: Iterable[Batch],
    lowest: float,
    highest: float,
    steps: int,
    rates: list[float],
) -> Any:
    """Take the steps, and yield the loss before each."""
    device = device_of(model)
    while True:
        empty = True
        for batch in loader:
            empty = False
            if len(rates) == steps:
                return
            rates.append(lowest * (highest / lowest) ** (len(rates) / (steps - 1)))
            for group in optimizer.param_groups:
                group["lr"] = rates[-1]
            *inputs, target = moved(batch, device)
            now = loss(model(*inputs), target)
            optimizer.zero_grad()
            now.backward()
            optimizer.step()
            yield now.item()
        if empty:
            raise ValueError("find_lr: the loader has no batches")
