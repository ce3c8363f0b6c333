"""What a recording has besides calls of kernels: what Python does, and what it draws from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite.recording.trees import arrays_in, leaves, mapped
from tensorlite.tensor import Tensor


class Offset(int):
    """A place in a stream of random numbers, which is another one at each replay."""

    generator: Any


class Stream:
    """A generator that a recording draws from."""

    on_device: Any  # `base` where the kernels of a graph read it, if it is one

    def __init__(self, generator: Any) -> None:
        self.generator = generator
        self.seed = generator.initial_seed()
        self.start = generator.offset
        self.drawn = 0
        self.base = np.zeros(1, np.int64)  # added to every offset; kernels read it

    def advance(self) -> None:
        """Set aside for one replay what the recorded call drew."""
        self.base[0] = self.generator.offset - self.start
        self.generator.offset += self.drawn


class Node:
    """Something that Python does at a replay.

    Attributes
    ----------
    name, line
        The operation, and the user's line it comes from.
    function, arguments, outputs
        What is called, and the arrays, in the recording's memory, that the results belong in.
    streams
        Generators that it draws from itself, and where they stood.
    kept, listed
        What owns the memory of its arrays, and whether it touches no others.
    """

    def __init__(
        self, name: str, line: str, function: Callable, arguments: Any, outputs: list[np.ndarray]
    ) -> None:
        self.name, self.line = name, line
        self.function, self.arguments, self.outputs = function, arguments, outputs
        self.streams: list[tuple[Stream, int]] = []
        self.kept: list[Any] = []  # what owns the memory of its arrays
        self.listed = False  # whether it touches no arrays but those
        self.moving = [x for x in leaves(arguments) if isinstance(x, Offset)]

    def run(self, streams: dict[Any, Stream]) -> None:
        """Compute again, and put the results in place."""
        arguments = self.arguments
        if self.moving:
            arguments = mapped(
                arguments,
                lambda x: x + int(streams[x.generator].base[0]) if isinstance(x, Offset) else x,
            )
        after = [(stream.generator, stream.generator.offset) for stream, _ in self.streams]
        for stream, offset in self.streams:
            stream.generator.offset = offset + int(stream.base[0])
        try:
            found = self.function(*arguments)
        finally:
            for generator, offset in after:
                generator.offset = offset
        if self.outputs:
            self.place(found)

    def place(self, found: Any) -> None:
        """Copy results to where the recorded ones were."""
        given = arrays_in(mapped(found, _plain))
        if [x.shape for x in given] != [x.shape for x in self.outputs]:
            raise RuntimeError(
                f"{self.name} at {self.line}: its results have the shapes "
                f"{[x.shape for x in given]} now and had {[x.shape for x in self.outputs]} when "
                "the call was captured: what depends on values cannot be captured. Take it "
                "out of the captured function"
            )
        for to, x in zip(self.outputs, given, strict=True):
            if to.__array_interface__["data"] != x.__array_interface__["data"]:
                np.copyto(to, x)


def raw(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return x.array if isinstance(x, Tensor) else x


def _plain(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, np.generic) else raw(x)
