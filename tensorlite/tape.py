"""The tape: what was recorded, whether to record, and what was overwritten since.

A `Node` is one recorded call of a primitive. Its index grows with time, so visiting the reachable
nodes in decreasing index is a topological order: no recursion, however long the graph. Nodes hold
raw arrays and their parents, never the Tensors they made, so there is no reference cycle and
memory goes by reference count the moment the graph goes.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tensorlite.backend import ON_SECOND_DEVICE, Array, array_backend, is_array
from tensorlite.backend.base import home
from tensorlite.decorate import decorated
from tensorlite.writes import MANY, WriteLog

next_index = itertools.count().__next__


class Switches:
    """What a thread's operations do besides computing.

    `special` is True while some policy wants to see each operation: one test on the hot path for
    all of them.
    """

    __slots__ = (
        "__weakref__",
        "anomaly",
        "autocast",
        "devices",
        "grad",
        "profile",
        "recomputes",
        "recorder",
        "special",
        "trace",
        "views",
    )

    def __init__(self) -> None:
        self.grad = True  # record operations
        self.recomputes = False  # a checkpointed call runs again, in a backward pass
        self.special = False
        self.devices = False  # compute on the CUDA device where the inputs are
        self.views = False  # look whether an input's memory was written through another Tensor
        self.anomaly: Callable | None = None  # anomaly(array, what, source) raises at NaN or inf
        self.autocast: Any = None  # autocast(primitive, args, static) -> what to call, and of what
        self.profile: Any = None  # what measures operations (see `profiler`)
        self.recorder: Any = None  # what takes this call down (see `recording`)
        self.trace: Callable | None = None  # trace() -> the user's source line

    def set(self, **values: Any) -> dict[str, Any]:
        """Change some switches; return their previous values, to be set again."""
        previous = {name: getattr(self, name) for name in values}
        for name, value in values.items():
            setattr(self, name, value)
        for name, everywhere in (("recorder", recorders), ("profile", profiles)):
            if name in values:
                if previous[name] is not None:
                    everywhere.remove(previous[name])
                if values[name] is not None:
                    everywhere.append(values[name])
        watched = (self.anomaly, self.autocast, self.trace, self.devices, self.views)
        self.special = any((*watched, self.recorder, self.profile))
        return previous


#: The recorders of all threads. To ask first whether there is any costs a small operation less than
#: to look for this thread's.
recorders: list[Any] = []
#: The profiles of all threads, likewise.
profiles: list[Any] = []
_all_switches: weakref.WeakSet[Switches] = weakref.WeakSet()
_of_new_threads = {"devices": False, "views": False}


class _Mode(threading.local):
    def __init__(self) -> None:
        self.switches = Switches()
        self.switches.set(**_of_new_threads)
        if home():
            from tensorlite.backend.cupy import use_home

            use_home()
        _all_switches.add(self.switches)


mode = _Mode()


@ON_SECOND_DEVICE.append
def _follow_devices() -> None:
    """Let the operations of all threads look where their inputs are."""
    _set_everywhere("devices")


def show_views() -> None:
    """Let the operations of all threads look whether views among their inputs are out of date."""
    if not _of_new_threads["views"]:
        _set_everywhere("views")


def _set_everywhere(switch: str) -> None:
    _of_new_threads[switch] = True
    for switches in list(_all_switches):
        switches.set(**{switch: True})


_SAME_DEVICE = contextlib.nullcontext()


def on_device_of(array: Array) -> Any:
    """Context manager: compute on the device of `array`."""
    if not mode.switches.devices:
        return _SAME_DEVICE
    backend = array_backend((array,))
    return backend.on(backend.device_of(array))


def run_on_device_of(array: Array, function: Callable, *args: Any) -> None:
    """Call ``function(*args)`` on the device of `array`; on the only one without a context."""
    if mode.switches.devices:
        with on_device_of(array):
            function(*args)
    else:
        function(*args)


class Node:
    """One recorded operation.

    Attributes
    ----------
    plan
        What was saved and which rules run (see `plan.Plan`).
    parents
        Per input: the Node or the leaf Tensor that a gradient flows to, or None.
    saved
        The residuals, in the plan's order; None once a backward pass has used them.
    shape, dtype
        Of the output, which is what its cotangent must have. Of several: how many, and None.
    hooks
        What is called with the cotangent, or None.
    source
        The line of the user's code that made this node, if it was traced.
    """

    __slots__ = ("dtype", "hooks", "index", "parents", "plan", "saved", "shape", "source")

    def __init__(self, plan: Any, parents: tuple, saved: tuple, shape: Any, dtype: Any) -> None:
        self.index = next_index()
        self.hooks: list[Callable] | None = None
        self.source: str | None = None
        self.plan = plan
        self.parents = parents
        self.saved: Any = saved  # a tuple, or None
        self.shape = shape
        self.dtype = dtype

    @property
    def name(self) -> str:
        """Name of the operation."""
        return self.plan.name

    def set_source(self, source: str | None) -> None:
        """Remember the line of the user's code that made this node."""
        self.source = source


