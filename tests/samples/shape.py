"""Samples of operations that arrange the same elements otherwise."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from samples.base import Sample, normal
from tensorlite import ops
from tensorlite.backend import CPU
from tensorlite.nn import functional as F
from tensorlite.ops import convert
from tensorlite.ops.axes import expand
from tensorlite.ops.diagonals import diagonal_backward
from tensorlite.ops.padding import pad_constant, pad_edges, pad_edges_backward
from tensorlite.ops.shape import (
    concat_arrays,
    reverse,
    roll_axes,
    split_at,
    stack_arrays,
    transpose_axes,
)
from tensorlite.ops.strides import sliding_window_backward, sliding_windows, strided, unfold
from tensorlite.ops.tiling import repeat

EMPTY = dict(zero=[normal(0, 3, 4)])


def diagonal_matrix(d, shape, offset, dim1, dim2) -> np.ndarray:
    """`d` on a diagonal, element by element."""
    x = np.zeros(shape)
    matrices = np.moveaxis(x, (dim1, dim2), (-2, -1))
    for i in range(d.shape[-1]):
        matrices[..., i + max(-offset, 0), i + max(offset, 0)] = d[..., i]
    return x


def windows_added(d, shape, window, axes, step=1) -> np.ndarray:
    """Each element of each window added where it was taken, one by one."""
    x = np.zeros(shape)
    for place in np.ndindex(*d.shape):
        start, offset = place[: len(shape)], place[len(shape) :]
        target = list(start)
        for i, o in zip(axes, offset, strict=True):
            target[i] = target[i] * step + o
        x[tuple(target)] += d[place]
    return x


def windows(x, dimension, size, step) -> np.ndarray:
    n = (x.shape[dimension] - size) // step + 1
    taken = [np.take(x, range(i * step, i * step + size), dimension) for i in range(n)]
    return np.stack([np.moveaxis(t, dimension, -1) for t in taken], dimension)


def padded(x, pad, mode="constant", value=0) -> np.ndarray:
    """NumPy's padding, told as torch is."""
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    if mode == "constant":
        return np.pad(x, widths, constant_values=value)
    return np.pad(x, widths, {"replicate": "edge", "circular": "wrap"}.get(mode, mode))


def edges_added(d, widths, mode) -> np.ndarray:
    """Each padded element added where `numpy.pad` takes it from, one by one."""
    shape = tuple(n - b - a for n, (b, a) in zip(d.shape, widths, strict=True))
    places = padded_places(shape, widths, mode)
    x = np.zeros(shape)
    np.add.at(x.reshape(-1), places.reshape(-1), d.reshape(-1))
    return x


def padded_places(shape, widths, mode) -> np.ndarray:
    numbers = np.arange(np.prod(shape)).reshape(shape)
    return np.pad(numbers, widths, {"replicate": "edge", "circular": "wrap"}.get(mode, mode))


