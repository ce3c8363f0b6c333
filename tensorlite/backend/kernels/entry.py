"""``new_NAME``: the whole call of a kernel whose declaration says what its outputs are.

It closes gaps, makes the outputs, works out the lengths and runs the kernel. Both devices have it
in compiled code (``kernels/host/entry.h``); `Entry` here says what it does, and does it on CUDA
where there is no compiler.
"""

from __future__ import annotations

import ast
import math
from typing import Any, NamedTuple

import numpy as np

from .c_types import ARRAYS, C_TYPES, FLOATS
from .declarations import Kernel, Parameter

# As in kernels/host/entry.h.
INPUT, OPTIONAL, LIKE, PER_ROW, SUMS, LENGTH, GIVEN = range(7)
SIZE, LEADING, LAST, FIRST, SECOND, REST, PARTS = range(7)
ANYHOW, ALIKE, AXIS, EACH_ROW, NUMBER = range(5)
_OUTPUTS = {"LIKE": LIKE, "PER_ROW": PER_ROW, "SUMS": SUMS}
# How the factors of the first array's count follow from its axes, by how many there are.
_FACTORS = {1: (SIZE,), 2: (LEADING, LAST), 3: (FIRST, SECOND, REST)}
_OPERATIONS = {ast.Add: 2, ast.Sub: 3, ast.Mult: 4, ast.RShift: 5}


class Slot(NamedTuple):
    """One parameter of a kernel, as the call wants to know it; `EntrySlot` of the compiled one."""

    role: int
    type: int = 0
    wide: bool = False
    form: int = ANYHOW
    of: int = 0
    of_count: tuple[int, ...] = ()


def slots_of(kernel: Kernel) -> tuple[Slot, ...] | None:
    """The slots of a kernel that has an entry: one whose outputs all say what they are."""
    arrays = [p for p in kernel.parameters if p.is_array]
    outputs = [p for p in arrays if not p.is_input]
    first = next((p for p in arrays if p.is_input and p.type in kernel.types), None)
    worded = all(p.word in _OUTPUTS for p in outputs)
    if not outputs or not worded or first is None or first.optional or len(kernel.types) != 1:
        return None
    factors = first.count.split(" * ")
    lengths = dict(zip(factors, _FACTORS.get(len(factors), ()), strict=False))
    if any(p.word == "SUMS" for p in outputs):
        lengths["parts"] = PARTS
    names = [p.name for p in kernel.parameters]
    return tuple(_slot(p, kernel, first, lengths, names) for p in kernel.parameters)


def _slot(
    p: Parameter, kernel: Kernel, first: Parameter, lengths: dict[str, int], names: list[str]
) -> Slot:
    if not p.is_array:
        return Slot(LENGTH, of=lengths[p.name]) if p.name in lengths else Slot(GIVEN)
    wide = p.type.startswith("Acc<")
    of_t = wide or p.type in kernel.types
    kind = 0 if of_t else ARRAYS.index(p.type)
    if p.is_input:
        role = OPTIONAL if p.optional else INPUT
        return Slot(role, kind, wide, _form(p, first, lengths), 0, steps(p.count, names))
    return Slot(_OUTPUTS[p.word], kind, wide)


def _form(p: Parameter, first: Parameter, lengths: dict[str, int]) -> int:
    """The shape that an input must have: the first array's, one axis, one number a row, or none."""
    if p.count == first.count:
        return ALIKE
    if p.count == "1":
        return NUMBER
    return {LEADING: EACH_ROW, None: ANYHOW}.get(lengths.get(p.count), AXIS)


def allowed(kernel: Kernel) -> int:
    """The types that T may be: one bit for each."""
    (types,) = kernel.types.values()
    return sum(1 << ARRAYS.index(t) for t in types)


def steps(expression: str, names: list[str]) -> tuple[int, ...]:
    """An expression of the declaration for a stack: what to do and its number, in turn."""

    def walk(node: ast.AST) -> list[int]:
        match node:
            case ast.Constant(value=int(value)):
                return [0, value]
            case ast.Name(id=name):
                return [1, names.index(name)]
            case ast.BinOp(left, operation, right) if type(operation) in _OPERATIONS:
                return [*walk(left), *walk(right), _OPERATIONS[type(operation)], 0]
        raise ValueError(f"{expression}: only names, numbers, + - * and >> are understood")

    return tuple(walk(ast.parse(expression, mode="eval").body))


