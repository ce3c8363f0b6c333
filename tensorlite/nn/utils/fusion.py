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
    """
    fused = _copy(conv, bn)
    statistics: Any = _statistics(bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight,
        fused.bias,
        *statistics,
        transpose,  # type: ignore[call-arg]
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
    """Weight and bias of `fuse_conv_bn_eval` from those of both layers."""
    axis = 1 if transpose else 0
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, axis)


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Module:
    """A copy of a linear layer that does what it and the normalization behind it do together."""
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
    """Weight and bias of `fuse_linear_bn_eval` from those of both layers."""
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
