"""Writes in place: they are safe and seen by all Tensors that share the memory, or refused.

Where nothing is recorded a write goes into the Tensor's memory, and a graph that had saved that
memory raises in its backward pass. A write that takes part in a recorded graph is functional
underneath where it can be: a new array is computed, and the Tensor stands for it from then on, so
what was saved before stays as it was. If other Tensors show the memory (`views`) it is written in
place, and they take their histories from the base anew.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from tensorlite import views
from tensorlite.backend import Array, array_backend
from tensorlite.backend.dtypes import category
from tensorlite.decorate import named_as
from tensorlite.ops.convert import to_device
from tensorlite.ops.index import assign, parse_index, setitem
from tensorlite.ops.promotion import cast
from tensorlite.outside import plain
from tensorlite.primitive import primitive
from tensorlite.tape import mode, note_write, on_device_of, unit
from tensorlite.tensor import Tensor, tensor_of
from tensorlite.wording import in_words


def write(x: Tensor, index: Any, value: Any) -> None:
    """``x[index] = value``; `value` is cast to `x`'s dtype and broadcasts to the place.

    Raises
    ------
    RuntimeError
        If `x` is a leaf that requires grad and operations are being recorded, or if several of
        its elements share one place in memory.
    """
    value = _operand(x, value)
    if _is_recorded(x, (value,)):
        if not _is_there_already(x, index, value):
            _rewrite(x, setitem(_protected(x), index, value))
        return
    _refuse_shared(x)
    parts, arrays = parse_index(x, index)
    raw = [a.array if isinstance(a, Tensor) else a for a in arrays]
    try:
        with on_device_of(x.array):
            new = value.array if isinstance(value, Tensor) else value
            unit("setitem", assign, x.array, parts, raw, new)
    except (ValueError, IndexError) as error:
        said = in_words(str(error))
        raise type(error)(f"setitem: {said}; Tensor: {x.dtype} {x.shape}") from error
    note_write(x.array)


def in_place(op: Callable) -> Callable:
    """The in-place form of an operation: ``x += other``, ``x.clamp_(0, 1)`` and so on."""
    from tensorlite.ops.described import in_place_doc  # when the first such form is made

    @named_as(op)  # its signature, too
    def update(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        recorded = _is_recorded(x, (*args, *kwargs.values()))
        if not recorded:
            _refuse_shared(x)
        result = op(_protected(x) if recorded else x, *args, **kwargs)
        if result.shape != x.shape or category(result.dtype) > category(x.dtype):
            raise RuntimeError(
                f"in-place {op.__name__}: the result is {result.dtype} {result.shape}, which does "
                f"not fit a Tensor of {x.dtype} {x.shape}; write t = t.{op.__name__}(…), or cast "
                "the other operand"
            )
        result = cast(result, x.dtype)
        if recorded:
            _rewrite(x, result)
        else:
            with on_device_of(x.array):
                unit(f"{op.__name__}_", _overwrite, x.array, result.array)
            note_write(x.array)
        return x

    update.__name__ += "_"
    update.__doc__ = in_place_doc(op)
    return update


def _overwrite(to: Array, values: Array) -> None:
    to[...] = values


def copy_(x: Tensor, source: Any) -> Tensor:
    """Write the values of `source` into `x`, from any device and dtype; returns `x`.

    Parameters
    ----------
    source : Tensor, array or number
        Of a shape that broadcasts to this Tensor's.

    Returns
    -------
    Tensor
        The Tensor itself.

    Examples
    --------
    >>> tl.zeros(2).copy_(tl.tensor([1, 2]))
    tensor([1., 2.])
    """
    if isinstance(source, Tensor):
        source = to_device(source, x.device)
    write(x, ..., source)
    return x


def fill_(x: Tensor, value: float) -> Tensor:
    """Write one value everywhere; returns the Tensor.

    Parameters
    ----------
    value : number, or Tensor without axes

    Returns
    -------
    Tensor
        The Tensor itself, of any shape.

    Examples
    --------
    >>> tl.zeros(2).fill_(3)
    tensor([3., 3.])
    """
    write(x, ..., value)
    return x


def zero_(x: Tensor) -> Tensor:
    """Write 0 everywhere; returns the Tensor.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape.

    Examples
    --------
    >>> tl.ones(2).zero_()
    tensor([0., 0.])
    """
    return fill_(x, 0)


def _operand(x: Tensor, value: Any) -> Any:
    """A value to write: a Tensor, a number, or an array on `x`'s device."""
    if isinstance(value, (Tensor, bool, int, float)):
        return value
    return array_backend((x.array,)).asarray(plain(value, "a write"), device=x.device)