class OutputNode(Node):
    """One output of a node that has several; it only hands its cotangent down."""

    __slots__ = ("position",)

    plan = None
    saved = ()

    def __init__(self, parent: Node, position: int, shape: tuple, dtype: Any) -> None:
        self.index = next_index()
        self.hooks = self.source = None
        self.parents = (parent,)
        self.position = position
        self.shape = shape
        self.dtype = dtype

    @property
    def name(self) -> str:
        """Name of the operation that has this output."""
        return self.parents[0].name

    def set_source(self, source: str | None) -> None:
        """Remember the line for the whole operation."""
        self.source = self.parents[0].source = source


# --- switching the tape on and off ------------------------------------------------------------


class _Recording:
    """Record operations inside or not: a context manager, and a decorator of any function."""

    enabled = False

    def __init__(self) -> None:
        self.previous: list[bool] = []

    def __enter__(self) -> None:
        switches = mode.switches
        self.previous.append(switches.grad)
        switches.grad = self.enabled

    def __exit__(self, *exc_info: object) -> None:
        mode.switches.grad = self.previous.pop()

    def __call__(self, fn: Callable) -> Callable:
        """Decorate `fn`."""
        return decorated(fn, type(self))


class no_grad(_Recording):
    """Record nothing inside: ``with tl.no_grad(): ...``, ``@tl.no_grad()`` or ``@tl.no_grad``.

    Parameters
    ----------
    fn : callable, optional
        What the decorator is put on.

    Examples
    --------
    >>> with tl.no_grad():
    ...     print(tl.is_grad_enabled())
    False
    """

    def __new__(cls, fn: Callable | None = None) -> Any:
        """Make a context manager, or decorate `fn`."""
        return object.__new__(cls) if fn is None else decorated(fn, cls)


class enable_grad(no_grad):
    """Record again inside a `no_grad` block; used as `no_grad` is.

    Parameters
    ----------
    fn : callable, optional
        What the decorator is put on.

    Examples
    --------
    >>> with tl.no_grad(), tl.enable_grad():
    ...     print(tl.is_grad_enabled())
    True
    """

    enabled = True


