"""Batch normalization in evaluation as part of the layer before it."""

from __future__ import annotations

import copy
from typing import Any

from tensorlite.nn.module import Module
from tensorlite.nn.parameter import Parameter
from tensorlite.tensor import Tensor

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Module:
    """A copy of a convolution that does what it and the normalization behind it do together.

    Parameters
    ----------
    conv
        A convolution, or a transposed one with ``transpose=True``; in evaluation.
    bn
        The batch normalization of its outputs; in evaluation.

    Returns
    -------
    Module
        Of `conv`'s kind.

    Raises
    ------
    ValueError
        If one is in training, or there are no running statistics.

    Examples
    --------
    >>> conv, bn = nn.Conv2d(3, 4, 3).eval(), nn.BatchNorm2d(4).eval()
    >>> nn.utils.fuse_conv_bn_eval(conv, bn)(tl.zeros(1, 3, 5, 5)).shape
    (1, 4, 3, 3)
    """
    fused = _copy(conv, bn)
    statistics: Any = _statistics(bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight,
        fused.bias,
        *statistics,
        transpose,  # type: ignore[call-arg]  # *statistics are four
    )
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of `fuse_conv_bn_eval` from those of both layers.

    Parameters
    ----------
    conv_w, conv_b : Tensor, shapes (O, C, …) and (O,)
        Of the convolution; the bias may be None.
    bn_rm, bn_rv : Tensor, shape (O,)
        Running mean and variance.
    bn_eps : float
        Added to the variance.
    bn_w, bn_b : Tensor, shape (O,), or None
        Of the normalization.
    transpose : bool
        Whether the convolution is a transposed one.

    Examples
    --------
    >>> w, b = tl.ones(2, 1, 3), tl.zeros(2)
    >>> nn.utils.fuse_conv_bn_weights(w, b, b, tl.ones(2), 0.0, None, None)[0].shape
    (2, 1, 3)
    """
    axis = 1 if transpose else 0
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, axis)


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Module:
    """A copy of a linear layer that does what it and the normalization behind it do together.

    Parameters
    ----------
    linear, bn : Module
        Both in evaluation.

    Returns
    -------
    Module
        A `Linear`.

    Raises
    ------
    ValueError
        If one is in training, or the numbers of features differ.

    Examples
    --------
    >>> linear, bn = nn.Linear(3, 4).eval(), nn.BatchNorm1d(4).eval()
    >>> nn.utils.fuse_linear_bn_eval(linear, bn)(tl.zeros(2, 3)).shape
    (2, 4)
    """
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise ValueError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, but they "
            f"are {linear.out_features} and {bn.num_features}"
        )
    fused = _copy(linear, bn)
    fused.weight, fused.bias = fuse_linear_bn_weights(fused.weight, fused.bias, *_statistics(bn))
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of `fuse_linear_bn_eval` from those of both layers.

    Parameters
    ----------
    linear_w, linear_b : Tensor, shapes (O, I) and (O,)
        Of the linear layer; the bias may be None.
    bn_rm, bn_rv : Tensor, shape (O,)
        Running mean and variance.
    bn_eps : float
        Added to the variance.
    bn_w, bn_b : Tensor, shape (O,), or None
        Of the normalization.

    Examples
    --------
    >>> w, b = tl.ones(2, 3), tl.zeros(2)
    >>> nn.utils.fuse_linear_bn_weights(w, b, b, tl.ones(2), 0.0, None, None)[0].shape
    (2, 3)
    """
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _copy(layer: Module, bn: Module) -> Module:
    if layer.training or bn.training:
        raise ValueError("Fusion only for eval! Call eval() of both layers first")
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError("fusion needs running statistics: track_running_stats=True")
    return copy.deepcopy(layer)


def _statistics(bn: Module) -> tuple[Any, ...]:
    return bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias


def _fused(
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    scale: Tensor | None,
    shift: Tensor | None,
    axis: int,
) -> tuple[Parameter, Parameter]:
    factor = 1 / (var.detach() + eps).sqrt()
    if scale is not None:
        factor = factor * scale.detach()
    shape = [1] * weight.ndim
    shape[axis] = -1
    offset = -mean.detach() if bias is None else bias.detach() - mean.detach()
    moved = offset * factor
    if shift is not None:
        moved = moved + shift.detach()
    fused = weight.detach() * factor.reshape(tuple(shape)).astype(weight.dtype)
    trained = weight.requires_grad
    return Parameter(fused, trained), Parameter(moved.astype(weight.dtype), trained)
