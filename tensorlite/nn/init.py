"""Initial values of parameters: torch's names and formulas, Philox's bits.

All functions overwrite a Tensor in place and return it. What is random is drawn on the host, so
that a seed gives the same weights on every device.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tensorlite import random
from tensorlite.ops.inplace import copy_
from tensorlite.random import Generator
from tensorlite.tape import no_grad
from tensorlite.tensor import Tensor
from tensorlite.unknown import answers_for

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Factor by which weights are enlarged to make up for a nonlinearity.

    Parameters
    ----------
    nonlinearity
        "linear", "conv1d", "conv2d", "conv3d", "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
    param
        The negative slope of "leaky_relu" (default 0.01).

    Raises
    ------
    ValueError
        If there is no such `nonlinearity`.

    Examples
    --------
    >>> nn.init.calculate_gain("relu")
    1.4142135623730951
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), 1.0)
    gains |= {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    if nonlinearity not in gains:
        known = ", ".join([*gains, "leaky_relu"])
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; known: {known}")
    return gains[nonlinearity]


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with `val`.

    Parameters
    ----------
    tensor : Tensor
        Of any shape.
    val : float

    Returns
    -------
    Tensor
        `tensor` itself.

    Examples
    --------
    >>> nn.init.constant_(tl.empty(2), 0.5)
    tensor([0.5, 0.5])
    """
    return _write(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0.

    Parameters
    ----------
    tensor : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        `tensor` itself.

    Examples
    --------
    >>> nn.init.zeros_(tl.empty(2))
    tensor([0., 0.])
    """
    return _write(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1.

    Parameters
    ----------
    tensor : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        `tensor` itself.

    Examples
    --------
    >>> nn.init.ones_(tl.empty(2))
    tensor([1., 1.])
    """
    return _write(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """Write the identity matrix into a Tensor of two axes.

    Parameters
    ----------
    tensor : Tensor, shape (n, m)

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If it is no matrix.

    Examples
    --------
    >>> nn.init.eye_(tl.empty(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if tensor.ndim != 2:
        raise ValueError(f"eye_: a Tensor of shape {tensor.shape} is no matrix")
    return _write(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Make a convolution's weight (out, in, *kernel) pass its channels through unchanged.

    With `groups` each group of outputs passes the inputs of that group.

    Parameters
    ----------
    tensor : Tensor, shape (out, in, ...)
    groups : int
        It divides the number of outputs.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If the shape is not that of a convolution's weight, or `groups` does not divide.

    Examples
    --------
    >>> nn.init.dirac_(tl.empty(1, 1, 3))
    tensor([[[0., 1., 0.]]])
    """
    if not 3 <= tensor.ndim <= 5:
        raise ValueError(f"dirac_: shape {tensor.shape} is no weight of a convolution: 3 to 5 axes")
    values = np.zeros(tensor.shape, np.float32)
    if tensor.shape[0] % groups:
        raise ValueError(f"dirac_: {tensor.shape[0]} outputs do not divide by {groups} groups")
    outputs = tensor.shape[0] // groups
    channels = np.arange(min(outputs, tensor.shape[1]))
    middle = [n // 2 for n in tensor.shape[2:]]
    for group in range(groups):
        values[(group * outputs + channels, channels, *middle)] = 1
    return _write(tensor, values)


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from the uniform distribution in [a, b).

    Parameters
    ----------
    tensor : Tensor
        Of any shape.
    a, b : float
        The bounds.

    Returns
    -------
    Tensor
        `tensor` itself.

    Examples
    --------
    >>> (nn.init.uniform_(tl.empty(3, 4)) < 1).all()
    tensor(True)
    """
    draw = (generator or random.default_generator).uniform(tensor.shape, _draw_dtype(tensor))
    return _write(tensor, draw * (b - a) + a)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from the normal distribution.

    Parameters
    ----------
    tensor : Tensor
        Of any shape.
    mean, std : float

    Returns
    -------
    Tensor
        `tensor` itself.

    Examples
    --------
    >>> nn.init.normal_(tl.empty(3, 4)).shape
    (3, 4)
    """
    draw = (generator or random.default_generator).normal(tensor.shape, _draw_dtype(tensor))
    return _write(tensor, draw * std + mean)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Draw from the normal distribution, and again whatever falls outside [a, b].

    Parameters
    ----------
    tensor : Tensor
        Of any shape.
    mean, std : float
    a, b : float
        The bounds.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If [a, b] holds less than a thousandth of the distribution.

    Examples
    --------
    >>> (nn.init.trunc_normal_(tl.empty(3, 4)).abs() <= 2).all()
    tensor(True)
    """
    scale = std * math.sqrt(2)
    held = (math.erf((b - mean) / scale) - math.erf((a - mean) / scale)) / 2
    if held < 1e-3:
        raise ValueError(
            f"trunc_normal_: [{a}, {b}] holds only {held:.1g} of the normal distribution with mean "
            f"{mean} and standard deviation {std}; use uniform_"
        )
    generator = generator or random.default_generator
    values = np.empty(tensor.numel(), _draw_dtype(tensor))
    outside = np.arange(tensor.numel())
    while outside.size:
        values[outside] = generator.normal(outside.shape, values.dtype) * std + mean
        outside = outside[(values[outside] < a) | (values[outside] > b)]
    return _write(tensor, values.reshape(tensor.shape))


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from ±gain·√(6 / (fan_in + fan_out)) [1]_.

    Parameters
    ----------
    tensor : Tensor, shape (out, in, ...)
    gain : float
        See `calculate_gain`.
    generator : Generator, optional
        Source of the random numbers.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If it has less than two axes.

    References
    ----------
    .. [1] Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
       networks", AISTATS 2010.

    Examples
    --------
    >>> nn.init.xavier_uniform_(tl.empty(3, 4)).shape
    (3, 4)
    """
    bound = gain * math.sqrt(6 / sum(_fans(tensor, "xavier_uniform_")))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw with standard deviation gain·√(2 / (fan_in + fan_out)); see `xavier_uniform_`.

    Parameters
    ----------
    tensor : Tensor, shape (out, in, ...)
    gain : float
        See `calculate_gain`.
    generator : Generator, optional
        Source of the random numbers.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If it has less than two axes.

    Examples
    --------
    >>> nn.init.xavier_normal_(tl.empty(3, 4)).shape
    (3, 4)
    """
    std = gain * math.sqrt(2 / sum(_fans(tensor, "xavier_normal_")))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Draw from ±gain·√(3 / fan) [1]_.

    Parameters
    ----------
    tensor
        A weight with its outputs along the first axis and its inputs along the second.
    a
        Negative slope of the "leaky_relu" that follows.
    mode
        "fan_in" keeps the size of activations, "fan_out" that of gradients.
    nonlinearity
        What follows the layer; see `calculate_gain`.
    generator
        Source of the random numbers.

    Returns
    -------
    Tensor
        `tensor` itself, (out, in, ...).

    Raises
    ------
    ValueError
        If there is no such `mode`, or `tensor` has fewer than two axes.

    References
    ----------
    .. [1] He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> nn.init.kaiming_uniform_(tl.empty(3, 4)).shape
    (3, 4)
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Draw with standard deviation gain / √fan; see `kaiming_uniform_`.

    Parameters
    ----------
    tensor, a, mode, nonlinearity, generator
        As of `kaiming_uniform_`.

    Returns
    -------
    Tensor
        `tensor` itself, (out, in, ...).

    Raises
    ------
    ValueError
        If there is no such `mode`, or `tensor` has fewer than two axes.

    Examples
    --------
    >>> nn.init.kaiming_normal_(tl.empty(3, 4)).shape
    (3, 4)
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_")
    return normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Draw a matrix with orthonormal rows or columns, whichever are fewer, times `gain` [1]_.

    More than two axes count as a matrix (first axis, all others).

    Parameters
    ----------
    tensor : Tensor, shape (n, ...)
    gain : float
    generator : Generator, optional
        Source of the random numbers.

    Returns
    -------
    Tensor
        `tensor` itself.

    Raises
    ------
    ValueError
        If it has less than two axes.

    References
    ----------
    .. [1] Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in
       deep linear neural networks", ICLR 2014.

    Examples
    --------
    >>> w = nn.init.orthogonal_(tl.empty(2, 3))
    >>> tl.allclose(w @ w.T, tl.eye(2), atol=1e-6)
    True
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: a Tensor of shape {tensor.shape} has less than two axes")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    shape = (rows, tensor.numel() // rows)
    draw = (generator or random.default_generator).normal(shape, np.float64)
    q, r = np.linalg.qr(draw if rows >= shape[1] else draw.T)
    q *= np.where(np.diag(r) < 0, -1, 1)  # makes the distribution uniform
    return _write(tensor, (gain * (q if rows >= shape[1] else q.T)).reshape(tensor.shape))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Draw a matrix from the normal distribution, with a part of each column zero [1]_.

    Parameters
    ----------
    tensor
        A Tensor of two axes.
    sparsity
        That part, rounded up to whole elements.
    std
        Standard deviation of the others.
    generator
        Source of the random numbers.

    Returns
    -------
    Tensor
        `tensor` itself, (n, m).

    Raises
    ------
    ValueError
        If it is no matrix.

    References
    ----------
    .. [1] Martens, "Deep learning via Hessian-free optimization", ICML 2010.

    Examples
    --------
    >>> (nn.init.sparse_(tl.empty(4, 2), 0.5) == 0).sum()
    tensor(4)
    """
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: a Tensor of shape {tensor.shape} is no matrix")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    generator = generator or random.default_generator
    values = generator.normal(tensor.shape, _draw_dtype(tensor)) * std
    for column in range(columns):
        values[generator.permutation(rows)[:zeros], column] = 0
    return _write(tensor, values)


def reset_affine(weight: Tensor, bias: Tensor | None) -> None:
    """Draw as torch does for linear layers and convolutions: both from ±1 / √fan_in."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        inputs = _fans(weight, "reset_affine")[0]
        bound = 1 / math.sqrt(inputs) if inputs else 0.0
        uniform_(bias, -bound, bound)


def _write(tensor: Tensor, values: Any) -> Tensor:
    with no_grad():
        return copy_(tensor, values)


def _draw_dtype(tensor: Tensor) -> Any:
    """Half types are drawn in float32 and rounded."""
    return np.float64 if tensor.dtype == np.float64 else np.float32


def _fans(tensor: Tensor, what: str) -> tuple[int, int]:
    """Inputs and outputs that one output and one input is connected with."""
    if tensor.ndim < 2:
        raise ValueError(
            f"{what}: fans of a Tensor of shape {tensor.shape} are not defined: it needs two axes"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str, what: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{what}: mode {mode!r} is neither 'fan_in' nor 'fan_out'")
    fan = _fans(tensor, what)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _older(function: Any) -> Any:
    """A function under torch's older name, without the underscore."""
    name = function.__name__

    def older(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(
            f"`nn.init.{name[:-1]}` is now deprecated in favor of `nn.init.{name}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    older.__name__, older.__doc__ = name[:-1], f"`{name}` under its older name."
    return older


uniform, normal, constant, eye, dirac = map(_older, (uniform_, normal_, constant_, eye_, dirac_))
xavier_uniform, xavier_normal = map(_older, (xavier_uniform_, xavier_normal_))
kaiming_uniform, kaiming_normal = map(_older, (kaiming_uniform_, kaiming_normal_))
orthogonal, sparse = map(_older, (orthogonal_, sparse_))

__getattr__ = answers_for(__name__)
