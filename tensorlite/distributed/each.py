"""The shards of one process side by side, for layers that need all of a batch at once.

`SyncBatchNorm` cannot normalize a shard before it knows the others'. So each shard is computed in a
thread of its own, and these take turns: one runs until it needs the others, then the next does, and
when all have come there, what they brought is put together and all go on. One runs at a time, so
nothing depends on how threads are scheduled. What belongs to a shard (its gradients, its place in
the random numbers, its running statistics) is taken out when its turn ends and put back with the
next.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tensorlite import ranks
from tensorlite.backend.driver import is_available, load_cupy
from tensorlite.tape import mode
from tensorlite.tensor import Tensor

T = TypeVar("T")
_INHERITED = ("grad", "anomaly", "autocast", "profile", "trace")


def in_turns(shards: ranks.Shards, step: Callable[..., T]) -> list[T]:
    """Call ``step(*part)`` for each shard of this process; they may wait for one another.

    Raises
    ------
    RuntimeError
        If one shard waits for the others where another has come to its end.
    """
    batch, world = shards.batch, shards.batch.world
    turns = [_Turn(number, step, part) for number, part in shards.parts]
    with _apart(world) as gradients:
        try:
            waiting: list[_Turn] = list(turns)
            answer: Any = None
            while waiting:
                for turn in waiting:
                    _run(turn, batch, gradients, answer, last=turn is turns[-1])
                ended = [turn for turn in turns if turn.asked is None]
                waiting = [turn for turn in turns if turn.asked is not None]
                if waiting and ended:
                    raise RuntimeError(
                        f"shard {waiting[0].number} of a batch waits for the others, and shard "
                        f"{ended[0].number} has come to its end: every shard must go through the "
                        "same layers that normalize by the whole batch"
                    )
                asked = [turn.asked for turn in waiting if turn.asked is not None]
                if asked:
                    answer = asked[0][0]([mine for _, mine in asked])
        finally:
            batch.meeting = None
            for turn in turns:
                turn.stop()
    return [turn.result for turn in turns]


def _run(turn: _Turn, batch: ranks.Batch, gradients: _Gradients, answer: Any, last: bool) -> None:
    """Let a shard go on until it waits for the others, or comes to its end."""
    if turn.begun:
        batch.resume(turn.number, turn.random)
    else:
        batch.enter(turn.number)
    gradients.put_in(turn.gradients)
    batch.meeting = turn.wait
    try:
        turn.go_on(answer)
    finally:
        batch.meeting = None
        turn.random = batch.pause()
    if turn.asked is not None:
        turn.gradients = gradients.take_out()
    elif not last:
        gradients.end_shard(turn.number)


class _Left(BaseException):
    """Ends the thread of a shard that nobody will continue."""


class _Turn:
    """The work on one shard, in a thread that runs between `go_on` and its next `wait`.

    Attributes
    ----------
    asked : tuple or None
        What it waits for: a function of what all bring, and what it brings.
    """

    def __init__(self, number: int, step: Callable[..., Any], part: Any) -> None:
        self.number, self.begun = number, False
        self.asked: tuple[Callable[[list[Any]], Any], Any] | None = None
        self.random: Any = None
        self.gradients: list[Tensor | None] | None = None
        self.result: Any = None
        self._error: BaseException | None = None
        self._answer: Any = None
        self._stopped = False
        self._step, self._part = step, part
        self._mine, self._others = threading.Semaphore(0), threading.Semaphore(0)
        self._inherited = {name: getattr(mode.switches, name) for name in _INHERITED}
        self._where = _cuda()
        work = contextvars.copy_context().run
        name = f"tensorlite shard {number}"
        self._thread = threading.Thread(target=work, args=(self._work,), name=name, daemon=True)

    def go_on(self, answer: Any) -> None:
        """Run until it waits or ends; raise what it raises."""
        self.asked, self._answer = None, answer
        if self.begun:
            self._mine.release()
        else:
            self.begun = True
            self._thread.start()
        self._others.acquire()
        if self._error is not None:
            raise self._error

    def wait(self, combine: Callable[[list[Any]], T], mine: Any) -> T:
        """Return ``combine([what each shard brings])``; called in the thread."""
        self.asked = combine, mine
        self._others.release()
        self._mine.acquire()
        if self._stopped:
            raise _Left
        return self._answer

    def stop(self) -> None:
        """End the thread, wherever it is."""
        if self.begun:
            self._stopped = True
            self._mine.release()
            self._thread.join()
        self._error = self._part = None

    def _work(self) -> None:
        try:
            previous = mode.switches.set(**self._inherited)
            try:
                with _there(*self._where):
                    tupled = isinstance(self._part, tuple | list)
                    self.result = self._step(*self._part) if tupled else self._step(self._part)
            finally:
                mode.switches.set(**previous)
        except _Left:
            pass
        except BaseException as error:
            self._error = error
        self.asked = None
        self._others.release()


@contextmanager
def _there(device: Any, stream: Any) -> Iterator[None]:
    """Compute on a CUDA device and in a stream, if there are any."""
    with contextlib.ExitStack() as held:
        for context in filter(None, (device, stream)):
            held.enter_context(context)
        yield


def _cuda() -> tuple[Any, Any]:
    """The CUDA device and stream that this thread computes on; None where CUDA is not used."""
    if "cupy" not in sys.modules or not is_available():
        return None, None
    cuda = load_cupy().cuda
    return cuda.Device(), cuda.get_current_stream()


class _Gradients:
    """The gradients of the parameters that are divided among processes, one shard's at a time."""

    def __init__(self, world: ranks.World) -> None:
        sharings = [listener.sharing() for listener in tuple(world.listeners)]
        self.sharings = [sharing for sharing in sharings if sharing is not None]
        self.parameters = [p for sharing in self.sharings for p in sharing.parameters()]
        self._buffers: list[Any] | None = None

    def lend(self) -> None:
        """Let gradients take memory of their own: the arena has room for one shard's."""
        if self._buffers is None:
            self._buffers = [p.grad_buffer for p in self.parameters]
            for parameter in self.parameters:
                parameter.grad_buffer = None

    def give_back(self) -> None:
        """Let gradients be put into the arena."""
        buffers, self._buffers = self._buffers or [], None
        for parameter in reversed(self.parameters) if buffers else ():
            parameter.grad_buffer = buffers.pop()  # none is kept: it would count as held

    def take_out(self) -> list[Tensor | None]:
        """The gradients so far; none are left."""
        found = [p.grad for p in self.parameters]
        for parameter in self.parameters:
            parameter.grad = None
        return found

    def put_in(self, grads: list[Tensor | None] | None) -> None:
        """Continue with these gradients; None: with those that are there."""
        if grads is not None:
            for parameter, grad in zip(self.parameters, grads, strict=True):
                parameter.grad = grad

    def end_shard(self, number: int) -> None:
        """Put a shard's gradients aside."""
        self.give_back()
        for sharing in self.sharings:
            sharing.end_shard(number)
        self.lend()


@contextmanager
def _apart(world: ranks.World) -> Iterator[_Gradients]:
    """Keep the gradients of several shards apart, in a ``with`` statement."""
    gradients = _Gradients(world)
    for sharing in gradients.sharings:
        sharing.apart = True
    gradients.lend()
    try:
        yield gradients
    finally:
        gradients.give_back()
        for sharing in gradients.sharings:
            sharing.apart = False
