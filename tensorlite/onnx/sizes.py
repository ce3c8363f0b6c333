"""Lengths that are not known before the graph runs, found by comparing traces.

A model is traced with several lengths of each dynamic axis. What is the same in all traces is
fixed; a number that differs must be a length of some value, a product of such, or a multiple of an
input's length plus a number, in every trace. What is none of these is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from tensorlite.onnx.trace import Call, ExportError, Trace, Value


class Dim(NamedTuple):
    """``times`` · the product of lengths of one value + ``plus``; `axes` of `value`."""

    value: int
    axes: tuple[int, ...]
    times: Fraction = Fraction(1)
    plus: int = 0


class Filled(NamedTuple):
    """A constant of one number whose shape is not fixed."""

    number: np.ndarray
    shape: tuple


class Counted(NamedTuple):
    """The constant 0, 1, … whose length is not fixed."""

    length: Dim
    dtype: np.dtype


class Step:
    """One operation as all traces have it.

    Attributes
    ----------
    inputs, static
        As in `trace.Call`, with `Dim` for lengths that are not fixed, and `Filled` or `Counted`
        for constants.
    """

    def __init__(self, calls: Sequence[Call], sizes: Sizes) -> None:
        first = calls[0]
        self.primitive, self.outputs, self.line = first.primitive, first.outputs, first.line
        self.calls, self._sizes = calls, sizes
        near = [x.number for x in first.inputs if isinstance(x, Value)]
        self.inputs = tuple(
            [self._same(f"operand {i}", xs, near) for i, xs in enumerate(self._each("inputs"))]
        )
        names = first.static
        self.static = {n: self._same(n, [c.static[n] for c in calls], near) for n in names}

    def _each(self, what: str) -> Iterator[tuple]:
        return zip(*[getattr(call, what) for call in self.calls], strict=True)

    def _same(self, what: str, found: Sequence[Any], near: list[int]) -> Any:
        try:
            return self._sizes.same(found, near)
        except _Differs as differs:
            raise ExportError(
                f"export: {what} of {self.primitive.name} at {self.line} depends on the inputs in "
                f"a way that cannot be written down: {differs}"
            ) from None

    def shape(self, i: int = 0) -> tuple:
        """Shape of an operand, with `Dim` for what is not fixed."""
        x = self.inputs[i]
        if isinstance(x, Value):
            return self._sizes.shape(x.number)
        if isinstance(x, Counted):
            return (x.length,)
        return tuple(x.shape) if isinstance(x, (np.ndarray, Filled)) else ()

    def ndim(self, i: int = 0) -> int:
        """Number of axes of an operand."""
        return len(self.shape(i))

    def dtype(self, i: int = 0) -> np.dtype:
        """Element type of an operand."""
        return self._each_array(i)[0].dtype

    def output(self, i: int = 0) -> np.ndarray:
        """An output as the first trace has it."""
        return self.arrays(self.outputs[i])[0]

    def fixed(self, what: str, lengths: tuple) -> tuple[int, ...]:
        """Lengths, of which all must be fixed."""
        if any(isinstance(n, Dim) for n in lengths):
            raise ExportError(
                f"export: {self.primitive.name} at {self.line} needs fixed lengths of {what}: "
                "leave these axes out of dynamic_axes"
            )
        return lengths

    def sizes(self, i: int = 0) -> list[tuple[int, ...]]:
        """Shapes of an operand in each trace."""
        return [x.shape for x in self._each_array(i)]

    def _each_array(self, i: int) -> list[np.ndarray]:
        x = self.inputs[i]
        return self.arrays(x.number) if isinstance(x, Value) else [c.inputs[i] for c in self.calls]

    def alike(self, what: str, found: Sequence[Any]) -> Any:
        """What was worked out for each trace, and must be the same in all."""
        if any(x != found[0] for x in found):
            raise ExportError(
                f"export: {self.primitive.name} at {self.line} needs fixed lengths for {what}: "
                "leave these axes out of dynamic_axes"
            )
        return found[0]

    def arrays(self, number: int) -> list[np.ndarray]:
        """A value in each trace."""
        return [trace.arrays[number] for trace in self._sizes.traces]


class _Differs(Exception):
    """Why traces do not agree."""


class Sizes:
    """What several traces of a model have in common."""

    def __init__(self, traces: Sequence[Trace], inputs: int) -> None:
        self.traces, self._inputs = traces, inputs
        calls = [trace.calls for trace in traces]
        for i, these in enumerate(zip(*calls, strict=False)):
            if any(call.primitive is not these[0].primitive for call in these):
                raise ExportError(
                    f"export: operation {i} is {these[0].primitive.name} or "
                    f"{next(c.primitive.name for c in these if c.primitive != these[0].primitive)}"
                    f", as the inputs are, at {these[0].line}: a graph does always the same"
                )
        if len({len(each) for each in calls}) > 1:
            raise ExportError(
                "export: the model does a different number of operations for other lengths of its "
                "dynamic axes: a loop over such an axis has no form in a graph"
            )
        self._lengths: dict[tuple[int, ...], tuple[int, int]] = {}
        self._known = 0
        self.steps = [self._step(these) for these in zip(*calls, strict=True)]
        self._know(len(traces[0].arrays))

    def _step(self, calls: tuple[Call, ...]) -> Step:
        first = min(calls[0].outputs, default=len(self.traces[0].arrays))
        self._know(first)
        return Step(calls, self)

    def _know(self, end: int) -> None:
        """Remember where the lengths of values before `end` are to be had."""
        for number in range(self._known, end):
            for axis in range(self.traces[0].arrays[number].ndim):
                if len(set(lengths := self._of(number, axis))) > 1:
                    self._lengths.setdefault(lengths, (number, axis))
        self._known = max(end, self._known)

    def _of(self, number: int, axis: int) -> tuple[int, ...]:
        return tuple([trace.arrays[number].shape[axis] for trace in self.traces])

    def origin(self, length: Dim) -> tuple[int, int]:
        """The first value, and its axis, that has the length of an axis."""
        return self._lengths[self._of(length.value, length.axes[0])]

    def shape(self, number: int) -> tuple:
        """Shape of a value, with `Dim` for what is not fixed."""
        found: list[Any] = []
        for axis in range(self.traces[0].arrays[number].ndim):
            lengths = self._of(number, axis)
            found.append(lengths[0] if len(set(lengths)) == 1 else Dim(number, (axis,)))
        return tuple(found)

    def same(self, found: Sequence[Any], near: list[int]) -> Any:
        """One thing for what the traces have, or `_Differs`."""
        first = found[0]
        if isinstance(first, np.ndarray):
            return self._constant(found, near)
        if any(type(x) is not type(first) for x in found):
            raise _Differs(f"{first!r} and another kind of thing")
        if isinstance(first, Value):
            if any(x != first for x in found):
                raise _Differs("it is made by another operation")
            return first
        if isinstance(first, slice):
            ends = [[getattr(x, end) for x in found] for end in ("start", "stop", "step")]
            return slice(*[self.same(each, near) for each in ends])
        if isinstance(first, (tuple, list)):
            if any(len(x) != len(first) for x in found):
                raise _Differs(f"it has {sorted({len(x) for x in found})} entries")
            merged = [self.same(each, near) for each in zip(*found, strict=True)]
            if hasattr(first, "_fields"):
                return type(first)(*merged)
            return tuple(merged)
        if all(x == first or (x != x and first != first) for x in found):
            return first
        if type(first) is int:
            return self.dim(tuple(found), near)
        raise _Differs(f"it is {first!r} once and {next(x for x in found if x != first)!r} then")

    def dim(self, lengths: tuple[int, ...], near: list[int]) -> Dim:
        """Where a number that changes from trace to trace is to be had."""
        for number in near:
            ndim = self.traces[0].arrays[number].ndim
            for length in range(1, ndim + 1):
                for start in range(ndim - length + 1):
                    axes = tuple(range(start, start + length))
                    each = [self._of(number, axis) for axis in axes]
                    if tuple(map(math.prod, zip(*each, strict=True))) == lengths:
                        return Dim(number, axes)
        if lengths in self._lengths:
            number, axis = self._lengths[lengths]
            return Dim(number, (axis,))
        for number in range(self._inputs):
            for axis in range(self.traces[0].arrays[number].ndim):
                if (line := _line(self._of(number, axis), lengths)) is not None:
                    return Dim(number, (axis,), *line)
        raise _Differs(f"it is {', '.join(map(str, lengths))} in turn")

    def _constant(self, found: Sequence[np.ndarray], near: list[int]) -> Any:
        first = found[0]
        if any(type(x) is not np.ndarray or x.ndim != first.ndim for x in found):
            raise _Differs("a constant has other axes")
        if all(x.shape == first.shape for x in found):
            if any(x.dtype != first.dtype or x.tobytes() != first.tobytes() for x in found):
                raise _Differs("a constant holds other values: it is computed without Tensors")
            return first
        lengths = zip(*[x.shape for x in found], strict=True)
        shape = tuple([n[0] if len(set(n)) == 1 else self.dim(n, near) for n in lengths])
        if all(x.size and (x == first.flat[0]).all() for x in found):
            return Filled(np.array(first.flat[0], first.dtype), shape)
        if first.ndim == 1 and all((x == np.arange(x.size)).all() for x in found):
            return Counted(shape[0], first.dtype)
        shapes = " and ".join(dict.fromkeys(str(x.shape) for x in found))
        raise _Differs(f"a constant is of shape {shapes}: compute it with Tensors' operations")


def _line(of: tuple[int, ...], lengths: tuple[int, ...]) -> tuple[Fraction, int] | None:
    """`times` and `plus` so that ``times * of + plus == lengths`` everywhere."""
    pairs = sorted(set(zip(of, lengths, strict=True)))
    if len({a for a, _ in pairs}) < 2:
        return None
    (a, x), (b, y) = pairs[0], pairs[-1]
    if a == b:
        return None
    times = Fraction(y - x, b - a)
    plus = x - times * a
    if plus.denominator != 1 or any(times * n + plus != m for n, m in pairs):
        return None
    return times, int(plus)
