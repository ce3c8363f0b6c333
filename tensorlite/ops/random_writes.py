"""Random numbers written into a Tensor: ``t.normal_()`` and its kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.backend.dtypes import is_floating
from tensorlite.ops.inplace import write
from tensorlite.ops.random import check_probabilities, coins, float_dtype, randint, source
from tensorlite.random import Generator
from tensorlite.tensor import Tensor, tensor_of


def _write(x: Tensor, values: Array) -> Tensor:
    write(x, ..., tensor_of(values))
    return x


def normal_(
    x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers.

    Parameters
    ----------
    mean, std : float
        `std` is not negative.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape and a float dtype.

    Raises
    ------
    RuntimeError
        If `std` is negative.

    Examples
    --------
    >>> tl.zeros(2).normal_(3.0, 0.0)
    tensor([3., 3.])
    """
    float_dtype("normal_", x.dtype)
    if std < 0:
        raise RuntimeError(f"normal_: a deviation is at least 0, not {std}")
    return _write(x, _normal(x, generator) * std + mean)


def _normal(x: Tensor, generator: Generator | None) -> Array:
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    return source(generator).normal(tuple(x.shape), dtype, x.device)


def _uniform(x: Tensor, generator: Generator | None) -> Array:
    """Uniform in [0, 1), in the bits of float32 at least."""
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    return source(generator).uniform(tuple(x.shape), dtype, x.device)


def uniform_(
    x: Tensor, *bounds: float, generator: Generator | None = None, **named: float
) -> Tensor:
    """Fill with numbers uniform from `from`, by default 0, up to `to`, by default 1.

    Parameters
    ----------
    *bounds : float
        ``from, to``.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape and a float dtype.

    Raises
    ------
    TypeError
        If there are other arguments.
    RuntimeError
        If `from` is above `to`.

    Examples
    --------
    >>> (tl.zeros(2).uniform_(3, 4) >= 3).all()
    tensor(True)
    """
    low, high = _bounds("uniform_", bounds, named, 0.0, 1.0)
    float_dtype("uniform_", x.dtype)
    if not low <= high:
        raise RuntimeError(f"uniform_: from={low} is above to={high}")
    drawn = source(generator).uniform(tuple(x.shape), x.dtype, x.device)
    values = (drawn * (high - low) + low).astype(x.dtype)
    if high > low:  # rounding may reach the end, which is not part of the range
        xp = array_backend((values,)).xp
        values = xp.where(values >= high, xp.asarray(low, x.dtype), values)
    return _write(x, values)


def _bounds(name: str, given: tuple, named: dict, low: Any, high: Any) -> tuple:
    """`from` and `to`, which is a word of Python's and can be named in a dictionary only."""
    wrong = set(named) - {"from", "to"}
    if wrong or len(given) + len(named) > 2:
        raise TypeError(f"{name}() takes from and to, not {given} and {named}")
    values = dict(zip(("from", "to"), given, strict=False)) | named
    return values.get("from", low), values.get("to", high)


def random_(x: Tensor, *bounds: int, generator: Generator | None = None, **named: int) -> Tensor:
    """Fill with integers: in [from, to), in [0, to), or all that the dtype holds from 0 on.

    Parameters
    ----------
    *bounds : int
        ``to``, or ``from, to``.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape.

    Raises
    ------
    TypeError
        If there are other arguments.

    Examples
    --------
    >>> tl.zeros(2).random_(3, 4)
    tensor([3., 3.])
    """
    if len(bounds) == 1 and not named:
        bounds = (0, *bounds)
    low, high = _bounds("random_", bounds, named, 0, None)
    if high is None:
        high = min(_integers_held(x.dtype), 1 << 32)
    drawn = randint(low, high, tuple(x.shape), generator=generator, dtype=x.dtype, device=x.device)
    return _write(x, drawn.array)


def _integers_held(dtype: np.dtype) -> int:
    """The first integer above 0 that `dtype` does not hold exactly any more, or at all."""
    if dtype.kind == "b":
        return 2
    if is_floating(dtype):
        digits = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}[dtype.name]
        return (1 << digits) + 1
    return int(np.iinfo(dtype).max) + 1


def bernoulli_(x: Tensor, p: float | Tensor = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1 where a draw of probability `p` comes out true, and with 0 elsewhere.

    Parameters
    ----------
    p : float or Tensor
        Of a shape that broadcasts.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape.

    Examples
    --------
    >>> tl.zeros(2).bernoulli_(1.0)
    tensor([1., 1.])
    """
    p = p.array if isinstance(p, Tensor) else p
    check_probabilities("bernoulli_", p, x.device)
    return _write(x, coins(source(generator), p, x).astype(x.dtype))


def exponential_(x: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with times until the next event, where `lambd` happen in a unit of time.

    Parameters
    ----------
    lambd : float
        Above 0.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape and a float dtype.

    Raises
    ------
    RuntimeError
        If `lambd` is not above 0.

    Examples
    --------
    >>> (tl.zeros(2).exponential_() > 0).all()
    tensor(True)
    """
    float_dtype("exponential_", x.dtype)
    if not lambd > 0:
        raise RuntimeError(f"exponential_: lambd is above 0, not {lambd}")
    xp = array_backend((x.array,)).xp
    drawn = _uniform(x, generator)
    middle = drawn + 2.0 ** (-54 if drawn.dtype == np.float64 else -25)  # no time is 0
    return _write(x, xp.log1p(-middle) / -lambd)


def geometric_(x: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of trials until the first success, of probability `p`.

    Parameters
    ----------
    p : float
        Between 0 and 1.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape.

    Raises
    ------
    RuntimeError
        If `p` is not between 0 and 1.

    Examples
    --------
    >>> (tl.zeros(2).geometric_(0.5) >= 1).all()
    tensor(True)
    """
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_: p is between 0 and 1, not {p}")
    xp = array_backend((x.array,)).xp
    trials = xp.ceil(xp.log1p(-_uniform(x, generator)) / np.log1p(-p))
    return _write(x, xp.maximum(trials, 1).astype(x.dtype))


def cauchy_(
    x: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers of the Cauchy distribution.

    Parameters
    ----------
    median, sigma : float
        Its middle, and half the distance of its quartiles.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape and a float dtype.

    Examples
    --------
    >>> tl.zeros(2).cauchy_().shape
    (2,)
    """
    float_dtype("cauchy_", x.dtype)
    xp = array_backend((x.array,)).xp
    return _write(x, median + sigma * xp.tan(np.pi * (_uniform(x, generator) - 0.5)))


def log_normal_(
    x: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers whose logarithms are normal, of this mean and deviation.

    Parameters
    ----------
    mean, std : float
        Of the logarithms.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape and a float dtype.

    Examples
    --------
    >>> (tl.zeros(2).log_normal_() > 0).all()
    tensor(True)
    """
    float_dtype("log_normal_", x.dtype)
    xp = array_backend((x.array,)).xp
    return _write(x, xp.exp(_normal(x, generator) * std + mean))
