"""`capture`: a function is recorded, and later calls run the recording."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Any

import numpy as np

from tensorlite.backend import HOST
from tensorlite.debug import users_line
from tensorlite.recording.comparison import ATTEMPTS, detached, difference
from tensorlite.recording.recorder import Recorder
from tensorlite.recording.recording import Recording
from tensorlite.recording.trees import form, is_input, leaves, mapped
from tensorlite.tape import mode
from tensorlite.tensor import Tensor, tensor_of


class CaptureError(RuntimeError):
    """A function cannot be captured; the message says why, and where.

    Examples
    --------
    >>> issubclass(tl.capture(lambda x: x)(tl.zeros(2)).__class__, tl.Tensor)
    True
    """


class _Slot:
    """The recording, if any, of calls with one kind of arguments."""

    def __init__(self) -> None:
        self.recordings: list[Recording] = []
        self.summary: list[tuple] | None = None
        self.inputs: list[np.ndarray] = []  # of the last recording
        self.leaves: list[Tensor] = []
        self.attempts = 0
        self.on_gpu = False
        self.chains: Any = None  # on a GPU: what was seen of the first call
        self.early: set[int] | None = set()  # after which units no links wait; None: after all


class Captured:
    """A function that is recorded, and replayed; see `capture`.

    Parameters
    ----------
    most : int
        How many recordings are kept.
    strict : bool
        Whether a call that cannot be captured is an error.
    fuse : bool
        Whether chains of operations become one kernel.

    Attributes
    ----------
    recordings : list of Recording
        The last one used at the end.
    reason : str or None
        Why calls are not captured, once that is known.

    Examples
    --------
    >>> double = tl.capture(lambda x: x * 2)
    >>> for _ in range(3):
    ...     y = double(tl.ones(2))
    >>> len(double.recordings), double.wait()
    (1, True)
    >>> double.forget()
    >>> double.clear()
    """

    def __init__(self, function: Callable, most: int, strict: bool, fuse: bool = True) -> None:
        self.__name__ = type(function).__name__
        functools.update_wrapper(self, function, updated=())
        self.function, self.most, self.strict, self.fuse = function, most, strict, fuse
        self.reason: str | None = None
        self._slots: OrderedDict[Any, _Slot] = OrderedDict()
        self._lock = threading.RLock()
        self.clock = itertools.count()

    @property
    def recordings(self) -> list[Recording]:
        """The recordings that there are, in the order of their last use."""
        found = [recording for slot in self._slots.values() for recording in slot.recordings]
        return sorted(found, key=lambda recording: recording.used)

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """Bind to an object: each object has a captured function of its own."""
        if owner is None:
            return self
        known = owner.__dict__.setdefault("_captured", {})
        name = self.function.__name__
        if name not in known:
            bound = functools.partial(self.function, owner)
            functools.update_wrapper(bound, self.function)
            known[name] = Captured(bound, self.most, self.strict, self.fuse)
        return known[name]

    def __repr__(self) -> str:
        name = getattr(self, "__name__", repr(self.function))
        return f"<captured {name}: {len(self.recordings)} recordings>"

    def clear(self) -> None:
        """Forget all recordings, and that the function could not be captured."""
        with self._lock:
            self._slots.clear()
            self.reason = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no recording waits for the compiler; then all run as fast as they will.

        Calls do not wait: as long as kernels are being compiled, operations run one by one, with
        the same results. To measure, wait.

        Parameters
        ----------
        timeout
            Seconds; None: as long as it takes.

        Returns
        -------
        bool
            Whether nothing is waited for any more.

        Examples
        --------
        >>> double = tl.capture(lambda x: (x * 2).exp() + 1)
        >>> for _ in range(2):
        ...     y = double(tl.ones(2))
        >>> double.wait()
        True
        """
        end = None if timeout is None else monotonic() + timeout
        for recording in self.recordings:
            if not recording.wait(None if end is None else max(end - monotonic(), 0)):
                return False
            with self._lock:
                recording._fuse()
        return True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, or run what was recorded of such a call."""
        switches = mode.switches
        if self.reason is not None or switches.recorder is not None or switches.anomaly is not None:
            return self.function(*args, **kwargs)
        given = [leaf for leaf in leaves((args, kwargs)) if is_input(leaf)]
        inputs = [x.array if isinstance(x, Tensor) else x for x in given]
        with self._lock:
            slot = self._slot(args, kwargs)
            for recording in slot.recordings:
                if recording.fits() and recording._is_proven(inputs):
                    recording.used = next(self.clock)
                    return recording._replay(inputs)
            before = len(slot.recordings)
            returned = self._record(slot, args, kwargs, given)
            if len(slot.recordings) > before and HOST.kernels is not None:
                HOST.kernels.empty_cache()  # what was held meanwhile is seldom wanted again
            return returned

    def _slot(self, args: tuple, kwargs: dict) -> _Slot:
        switches = mode.switches
        cast = switches.autocast
        policy = None if cast is None else (cast.__self__.device, str(cast.__self__.fast_dtype))
        key = (form((args, kwargs), _kind), switches.grad, policy, self._outside())
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = _Slot()
            while len(self._slots) > self.most:
                self._slots.popitem(last=False)
        self._slots.move_to_end(key)
        return slot

    def _outside(self) -> tuple:
        """What the function sees around itself: numbers and words by value, objects by identity."""
        function, owner = self.function, getattr(self.function, "__self__", None)
        if isinstance(function, functools.partial):  # a method; see `__get__`
            owner, function = function.args[0], function.func
        function = getattr(function, "__wrapped__", function)
        code = getattr(function, "__code__", None)
        if code is None:
            return ()
        found = []
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # not set yet
                found.append((name, _seen(cell.cell_contents)))
        space, own = function.__globals__, getattr(owner, "__dict__", {})
        for name in code.co_names:
            if name in space:
                found.append((name, _seen(space[name])))
            if name in own:
                found.append((name, _seen(own[name])))
        return tuple(found)

    # --- recording ----------------------------------------------------------------------------

    def _record(self, slot: _Slot, args: tuple, kwargs: dict, given: list[Any]) -> Any:
        if slot.on_gpu or any(_is_on_gpu(x) for x in given):
            from tensorlite.recording.making import record

            return record(self, slot, args, kwargs, given)
        kernels = HOST.kernels
        problem = _problem(given, kernels)
        if problem is not None:
            self._give_up(f"{problem} at {users_line()}", raises=False)
            return self.function(*args, **kwargs)
        recorder = Recorder(kernels, self.fuse)
        if not recorder.keeps_memory():
            self._give_up("NumPy's arrays do not come from our allocator", raises=False)
            return self.function(*args, **kwargs)
        static: dict[int, np.ndarray] = {}

        def stand_in(x: Any) -> Any:
            if not is_input(x):
                return x
            array = x.array if isinstance(x, Tensor) else x
            own = static[len(static)] = array.copy(order="K")
            recorder.inputs.append(own)
            return tensor_of(own) if isinstance(x, Tensor) else own

        args, kwargs = mapped(args, stand_in), mapped(kwargs, stand_in)
        recorder.entry = {id(t): id(t.grad) for t in slot.leaves}
        previous = mode.switches.set(recorder=recorder)
        recorder.open()
        try:
            result = self.function(*args, **kwargs)
        finally:
            recorder.close()
            mode.switches.set(**previous)
        returned = mapped(result, detached)
        if recorder.elsewhere:  # of the next call a graph is made
            slot.on_gpu = True
            return returned
        slot.attempts += 1
        if recorder.reason is not None:
            self._give_up(recorder.reason)
            return returned
        recording = Recording(recorder, list(static.values()), self.__name__)
        recording._returns(result)
        del args, kwargs, result
        recording._finish()
        summary = recording.summary()
        unsettled = recording._unsettled(set(recorder.entry))
        if not unsettled and slot.summary == summary:
            recording._compare(slot.inputs)
            slot.recordings = [old for old in slot.recordings if not old.fits()]
            recording.used = next(self.clock)
            slot.recordings.insert(0, recording)
            self.forget()
            slot.attempts = 0
            recording._plan()
        else:
            slot.recordings = [old for old in slot.recordings if not old.fits()]
            if slot.attempts >= ATTEMPTS:
                self._give_up(unsettled or difference(slot.summary or [], summary))
        slot.summary, slot.inputs = summary, list(static.values())
        slot.leaves = recording.leaves()
        return returned

    def forget(self) -> None:
        """Let go of the recordings that were not used for the longest time."""
        for old in self.recordings[: -self.most]:
            for slot in self._slots.values():
                slot.recordings = [each for each in slot.recordings if each is not old]

    def _give_up(self, reason: str, raises: bool = True) -> None:
        """Make later calls without recording; warn once with the reason, or raise."""
        self.reason = reason
        self._slots.clear()
        if self.strict and raises:
            self.reason = None
            raise CaptureError(
                f"{self.__name__} cannot be captured: {reason}. This call was made to its end, "
                "uncaptured"
            )
        name = getattr(self, "__name__", "a function")
        print(f"tensorlite: {name} is not captured: {reason}", file=sys.stderr, flush=True)


_PLAIN = (bool, int, float, str, type(None))


def _seen(x: Any) -> Any:
    return (type(x), x) if type(x) in _PLAIN else id(x)


def _kind(x: Any) -> Any:
    """What a recording depends on of an input."""
    if not is_input(x):
        return None
    array = x.array if isinstance(x, Tensor) else x
    dense = None if array.flags.c_contiguous else array.strides
    wants = isinstance(x, Tensor) and x.requires_grad
    place = None if isinstance(array, np.ndarray) else array.data.device_id
    return (type(x), place, array.shape, array.dtype, dense, wants)


def _problem(given: list[Any], kernels: Any) -> str | None:
    """Why calls with these inputs are not captured."""
    if kernels is None:
        return "there are no compiled kernels (tensorlite env says why)"
    for x in given:
        if isinstance(x, Tensor) and x.requires_grad:
            return f"an input of shape {x.shape} requires grad"
    return None


def _is_on_gpu(x: Any) -> bool:
    return not isinstance(x.array if isinstance(x, Tensor) else x, np.ndarray)


def capture(
    function: Callable | None = None, *, most: int = 8, strict: bool = True, fuse: bool = True
) -> Any:
    """Record what a function of Tensors does, and let later calls run the recording.

    A training step with its optimizer, schedule and clipping, or an inference: the first two calls
    run normally and are recorded. From the third on, a call copies its inputs into place and runs
    the recorded list, without Python. On a GPU the second call makes a CUDA graph, and later calls
    are one launch of it. What it returns is the same, bit for bit.

    Parameters
    ----------
    function
        Takes and returns Tensors, in nested lists, tuples and dictionaries; other arguments are
        part of what is recorded. Results have no history: call `backward` inside.
    most
        Kinds of arguments (shapes, dtypes, other values) that are kept; the least recently used is
        forgotten.
    strict
        Raise where a call cannot be captured. False says why, once, and calls the function.
    fuse
        Let chains of operations on elements run as one kernel each. No call on the CPU waits for
        the compiler: see `Captured.wait`. The results are the same, bit for bit.

    Returns
    -------
    Captured
        Called as the function is. ``.recordings`` lists what was recorded, ``.reason`` says why
        nothing is.

    Raises
    ------
    CaptureError
        If a call does something that cannot be replayed: it reads values (``item()``, ``float(t)``,
        ``bool(t)``, ``numpy()``, printing), or uses numbers that change from call to call. The call
        itself has been completed.

    Examples
    --------
    >>> @tl.capture
    ... def step(x, y):
    ...     loss = F.cross_entropy(model(x), y)
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    """
    if function is None:
        return functools.partial(capture, most=most, strict=strict, fuse=fuse)
    return Captured(function, most, strict, fuse)
