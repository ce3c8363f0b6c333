"""Random Tensors, drawn from a `tensorlite.random.Generator`: the same bits on every device."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite.backend import CPU, Array, Device, array_backend
from tensorlite.backend.dtypes import is_floating
from tensorlite.ops.creation import Where, as_shape, given_shape, leaf, place, tensor_dtype
from tensorlite.ops.elementwise import cast
from tensorlite.random import Generator, default_generator
from tensorlite.tensor import Tensor, tensor_of

__all__ = [
    "bernoulli",
    "multinomial",
    "normal",
    "poisson",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
]


def source(generator: Generator | None) -> Generator:
    """The generator given, or the default one."""
    return default_generator if generator is None else generator


def float_dtype(name: str, dtype: Any) -> np.dtype:
    """The float dtype that was given, or the default one.

    Raises
    ------
    NotImplementedError
        If it is not floating point.
    """
    dtype = tensor_dtype(dtype)
    if not is_floating(dtype):
        raise NotImplementedError(f"{name}: drawn are floats, not {dtype}")
    return dtype


# --- uniform and normal -------------------------------------------------------------------------


def rand(
    *shape: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Draw numbers uniform in [0, 1).

    Parameters
    ----------
    *shape : int, or one sequence of int
        Lengths of the axes.
    size : sequence of int
        The same by name.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        Of that shape and `dtype`, by default the default one.

    Examples
    --------
    >>> tl.rand(2, 3).shape
    (2, 3)
    """
    shape, dtype = given_shape("rand", shape, size), float_dtype("rand", dtype)
    return leaf(source(generator).uniform(shape, dtype, place(device)), requires_grad)


