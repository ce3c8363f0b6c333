"""Writes in place: safe, or refused.

Where a write takes part in a recorded graph it is functional underneath: a new array is computed,
and the Tensor stands for it from then on, so what was saved before stays as it was. (Other Tensors
that shared its memory keep the old values.) Where nothing is recorded the write goes into the
Tensor's memory, and a graph that had saved that memory raises in its backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite.backend import array_backend
from tensorlite.ops.convert import to_device
from tensorlite.ops.index import filled, parse_index, setitem
from tensorlite.tape import mode, note_write, on_device_of
from tensorlite.tensor import Tensor


def write(x: Tensor, index: Any, value: Any) -> None:
    """``x[index] = value``; `value` is cast to `x`'s dtype and broadcasts to the place.

    Raises
    ------
    RuntimeError
        If `x` is a leaf that requires grad and operations are being recorded, or if several of
        its elements share one place in memory.
    """
    value = _operand(x, value)
    if _is_recorded(x, value):
        _rebind(x, setitem(x, index, value))
        return
    _refuse_shared(x)
    parts, arrays = parse_index(x, index)
    place = filled(parts, [a.array if isinstance(a, Tensor) else a for a in arrays])
    try:
        with on_device_of(x.array):
            x.array[place] = value.array if isinstance(value, Tensor) else value
    except (ValueError, IndexError) as error:
        raise type(error)(f"setitem: {error}; Tensor: {x.dtype} {x.shape}") from error
    note_write(x.array)


def in_place(op: Callable) -> Callable:
    """The in-place form of a binary operation: ``x += other`` and so on."""

    def update(x: Tensor, other: Any) -> Tensor:
        recorded = _is_recorded(x, other)
        result = op(x, other)
        if result.shape != x.shape or result.dtype != x.dtype:
            raise TypeError(
                f"in-place {op.__name__}: the result is {result.dtype} {result.shape}, which does "
                f"not fit a Tensor of {x.dtype} {x.shape}; write t = t {op.__name__} other, or "
                "cast the other operand"
            )
        if recorded:
            _rebind(x, result)
        else:
            _refuse_shared(x)
            with on_device_of(x.array):
                x.array[...] = result.array
            note_write(x.array)
        return x

    return update


def copy_(x: Tensor, source: Any) -> Tensor:
    """Write the values of `source` into `x`, from any device and dtype; returns `x`."""
    if isinstance(source, Tensor):
        source = to_device(source, x.device)
    write(x, ..., source)
    return x


def fill_(x: Tensor, value: float) -> Tensor:
    """Write one value everywhere; returns the Tensor."""
    write(x, ..., value)
    return x


def zero_(x: Tensor) -> Tensor:
    """Write 0 everywhere; returns the Tensor."""
    return fill_(x, 0)


def _operand(x: Tensor, value: Any) -> Any:
    """A value to write: a Tensor, a number, or an array on `x`'s device."""
    if isinstance(value, (Tensor, bool, int, float)):
        return value
    return array_backend((x.array,)).asarray(value, device=x.device)


def _is_recorded(x: Tensor, value: Any) -> bool:
    """Whether a write belongs on the tape; refuse it where it must not happen."""
    if not mode.switches.grad:
        return False
    if x.requires_grad and x.node is None:
        raise RuntimeError(
            f"in-place write to a leaf of shape {x.shape} that requires grad: its gradient would "
            "be lost. Write under tl.no_grad(), or to a copy: t.clone()"
        )
    recorded = x.requires_grad or (isinstance(value, Tensor) and value.requires_grad)
    if recorded and x.dtype.kind not in "fV":
        raise TypeError(
            f"in-place write of a value that requires grad to a Tensor of dtype {x.dtype}, through "
            "which no gradient flows: write value.detach(), or to t.float()"
        )
    return recorded


def _rebind(x: Tensor, result: Tensor) -> None:
    """Let `x` stand for a new result."""
    x.array, x.node, x.requires_grad = result.array, result.node, result.requires_grad


def _refuse_shared(x: Tensor) -> None:
    """A write to an expanded Tensor would change many elements at once."""
    if any(step == 0 and n > 1 for step, n in zip(x.array.strides, x.array.shape, strict=True)):
        raise RuntimeError(
            f"in-place write to an expanded Tensor of shape {x.shape}, whose elements share "
            "memory: write to a copy, t.clone()"
        )
