"""Convolution over one, two or three spatial axes, and its transpose.

There are three primitives, each linear in either input, and each the gradient of the others:
`convolution` of an image with a weight, `convolution_transpose` (the gradient by the image) and
`convolution_weight` (the gradient by the weight). Their rules therefore need nothing but them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

from tensorlite.backend import Array, array_backend
from tensorlite.backend.totals import total
from tensorlite.ops.channels import channel_sum, per_channel
from tensorlite.ops.fused import widened
from tensorlite.ops.linalg import matmul
from tensorlite.ops.padding import pad_constant
from tensorlite.ops.windows import (
    enlarged,
    inside,
    output_size,
    per_axis,
    taps,
    windows,
    with_batch,
)
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]


class Geometry(NamedTuple):
    """How windows lie on the spatial axes, and into how many groups the channels fall."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def output_size(self, size: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """How many windows fit on each axis of an image of `size`."""
        return output_size(size, kernel, self.stride, self.padding, self.dilation)


# --- primitives: N images, C channels in G groups, O filters, K taps, P windows ------------------


@primitive
def convolution(
    xp: ModuleType, x: Array, weight: Array, bias: Array | None = None, *, geometry: Geometry
) -> Array:
    """Slide `weight` (O, C/G, *kernel) over `x` (N, C, *size), as torch's `conv2d` does."""
    check_shapes(x.shape, weight.shape, None if bias is None else bias.shape, geometry.groups)
    out = geometry.output_size(x.shape[2:], weight.shape[2:])
    columns = _columns(xp, x, weight.shape[2:], out, geometry)  # (N, G, C/G·K, P)
    y = matmul(_filters(weight, geometry.groups), columns)  # (N, G, O/G, P)
    y = y.reshape(x.shape[0], weight.shape[0], *out)
    return y if bias is None else y + per_channel(bias, y.ndim)


