"""`profile`: looks at every operation of a thread while it is open."""

from __future__ import annotations

import enum
import functools
import os
from collections.abc import Callable, Iterable
from typing import Any

from tensorlite.debug import users_line
from tensorlite.profiler.events import Event, EventList
from tensorlite.profiler.watch import Watch
from tensorlite.tape import mode


class ProfilerActivity(enum.Enum):
    """What is looked at; the host always is.

    Parameters
    ----------
    value, names, module, qualname, type, start, boundary
        As of every `enum.Enum`.

    Examples
    --------
    >>> [activity.name for activity in tl.profiler.ProfilerActivity]
    ['CPU', 'CUDA']
    """

    CPU = 0
    CUDA = 3


class ProfilerAction(enum.Enum):
    """What a profile does in one step; see `schedule`.

    Parameters
    ----------
    value, names, module, qualname, type, start, boundary
        As of every `enum.Enum`.

    Examples
    --------
    >>> tl.profiler.schedule(wait=1, warmup=0, active=1)(0).name
    'NONE'
    """

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0
) -> Callable[[int], ProfilerAction]:
    """Say which steps are looked at: a cycle of `wait`, `warmup` and `active` steps.

    Parameters
    ----------
    wait, warmup : int
        Steps that are left alone.
    active : int
        Steps that are looked at; at the end of the last `on_trace_ready` is called.
    repeat : int
        How many cycles there are; 0 for as many as come.
    skip_first : int
        Steps before the first cycle.

    Raises
    ------
    ValueError
        If a number is negative, or `active` is not positive.

    Examples
    --------
    >>> when = tl.profiler.schedule(wait=1, warmup=1, active=3)
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise ValueError(
            f"schedule: wait={wait}, warmup={warmup}, active={active}, repeat={repeat}, "
            f"skip_first={skip_first}: active must be positive, and none negative"
        )

    def action(step: int) -> ProfilerAction:
        cycle, place = divmod(step - skip_first, wait + warmup + active)
        if step < skip_first or (repeat and cycle >= repeat) or place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        last = place == wait + warmup + active - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD

    return action


_LOOKING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


class profile(Watch):
    """Measure what every operation of this thread takes, forward, backward and captured.

    Parameters
    ----------
    activities : iterable of ProfilerActivity, optional
        With ``ProfilerActivity.CUDA``, and by default, operations on a GPU are timed there, too.
    schedule : callable, optional
        ``schedule(step) -> ProfilerAction``, made by `schedule`: then call `step` after each step.
    on_trace_ready : callable, optional
        Called with this object when the steps that were to be looked at are over.
    record_shapes : bool
        Remember shapes, for ``key_averages(group_by_input_shape=True)``.
    profile_memory : bool
        Nothing more: the bytes that operations read and write are counted anyhow.
    with_stack : bool
        Remember the user's lines, for ``key_averages(group_by_stack_n=1)``. Those of captured
        steps are known anyhow.

    Raises
    ------
    TypeError
        If an activity is no `ProfilerActivity`.

    Notes
    -----
    Each operation is called in Python's slow way, which takes some microseconds more. A captured
    step runs as always; of its kernels the clock is read between one and the next.

    Examples
    --------
    >>> with tl.profiler.profile(with_stack=True) as prof:
    ...     step(x, y)
    >>> print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))
    >>> prof.export_chrome_trace("trace.json")

    >>> prof = tl.profiler.profile()
    >>> prof.start()
    >>> y = model(x)
    >>> prof.step()
    >>> prof.stop()
    >>> len(prof.events())
    2
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
    ) -> None:
        self.activities = set(ProfilerActivity if activities is None else activities)
        if strange := [a for a in self.activities if not isinstance(a, ProfilerActivity)]:
            raise TypeError(f"profile: activities are ProfilerActivity.CPU and .CUDA: {strange}")
        super().__init__(with_stack, record_shapes, ProfilerActivity.CUDA in self.activities)
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self.profile_memory = profile_memory
        self.step_num = 0
        self._looking = False
        self._step: Event | None = None

    # --- as torch's -------------------------------------------------------------------------

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, in this thread.

        Raises
        ------
        RuntimeError
            If a profile is open in this thread already.
        """
        if mode.switches.profile is not None:
            raise RuntimeError("a profile is open in this thread already")
        self.step_num = 0
        self._follow(self._action())

    def stop(self) -> None:
        """End; `on_trace_ready` is called if something was being looked at."""
        if self._looking:
            self._end()

    def step(self) -> None:
        """Say that the next step begins."""
        before = self._action()
        self.step_num += 1
        if self._looking and (before is ProfilerAction.RECORD_AND_SAVE):
            self._end()
        self._follow(self._action())

    def events(self) -> EventList:
        """All that was seen, in the order in which it began."""
        return EventList(self._events)

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0
    ) -> EventList:
        """Events of one name added up: ``.table()`` shows them.

        Parameters
        ----------
        group_by_input_shape : bool
            Tell calls with other shapes apart (with ``record_shapes=True``).
        group_by_stack_n : int
            1 or more: tell calls from other lines apart (with ``with_stack=True``).
        """
        return self.events().key_averages(group_by_input_shape, group_by_stack_n)

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Write a file that ``chrome://tracing`` and https://ui.perfetto.dev show.

        Parameters
        ----------
        path : path
            Of the file.
        """
        self.events().export_chrome_trace(path)

    # --- beginning and ending ----------------------------------------------------------------

    def _action(self) -> ProfilerAction:
        return ProfilerAction.RECORD if self.schedule is None else self.schedule(self.step_num)

    def _follow(self, action: ProfilerAction) -> None:
        if action in _LOOKING and not self._looking:
            self._looking = True
            self._events, self._open = [], []
            trace = users_line if self.with_stack else mode.switches.trace
            self._before = mode.switches.set(profile=self, trace=trace)
        elif self._step is not None:
            self.close(self._step)
            self._step = None
        if self._looking and self.schedule is not None:
            self._step = self.open(f"ProfilerStep#{self.step_num}")
            self._step.annotation = True

    def _end(self) -> None:
        self._looking = False
        mode.switches.set(**self._before)
        while self._open:
            self.close(self._open[-1])
        self._step = None
        self.read_marks()
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)


class record_function:
    """Name a block, or a function, in the profile that is open; nothing without one.

    Parameters
    ----------
    name : str
        Of the block.

    Examples
    --------
    >>> with tl.profiler.record_function("forward"):
    ...     loss = model(x).sum()
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args
        self._entered: list[tuple[profile, Event] | None] = []

    def __enter__(self) -> record_function:
        seen = mode.switches.profile
        if seen is None:
            self._entered.append(None)
            return self
        event = seen.open(self.name, users_line() if seen.with_stack else None)
        event.annotation = True
        self._entered.append((seen, event))
        return self

    def __exit__(self, *error: object) -> None:
        entered = self._entered.pop()
        if entered is not None and entered[1] in entered[0]._open:
            entered[0].close(entered[1])

    def __call__(self, function: Callable) -> Callable:
        """Name every call of `function`."""

        @functools.wraps(function)
        def named(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return named
