"""Making a CUDA graph of a call: it runs once normally, and once under stream capture."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cupy

from tensorlite.backend import backend_for
from tensorlite.backend.cublaslt import workspace_of
from tensorlite.backend.cupy import UPLOADS
from tensorlite.backend.driver import explained
from tensorlite.backend.kernels.cuda import watched
from tensorlite.random import restore, states
from tensorlite.recording.comparison import ATTEMPTS, detached, difference
from tensorlite.recording.graph import GraphRecorder, Overtaken, Refused
from tensorlite.recording.graph_replay import Graph, GraphRecording
from tensorlite.recording.recording import is_home
from tensorlite.recording.trees import is_input, mapped
from tensorlite.tape import mode
from tensorlite.tensor import Tensor, tensor_of


def record(captured: Any, slot: Any, args: tuple, kwargs: dict, given: list[Any]) -> Any:
    """Make a call of a captured function: the first time normally, then as a graph.

    The graph is kept if both did the same.
    """
    device = _device_of(given)
    wanting = [x for x in given if isinstance(x, Tensor) and x.requires_grad]
    if device is None or wanting:
        several = "inputs are on several devices"
        what = f"an input of shape {wanting[0].shape} requires grad" if wanting else several
        captured._give_up(what, raises=False)
        return captured.function(*args, **kwargs)
    static: list[Any] = []
    with cupy.cuda.Device(device):
        own = _stand_ins((args, kwargs), static)
        slot.attempts += 1
        if slot.summary is None:
            return _noted(captured, slot, _recorder(captured, slot, static, device, False), own)
        recorder = _recorder(captured, slot, static, device, True)
        try:
            made, result = _made(recorder, captured.function, own, slot.leaves)
        except Overtaken:
            if recorder.chains is None or recorder.chains.overtaken <= slot.early:
                slot.early = None  # nothing waits
            else:
                slot.early |= recorder.chains.overtaken
            return _noted(captured, slot, _recorder(captured, slot, static, device, False), own)
        except Refused:
            result = captured.function(*args, **kwargs)
            captured._give_up(recorder.reason or "CUDA refuses it")
            return mapped(result, detached)
        recording = GraphRecording(recorder, static, captured.__name__, made)
        recording._returns(result)
        del own, result
        recording._finish()
        returned = recording.first()
        _keep(captured, slot, recorder, recording)
        return returned


def _recorder(
    captured: Any, slot: Any, static: list[Any], device: int, capturing: bool
) -> GraphRecorder:
    fuse = captured.fuse and slot.early is not None
    first = slot.chains if capturing else None
    recorder = GraphRecorder(static, device, capturing, fuse, first, slot.early or ())
    recorder.entry = {id(t): id(t.grad) for t in slot.leaves}
    return recorder


def _noted(captured: Any, slot: Any, recorder: GraphRecorder, given: tuple) -> Any:
    """Make the call normally, and note what its graph will be compared with."""
    args, kwargs = given
    with _watched_by(recorder, cupy.cuda.get_allocator()):
        result = captured.function(*args, **kwargs)
        recorder.settle()
    if recorder.reason is not None:
        captured._give_up(recorder.reason)
    else:
        slot.chains = recorder.chains
        slot.leaves = [t for t, _ in recorder.outer_leaves()]
        slot.summary = recorder.summary()
    return mapped(result, detached)


def _keep(captured: Any, slot: Any, recorder: GraphRecorder, recording: GraphRecording) -> None:
    """Keep a recording if it is that of the call before; give up where none is in the end."""
    unsettled, summary = recording._unsettled(set(recorder.entry)), recording.summary()
    slot.recordings = [old for old in slot.recordings if not old.fits()]
    if not unsettled and slot.summary == summary:
        recording.used = next(captured.clock)
        slot.recordings.insert(0, recording)
        captured.forget()
        slot.attempts = 0
    elif slot.attempts >= ATTEMPTS:
        captured._give_up(unsettled or difference(slot.summary or [], summary))
    slot.summary, slot.leaves = summary, recording.leaves()


def _device_of(given: list[Any]) -> int | None:
    """The one CUDA device of a call's inputs, or the current one; None if there are several."""
    arrays = [x.array if isinstance(x, Tensor) else x for x in given]
    found = {x.data.device_id for x in arrays if isinstance(x, cupy.ndarray)}
    found = found or {cupy.cuda.runtime.getDevice()}
    return found.pop() if len(found) == 1 else None