@primitive
def convolution_transpose(
    xp: ModuleType, x: Array, weight: Array, *, size: tuple[int, ...], geometry: Geometry
) -> Array:
    """Spread `x` (N, O, *out) by `weight` (O, C/G, *kernel) over images (N, C, *size)."""
    groups = geometry.groups
    kernel, out = weight.shape[2:], x.shape[2:]
    if x.ndim != weight.ndim or x.shape[1] != weight.shape[0] or x.shape[1] % groups:
        raise ValueError(
            f"input of shape {x.shape} (N, channels, …) and weight of shape {weight.shape} "
            f"(channels, out channels / groups, …) with {groups} groups: input.shape[1] must equal "
            "weight.shape[0] and divide by groups"
        )
    spread = x.reshape(x.shape[0], groups, x.shape[1] // groups, math.prod(out))
    columns = widened(matmul(_filters(weight, groups).mT, spread))  # (N, G, C/G·K, P)
    channels = weight.shape[1] * groups
    columns = columns.reshape(x.shape[0], channels, math.prod(kernel), *out)
    image = xp.zeros(
        (x.shape[0], channels, *[n + 2 * p for n, p in zip(size, geometry.padding, strict=True)]),
        columns.dtype,
    )
    for k, tap in enumerate(taps(kernel, out, geometry.stride, geometry.dilation)):
        image[(..., *tap)] += columns[:, :, k]
    return image[inside(size, geometry.padding)].astype(x.dtype, copy=False)


@primitive
def convolution_weight(
    xp: ModuleType,
    d: Array,
    x: Array,
    *,
    kernel: tuple[int, ...],
    geometry: Geometry,
    into: Array | None = None,
) -> Array:
    """Correlate `d` (N, O, *out) with `x` (N, C, *size): the gradient of a weight.

    In the array `into` if that is possible: unrounded, if that is float32 and the operands short.
    """
    n, filters, *out = d.shape
    groups = geometry.groups
    d = d.reshape(n, groups, filters // groups, math.prod(out))
    columns = _columns(xp, x, kernel, out, geometry)
    each = matmul(d, columns.mT)  # (N, G, O/G, C/G·K)
    return sum_images(each).reshape(filters, x.shape[1] // groups, *kernel)


def _columns(
    xp: ModuleType, x: Array, kernel: Sequence[int], out: Sequence[int], geometry: Geometry
) -> Array:
    """Every window of `x` as a column of a matrix, (N, G, C/G·K, P): "im2col"."""
    n, channels = x.shape[:2]
    groups = geometry.groups
    padded = enlarged(xp, x, geometry.padding)
    view = windows(xp, padded, kernel, out, geometry.stride, geometry.dilation)
    return view.reshape(n, groups, channels // groups * math.prod(kernel), math.prod(out))


def _filters(weight: Array, groups: int) -> Array:
    """`weight` as matrices (G, O/G, C/G·K)."""
    filters = weight.shape[0]
    return weight.reshape(groups, filters // groups, math.prod(weight.shape[1:]))


def sum_images(each: Array) -> Array:
    """Add up what each image contributes, in float32 or wider."""
    xp = array_backend((each,)).xp
    return total(xp, each, 0).astype(each.dtype, copy=False)


def check_shapes(
    x: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...] | None, groups: int
) -> None:
    """Refuse an image, a weight and a bias whose channels do not fit."""
    if len(x) != len(weight) or x[1] != weight[1] * groups:
        raise ValueError(
            f"input of shape {x} (N, channels, …) does not fit weight of shape "
            f"{weight} (filters, channels / groups, …) with {groups} groups"
        )
    if weight[0] % groups:
        raise ValueError(f"{weight[0]} filters do not divide into {groups} groups")
    if bias is not None and bias != weight[:1]:
        raise ValueError(f"bias of shape {bias} for {weight[0]} filters")


convolution.defvjp(
    x=lambda g, weight, x_shape, geometry: convolution_transpose(g, weight, x_shape[2:], geometry),
    weight=lambda g, x, weight_shape, geometry, *, into=None: convolution_weight(
        g, x, weight_shape[2:], geometry, into and into[1]
    ),
    bias=lambda g, *, into=None: channel_sum(g, into and into[2]),
)
convolution_transpose.defvjp(
    x=lambda g, weight, geometry: convolution(g, weight, geometry=geometry),
    weight=lambda g, x, weight_shape, geometry, *, into=None: convolution_weight(
        x, g, weight_shape[2:], geometry, into and into[1]
    ),
)
convolution_weight.defvjp(
    d=lambda g, x, geometry: convolution(x, g, geometry=geometry),
    x=lambda g, d, x_shape, geometry: convolution_transpose(d, g, x_shape[2:], geometry),
)


# --- functions ----------------------------------------------------------------------------------


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve `input` (N, C, L) or (C, L) with `weight` (O, C/groups, K); see `conv2d`.

    Parameters
    ----------
    input, weight : Tensor
    bias, stride, padding, dilation, groups
        As of `conv2d`.

    Returns
    -------
    Tensor, shape (N, O, OL)

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.

    Examples
    --------
    >>> tl.conv1d(tl.ones(1, 1, 4), tl.ones(1, 1, 2))
    tensor([[[2., 2., 2.]]])
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve images with filters (without flipping them: a cross-correlation).

    Parameters
    ----------
    input
        Images (N, C, H, W), or one (C, H, W).
    weight
        Filters (O, C/groups, KH, KW).
    bias
        Added to each filter's output, (O,).
    stride, dilation
        Distance of windows, and of the elements in a window: one number, or one per axis.
    padding
        Zeros on both sides of each axis; "valid" for none, "same" for an output as large as the
        input (stride 1 only).
    groups
        Channels and filters fall into this many groups that do not see each other.

    Returns
    -------
    Tensor, shape (N, O, OH, OW)
        With OH = ⌊(H + 2·padding − dilation·(KH − 1) − 1) / stride⌋ + 1.

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.

    Examples
    --------
    >>> tl.conv2d(tl.ones(1, 1, 3, 3), tl.ones(1, 1, 2, 2))
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve `input` (N, C, D, H, W) with `weight` (O, C/groups, KD, KH, KW); see `conv2d`.

    Parameters
    ----------
    input, weight : Tensor
    bias, stride, padding, dilation, groups
        As of `conv2d`.

    Returns
    -------
    Tensor, shape (N, O, OD, OH, OW)

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.

    Examples
    --------
    >>> tl.conv3d(tl.ones(1, 3, 4, 4, 4), tl.ones(5, 3, 2, 2, 2)).shape
    (1, 5, 3, 3, 3)
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv(
    axes: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int] | str,
    dilation: int | Sequence[int],
    groups: int,
) -> Tensor:
    op = f"conv{axes}d"
    x, unbatched = with_batch(op, x, axes)
    _check_weight(op, axes, x, weight, bias, groups, transposed=False)
    stride = per_axis(stride, axes, "stride", op)
    dilation = per_axis(dilation, axes, "dilation", op)
    if padding == "same":
        if max(stride) > 1:
            raise ValueError(f"{op}: padding='same' needs stride 1, not {stride}")
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(t % 2 for t in total):  # the odd zero goes to the far side
            x = pad_constant(x, widths=((0, 0), (0, 0), *[(0, t % 2) for t in total]), value=0)
        padding = tuple(t // 2 for t in total)
    elif padding == "valid":
        padding = 0
    elif isinstance(padding, str):
        raise ValueError(f"{op}: padding is a number, 'same' or 'valid', not {padding!r}")
    padding = per_axis(padding, axes, "padding", op, least=0)
    geometry = Geometry(stride, padding, dilation, groups)
    return unbatched(convolution(x, weight, bias, geometry=geometry))


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Transposed convolution of (N, C, L) by `weight` (C, O/groups, K); see `conv_transpose2d`.

    Parameters
    ----------
    input, weight : Tensor
    bias, stride, padding, output_padding, groups, dilation
        As of `conv_transpose2d`.

    Returns
    -------
    Tensor, shape (N, O, OL)

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.

    Examples
    --------
    >>> tl.conv_transpose1d(tl.ones(1, 1, 3), tl.ones(1, 1, 2))
    tensor([[[1., 2., 2., 1.]]])
    """
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Transposed convolution: the gradient of `conv2d` by its images, as a layer.

    Parameters
    ----------
    input
        Shape (N, C, H, W) or (C, H, W).
    weight
        Shape (C, O/groups, KH, KW).
    bias, stride, padding, dilation, groups
        As in `conv2d`.
    output_padding
        Rows and columns more at the far side, less than the stride: of the image sizes that
        `conv2d` maps to (H, W), it chooses one.

    Returns
    -------
    Tensor, shape (N, O, OH, OW)
        With OH = (H − 1)·stride − 2·padding + dilation·(KH − 1) + output_padding + 1.

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.

    Examples
    --------
    >>> tl.conv_transpose2d(tl.ones(1, 3, 2, 2), tl.ones(3, 5, 2, 2), stride=2).shape
    (1, 5, 4, 4)
    """
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Transposed convolution of (N, C, D, H, W); see `conv_transpose2d`.

    Parameters
    ----------
    input, weight : Tensor
        The weight is (C, O/groups, KD, KH, KW).
    bias, stride, padding, output_padding, groups, dilation
        As of `conv_transpose2d`.

    Returns
    -------
    Tensor, shape (N, O, OD, OH, OW)

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.

    Examples
    --------
    >>> tl.conv_transpose3d(tl.ones(1, 3, 2, 2, 2), tl.ones(3, 5, 2, 2, 2)).shape
    (1, 5, 3, 3, 3)
    """
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def _conv_transpose(
    axes: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    output_padding: int | Sequence[int],
    groups: int,
    dilation: int | Sequence[int],
) -> Tensor:
    op = f"conv_transpose{axes}d"
    x, unbatched = with_batch(op, x, axes)
    _check_weight(op, axes, x, weight, bias, groups, transposed=True)
    stride = per_axis(stride, axes, "stride", op)
    dilation = per_axis(dilation, axes, "dilation", op)
    padding = per_axis(padding, axes, "padding", op, least=0)
    extra = per_axis(output_padding, axes, "output_padding", op, least=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(
            f"{op}: output_padding {extra} must be less than the stride {stride} or the dilation "
            f"{dilation}"
        )
    parts = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, extra, strict=True)
    size = tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, p, d, e in parts)
    if min(size) < 1:
        raise ValueError(f"{op}: input of shape {x.shape} would give images of size {size}")
    if any(e >= s for e, s in zip(extra, stride, strict=True)):
        y = _spread_widely(x, weight, size, Geometry(stride, padding, dilation, groups))
    else:
        y = convolution_transpose(x, weight, size, Geometry(stride, padding, dilation, groups))
    return unbatched(y if bias is None else y + per_channel(bias, axes + 2))


def _spread_widely(x: Tensor, weight: Tensor, size: tuple[int, ...], geometry: Geometry) -> Tensor:
    """Transposed convolution to a size that has room for more windows than `x` has."""
    bare = geometry._replace(padding=(0,) * len(size))
    parts = zip(x.shape[2:], weight.shape[2:], geometry.stride, geometry.dilation, strict=True)
    full = tuple((n - 1) * s + d * (k - 1) + 1 for n, k, s, d in parts)
    y = convolution_transpose(x, weight, full, bare)
    ends = [p + n for p, n in zip(geometry.padding, size, strict=True)]
    missing = [(0, max(0, end - n)) for end, n in zip(ends, full, strict=True)]
    y = pad_constant(y, widths=((0, 0), (0, 0), *missing), value=0)
    return y[(..., *map(slice, geometry.padding, ends))]


def _check_weight(
    op: str,
    axes: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    transposed: bool,
) -> None:
    """Refuse weights of a wrong shape, which would fail further down or broadcast."""
    shape = weight.array.shape
    if len(shape) != axes + 2:
        raise ValueError(
            f"{op}: weight of shape {shape} must have {axes + 2} axes: (filters, channels, "
            f"{axes} spatial)"
        )
    dtype = x.array.dtype
    others = [v.array.dtype for v in (weight, bias) if v is not None]
    if any(other != dtype and (other.kind in "fV") != (dtype.kind in "fV") for other in others):
        raise TypeError(
            f"{op}: input is {dtype}, weight and bias are {', '.join(map(str, others))}: integers "
            "and floats do not mix; give input.float()"
        )
    if groups < 1:
        raise ValueError(f"{op}: groups must be at least 1, not {groups}")
    filters = shape[1] * groups if transposed else shape[0]
    if bias is not None and bias.array.shape != (filters,):
        raise ValueError(f"{op}: bias of shape {bias.array.shape} for {filters} filters")
