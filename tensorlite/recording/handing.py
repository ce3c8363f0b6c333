"""Results that are handed out: the caller gets the memory that a replay wrote, and not a copy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tensorlite.recording.folding import Blocks, start_of
from tensorlite.tensor import tensor_of

_WORTH_IT = 1 << 16  # bytes; of less, a copy is as fast


class _Result(NamedTuple):
    """A result: the number of the block that it lies in, and where it is there."""

    block: int
    at: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype


class Owner:
    """What owns the memory of a result, until that is handed out."""

    def __init__(self, array: Any) -> None:
        self.array, self.nbytes = array, getattr(array, "nbytes", 0)


class HandedOut:
    """The blocks of a recording that belong to the caller after a replay; each gets others.

    Parameters
    ----------
    k, log
        The extension, and the log, whose plan has not been made yet.
    outputs, owners
        The arrays that are returned, and what owns their memory.
    movable
        The blocks whose contents are of one replay. Those that are handed out are taken from it.
    """

    def __init__(
        self, k: Any, log: Any, outputs: list[np.ndarray], owners: list[Owner], movable: set[int]
    ) -> None:
        self._k, self._log = k, log
        self._sizes: dict[int, int] = {}
        self._results: dict[int, _Result] = {}
        blocks = Blocks(k, log)
        found = {i: blocks.of(start_of(x)) for i, x in enumerate(outputs)}
        wanted: dict[int, int] = {}
        for i, number in found.items():
            if number in movable and owners[i].nbytes >= _WORTH_IT:
                wanted[number] = owners[i].nbytes
                owners[i].array = None
        for i, number in found.items():
            if number is None or number not in wanted:
                continue
            start, _, released = k.log_block(log, number)
            if released:  # nobody else refers to it
                x = outputs[i]
                at = x.__array_interface__["data"][0] - start
                self._sizes[number] = wanted[number]
                self._results[i] = _Result(number, at, x.shape, x.strides, x.dtype)
        movable.difference_update(self._sizes)

    def let_go(self) -> None:
        """Give the blocks back, when the plan has been made."""
        if self._sizes:
            self._k.log_hand_out(self._log, list(self._sizes))

    def renew(self) -> dict[int, np.ndarray]:
        """Let the next replay write to new memory: the results that will lie in it."""
        if not self._sizes:
            return {}
        memory = {number: np.empty(size, np.uint8) for number, size in self._sizes.items()}
        self._k.log_place(self._log, list(memory.values()))
        return {
            i: np.ndarray(x.shape, x.dtype, memory[x.block], x.at, x.strides)
            for i, x in self._results.items()
        }


class ReturnedGradients:
    """Gradients that are returned, too: what is returned is what the leaf has, as without capture.

    Parameters
    ----------
    final
        Leaves and their gradients after the call; those in question are taken from it.
    outputs
        The arrays that are returned.
    entries
        Leaves, and whether their gradient must be there before a call: then it stays where it is.
    """

    def __init__(
        self, final: list[tuple[Any, Any]], outputs: list[np.ndarray], entries: list[tuple]
    ) -> None:
        there = {id(t) for t, needed, _ in entries if needed}
        found = {_place(x): i for i, x in enumerate(outputs)}
        self._leaves = [
            (t, found[_place(grad.array)])
            for t, grad in final
            if grad is not None and id(t) not in there and _place(grad.array) in found
        ]
        taken = {id(t) for t, _ in self._leaves}
        final[:] = [each for each in final if id(each[0]) not in taken]
        for t, _ in self._leaves:  # what is there now is its holder's: replays have others
            t.grad = tensor_of(t.grad.array.copy())

    def give(self, returned: list[np.ndarray]) -> None:
        """Give the leaves what is returned."""
        for t, i in self._leaves:
            t.grad = tensor_of(returned[i])


def _place(x: np.ndarray) -> tuple:
    return x.__array_interface__["data"][0], x.shape, x.strides, x.dtype