def _stand_ins(tree: Any, static: list[Any]) -> Any:
    """`tree` with copies of its inputs, which are added to `static`."""

    def own(x: Any) -> Any:
        if not is_input(x):
            return x
        static.append((x.array if isinstance(x, Tensor) else x).copy(order="K"))
        return tensor_of(static[-1]) if isinstance(x, Tensor) else static[-1]

    return mapped(tree, own)


@contextmanager
def _watched_by(recorder: GraphRecorder, allocate: Callable) -> Iterator[None]:
    """Let `recorder` see what happens in this thread; memory comes from `allocate`."""

    def noted(size: int) -> Any:
        memory = allocate(size)
        recorder.allocated(memory.ptr, max(size, 1))
        return memory

    before = mode.switches.set(recorder=recorder)
    UPLOADS.handler = recorder.upload
    try:
        with cupy.cuda.using_allocator(noted), watched(recorder.launched):
            yield
    finally:
        UPLOADS.handler = None
        mode.switches.set(**before)


def _made(
    recorder: GraphRecorder, function: Callable, given: tuple, known: list[Tensor]
) -> tuple[Graph, Any]:
    """The graph of a call, which computes nothing yet, and what the call returned.

    Raises
    ------
    Refused
        If the call cannot be a graph. As after any error, all that the host keeps is then as it
        was before: generators, counts of steps, the gradients of the leaves that are `known`.
    Overtaken
        If links have waited too long.
    """
    args, kwargs = given
    pool = cupy.cuda.MemoryPool()
    stream = cupy.cuda.Stream(non_blocking=True)
    recorder.stream = stream.ptr
    backend_for("cuda").stream_made(recorder.device, stream.ptr)
    before, gradients = states(), _gradients(known)
    try:
        with stream, _watched_by(recorder, explained(pool.malloc)):
            stream.begin_capture()
            try:
                result = function(*args, **kwargs)
                recorder.settle()
                if recorder.chains is not None and recorder.chains.overtaken:
                    raise Overtaken
                result = mapped(result, _dense)
            except BaseException:
                with contextlib.suppress(Exception):
                    stream.end_capture()
                raise
            graph = stream.end_capture()
    except BaseException as error:
        restore(before)
        for t, grad in gradients:
            t.grad = t.grad_buffer if grad is _HOME else grad
        for undo in reversed(recorder.undo):
            undo()
        if _is_refusal(error) and recorder.reason is None:
            recorder.reason = f"CUDA refuses it ({error})"
            raise Refused from error
        raise
    return Graph(graph, stream, pool, workspace_of(recorder.device, stream.ptr)), result


_HOME = object()
_OF_CUDA = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)


def _is_refusal(error: BaseException) -> bool:
    """Whether CUDA or CuPy says that something cannot be captured; CuPy has no type for it."""
    said = isinstance(error, RuntimeError) and "captur" in str(error)
    return said or isinstance(error, _OF_CUDA)


def _gradients(known: list[Tensor]) -> list[tuple[Tensor, Any]]:
    """The gradients of leaves. None of an arena is held here: the next would lie elsewhere."""
    return [(t, _HOME if is_home(t) else t.grad) for t in known]


def _dense(x: Any) -> Any:
    array = x.array if isinstance(x, Tensor) else x
    if not isinstance(array, cupy.ndarray):
        return x
    array = array if array.flags.c_contiguous else array.copy()
    return tensor_of(array) if isinstance(x, Tensor) else array
