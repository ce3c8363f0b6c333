"""Activation functions as torch's ``nn.functional`` has them: with ``inplace`` and ``dtype``.

``inplace=True`` writes the result into `input`, as a method with a trailing underscore does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from tensorlite import ops
from tensorlite.ops import activation, rectifiers
from tensorlite.ops.activation import *  # noqa: F403 (those below take their place)
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.inplace import in_place
from tensorlite.ops.rectifiers import *  # noqa: F403
from tensorlite.ops.softmax import log_softmax as log_softmax_of
from tensorlite.ops.softmax import softmax as softmax_of
from tensorlite.tensor import Tensor

__all__ = [*activation.__all__, *rectifiers.__all__, "log_softmax", "softmax", "softmin"]


def relu(input: Tensor, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """``max(input, 0)``; its derivative at 0 is 0.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Examples
    --------
    >>> F.relu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return in_place(ops.relu)(input) if inplace else ops.relu(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """Clip `input` to [0, 6]; the derivative at the bounds is 0.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Examples
    --------
    >>> F.relu6(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return in_place(ops.relu6)(input) if inplace else ops.relu6(input)


def selu(input: Tensor, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """`elu` scaled so that mean 0 and variance 1 are kept (Klambauer et al. 2017).

    Parameters
    ----------
    input : Tensor
        Of any shape; integers become the default dtype.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Examples
    --------
    >>> F.selu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.3658143,  0.       ,  2.101402 ])
    """
    return in_place(ops.selu)(input) if inplace else ops.selu(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """``input * sigmoid(input)``, also called swish.

    Parameters
    ----------
    input : Tensor
        Of any shape; integers become the default dtype.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Examples
    --------
    >>> F.silu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.2736383,  0.       ,  1.761594 ])
    """
    return in_place(ops.silu)(input) if inplace else ops.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """``input * tanh(softplus(input))`` (Misra 2019).

    Parameters
    ----------
    input : Tensor
        Of any shape; integers become the default dtype.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Examples
    --------
    >>> F.mish(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.29809976,  0.        ,  1.9439589 ])
    """
    return in_place(ops.mish)(input) if inplace else ops.mish(input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """``input / 6 + 1/2``, clipped to [0, 1]; the derivative at ±3 is 0.

    Parameters
    ----------
    input : Tensor
        Of any shape; integers become the default dtype.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Examples
    --------
    >>> F.hardsigmoid(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([0.25     , 0.5      , 0.8333334])
    """
    return in_place(ops.hardsigmoid)(input) if inplace else ops.hardsigmoid(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """``input * hardsigmoid(input)`` (Howard et al. 2019, "Searching for MobileNetV3").

    Parameters
    ----------
    input : Tensor
        Of any shape; integers become the default dtype.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Examples
    --------
    >>> F.hardswish(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.375    ,  0.       ,  1.6666667])
    """
    return in_place(ops.hardswish)(input) if inplace else ops.hardswish(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """Scale what is below 0 by `negative_slope`, which is also the derivative at 0.

    Parameters
    ----------
    input : Tensor
        Of any shape; integers become the default dtype.
    negative_slope : float
        The factor below 0.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Examples
    --------
    >>> F.leaky_relu(tl.tensor([-1.5, 0.0, 2.0]), 0.1)
    tensor([-0.15,  0.  ,  2.  ])
    """
    op = in_place(ops.leaky_relu) if inplace else ops.leaky_relu
    return op(input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """`alpha` · (exp(x) - 1) below 0, x above (Clevert et al. 2015).

    Parameters
    ----------
    input : Tensor
        Of any shape; integers become the default dtype.
    alpha : float
        Where it levels off below 0.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Examples
    --------
    >>> F.elu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.77686983,  0.        ,  2.        ])
    """
    return in_place(ops.elu)(input, alpha) if inplace else ops.elu(input, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """`alpha` · (exp(x / `alpha`) - 1) below 0, x above: smooth for any alpha (Barron 2017).

    Parameters
    ----------
    input : Tensor
        Of any shape; integers become the default dtype.
    alpha : float
        Where it levels off below 0; not 0.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Examples
    --------
    >>> F.celu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.77686983,  0.        ,  2.        ])
    """
    return in_place(ops.celu)(input, alpha) if inplace else ops.celu(input, alpha)


def hardtanh(  # type: ignore[no-redef]  # over the operation: torch's arguments
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Clip `input` to [`min_val`, `max_val`]; the derivative at the bounds is 0.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    min_val, max_val : float
        The bounds.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Raises
    ------
    ValueError
        If `min_val` is above `max_val`.
    TypeError
        If `input` is of booleans, or of unsigned integers and a bound is below 0.

    Examples
    --------
    >>> F.hardtanh(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    op = in_place(ops.hardtanh) if inplace else ops.hardtanh
    return op(input, min_val, max_val)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:  # type: ignore[no-redef]  # over the operation: torch's arguments
    """`input` where it is above `threshold`, `value` elsewhere.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    threshold, value : float
        As above.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Examples
    --------
    >>> F.threshold(tl.tensor([-1.5, 0.0, 2.0]), 0.5, -1.0)
    tensor([-1., -1.,  2.])
    """
    op = in_place(ops.threshold) if inplace else ops.threshold
    return op(input, threshold, value)


def rrelu(  # type: ignore[no-redef]  # over the operation: torch's arguments
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """`leaky_relu` with a slope drawn for each element (Xu et al. 2015); see `tl.rrelu`.

    Parameters
    ----------
    input : Tensor
        Of any shape; integers become the default dtype.
    lower, upper : float
        Between which the slopes are drawn.
    training : bool
        Whether to draw; if not, all are their mean.
    inplace : bool
        Whether to write into `input`, and return it.

    Returns
    -------
    Tensor
        Of `input`'s shape and float dtype.

    Raises
    ------
    ValueError
        If `lower` is above `upper`.

    Examples
    --------
    >>> F.rrelu(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-0.34375,  0.     ,  2.     ])
    """
    op = in_place(ops.rrelu) if inplace else ops.rrelu
    return op(input, lower, upper, training)


def _along(function: Callable, input: Tensor, dim: int | None, dtype: Any) -> Tensor:
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(
            f"{function.__name__} without dim takes {dim} here: write dim={dim}", stacklevel=4
        )
    return function(input, dim, dtype)


@takes_axis
def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """``exp(input) / Σ exp(input)`` along `dim`; with `dtype` the input is cast to it first.

    Parameters
    ----------
    input : Tensor
        Of any shape and a float dtype.
    dim : int
        The axis. None, with a warning, takes 0 or 1 by the number of axes.
    dtype : dtype, optional
        What `input` is cast to first.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Examples
    --------
    >>> F.softmax(tl.tensor([0.0, 0.0]), dim=0)
    tensor([0.5, 0.5])
    """
    return _along(softmax_of, input, dim, dtype)


@takes_axis
def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """`softmax` of ``-input``.

    Parameters
    ----------
    input : Tensor
        Of any shape and a float dtype.
    dim : int
        The axis. None, with a warning, takes 0 or 1 by the number of axes.
    dtype : dtype, optional
        What `input` is cast to first.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Examples
    --------
    >>> F.softmin(tl.tensor([0.0, 0.0]), dim=0)
    tensor([0.5, 0.5])
    """
    return _along(softmax_of, -input, dim, dtype)


@takes_axis
def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """Logarithm of `softmax`; with `dtype` the input is cast to it first.

    Parameters
    ----------
    input : Tensor
        Of any shape and a float dtype.
    dim : int
        The axis. None, with a warning, takes 0 or 1 by the number of axes.
    dtype : dtype, optional
        What `input` is cast to first.

    Returns
    -------
    Tensor
        Of `input`'s shape.

    Examples
    --------
    >>> F.log_softmax(tl.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931472, -0.6931472])
    """
    return _along(log_softmax_of, input, dim, dtype)