class Entry:
    """A kernel of `library` with its outputs, in Python; `array` is the class of its arrays."""

    def __init__(self, kernel: Kernel, library: Any, array: type) -> None:
        self._kernel, self._library = kernel, library
        self._array: Any = array
        self._slots = slots_of(kernel) or ()
        self._first = next(p for p in kernel.parameters if p.type in kernel.types)
        self._dtypes = [d for d, cpp in FLOATS.items() if cpp in next(iter(kernel.types.values()))]

    def __call__(self, *args: Any) -> Any:
        """Return the outputs: one array or a tuple; NotImplemented where this is not for `args`."""
        taken = [s for s in self._slots if s.role in (INPUT, OPTIONAL, GIVEN)]
        if len(args) != len(taken):
            name = self._kernel.name
            raise TypeError(f"new_{name} takes {len(taken)} arguments, not {len(args)}")
        given = iter(args)
        values = {
            p.name: next(given)
            for p, slot in zip(self._kernel.parameters, self._slots, strict=True)
            if slot.role in (INPUT, OPTIONAL, GIVEN)
        }
        if not self._are_for_it(values):
            return NotImplemented
        x: Any = values[self._first.name]
        outputs: dict[str, Any] = {}
        sums = [p.name for p in self._kernel.parameters if p.word == "SUMS"]
        wide = self._dtype(f"Acc<{self._first.type}>", x)
        if sums:
            partial = self._library.empty((len(sums), values["parts"], x.shape[-1]), wide)
            outputs = dict(zip(sums, partial, strict=True))
        for p in self._kernel.parameters:
            if p.is_array and p.is_input and values[p.name] is not None:
                values[p.name] = _dense(values[p.name])
            elif p.word in ("LIKE", "PER_ROW"):
                shape = x.shape if p.word == "LIKE" else (*x.shape[:-1], 1)
                outputs[p.name] = self._library.empty(shape, self._dtype(p.type, x))
        values |= outputs
        getattr(self._library, self._kernel.name)(
            *[values[p.name] for p in self._kernel.parameters]
        )
        if sums:
            totals = self._library.empty((len(sums), x.shape[-1]), wide)
            self._library.column_total(partial, totals, len(sums), values["parts"], x.shape[-1])
            outputs |= dict(zip(sums, totals, strict=True))
        made = tuple(outputs[p.name] for p in self._kernel.parameters if p.name in outputs)
        return made if len(made) > 1 else made[0]

    def _are_for_it(self, values: dict[str, Any]) -> bool:
        """Whether the inputs are what the kernel takes; adds the lengths to `values`."""
        x = values[self._first.name]
        if x.__class__ is not self._array or x.dtype.name not in self._dtypes or not x.size:
            return False
        for p, slot in zip(self._kernel.parameters, self._slots, strict=True):
            if slot.role == LENGTH:
                length = _length(slot.of, x.shape, self._library)
                if length is None:
                    return False
                values[p.name] = length
        for p, slot in zip(self._kernel.parameters, self._slots, strict=True):
            if slot.role not in (INPUT, OPTIONAL):
                continue
            value = values[p.name]
            if value is None and p.optional:
                continue
            if value.__class__ is not self._array or value.dtype != self._dtype(p.type, x):
                return False
            count = eval(p.count, {}, dict(values))
            shape = {
                ALIKE: x.shape,
                AXIS: (count,),
                EACH_ROW: (*x.shape[:-1], 1),
                NUMBER: (),
                ANYHOW: value.shape,
            }[slot.form]
            if value.shape != shape or value.size != count:
                return False
        return True

    def _dtype(self, cpp: str, x: Any) -> np.dtype:
        """The dtype of an array of a type of the declaration."""
        if cpp.startswith("Acc<"):
            return np.dtype("float64" if x.dtype.itemsize == 8 else "float32")
        return x.dtype if cpp in self._kernel.types else np.dtype(C_TYPES[cpp].dtype)


def _length(of: int, shape: tuple[int, ...], library: Any) -> int | None:
    """A length of the declaration, from the first array's shape; None if it has too few axes."""
    if of == SIZE:
        return math.prod(shape)
    if len(shape) < (1 if of in (LEADING, LAST, PARTS) else 2):
        return None
    rows = math.prod(shape[:-1])
    return {
        LEADING: lambda: rows,
        LAST: lambda: shape[-1],
        PARTS: lambda: library.parts(rows),
        FIRST: lambda: shape[0],
        SECOND: lambda: shape[1],
        REST: lambda: math.prod(shape[2:]),
    }[of]()


def _dense(x: Any) -> Any:
    """`x`, or a copy of it, without gaps and each element where its dtype may begin."""
    on_host = x.__class__ is np.ndarray
    aligned = x.flags.aligned if on_host else x.data.ptr % x.itemsize == 0
    return x if aligned and x.flags.c_contiguous else x.copy()