def _is_recorded(x: Tensor, operands: tuple) -> bool:
    """Whether a write belongs on the tape; refuse it where it must not happen."""
    if not mode.switches.grad:
        return False
    if mode.switches.views:
        views.refresh(x)
    recorded = x.requires_grad or any(
        isinstance(value, Tensor) and value.requires_grad for value in operands
    )
    base = views.way_to(x)[0] if recorded else x
    if base.requires_grad and base.node is None:
        what = "a leaf" if base is x else "a view of a leaf"
        raise RuntimeError(
            f"in-place write to {what} of shape {tuple(base.shape)} that requires grad: its "
            "gradient would be lost. Write under tl.no_grad(), or to a copy: t.clone()"
        )
    if recorded and category(x.dtype) < 2:
        raise TypeError(
            f"in-place write of a value that requires grad to a Tensor of dtype {x.dtype}, through "
            "which no gradient flows: write value.detach(), or to t.float()"
        )
    return recorded


def _is_there_already(x: Tensor, index: Any, value: Any) -> bool:
    """Whether `value` is the very part of `x` that it is to be written to.

    ``x[0] += y`` is ``part = x[0]; part += y; x[0] = part``, and the second step changed `x`.
    """
    if not isinstance(value, Tensor) or not views.is_view(value) or value.view_of[0] is not x:
        return False
    parts, arrays = parse_index(x, index)
    if arrays:
        return False
    bounds = array_backend((x.array,)).byte_bounds
    place, there = x.array[parts], value.array
    return (place.shape, place.strides) == (there.shape, there.strides) and (
        bounds(place) == bounds(there)
    )


def _protected(x: Tensor) -> Tensor:
    """What a recorded write computes from: a copy of `x`, if its memory is about to be written."""
    if not _must_write_memory(x):
        return x
    with on_device_of(x.array):
        copy = unit("copy", array_backend((x.array,)).copy, x.array)
    return tensor_of(copy, x.node)


def _must_write_memory(x: Tensor) -> bool:
    """Whether Tensors other than `x` and its base show its memory."""
    return views.others(x) > 0


def _rewrite(x: Tensor, result: Tensor) -> None:
    """Let `x` have the values and the history of `result`, and its base and other views with it."""
    base, steps = views.way_to(x)
    if not _must_write_memory(x):
        if steps:
            whole = with_view(base, result, tuple(steps))
            base.array, base.node, base.requires_grad = whole.array, whole.node, whole.requires_grad
            result = views.follow(steps, base)
        x.array, x.node, x.requires_grad = result.array, result.node, result.requires_grad
        return
    with on_device_of(x.array):
        unit("write", _overwrite, x.array, result.array)
    note_write(x.array)
    views.rewrite(base, with_view(base, result, tuple(steps)) if steps else result)
    if steps:
        views.refresh(x)


@primitive(name="write through a view")
def with_view(xp: ModuleType, x: Array, value: Any, *, steps: Any) -> Array:
    """Write `value` into that part of a copy of `x` that `steps` lead to (see `views`)."""
    whole = xp.ascontiguousarray(x).copy()
    numbers = views.follow(steps, xp.arange(whole.size).reshape(whole.shape))
    whole.reshape(-1)[numbers] = value
    return whole.reshape(x.shape)


with_view.defvjp(
    x=lambda g, steps: with_view(g, 0, steps), value=lambda g, steps: views.follow(steps, g)
)


def _refuse_shared(x: Tensor) -> None:
    """A write to an expanded Tensor would change many elements at once."""
    steps = zip(x.array.strides, x.array.shape, strict=True)  # all 0 where there is no element
    if x.array.size and any(step == 0 and n > 1 for step, n in steps):
        raise RuntimeError(
            f"in-place write to an expanded Tensor of shape {x.shape}, whose elements share "
            "memory: write to a copy, t.clone()"
        )
