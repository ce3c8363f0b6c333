"""What a call of a model did, taken down as primitives and their operands.

The trace stands where a recorder stands (see `recording`): every primitive asks it to compute, and
so shows it its arrays. An array that no operation made and that is no input is a constant.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend import is_array
from tensorlite.call import listed
from tensorlite.debug import users_line
from tensorlite.primitive import Primitive
from tensorlite.tape import mode
from tensorlite.tensor import Tensor


class ExportError(RuntimeError):
    """A model has no form in ONNX; the message says what in it, and where.

    Examples
    --------
    >>> issubclass(tl.onnx.ExportError, Exception)
    True
    """


class Value(NamedTuple):
    """An array that an operation made, or an input: its number."""

    number: int


class Call(NamedTuple):
    """One primitive that was called.

    Attributes
    ----------
    inputs
        A `Value`, a constant array, a Python number or None each.
    outputs
        Numbers of the values that it made.
    line
        Where in the user's code.
    """

    primitive: Primitive
    inputs: tuple
    static: dict[str, Any]
    outputs: tuple[int, ...]
    line: str


class Trace:
    """Takes down the calls of one run.

    Attributes
    ----------
    calls : list of Call
        In order.
    arrays : list of numpy.ndarray
        Of each value, the inputs first.
    """

    def __init__(self, inputs: list[np.ndarray]) -> None:
        self.calls: list[Call] = []
        self.arrays: list[np.ndarray] = []
        self.inside = False
        self._numbers: dict[int, int] = {}
        self._writing = False
        self._written_to: list[np.ndarray] = []
        self._constants: dict[
            int, Any
        ] = {}  # whose memory, which views made by operations show, too
        for array in inputs:
            self._new(array)

    def _new(self, array: np.ndarray) -> int:
        self.arrays.append(array)  # kept, so that no other array gets its identity
        self._numbers[id(array)] = len(self.arrays) - 1
        return len(self.arrays) - 1

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take down what is called in here."""
        previous = mode.switches.set(recorder=self)
        try:
            yield
        finally:
            mode.switches.set(**previous)

    def read(self, x: Any, name: str) -> Any:
        """A value, where `x` is one, or `x` itself.

        Raises
        ------
        ExportError
            If it is memory of a value, and not known as one.
        """
        if not isinstance(x, np.ndarray):
            return x
        if (number := self._numbers.get(id(x))) is not None:
            return Value(number)
        owner = _owner(x)
        if id(owner) in self._constants:
            return x
        if any(_owner(known) is owner for known in self.arrays):
            raise ExportError(
                f"export: {name} at {users_line()} reads memory of a traced Tensor in a way that "
                "was not traced: use Tensors' own operations, not their arrays"
            )
        self._constants[id(owner)] = owner
        return x

    # --- what a recorder does -----------------------------------------------------------------

    def unit(self, name: str, function: Callable, *arguments: Any) -> Any:
        """Compute, and take it down; ``function`` is a primitive's, or copies a result in place."""
        if self.inside:
            return function(*arguments)
        primitive = getattr(function, "__self__", None)
        if not isinstance(primitive, Primitive):
            self._written(name, function, *arguments)
            return None
        raw, static, _ = arguments
        if any(is_array(x) and not isinstance(x, np.ndarray) for x in raw):
            raise ExportError("export: the model is on a GPU: export model.to('cpu')")
        inputs = tuple([self.read(x, name) for x in raw])
        line = users_line()
        self.inside = True
        try:
            y, aux = function(*arguments)
        finally:
            self.inside = False
        several = isinstance(y, (tuple, list))
        made = [np.asarray(each) for each in listed(y)]
        outputs = tuple([self._new(each) for each in made])
        self.calls.append(Call(primitive, inputs, dict(static), outputs, line))
        return (tuple(made) if several else made[0]), aux

    def _written(self, name: str, function: Callable, *arguments: Any) -> None:
        """An operation in place: the Tensor then stands for the result."""
        if function.__name__ != "_overwrite":
            raise ExportError(
                f"export: {name} at {users_line()} writes into a Tensor, which ONNX has not: "
                "compute a new one (tl.where, tl.cat, …)"
            )
        to, values = arguments
        source = self.read(values, name)
        owner = _owner(to)
        if any(_owner(x) is owner and x is not to for x in self.arrays):
            raise ExportError(
                f"export: {name} at {users_line()} writes into memory that another Tensor shows: "
                f"use the operation that returns a new Tensor, without the underscore"
            )
        self._writing = True
        function(*arguments)
        if isinstance(source, Value):
            self._numbers[id(to)] = source.number
            self._written_to.append(to)  # kept, as all others

    def wrote(self, bounds: tuple[int, int]) -> None:
        """Hear of a write; one that was not seen as an operation is refused."""
        if self._writing or self.inside:
            self._writing = False
            return
        for x in self.arrays:
            low, high = np.lib.array_utils.byte_bounds(x)
            if low < bounds[1] and bounds[0] < high:
                raise ExportError(
                    f"export: a Tensor is written in place at {users_line()}, outside of what an "
                    "operation does: compute a new Tensor"
                )

    def refuse(self, what: str) -> None:
        """Stop at what depends on values; a module may set attributes of its own."""
        if not self.inside and not what.endswith(" is set"):
            raise ExportError(
                f"export: {what} at {users_line()} makes what the model does depend on values, and "
                "a graph does always the same: use tl.where, or compute it before the model"
            )

    def seen(self, x: Tensor) -> None:
        """A Tensor from before: its array says which."""

    def module(self, module: Any) -> None:
        """A module is called."""

    def sizes(self, name: str, inputs: tuple, static: dict) -> None:
        """Lengths that an operation is called with: several traces are compared for them."""

    def check(self, function: Callable, arguments: tuple) -> None:
        """A look at values that raises: an exported graph has none."""

    def mark(self, name: str) -> None:
        """What the next calls belong to."""

    def reserved(self, generator: Any, offset: int, blocks: int) -> int:
        """Random numbers are drawn."""
        raise ExportError(
            f"export: random numbers are drawn at {users_line()}: ONNX's are others, so export "
            "without them (model.eval() turns dropout off)"
        )

    def __getattr__(self, name: str) -> Any:
        raise ExportError(
            f"export: at {users_line()} the model does what belongs to training ({name} of a "
            "recorder): export what computes the outputs alone"
        )


def _owner(array: np.ndarray) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array if array.base is None else array.base
