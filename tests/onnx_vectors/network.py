"""Adapters of layers: softmax, convolution, pooling, norms, losses, resizing."""

from __future__ import annotations

import math

from onnx_vectors import NotCovered, adapts, numbers, same, same_pads, spatial_pads
from tensorlite import ops
from tensorlite.nn import functional as F
from tensorlite.ops.padding import pad_constant

same(
    GlobalAveragePool=lambda x: ops.mean(x, tuple(range(2, len(x.shape))), keepdims=True),
    GlobalMaxPool=lambda x: ops.amax(x, tuple(range(2, len(x.shape))), keepdims=True),
)


@adapts("Softmax")
def softmax(x, *, axis=-1):
    return F.softmax(x, axis)


@adapts("LogSoftmax")
def log_softmax(x, *, axis=-1):
    return F.log_softmax(x, axis)


@adapts("Hardmax")
def hardmax(x, *, axis=-1):
    hot = ops.one_hot(ops.argmax(x, axis), num_classes=x.shape[axis])
    return ops.cast(ops.moveaxis(hot, -1, axis), x.dtype)


@adapts("Dropout")
def dropout(x, ratio=None, training=None, *, seed=None):
    if training is not None and training.item() and (ratio is None or ratio.item()):
        raise NotCovered("ONNX's random numbers")
    return F.dropout(x, training=False), ops.ones_like(x, dtype=bool)


