"""Units of a call that becomes a CUDA graph: what is known of them, and how they are done later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cupy

from tensorlite.backend import backend_for
from tensorlite.recording.graph_kernels import array_at
from tensorlite.recording.links import Link
from tensorlite.recording.trees import leaves, mapped

#: Stands for the one array in what a unit returned.
HERE = object()


class Seen(NamedTuple):
    """A unit of the first call.

    Attributes
    ----------
    kind
        "link", "view", "parts" (a rule that is taken apart; its primitives follow), or "other".
    given
        Shapes and dtypes of its arrays.
    kernel, places, numbers
        Of a link by a kernel: its name, which of the arrays it is given (-1: the result), and what
        else.
    result, form
        What it returned, with `HERE` for its one array, and shape and dtype of that.
    """

    name: str
    kind: str
    given: tuple = ()
    kernel: str | None = None
    places: tuple[int, ...] = ()
    numbers: tuple = ()
    result: Any = None
    form: tuple = ()


def forms(values: list[Any]) -> tuple:
    """Shapes, dtypes and strides of the arrays among values."""
    return tuple(
        (x.shape, x.dtype, x.strides) if isinstance(x, cupy.ndarray) else None for x in values
    )


def same_bits(one: Any, other: Any) -> bool:
    """Whether two results have the same bits."""
    pairs = [list(leaves(x)) for x in (one, other)]
    if len(pairs[0]) != len(pairs[1]):
        return False
    for x, y in zip(*pairs, strict=True):
        if not isinstance(y, cupy.ndarray):
            if isinstance(x, cupy.ndarray) or x is not y:
                return False
            continue
        if not isinstance(x, cupy.ndarray) or (x.shape, x.dtype) != (y.shape, y.dtype):
            return False
        bits = [cupy.ascontiguousarray(each).view("u1") for each in (x, y)] if x.size else []
        if x.size and not bool((bits[0] == bits[1]).all()):
            return False
    return True


def done_later(
    function: Callable, arguments: tuple, link: Link, recorder: Any
) -> Callable[[], None]:
    """How a link is done by itself, later; it does not keep the memory of its arrays."""

    def bare(x: Any) -> Any:
        if not isinstance(x, cupy.ndarray):
            return x
        low, high = backend_for("cuda").byte_bounds(x)
        memory = cupy.cuda.UnownedMemory(low, max(high - low, 1), None, x.data.device_id)
        start = cupy.cuda.MemoryPointer(memory, x.data.ptr - low)
        return cupy.ndarray(x.shape, x.dtype, start, x.strides)

    arguments = mapped(arguments, bare)

    def run() -> None:
        result = function(*arguments)
        for x in leaves(result):
            if isinstance(x, cupy.ndarray) and x.data.ptr != link.output.address:
                to = array_at(link.output, recorder.device)
                to[...] = cupy.ascontiguousarray(x).view(to.dtype).ravel()

    return run