def randn(
    *shape: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Draw numbers from the standard normal distribution.

    Parameters
    ----------
    *shape : int, or one sequence of int
        Lengths of the axes.
    size : sequence of int
        The same by name.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        Of that shape and `dtype`, by default the default one.

    Examples
    --------
    >>> tl.randn(2, 3).shape
    (2, 3)
    """
    shape, dtype = given_shape("randn", shape, size), float_dtype("randn", dtype)
    return leaf(source(generator).normal(shape, dtype, place(device)), requires_grad)


def rand_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """Draw numbers uniform in [0, 1), of `input`'s shape, and of its dtype and on its device.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Examples
    --------
    >>> tl.rand_like(tl.zeros(2, 3)).shape
    (2, 3)
    """
    dtype = input.dtype if dtype is None else dtype
    device = input.device if device is None else device
    return rand(
        tuple(input.shape),
        generator=generator,
        dtype=dtype,
        device=device,
        requires_grad=requires_grad,
    )


def randn_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """Draw standard normal numbers, of `input`'s shape, and of its dtype and on its device.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Examples
    --------
    >>> tl.randn_like(tl.zeros(2, 3)).shape
    (2, 3)
    """
    dtype = input.dtype if dtype is None else dtype
    device = input.device if device is None else device
    return randn(
        tuple(input.shape),
        generator=generator,
        dtype=dtype,
        device=device,
        requires_grad=requires_grad,
    )


def normal(
    mean: Tensor | float = 0.0,
    std: Tensor | float = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Draw normal numbers, of one mean and deviation for `size`, or of Tensors of them.

    The result has no gradient by `mean` and `std`: for one, write ``mean + std * randn``.

    Parameters
    ----------
    mean, std : Tensor or float
        They broadcast.
    size : sequence of int
        The shape, where both are numbers.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        Of the dtype of `mean`, where that is a Tensor; else of that of `std`.

    Raises
    ------
    RuntimeError
        If a deviation is negative.

    Examples
    --------
    >>> tl.normal(0.0, 1.0, (2, 3)).shape
    (2, 3)
    """
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    lowest = std.array.min() if isinstance(std, Tensor) and std.numel() else std
    if not isinstance(lowest, Tensor) and lowest < 0:
        raise RuntimeError(f"normal: a deviation is at least 0, not {lowest}")
    if not tensors:
        if size is None:
            raise TypeError("normal: of two numbers the size must be given, size=(2, 3)")
        drawn = randn(size, generator=generator, dtype=dtype, device=device)
        return leaf((drawn * std + mean).array, requires_grad)
    shape = np.broadcast_shapes(*[tuple(x.shape) for x in tensors])
    like = tensors[0]
    values = source(generator).normal(shape, float_dtype("normal", like.dtype), like.device)
    drawn = tensor_of(values) * _detached(std) + _detached(mean)
    return leaf(cast(drawn, like.dtype).array, requires_grad)


def _detached(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


# --- integers -----------------------------------------------------------------------------------


def randint(
    *bounds: Any,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Draw integers in [low, high): ``randint(high, size)``, or ``randint(low, high, size)``.

    Parameters
    ----------
    *bounds : int, and the shape
        As above.
    low, high : int
        The same by name.
    size : sequence of int
        The shape.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        Of shape `size`: int64, unless another dtype is given.

    Raises
    ------
    RuntimeError
        If there is no integer in the range, or the dtype does not hold all of them.

    Examples
    --------
    >>> tl.randint(3, 4, (2,))
    tensor([3, 3])
    """
    numbers = list(bounds)
    if size is None:
        if not numbers or isinstance(numbers[-1], (int, np.integer)):
            raise TypeError("randint() takes (high, size) or (low, high, size); size is a tuple")
        size = numbers.pop()
    if high is None:
        if not numbers:
            raise TypeError("randint() needs the end of the range, high")
        high = numbers.pop()
    if low is None:
        low = numbers.pop() if numbers else 0
    if numbers:
        raise TypeError("randint() takes (high, size) or (low, high, size)")
    low, high = int(low), int(high)
    dtype = tensor_dtype(dtype, np.dtype(np.int64))
    _check_range("randint", low, high, dtype)
    drawn = source(generator).integers(low, high, as_shape((size,)), np.int64, place(device))
    return leaf(drawn.astype(dtype), requires_grad)


def _check_range(name: str, low: int, high: int, dtype: np.dtype) -> None:
    if low >= high:
        raise RuntimeError(f"{name}: there is no integer in [{low}, {high})")
    least: float
    most: float
    if dtype.kind == "b":
        least, most = 0, 1
    elif dtype.kind in "iu":
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    elif dtype.kind == "f":
        least, most = float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    else:
        return
    if low < least or high - 1 > most:
        raise RuntimeError(f"{name}: {dtype} holds not all integers in [{low}, {high})")


def randint_like(
    input: Tensor,
    *bounds: int,
    low: int | None = None,
    high: int | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """Draw integers in [low, high), or [0, high), of `input`'s shape, dtype and device.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    *bounds : int
        ``high``, or ``low, high``.
    low, high : int
        The same by name.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Examples
    --------
    >>> tl.randint_like(tl.zeros(2), 3, 4)
    tensor([3., 3.])
    """
    return randint(
        *bounds,
        low=low,
        high=high,
        size=tuple(input.shape),
        generator=generator,
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
        requires_grad=requires_grad,
    )


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Where = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return the numbers 0 … n−1 in random order, as int64.

    Parameters
    ----------
    n : int
        At least 0.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor of int64, shape (n,)

    Raises
    ------
    RuntimeError
        If `n` is negative.

    Examples
    --------
    >>> tl.randperm(4).sort().values
    tensor([0, 1, 2, 3])
    """
    if n < 0:
        raise RuntimeError(f"randperm: n is at least 0, not {n}")
    dtype = tensor_dtype(dtype, np.dtype(np.int64))
    drawn = tensor_of(source(generator).permutation(n).astype(dtype)).to(place(device))
    return leaf(drawn.array, requires_grad)


# --- by probabilities ---------------------------------------------------------------------------


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Draw 1 with probability `input`, or `p`, and 0 otherwise; of `input`'s shape and dtype.

    Parameters
    ----------
    input : Tensor
        Probabilities, of any shape and a float dtype.
    p : float, optional
        One probability for all.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If a probability is not in [0, 1] (of a Tensor, on the CPU).

    Examples
    --------
    >>> tl.bernoulli(tl.tensor([0.0, 1.0, 1.0]))
    tensor([0., 1., 1.])
    """
    probabilities = input.array if p is None else p
    check_probabilities("bernoulli", probabilities, input.device)
    if p is None:
        float_dtype("bernoulli", input.dtype)
    return tensor_of(coins(source(generator), probabilities, input).astype(input.dtype))


def check_probabilities(name: str, p: Any, device: Device) -> None:
    """Refuse what is not in [0, 1]; of an array, on the CPU."""
    if device == CPU and not np.all((np.asarray(p) >= 0) & (np.asarray(p) <= 1)):
        raise RuntimeError(f"{name}: a probability is not in [0, 1]")


def coins(generator: Generator, p: Any, like: Tensor) -> Array:
    """Booleans of the shape of `like`, each true with probability `p`."""
    return generator.uniform(tuple(like.shape), np.float32, like.device) < p


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Draw counts of events that are expected `input` times; of `input`'s shape and dtype.

    Parameters
    ----------
    input : Tensor
        Rates, of any shape and a float dtype.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    RuntimeError
        If a rate is negative or NaN.

    Examples
    --------
    >>> tl.poisson(tl.tensor([0.0, 0.0]))
    tensor([0., 0.])
    """
    dtype = float_dtype("poisson", input.dtype)
    rates = input.detach().cpu().array.astype(np.float64)
    if not (rates >= 0).all():
        raise RuntimeError("poisson: a rate is negative or no number")
    words = source(generator).integers(0, 1 << 32, (2,))
    drawn = np.random.Generator(np.random.Philox(key=words.astype(np.uint64))).poisson(rates)
    return tensor_of(np.asarray(drawn).astype(dtype)).to(input.device)


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Draw numbers of categories, as often as their weights say.

    Parameters
    ----------
    input : Tensor
        Weights that are not negative, of one axis, or of rows that are drawn from by themselves.
    num_samples : int
        How many are drawn from each row.
    replacement : bool
        Whether a category can be drawn again.
    generator : Generator, optional
        Where the numbers come from.

    Returns
    -------
    Tensor
        int64, of shape (num_samples,), or (rows, num_samples).

    Raises
    ------
    RuntimeError
        If weights are negative, not finite or all 0, or there are too few of them.

    Examples
    --------
    >>> tl.multinomial(tl.tensor([0.0, 1.0]), 3, replacement=True)
    tensor([1, 1, 1])
    """
    if len(input.shape) not in (1, 2):
        raise RuntimeError(f"multinomial: shape {tuple(input.shape)} is not of rows of weights")
    float_dtype("multinomial", input.dtype)
    if num_samples < 1:
        raise RuntimeError(f"multinomial: at least one sample, not {num_samples}")
    weights = input.array.astype(np.float64).reshape(-1, input.shape[-1])
    xp = array_backend((weights,)).xp
    sums = weights.sum(-1)
    if not bool(((weights >= 0) & (weights < np.inf)).all() and (sums > 0).all()):
        raise RuntimeError("multinomial: weights are finite, not negative, and some are above 0")
    rows, n = weights.shape
    draw = source(generator).uniform
    if replacement:
        ends = xp.cumsum(weights, -1) / sums[:, None]
        ends[ends == ends[:, -1:]] = 1  # what follows the last weight above 0 is never drawn
        u = draw((rows, num_samples), np.float64, input.device)
        drawn = xp.stack(
            [xp.searchsorted(e, x, side="right") for e, x in zip(ends, u, strict=True)]
        )
    else:
        if num_samples > n or int((weights > 0).sum(-1).min()) < num_samples:
            raise RuntimeError(
                f"multinomial: {num_samples} samples of fewer categories above 0, without "
                "replacement"
            )
        # The first of exponential clocks to ring, each as fast as its weight, then the second, …
        clocks = -xp.log1p(-draw((rows, n), np.float64, input.device)) + 1e-300
        drawn = xp.argsort(-(weights / clocks), -1)[:, :num_samples]
    return tensor_of(drawn.astype(np.int64).reshape((*input.shape[:-1], num_samples)))