def padded(x, pads, auto_pad, kernel, strides, dilations, value=0.0):
    """`x` with the padding that ONNX's settings mean, and what is left to the operation.

    That is a number for each axis, where it is the same before and after and at most half a window.
    """
    if auto_pad.startswith("SAME"):
        pads = same_pads(auto_pad, x.shape[2:], kernel, strides, dilations)
    pads = [0] * (2 * len(kernel)) if pads is None or auto_pad == "VALID" else pads
    pairs = spatial_pads(pads)
    if all(begin == end <= k // 2 for (begin, end), k in zip(pairs, kernel, strict=True)):
        return x, [begin for begin, _ in pairs]
    return pad_constant(x, ((0, 0), (0, 0), *map(tuple, pairs)), value), [0] * len(pairs)


@adapts("Conv")
def conv(
    x,
    weight,
    bias=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    axes = len(x.shape) - 2
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    x, padding = padded(x, pads, auto_pad, list(weight.shape[2:]), strides, dilations)
    op = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    return op(x, weight, bias, strides, padding, dilations, group)


@adapts("ConvTranspose")
def conv_transpose(
    x,
    weight,
    bias=None,
    *,
    dilations=None,
    group=1,
    kernel_shape=None,
    output_padding=None,
    pads=None,
    strides=None,
):
    axes = len(x.shape) - 2
    ones = [1] * axes
    pairs = spatial_pads(pads or [0] * (2 * axes))
    if axes > 2 or any(begin != end for begin, end in pairs):
        raise NotCovered("three axes, or uneven padding")
    op = {1: F.conv_transpose1d, 2: F.conv_transpose2d}[axes]
    return op(
        x,
        weight,
        bias,
        strides or ones,
        [begin for begin, _ in pairs],
        output_padding or [0] * axes,
        group,
        dilations or ones,
    )


@adapts("MaxPool")
def max_pool(
    x,
    *,
    auto_pad="NOTSET",
    ceil_mode=0,
    dilations=None,
    kernel_shape,
    pads=None,
    storage_order=0,
    strides=None,
):
    axes = len(kernel_shape)
    if ceil_mode or axes > 2 or x.dtype.kind != "f":
        raise NotCovered("ceil mode, three axes or integers")
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    x, padding = padded(x, pads, auto_pad, kernel_shape, strides, dilations, -math.inf)
    op = {1: F.max_pool1d, 2: F.max_pool2d}[axes]
    return op(x, kernel_shape, strides, padding, dilations)


@adapts("AveragePool")
def average_pool(
    x,
    *,
    auto_pad="NOTSET",
    ceil_mode=0,
    count_include_pad=0,
    dilations=None,
    kernel_shape,
    pads=None,
    strides=None,
):
    axes = len(kernel_shape)
    if ceil_mode or axes > 2 or dilations not in (None, [1] * axes):
        raise NotCovered("ceil mode, three axes or dilation")
    strides = strides or [1] * axes
    even, padding = padded(x, pads, auto_pad, kernel_shape, strides, [1] * axes)
    if even is not x and not count_include_pad:
        raise NotCovered("uneven padding that does not count")
    op = {1: F.avg_pool1d, 2: F.avg_pool2d}[axes]
    return op(even, kernel_shape, strides, padding, count_include_pad=bool(count_include_pad))


@adapts("BatchNormalization")
def batch_norm(x, scale, bias, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    if training_mode:
        raise NotCovered("a running variance with n in place of n - 1")
    return F.batch_norm(x, mean, var, scale, bias, eps=epsilon)


@adapts("InstanceNormalization")
def instance_norm(x, scale, bias, *, epsilon=1e-5):
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


@adapts("GroupNormalization")
def group_norm(x, scale, bias, *, epsilon=1e-5, num_groups, stash_type=1):
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@adapts("LayerNormalization")
def layer_norm(x, scale, bias=None, *, axis=-1, epsilon=1e-5, stash_type=1):
    axes = tuple(range(axis % len(x.shape), len(x.shape)))
    y = F.layer_norm(x, x.shape[axes[0] :], scale, bias, epsilon)
    center = ops.mean(x, axes, keepdims=True)
    return y, center, ops.rsqrt(ops.var(x, axes, keepdims=True, correction=0) + epsilon)


@adapts("RMSNormalization")
def rms_norm(x, scale, *, axis=-1, epsilon=1e-5, stash_type=1):
    return F.rms_norm(x, x.shape[axis % len(x.shape) :], scale, epsilon)


@adapts("LpNormalization")
def lp_norm(x, *, axis=-1, p=2):
    length = ops.norm(x, p=p, axis=axis, keepdims=True)
    return ops.where(length == 0, 0, x / ops.where(length == 0, 1, length))


@adapts("MeanVarianceNormalization")
def mean_variance_norm(x, *, axes=(0, 2, 3)):
    axes = tuple(axes)
    return (x - ops.mean(x, axes, keepdims=True)) / ops.std(x, axes, keepdims=True, correction=0)


@adapts("NegativeLogLikelihoodLoss")
def nll_loss(x, target, weight=None, *, ignore_index=-100, reduction="mean"):
    return F.nll_loss(x, target, weight, ignore_index=ignore_index, reduction=reduction)


@adapts("SoftmaxCrossEntropyLoss")
def cross_entropy(x, target, weight=None, *, ignore_index=-100, reduction="mean"):
    loss = F.cross_entropy(x, target, weight, ignore_index=ignore_index, reduction=reduction)
    return loss, F.log_softmax(x, axis=1)


@adapts("Resize")
def resize(
    x,
    roi=None,
    scales=None,
    sizes=None,
    *,
    axes=None,
    coordinate_transformation_mode="half_pixel",
    mode="nearest",
    nearest_mode="round_prefer_floor",
):
    places = {
        ("nearest", "asymmetric", "floor"),
        ("linear", "half_pixel", "round_prefer_floor"),
        ("linear", "align_corners", "round_prefer_floor"),
    }
    if (mode, coordinate_transformation_mode, nearest_mode) not in places:
        raise NotCovered(f"{mode} with {coordinate_transformation_mode} and {nearest_mode}")
    spatial = list(range(2, len(x.shape)))
    given = numbers(scales) or numbers(sizes)
    if axes is None:
        axes = list(range(len(x.shape)))
        unchanged = [1, 1] if sizes is None else list(x.shape[:2])
        if given[:2] != unchanged:
            raise NotCovered("resizing images or channels")
        given, axes = given[2:], axes[2:]
    if axes != spatial or len(axes) > 2:
        raise NotCovered(f"resizing axes {axes}")
    names = {"nearest": "nearest", "linear": ("linear", "bilinear")[len(axes) - 1]}
    factor = {"size": given} if sizes is not None else {"scale_factor": given}
    corners = coordinate_transformation_mode == "align_corners"
    if corners and any(n * by % 1 for n, by in zip(x.shape[2:], given, strict=True)):
        raise NotCovered("aligned corners between two elements")
    if mode != "nearest":
        factor["align_corners"] = corners
    return F.interpolate(x, mode=names[mode], **factor)


@adapts("Upsample")
def upsample(x, scales, *, mode="nearest"):
    return resize(
        x,
        None,
        scales,
        coordinate_transformation_mode="asymmetric",
        mode=mode,
        nearest_mode="floor",
    )
