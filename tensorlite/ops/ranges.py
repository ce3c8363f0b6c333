"""Numbers at equal distances, or at equal ratios."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from tensorlite import backend
from tensorlite.backend.dtypes import default_dtype, is_floating
from tensorlite.ops.creation import Where, leaf, place, tensor_dtype
from tensorlite.tensor import Tensor

__all__ = ["arange", "linspace", "logspace"]


def _number(value: Any, name: str) -> Any:
    """A Python number; that of a Tensor or an array with one element, too."""
    if isinstance(value, (bool, int, float)):
        return value
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{name}: a {type(value).__name__} is not a number")


def arange(
    *bounds: Any,
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return start, start + step, … before `end`: ``arange(end)``, ``arange(start, end, step=1)``.

    Of the default dtype if one of them is a float, else int64.

    Parameters
    ----------
    *bounds : int or float
        ``end``, or ``start, end``, or ``start, end, step``.

    Returns
    -------
    Tensor, shape (n,)
        With n = ⌈(end − start) / step⌉.

    Raises
    ------
    RuntimeError
        If the step leads away from the end.
    ValueError
        If the step is 0.

    Examples
    --------
    >>> tl.arange(1, 2, 0.25).tolist()
    [1.0, 1.25, 1.5, 1.75]
    """
    given = list(bounds)
    if len(given) > 3 or not (given or end is not None):
        raise TypeError("arange() takes (end), (start, end) or (start, end, step)")
    if len(given) == 1 and end is None and start is None:
        given = [0, *given]
    elif start is not None or end is not None:
        if len(given) > 1:
            raise TypeError("arange() got start or end twice")
        given = [start if start is not None else (given or [0])[0]] + (
            [end] if end is not None else given
        )
    numbers: Any = [_number(value, "arange") for value in (*given, step)[:3]]
    whole = all(isinstance(value, int) for value in numbers)
    dtype = tensor_dtype(dtype, np.dtype(np.int64) if whole else default_dtype())
    return leaf(
        _on_device(_steps(numbers[0], numbers[1], numbers[2], dtype), device), requires_grad
    )


def _steps(start: Any, end: Any, step: Any, dtype: np.dtype) -> np.ndarray:
    if not all(map(math.isfinite, (start, end, step))):
        raise RuntimeError(f"arange: start {start}, end {end} and step {step} are not all finite")
    if dtype.kind in "iu":
        start, end, step = int(start), int(end), int(step)
    if step == 0:
        raise ValueError("arange: the step is 0")
    if (end - start) * step < 0:
        raise RuntimeError(f"arange: steps of {step} lead away from {end}, beginning at {start}")
    if dtype.kind in "iu":
        count = -((start - end) // step)
        return (start + np.arange(count, dtype=np.int64) * step).astype(dtype)
    count = math.ceil((end - start) / step)
    # Each number from its own place, rounded once: running sums of short floats stand still.
    return (start + np.arange(count) * step).astype(dtype)


def _on_device(values: np.ndarray, device: Where) -> Any:
    where = place(device)
    return backend.backend_for(where).asarray(values, device=where)


def _spaced(name: str, start: Any, end: Any, steps: int, whole: bool) -> np.ndarray:
    """`steps` numbers from `start` to `end` in float64, each half counted from its own end."""
    start, end, steps = _number(start, name), _number(end, name), operator.index(steps)
    if steps < 0:
        raise RuntimeError(f"{name}: at least 0 steps, not {steps}")
    if steps == 1:
        return np.asarray([start], np.float64)
    places = np.arange(steps)
    if whole and steps:
        start, end = int(start), int(end)
    step = np.float64(end - start) / max(steps - 1, 1)
    if whole:
        step = np.float64(np.float32(step))
    return np.where(places < steps // 2, start + step * places, end - step * places[::-1])


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return `steps` numbers at equal distances from `start` to `end`, both included.

    Parameters
    ----------
    start, end : float, or Tensor without axes
    steps : int
        At least 0.

    Returns
    -------
    Tensor, shape (steps,)

    Raises
    ------
    RuntimeError
        If `steps` is negative.

    Examples
    --------
    >>> tl.linspace(0, 1, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    dtype = tensor_dtype(dtype)
    values = _spaced("linspace", start, end, steps, not is_floating(dtype))
    return leaf(_on_device(values.astype(dtype), device), requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return `steps` numbers at equal ratios from ``base**start`` to ``base**end``.

    Parameters
    ----------
    start, end : float, or Tensor without axes
        Exponents.
    steps : int
        At least 0.
    base : float

    Returns
    -------
    Tensor, shape (steps,)

    Raises
    ------
    RuntimeError
        If `steps` is negative.

    Examples
    --------
    >>> tl.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    dtype = tensor_dtype(dtype)
    values = np.power(float(base), _spaced("logspace", start, end, steps, False))
    return leaf(_on_device(values.astype(dtype), device), requires_grad)