def parts(x, chunks, dim) -> tuple:
    """As torch says: as many as fit of the length rounded up."""
    length = -(-x.shape[dim] // chunks)
    return tuple(
        np.take(x, range(i, min(i + length, x.shape[dim])), dim)
        for i in range(0, x.shape[dim], length)
    )


SAMPLES = [
    # the axes
    Sample(
        ops.reshape,
        [normal(2, 3, 4)],
        dict(shape=(4, -1)),
        reference=np.reshape,
        no_zero="-1 of nothing is unknown",
        saves=("x_shape",),
    ),
    Sample(
        ops.reshape,
        [normal(2, 3)],
        dict(shape=6),
        reference=np.reshape,
        zero=[normal(2, 0)],
        zero_static=dict(shape=(0, 5)),
    ),
    Sample(transpose_axes, [normal(2, 3, 4)], reference=np.transpose),
    Sample(transpose_axes, [normal(2, 3, 4)], dict(axes=(1, -1, 0)), reference=np.transpose),
    Sample(
        ops.permute,
        [normal(2, 3, 4)],
        dict(dims=[2, 0, 1]),
        reference=lambda x, dims: np.transpose(x, dims),
    ),
    Sample(
        ops.swapaxes,
        [normal(2, 3, 4)],
        dict(axis0=0, axis1=-1),
        reference=lambda x, **_: x.swapaxes(0, -1),
    ),
    Sample(ops.movedim, [normal(2, 3, 4)], dict(source=0, destination=-1), reference=np.moveaxis),
    Sample(
        ops.movedim,
        [normal(2, 3, 4, 2)],
        dict(source=(0, 3), destination=(2, 0)),
        reference=np.moveaxis,
    ),
    Sample(ops.flatten, [normal(2, 3, 4)], reference=np.ravel),
    Sample(
        ops.flatten,
        [normal(2, 3, 4, 2)],
        dict(start_dim=1, end_dim=-2),
        reference=lambda x, **_: x.reshape(x.shape[0], 12, 2),
    ),
    Sample(ops.squeeze, [normal(1, 3, 1)], reference=np.squeeze),
    Sample(
        ops.squeeze,
        [normal(2, 1, 3, 1)],
        dict(dim=(1, 2, -1)),
        reference=lambda x, **_: x[:, 0, :, 0],
    ),
    Sample(ops.expand_dims, [normal(2, 3)], dict(axis=-1), reference=np.expand_dims),
    Sample(ops.expand_dims, [normal(2, 3)], dict(axis=(0, 2)), reference=np.expand_dims),
    Sample(ops.unsqueeze, [normal(2, 3)], dict(dim=1), reference=lambda x, dim: x[:, None]),
    # more elements
    Sample(
        ops.broadcast_to,
        [normal(3, 1)],
        dict(size=(2, 3, 4)),
        reference=lambda x, size: np.broadcast_to(x, size),
        zero_static=dict(size=(2, 0, 4)),
        saves=(),
    ),
    Sample(
        expand,
        [normal(3, 1)],
        dict(sizes=(2, -1, 4)),
        reference=lambda x, **_: np.broadcast_to(x, (2, x.shape[0], 4)),
    ),
    *[
        Sample(
            ops.repeat_interleave,
            [normal(2, 3, 2)],
            static,
            reference=lambda x, repeats, dim=None: np.repeat(x, repeats, dim),
        )
        for static in [dict(repeats=3), dict(repeats=2, dim=1), dict(repeats=(0, 2, 1), dim=-2)]
    ],
    Sample(ops.tile, [normal(2, 3)], dict(dims=2), reference=lambda x, dims: np.tile(x, dims)),
    Sample(
        repeat,
        [normal(2, 3)],
        dict(repeats=(2, 1, 3)),
        reference=lambda x, **_: np.tile(x, (2, 1, 3)),
    ),
    Sample(F.pad, [normal(2, 3)], dict(pad=(1, 2)), reference=padded),
    Sample(F.pad, [normal(2, 3)], dict(pad=(1, 0, 0, 2), value=2.5), reference=padded),
    Sample(
        F.pad,
        [normal(4, 5)],
        dict(pad=(-1, 2, 1, -2)),
        reference=lambda x, pad: np.pad(x[:2, 1:], ((1, 0), (0, 2))),
        no_zero="the same as above",
    ),
    *[
        Sample(
            F.pad,
            [normal(1, 3, 4)],
            dict(pad=(0, 3, 2, 1), mode=mode),
            reference=padded,
            zero=[normal(0, 3, 4)],
        )
        for mode in ("reflect", "replicate", "circular")
    ],
    *[
        sample
        for mode in ("reflect", "replicate", "circular")
        for widths in [((2, 1), (0, 0), (0, 3)), ((0, 1), (1, 0), (2, 2))]
        for sample in [
            Sample(
                pad_edges,
                [normal(3, 2, 4)],
                dict(widths=widths, mode=mode),
                reference=lambda x, widths, mode: x.reshape(-1)[
                    padded_places(x.shape, widths, mode)
                ],
                saves=("widths", "mode"),
                no_zero="an axis of length 0 has no edges",
            ),
            Sample(
                pad_edges_backward,
                [normal(*[n + b + a for n, (b, a) in zip((3, 2, 4), widths, strict=True)])],
                dict(widths=widths, mode=mode),
                reference=edges_added,
                no_zero="above",
            ),
        ]
    ],
    Sample(
        pad_constant,
        [normal(2, 3)],
        dict(widths=((1, 0), (0, 2)), value=-1.0),
        reference=lambda x, widths, value: np.pad(x, widths, constant_values=value),
        saves=("x_shape", "widths"),
    ),
    # together and apart
    Sample(
        concat_arrays,
        [normal(2, 3), normal(4, 3)],
        dict(axis=0),
        reference=lambda *xs, axis: np.concatenate(xs, axis),
        saves=("xs_shape", "axis"),
        zero=[normal(0, 3), normal(4, 3)],
    ),
    Sample(
        concat_arrays,
        [normal(2, 3), normal(2, 1), normal(2, 2)],
        dict(axis=-1),
        reference=lambda *xs, axis: np.concatenate(xs, axis),
    ),
    Sample(
        stack_arrays,
        [normal(2, 3), normal(2, 3)],
        dict(axis=0),
        reference=lambda *xs, axis: np.stack(xs, axis),
        saves=("axis",),
    ),
    Sample(
        stack_arrays,
        [normal(2, 3), normal(2, 3)],
        dict(axis=-1),
        reference=lambda *xs, axis: np.stack(xs, axis),
    ),
    Sample(
        split_at,
        [normal(2, 6)],
        dict(cuts=(1, 4), axis=1),
        reference=lambda x, cuts, axis: np.split(x, cuts, axis),
        saves=("x_shape", "cuts", "axis"),
    ),
    Sample(
        ops.split,
        [normal(5, 2)],
        dict(split_size_or_sections=2),
        reference=lambda x, **_: (x[:2], x[2:4], x[4:]),
        zero=[normal(5, 0)],
    ),
    Sample(
        ops.split,
        [normal(2, 5)],
        dict(split_size_or_sections=(1, 0, 4), dim=-1),
        reference=lambda x, **_: (x[:, :1], x[:, :0], x[:, 1:]),
    ),
    Sample(
        ops.tensor_split,
        [normal(2, 5)],
        dict(indices_or_sections=(-4, 3, 9), dim=-1),
        reference=lambda x, indices_or_sections, dim: np.split(x, indices_or_sections, dim),
    ),
    Sample(ops.chunk, [normal(2, 7)], dict(chunks=3, dim=1), reference=parts),
    Sample(ops.unbind, [normal(2, 3)], reference=lambda x: list(x), no_zero="no outputs"),
    Sample(
        ops.unbind,
        [normal(2, 3, 2)],
        dict(axis=-2),
        reference=lambda x, axis: list(np.moveaxis(x, axis, 0)),
        saves=("x_shape", "axis"),
    ),
    # order
    *[
        Sample(roll_axes, [normal(3, 4)], static, reference=np.roll)
        for static in [dict(shift=2), dict(shift=-1, axis=1), dict(shift=(1, -2), axis=(0, 1))]
    ],
    *[
        Sample(reverse, [normal(3, 4)], static, reference=np.flip)
        for static in [dict(), dict(axis=-1), dict(axis=(0, 1))]
    ],
    # parts
    *[
        Sample(op, [x], dict(diagonal=k), reference=lambda x, diagonal, of=of: of(x, diagonal))
        for op, of in [(ops.tril, np.tril), (ops.triu, np.triu)]
        for x, k in [(normal(3, 4), 0), (normal(2, 4, 3), 1), (normal(3, 3), -1)]
    ],
    *[
        Sample(
            ops.diagonal,
            [normal(3, 4, 2)],
            static,
            reference=lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
        )
        for static in [dict(), dict(offset=1, dim1=1, dim2=2), dict(offset=-1, dim1=-1, dim2=0)]
    ],
    Sample(
        diagonal_backward,
        [normal(2, 3)],
        dict(shape=(3, 2, 4), offset=1, dim1=0, dim2=2),
        reference=diagonal_matrix,
        zero=[normal(0, 3)],
        zero_static=dict(shape=(3, 0, 4), offset=1, dim1=0, dim2=2),
    ),
    *[
        Sample(
            ops.sliding_window,
            [normal(5, 4)],
            static,
            reference=lambda x, window, axis=None: sliding_window_view(x, window, axis),
            zero=[normal(5, 4, 0)],
            zero_static=dict(window=2, axis=0),
        )
        for static in [
            dict(window=3, axis=0),
            dict(window=(2, 3)),
            dict(window=(2, 2), axis=(1, 0)),
        ]
    ],
    Sample(
        sliding_windows,
        [normal(5, 4)],
        dict(window=(2, 3), axes=(0, 1)),
        reference=lambda x, window, axes: sliding_window_view(x, window, axes),
        saves=("x_shape", "window", "axes", "step"),
        no_zero="above",
    ),
    Sample(
        sliding_window_backward,
        [normal(3, 4, 3)],
        dict(shape=(5, 4), window=(3,), axes=(0,)),
        reference=windows_added,
        no_zero="of one shape",
    ),
    Sample(
        sliding_windows,
        [normal(2, 8)],
        dict(window=(3,), axes=(1,), step=2),
        reference=lambda x, window, axes, step: sliding_window_view(x, window, axes)[:, ::step],
        saves=("x_shape", "window", "axes", "step"),
        no_zero="above",
    ),
    Sample(
        sliding_window_backward,
        [normal(3, 2, 3)],
        dict(shape=(8, 2), window=(3,), axes=(0,), step=2),
        reference=windows_added,
        no_zero="of one shape",
    ),
    Sample(
        strided,
        [normal(3, 4)],
        dict(size=(2, 3, 2), stride=(4, 0, 2), offset=1),
        reference=lambda x, **_: np.broadcast_to(x[:2, None, 1::2], (2, 3, 2)),
        no_zero="there is nothing to view",
        saves=("x_shape", "size", "stride", "offset"),
    ),
    Sample(
        unfold,
        [normal(7, 2)],
        dict(dimension=0, size=3, step=2),
        reference=windows,
        no_zero="there must be a window",
    ),
    # copies
    Sample(convert.copied, [normal(2, 3)], reference=np.copy, saves=()),
    Sample(
        convert.to_device_array,
        [normal(2, 3)],
        dict(device=CPU, source=CPU),
        reference=lambda x, **_: x,
        devices=("cpu",),
    ),
]
