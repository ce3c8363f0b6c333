"""Checkpoints written by a thread of their own, while training goes on.

What a step changes is copied in that thread as well: parameters and the optimizer's state only
change in the optimizer's step, so the copy is made during the next forward and backward pass, and
the step waits for it if it has to.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tensorlite.backend import array_backend, is_array
from tensorlite.optim import Optimizer
from tensorlite.optim.flat import FlatOptimizer
from tensorlite.tensor import Tensor

__all__ = ["Saver", "state_in_place"]

_SMALL = 1 << 16  # bytes that are copied at once


class Saver:
    """Writes one checkpoint at a time.

    Parameters
    ----------
    write : callable
        ``write(checkpoint, best)`` writes it.
    """

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write
        self._copied = threading.Event()
        self._copied.set()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._room: dict[tuple[Any, ...], np.ndarray] = {}  # kept for the next copy

    def save(self, checkpoint: dict[str, Any], parameters: set[str], *, best: bool) -> None:
        """Begin to write a checkpoint, when the one before is written.

        Parameters
        ----------
        checkpoint
            Its containers are copied now, and all arrays but the large ones of "optimizer", of
            "averaged" and of these parameters in "model": those must stay as they are until
            `settle`.
        parameters
            Names in "model".
        best
            Whether it is the best as well.

        Raises
        ------
        OSError
            If the one before could not be written.
        """
        self.finish()
        late: list[tuple[np.ndarray, np.ndarray]] = []
        taken = self._taken(checkpoint, (), parameters, late)
        self._copied.clear()
        work = threading.Thread(
            target=self._run, args=(taken, late, best), name="tensorlite checkpoint"
        )
        try:
            work.start()
        except RuntimeError:  # no more threads may be started
            self._run(taken, late, best)
        else:
            self._thread = work

    @property
    def busy(self) -> bool:
        """Whether `save` would have to wait for the checkpoint before."""
        return self._thread is not None and self._thread.is_alive()

    def settle(self) -> None:
        """Wait until all is copied; before anything changes parameters or optimizer."""
        if not self._copied.is_set():
            self._copied.wait()

    def finish(self) -> None:
        """Wait until all is written.

        Raises
        ------
        OSError
            If it could not be.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def forget(self) -> None:
        """Give back the memory that is kept for copies."""
        self._room.clear()

    def _run(
        self, checkpoint: dict[str, Any], late: list[tuple[np.ndarray, np.ndarray]], best: bool
    ) -> None:
        try:
            try:
                for target, source in late:
                    np.copyto(target, source)
            finally:
                self._copied.set()
            self._write(checkpoint, best=best)
        except BaseException as error:  # raised where training goes on
            self._error = error

    def _taken(
        self,
        value: Any,
        path: tuple[Any, ...],
        parameters: set[str],
        late: list[tuple[np.ndarray, np.ndarray]],
    ) -> Any:
        """Copy what may change; note in `late` which arrays are copied when there is time."""
        if isinstance(value, Tensor):
            value = value.array
        if isinstance(value, np.ndarray):
            only_steps = path[0] in ("optimizer", "averaged")
            only_steps |= path[0] == "model" and path[1] in parameters
            if value.nbytes <= _SMALL or not only_steps:
                return value.copy()
            room = self._room.get(path)
            if room is None or room.shape != value.shape or room.dtype != value.dtype:
                room = self._room[path] = np.empty(value.shape, value.dtype)
            late.append((room, value))
            return room
        if is_array(value):
            return array_backend((value,)).to_host(value)
        if isinstance(value, Mapping):
            kind = OrderedDict if isinstance(value, OrderedDict) else dict
            return kind(
                (key, self._taken(part, (*path, key), parameters, late))
                for key, part in value.items()
            )
        if type(value) in (list, tuple):
            return type(value)(
                [self._taken(part, (*path, i), parameters, late) for i, part in enumerate(value)]
            )
        return value


def state_in_place(optimizer: Optimizer) -> dict[str, Any] | None:
    """An optimizer's `state_dict` without copies, if the class leaves that to this library.

    Where processes divide the state all must call it, and rank 0 gets it.
    """
    if type(optimizer).state_dict not in (Optimizer.state_dict, FlatOptimizer.state_dict):
        return optimizer.state_dict()
    sharing = getattr(optimizer, "sharing", None)
    if sharing is None:
        return optimizer._described(lambda value: value)
    return sharing.on_main(lambda: optimizer._described(_seen))


def _seen(value: Any) -> Any:
    """What a parameter's state is now, without copies: the views of it are gone later."""
    return dict(value) if isinstance(value, Mapping) else value