class set_grad_enabled(_Recording):
    """Record operations from here on or not; as a context manager, to the end of the block.

    Parameters
    ----------
    mode : bool
        Whether to record.

    Examples
    --------
    >>> with tl.set_grad_enabled(False):
    ...     tl.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.enabled = bool(mode)
        super().__enter__()
        self.fresh = True

    def __enter__(self) -> None:
        if not self.fresh:
            super().__enter__()
        self.fresh = False

    def __call__(self, fn: Callable) -> Callable:
        """Decorate `fn`, and leave the rest as it was."""
        self.__exit__()
        return decorated(fn, functools.partial(set_grad_enabled, self.enabled))


class inference_mode(_Recording):
    """Record nothing inside, as `no_grad` does; with ``mode=False`` record again.

    Parameters
    ----------
    mode : bool
        As above; a function is decorated.

    Examples
    --------
    >>> with tl.inference_mode():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __new__(cls, mode: Any = True) -> Any:
        """Make a context manager, or decorate the function given."""
        return decorated(mode, cls) if callable(mode) else object.__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.enabled = not mode

    def __call__(self, fn: Callable) -> Callable:
        """Decorate `fn`."""
        return decorated(fn, functools.partial(inference_mode, not self.enabled))


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread.

    Examples
    --------
    >>> tl.is_grad_enabled()
    True
    """
    return mode.switches.grad


# --- writes in place --------------------------------------------------------------------------
#
# A node that was recorded before an array was overwritten must not use that array any more. Each
# write notes the address range and the time (the next node's index); a backward pass looks only
# if some node of its graph is older than the last write, which in a training loop is never.

_writes = WriteLog()
_last_write = -1


def note_write(array: Array) -> None:
    """Record that the memory of `array` was overwritten now."""
    note_write_at(array_backend((array,)).byte_bounds(array))


def check(function: Callable, *args: Any) -> None:
    """Call ``function(*args)``, which looks at values and raises; a replay does so, too."""
    function(*args)
    if mode.switches.recorder is not None:
        mode.switches.recorder.check(function, args)


def unit(name: str, function: Callable, *args: Any) -> Any:
    """Call ``function(*args)``, which computes with arrays itself; a recorder sees to it."""
    if not recorders and not profiles:
        return function(*args)
    recorder, profile = mode.switches.recorder, mode.switches.profile
    if recorder is not None:
        function, args = recorder.unit, (name, function, *args)
    if profile is not None:
        return profile.operation(name, args, function, *args)
    return function(*args)


def put(to: Array, x: Array) -> None:
    """``to[...] = x``; by a kernel, where a recorder is to see it."""
    backend = array_backend((to,))
    seen = recorders and mode.switches.recorder is not None and to.__class__ is np.ndarray
    alike = seen and to.shape == x.shape and to.dtype == x.dtype and x.size
    if alike and not np.may_share_memory(to, x):
        backend.kernels.copy(to, x)
    else:
        backend.write(to, x)


def zeros(like: Array, shape: tuple[int, ...]) -> Array:
    """Zeros where `like` is and of its dtype; by a kernel, where a recorder is to see it."""
    backend = array_backend((like,))
    if recorders and like.__class__ is np.ndarray and mode.switches.recorder is not None:
        x = np.empty(shape, like.dtype)
        backend.kernels.zero(x)
        return x
    return backend.xp.zeros(shape, like.dtype)


def dense(x: Any) -> Any:
    """`x`; where it is recorded an array with gaps is copied, so that the recorder sees it."""
    if not recorders or x.__class__ is not np.ndarray or x.flags.c_contiguous:
        return x
    copy = np.empty(x.shape, x.dtype)
    put(copy, x)
    return copy


def span(name: str, function: Callable, *args: Any) -> Any:
    """Call ``function(*args)``, whose operations a profile shows under a name of their own."""
    profile = mode.switches.profile
    if profile is None:
        return function(*args)
    event = profile.open(name)
    try:
        return function(*args)
    finally:
        profile.close(event)


def note_write_at(bounds: tuple[int, int]) -> None:
    """Record that the addresses from `bounds[0]` up to `bounds[1]` were overwritten now."""
    global _last_write
    _writes.waiting[bounds] = _last_write = next_index()
    if len(_writes.waiting) > MANY:
        _writes.sort_in()
    if recorders and mode.switches.recorder is not None:
        mode.switches.recorder.wrote(bounds)


def last_write() -> int:
    """The time of the last write; nodes with a greater index saved nothing that is overwritten."""
    return _last_write


def written() -> tuple[list[int], list[int], list[int]]:
    """Where memory was overwritten, and when; see `WriteLog.ranges`."""
    return _writes.ranges()


def written_since(bounds: tuple[int, int], time: int) -> bool:
    """Whether memory from `bounds[0]` up to `bounds[1]` was overwritten after `time`."""
    return _writes.last(*bounds) > time


def check_not_overwritten(node: Node) -> None:
    """Refuse to use a saved array that was overwritten after `node` was recorded."""
    for name, array in saved_arrays(node):
        if _writes.last(*array_backend((array,)).byte_bounds(array)) > node.index:
            raise RuntimeError(
                f"{node.plan.name}: the array saved as {name!r} (shape {array.shape}, "
                f"{array.dtype}) was changed in place after the forward pass"
                f"{at(node)}, so its gradient would be wrong. Call backward() before the "
                "change (before optimizer.step()), or change a copy: t.clone()"
            )


def saved_arrays(node: Node) -> Iterator[tuple[str, Array]]:
    """What `node` keeps for its rules: (residual name, array)."""
    for residual, value in zip(node.plan.residuals, node.saved or (), strict=False):
        for array in value if isinstance(value, tuple) else (value,):
            if is_array(array) and array.size:
                yield residual.name, array


def at(node: Node) -> str:
    """Where the user called this operation, if it was traced."""
    return f" at {node.source}" if node.source else ""
