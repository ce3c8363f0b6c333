"""Samples of operations that arrange the same elements otherwise."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from samples.base import Sample, normal
from tensorlite import ops
from tensorlite.backend import CPU
from tensorlite.ops import convert
from tensorlite.ops.parts import diagonal_backward, sliding_window_backward, sliding_windows
from tensorlite.ops.shape import concat_arrays, pad_constant, split_at, stack_arrays

EMPTY = dict(zero=[normal(0, 3, 4)])


def diagonal_matrix(d, shape, offset, axis1, axis2) -> np.ndarray:
    """`d` on a diagonal, element by element."""
    x = np.zeros(shape)
    matrices = np.moveaxis(x, (axis1, axis2), (-2, -1))
    for i in range(d.shape[-1]):
        matrices[..., i + max(-offset, 0), i + max(offset, 0)] = d[..., i]
    return x


def windows_added(d, shape, window, axes) -> np.ndarray:
    """Each element of each window added where it was taken, one by one."""
    x = np.zeros(shape)
    for place in np.ndindex(*d.shape):
        start, offset = place[: len(shape)], place[len(shape) :]
        target = list(start)
        for i, o in zip(axes, offset, strict=True):
            target[i] += o
        x[tuple(target)] += d[place]
    return x


def windows(x, axis, size, step) -> np.ndarray:
    n = (x.shape[axis] - size) // step + 1
    taken = [np.take(x, range(i * step, i * step + size), axis) for i in range(n)]
    return np.stack([np.moveaxis(t, axis, -1) for t in taken], axis)


def padded(mode):
    return lambda x, pad_width, **_: np.pad(x, pad_width, mode)


def parts(x, chunks, axis) -> tuple:
    """As torch says: as many as fit of the length rounded up."""
    length = -(-x.shape[axis] // chunks)
    return tuple(
        np.take(x, range(i, min(i + length, x.shape[axis])), axis)
        for i in range(0, x.shape[axis], length)
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
    Sample(ops.transpose, [normal(2, 3, 4)], reference=np.transpose),
    Sample(ops.transpose, [normal(2, 3, 4)], dict(axes=(1, -1, 0)), reference=np.transpose),
    Sample(ops.permute, [normal(2, 3, 4)], dict(axes=[2, 0, 1]), reference=np.transpose),
    Sample(ops.swapaxes, [normal(2, 3, 4)], dict(axis1=0, axis2=-1), reference=np.swapaxes),
    Sample(ops.moveaxis, [normal(2, 3, 4)], dict(source=0, destination=-1), reference=np.moveaxis),
    Sample(
        ops.moveaxis,
        [normal(2, 3, 4, 2)],
        dict(source=(0, 3), destination=(2, 0)),
        reference=np.moveaxis,
    ),
    Sample(ops.flatten, [normal(2, 3, 4)], reference=np.ravel),
    Sample(
        ops.flatten,
        [normal(2, 3, 4, 2)],
        dict(start_axis=1, end_axis=-2),
        reference=lambda x, **_: x.reshape(x.shape[0], 12, 2),
    ),
    Sample(ops.squeeze, [normal(1, 3, 1)], reference=np.squeeze),
    Sample(ops.squeeze, [normal(2, 1, 3, 1)], dict(axis=(1, -1)), reference=np.squeeze),
    Sample(ops.expand_dims, [normal(2, 3)], dict(axis=-1), reference=np.expand_dims),
    Sample(ops.expand_dims, [normal(2, 3)], dict(axis=(0, 2)), reference=np.expand_dims),
    Sample(ops.unsqueeze, [normal(2, 3)], dict(axis=1), reference=np.expand_dims),
    # more elements
    Sample(
        ops.broadcast_to,
        [normal(3, 1)],
        dict(shape=(2, 3, 4)),
        reference=np.broadcast_to,
        zero_static=dict(shape=(2, 0, 4)),
        saves=(),
    ),
    Sample(
        ops.expand,
        [normal(3, 1)],
        dict(shape=(2, -1, 4)),
        reference=lambda x, **_: np.broadcast_to(x, (2, x.shape[0], 4)),
    ),
    *[
        Sample(ops.repeat, [normal(2, 3, 2)], static, reference=np.repeat)
        for static in [dict(repeats=3), dict(repeats=2, axis=1), dict(repeats=(0, 2, 1), axis=-2)]
    ],
    Sample(ops.tile, [normal(2, 3)], dict(reps=2), reference=np.tile),
    Sample(ops.tile, [normal(2, 3)], dict(reps=(2, 1, 3)), reference=np.tile),
    Sample(ops.pad, [normal(2, 3)], dict(pad_width=1), reference=padded("constant")),
    Sample(
        ops.pad,
        [normal(2, 3)],
        dict(pad_width=((0, 2), (1, 0)), value=2.5),
        reference=lambda x, pad_width, value: np.pad(x, pad_width, constant_values=value),
    ),
    *[
        Sample(
            ops.pad,
            [normal(3, 4)],
            dict(pad_width=((2, 1), (0, 3)), mode=mode),
            reference=padded(as_numpy),
            zero=[normal(0, 4)],
            zero_static=dict(pad_width=((0, 0), (0, 3)), mode=mode),
        )
        for mode, as_numpy in [
            ("reflect", "reflect"),
            ("edge", "edge"),
            ("replicate", "edge"),
            ("wrap", "wrap"),
            ("circular", "wrap"),
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
        [normal(6, 2)],
        dict(sections=3),
        reference=lambda x, sections: np.split(x, sections),
    ),
    Sample(
        ops.split,
        [normal(2, 5)],
        dict(sections=(-4, 3, 9), axis=-1),
        reference=lambda x, sections, axis: np.split(x, sections, axis),
    ),
    Sample(ops.chunk, [normal(2, 7)], dict(chunks=3, axis=1), reference=parts),
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
        Sample(ops.roll, [normal(3, 4)], static, reference=np.roll)
        for static in [dict(shift=2), dict(shift=-1, axis=1), dict(shift=(1, -2), axis=(0, 1))]
    ],
    *[
        Sample(ops.flip, [normal(3, 4)], static, reference=np.flip)
        for static in [dict(), dict(axis=-1), dict(axis=(0, 1))]
    ],
    # parts
    *[
        Sample(op, [x], dict(k=k), reference=reference)
        for op, reference in [(ops.tril, np.tril), (ops.triu, np.triu)]
        for x, k in [(normal(3, 4), 0), (normal(2, 4, 3), 1), (normal(3, 3), -1)]
    ],
    *[
        Sample(ops.diagonal, [normal(3, 4, 2)], static, reference=np.diagonal)
        for static in [dict(), dict(offset=1, axis1=1, axis2=2), dict(offset=-1, axis1=-1, axis2=0)]
    ],
    Sample(
        diagonal_backward,
        [normal(2, 3)],
        dict(shape=(3, 2, 4), offset=1, axis1=0, axis2=2),
        reference=diagonal_matrix,
        zero=[normal(0, 3)],
        zero_static=dict(shape=(3, 0, 4), offset=1, axis1=0, axis2=2),
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
        saves=("x_shape", "window", "axes"),
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
        ops.unfold,
        [normal(7, 2)],
        dict(axis=0, size=3, step=2),
        reference=windows,
        no_zero="there must be a window",
    ),
    # copies
    Sample(convert.clone, [normal(2, 3)], reference=np.copy, saves=()),
    Sample(
        convert.to_device_array,
        [normal(2, 3)],
        dict(device=CPU, source=CPU),
        reference=lambda x, **_: x,
        devices=("cpu",),
    ),
]
