"""Adapters of operators on shapes, indices and matrices."""

from __future__ import annotations

import math

import numpy as np
from onnx import helper, numpy_helper

import tensorlite as tl
from onnx_vectors import NotCovered, adapts, numbers, same, spatial_pads
from tensorlite import ops
from tensorlite.ops.index import take_along
from tensorlite.ops.padding import pad_constant, pad_edges
from tensorlite.ops.shape import transpose_axes

same(
    MatMul=ops.matmul,
    NonZero=lambda x: ops.stack(ops.nonzero(x, as_tuple=True)),
    Size=lambda x: np.array(x.numel()),
    Tile=lambda x, reps: ops.tile(x, numbers(reps)),
)


@adapts("Det")
def det(x):
    if x.device.type == "cuda":
        raise NotCovered("what needs cuSOLVER")
    return tl.det(x)


@adapts("Reshape")
def reshape(x, shape, *, allowzero=0):
    shape = numbers(shape)
    if not allowzero:
        shape = [x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return ops.reshape(x, shape)


@adapts("Flatten")
def flatten(x, *, axis=1):
    axis = axis % len(x.shape) if axis < 0 else axis
    return ops.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@adapts("Squeeze")
def squeeze(x, axes=None):
    return ops.squeeze(x) if axes is None else ops.squeeze(x, tuple(numbers(axes)))


@adapts("Unsqueeze")
def unsqueeze(x, axes):
    axes = numbers(axes)
    return ops.expand_dims(x, tuple(axes) if isinstance(axes, list) else axes)


@adapts("Transpose")
def transpose(x, *, perm=None):
    return transpose_axes(x, perm)


@adapts("Expand")
def expand(x, shape):
    return ops.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(numbers(shape))))


@adapts("Concat")
def concat(*xs, axis):
    return ops.cat(xs, axis)


@adapts("Split")
def split(x, lengths=None, *, axis=0, num_outputs):
    size = math.ceil(x.shape[axis] / num_outputs) if lengths is None else numbers(lengths)
    return ops.split(x, size, axis)


@adapts("Pad")
def pad(x, pads, value=None, axes=None, *, mode="constant"):
    widths = [(0, 0)] * len(x.shape)
    given = spatial_pads(numbers(pads))
    for axis, width in zip(numbers(axes, range(len(x.shape))), given, strict=True):
        widths[axis] = width
    if min(map(min, widths)) < 0:
        raise NotCovered("negative padding")
    widths = tuple(map(tuple, widths))
    if mode == "constant":
        return pad_constant(x, widths, 0.0 if value is None else value.item())
    return pad_edges(x, widths, {"edge": "replicate", "wrap": "circular"}.get(mode, mode))


@adapts("Slice")
def basic_getitem(x, starts, ends, axes=None, steps=None):
    starts, ends = numbers(starts), numbers(ends)
    index = [slice(None)] * len(x.shape)
    for axis, start, end, step in zip(
        numbers(axes, range(len(starts))),
        starts,
        ends,
        numbers(steps, [1] * len(starts)),
        strict=True,
    ):
        if step < 0 and end < -x.shape[axis]:
            end = None  # before the first element
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


@adapts("Gather")
def gather(x, indices, *, axis=0):
    return take_along(x, indices, axis=axis)


@adapts("GatherElements")
def gather_elements(x, indices, *, axis=0):
    return ops.gather(x, axis, ops.where(indices < 0, indices + x.shape[axis], indices))


def places(indices):
    """Index tuples in the last axis as one index array an axis."""
    return tuple(ops.unbind(indices, axis=-1))


@adapts("GatherND")
def gather_nd(x, indices, *, batch_dims=0):
    if batch_dims:
        raise NotCovered("batches of indices")
    return x[places(indices)]


def written(x, index, updates, reduction):
    if reduction == "none":
        y = x.clone()
        y[index] = updates
        return y
    raise NotCovered(f"scattering with {reduction}")


@adapts("ScatterND")
def scatter_nd(x, indices, updates, *, reduction="none"):
    return written(x, places(indices), updates, reduction)


@adapts("ScatterElements", "Scatter")
def scatter_elements(x, indices, updates, *, axis=0, reduction="none"):
    indices = ops.where(indices < 0, indices + x.shape[axis], indices)
    if reduction == "add":
        return ops.scatter_add(x, axis, indices, updates)
    index = list(np.indices(indices.shape))
    index[axis] = indices
    return written(x, tuple(index), updates, reduction)


@adapts("Compress")
def compress(x, condition, *, axis=None):
    (chosen,) = ops.nonzero(condition, as_tuple=True)
    return ops.reshape(x, (-1,))[chosen] if axis is None else ops.index_select(x, axis, chosen)


@adapts("OneHot")
def one_hot(indices, depth, values, *, axis=-1):
    depth = int(numbers(ops.reshape(depth, (1,)))[0])
    labels = ops.cast(indices, "int64")
    if not ((labels >= 0) & (labels < depth)).all():
        raise NotCovered("labels outside the classes")
    off, on = values[0], values[1]
    hot = ops.where(ops.cast(ops.one_hot(labels, num_classes=depth), bool), on, off)
    return ops.moveaxis(hot, -1, axis)


@adapts("Trilu")
def trilu(x, k=None, *, upper=1):
    return (ops.triu if upper else ops.tril)(x, 0 if k is None else k.item())


@adapts("Shape")
def shape(x, *, start=0, end=None):
    return np.array(x.shape[start:end], np.int64)


@adapts("ConstantOfShape")
def constant_of_shape(shape, *, value=None):
    filler = np.zeros(1, np.float32) if value is None else numpy_helper.to_array(value)
    return np.full(numbers(shape), filler[0])


@adapts("Range")
def range_(start, limit, delta):
    return tl.arange(
        start.item(), limit.item(), delta.item(), dtype=start.dtype, device=start.device
    )


@adapts("EyeLike")
def eye_like(x, *, dtype=None, k=0):
    if k:
        raise NotCovered("an identity off the diagonal")
    dtype = x.dtype if dtype is None else helper.tensor_dtype_to_np_dtype(dtype)
    return tl.eye(*x.shape, dtype=dtype, device=x.device)


@adapts("DepthToSpace")
def depth_to_space(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        blocks = ops.permute(x.reshape(n, b, b, c // b**2, h, w), (0, 3, 4, 1, 5, 2))
    else:
        blocks = ops.permute(x.reshape(n, c // b**2, b, b, h, w), (0, 1, 4, 2, 5, 3))
    return blocks.reshape(n, c // b**2, h * b, w * b)


@adapts("SpaceToDepth")
def space_to_depth(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    b = blocksize
    blocks = x.reshape(n, c, h // b, b, w // b, b)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return ops.permute(blocks, order).reshape(n, c * b * b, h // b, w // b)


@adapts("Einsum")
def einsum(*xs, equation):
    return tl.einsum(equation, *xs)


@adapts("Gemm")
def gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    y = alpha * ops.matmul(a.mT if transA else a, b.mT if transB else b)
    return y if c is None else y + beta * c
