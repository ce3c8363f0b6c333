"""Adapters of reductions, scans and order."""

from __future__ import annotations

import functools

from onnx_vectors import NotCovered, adapts, numbers
from tensorlite import ops
from tensorlite.ops.padding import pad_constant


def reduction(name, op, has_empty=True):
    @adapts(name)
    def adapter(x, given=None, *, axes=None, keepdims=1, noop_with_empty_axes=0):
        axes = numbers(given, axes)
        if not axes:
            if noop_with_empty_axes:
                return op(ops.unsqueeze(x, -1), axis=-1)  # each number by itself
            axes = None
        if x.numel() == 0 and not has_empty:
            raise NotCovered(f"{name} of nothing")
        return op(x, axis=None if axes is None else tuple(axes), keepdims=bool(keepdims))


reduction("ReduceSum", ops.sum)
reduction("ReduceMean", ops.mean)
reduction("ReduceProd", ops.prod)
reduction("ReduceMax", ops.amax, has_empty=False)
reduction("ReduceMin", ops.amin, has_empty=False)
reduction("ReduceLogSumExp", ops.logsumexp, has_empty=False)
reduction("ReduceL1", functools.partial(ops.norm, p=1))
reduction("ReduceL2", functools.partial(ops.norm, p=2))
reduction("ReduceSumSquare", lambda x, **where: ops.sum(ops.square(x), **where))
reduction("ReduceLogSum", lambda x, **where: ops.log(ops.sum(x, **where)), has_empty=False)


def index_of(name, op):
    @adapts(name)
    def adapter(x, *, axis=0, keepdims=1, select_last_index=0):
        if not select_last_index:
            return op(x, axis=axis, keepdims=bool(keepdims))
        backwards = op(ops.flip(x, axis), axis=axis, keepdims=bool(keepdims))
        return x.shape[axis] - 1 - backwards


index_of("ArgMax", ops.argmax)
index_of("ArgMin", ops.argmin)


def scan(name, op, start):
    @adapts(name)
    def adapter(x, axis, *, exclusive=0, reverse=0):
        axis = numbers(axis) if not axis.shape else numbers(axis)[0]
        axis %= len(x.shape)
        x = ops.flip(x, axis) if reverse else x
        if exclusive:
            widths = [(0, 0)] * len(x.shape)
            widths[axis] = (1, 0)
            x = pad_constant(x, widths, start)[(slice(None),) * axis + (slice(0, -1),)]
        y = ops.cast(op(x, axis), x.dtype)
        return ops.flip(y, axis) if reverse else y


scan("CumSum", ops.cumsum, 0)
scan("CumProd", ops.cumprod, 1)


@adapts("TopK")
def topk(x, k, *, axis=-1, largest=1, sorted=1):
    return ops.topk(x, numbers(k)[0], axis, bool(largest))
