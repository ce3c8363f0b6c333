"""A recording: what one call did, as a flat list that can be run again."""

from __future__ import annotations

import functools
import hashlib
import struct
from bisect import bisect_right
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any

import numpy as np

from tensorlite.backend import HOST
from tensorlite.recording.folding import Blocks, bounds, folded, start_of
from tensorlite.recording.fusing import Fusion
from tensorlite.recording.handing import HandedOut, Owner, ReturnedGradients
from tensorlite.recording.nodes import Node
from tensorlite.recording.recorder import Recorder, owner_of
from tensorlite.recording.shown import Line, drawn, listed
from tensorlite.recording.trees import arrays_in, is_input, mapped
from tensorlite.recording.verifying import same_bits
from tensorlite.tape import mode, note_write_at, span
from tensorlite.tensor import Tensor, tensor_of

#: Kernels whose last numbers are a seed and a place in its stream.
_DRAWING = frozenset({"dropout", "random_bits", "random_uniform", "random_normal"})
_DROPPING = frozenset({"attention", "attention_backward"})
"""The same, where the probability to drop, which stands before them, is not 0."""


class Output(int):
    """Stands in a result for one of the arrays that are returned."""


class Recording:
    """What one call of a captured function did.

    Print it to see the calls in order; `to_dot` draws them.

    Parameters
    ----------
    recorder, inputs, name
        What took it down, the arrays it was called with, and what it is called.

    Attributes
    ----------
    memory : tuple of int
        Bytes of the temporaries, and of the memory that they share now.
    replays : int
        How often it was run.

    Examples
    --------
    >>> double = tl.capture(lambda x: x * 2)
    >>> for _ in range(3):
    ...     y = double(tl.ones(2))
    >>> recording = double.recordings[-1]
    >>> recording.wait()
    True
    >>> len(recording.lines()), recording.fits(), recording.leaves(), len(recording.summary())
    (1, True, [], 2)
    >>> "digraph" in recording.to_dot()
    True
    """

    def __init__(self, recorder: Recorder, inputs: list[np.ndarray], name: str) -> None:
        self.name, self.replays, self.used = name, 0, 0
        self._recorder, self._k, self._log = recorder, recorder.k, recorder.log
        self._inputs = inputs
        self._unchanged: list[int] = []  # inputs that had the same values whenever it was recorded
        self._outputs: list[np.ndarray] = []
        self._owners: list[Owner] = []  # of the outputs
        self._handed: HandedOut | None = None
        self._gradients: ReturnedGradients | None = None
        self._lines: list[list[Line]] | None = None
        self.unfused = ""  # why no calls were fused
        self._fusion: Fusion | None = None  # what the compiler has not done yet

    def _returns(self, result: Any) -> None:
        """Take note of what the call returned."""
        self._result = mapped(result, self._as_output)

    def _finish(self) -> None:
        """Find the Tensors it depends on; call this when the call's own objects are gone."""
        recorder = self._recorder
        own = recorder.outer_leaves()
        recorder.leaves.clear()  # which holds Tensors of the call itself
        self._leaves = [(t, a, t.requires_grad) for t, a in own]
        self._entries = [self._entry_of(t) for t, _ in own if t.requires_grad]
        self._modules = list(recorder.modules.values())
        # A gradient in an optimizer's arena must not be held: then the next would lie elsewhere.
        wanting = [t for t, _ in own if t.requires_grad]
        self._final = [(t, t.grad) for t in wanting if not is_home(t)]
        self._home: list[Any] = [t for t in wanting if is_home(t)]  # each has its `grad_buffer`
        arenas = {id(a): a for a in (t.grad_buffer.renew.arena() for t in self._home)}
        self._arenas = [(arena, arena.grad) for arena in arenas.values()]
        self._program = list(self._spans())
        self.memory = (0, 0)

    def _as_output(self, x: Any) -> Any:
        if not is_input(x):
            return x
        array = x.array if isinstance(x, Tensor) else x
        self._owners.append(Owner(owner_of(array)))
        self._outputs.append(self._k.bare(array))
        return (Output if isinstance(x, Tensor) else _Array)(len(self._outputs) - 1)

    def _entry_of(self, t: Tensor) -> tuple[Any, bool | None, Any]:
        """A leaf; whether its gradient must be there before a call (None: either way); and it."""
        recorder = self._recorder
        before = recorder.entry.get(id(t), id(None))
        had = before != id(None)
        untouched = id(t.grad) == before and id(t) not in recorder.arrived
        if id(t) in recorder.read or (untouched and had):
            return t, True, None if is_home(t) else t.grad
        return t, (None if had or untouched else False), None

    def _spans(self) -> Iterator[tuple[int, int] | Node]:
        at, end = 0, self._k.log_size(self._log)[0]
        for position, node in self._recorder.nodes:
            if position > at:
                yield at, position
            at = position
            yield node
        if end > at:
            yield at, end

    # --- replay -------------------------------------------------------------------------------

    def _unsettled(self, known: set[int]) -> str:
        """Why it could not be used again: a parameter gets other memory, or is a new one."""
        for t, array, requires_grad in self._leaves:
            if t.array is not array:
                return f"it gives a Tensor of shape {t.shape} another array"
            if requires_grad and id(t) not in known:
                return (
                    f"each call makes a Tensor of shape {t.shape} that requires grad, and keeps it"
                )
        return ""

    def leaves(self) -> list[Tensor]:
        """The Tensors from before the call that it depends on.

        Returns
        -------
        list of Tensor
            Of any shapes.
        """
        return [t for t, _, _ in self._leaves]

    def _compare(self, inputs: list[np.ndarray]) -> None:
        """Take note of inputs that had the same values when it was recorded before.

        What Python made of them, unseen, would have been the same, too; see `_is_proven`.
        """
        self._unchanged = [i for i, x in enumerate(inputs) if same_bits(x, self._inputs[i])]

    def _is_proven(self, inputs: list[Any]) -> bool:
        """Whether it is known that nothing outside of the list follows from these inputs."""
        return all(same_bits(self._inputs[i], inputs[i]) for i in self._unchanged)

    def fits(self) -> bool:
        """Whether everything it depends on is as it was when it was made."""
        for t, array, requires_grad in self._leaves:
            if t.array is not array or t.requires_grad is not requires_grad:
                return False
        for t, needed, _ in self._entries:
            if needed is not None and (t.grad is not None) is not needed:
                return False
        for arena, grad in self._arenas:
            if arena.grad is not grad:
                return False
        for module, training in self._modules:
            if module.training is not training:
                return False
        for stream in self._recorder.streams.values():
            if stream.generator.initial_seed() != stream.seed:
                return False
        return all(guard() for guard in self._recorder.guards)

    def _replay(self, inputs: list[Any]) -> Any:
        """Run again over other inputs; return what the function returned, with new values."""
        if self._fusion is not None and self._fusion.is_ready():
            self._fuse()
        made = {} if self._handed is None else self._handed.renew()
        for to, x in zip(self._inputs, inputs, strict=True):
            HOST.write(to, x)
        for check in self._recorder.checks:
            check()
        for t, needed, grad in self._entries:
            if needed:
                grad = t.grad_buffer if grad is None else grad
                if t.grad is not grad:
                    np.copyto(grad.array, t.grad.array)
                    t.grad = grad
        streams = self._recorder.streams
        for stream in streams.values():
            stream.advance()
        for action in self._recorder.host:
            action()
        if self._recorder.nodes:
            self._give_gradients()
        profile = mode.switches.profile
        if profile is not None:
            span(f"replay of {self.name}", self._run_measured, profile, streams)
        else:
            self._run(streams)
        self._give_gradients()
        for written in self._recorder.written:
            note_write_at(written)
        self.replays += 1
        if self._fusion is not None:
            self._fusion.begin()
        outputs = self._outputs
        returned = [made[i] if i in made else HOST.copy(x) for i, x in enumerate(outputs)]
        if self._gradients is not None:
            self._gradients.give(returned)
        return mapped(self._result, functools.partial(_result, returned))

    def _run(self, streams: dict) -> None:
        for step in self._program:
            if isinstance(step, Node):
                step.run(streams)
            else:
                self._k.log_replay(self._log, *step)

    def _run_measured(self, profile: Any, streams: dict) -> None:
        """Run under a profiler, which gets an event for every call."""
        if self._lines is None:
            self._lines = [list(self._lines_of(step)) for step in self._program]
        for step, lines in zip(self._program, self._lines, strict=True):
            start = perf_counter_ns()
            if isinstance(step, Node):
                profile.quietly(step.run, streams)
                times = np.array([0, perf_counter_ns() - start])
            else:
                times = np.frombuffer(self._k.log_times(self._log, *step), np.int64)
            profile.replayed(lines, start, times)

    def _give_gradients(self) -> None:
        for t in self._home:
            t.grad = t.grad_buffer
        for t, grad in self._final:
            t.grad = grad

    def _plan(self) -> None:
        """Leave out constants and dead calls; temporaries not alive at once share memory.

        Chains are fused later, when their kernels have been made: until then a copy of the log is
        planned and run.
        """
        recorder, k, log = self._recorder, self._k, self._log
        outputs = [start_of(x) for x in self._outputs]
        program, constant, left_out = folded(self._program, k, log, recorder.made, outputs)
        for i in left_out:  # of which the memory may have been given back meanwhile
            k.log_replay(log, i, i + 1)
        recorder.movable = sorted(set(recorder.movable) - constant)
        self._left_out, self._program = left_out, program
        self._gradients = ReturnedGradients(self._final, self._outputs, self._entries)
        pinned: set[int | None] = set()
        if recorder.fuse:
            self._fusion = Fusion(program, k, recorder, self._held())
            self._log, pinned = k.log_copy(log), self._fusion.pinned()
        self._lay_out(pinned)

    def _lay_out(self, pinned: set[int | None]) -> None:
        """Plan the memory of the log, in which all but the blocks `pinned` may be moved."""
        k, log = self._k, self._log
        movable = set(self._recorder.movable) - pinned
        self._handed = HandedOut(k, log, self._outputs, self._owners, movable)
        nodes = [position for position, _ in self._recorder.nodes]
        before, after, self.dead = k.log_plan(log, sorted(movable), self._left_out, nodes)
        self.memory, self._lines = (before, after), None
        self._handed.let_go()

    def _fuse(self) -> None:
        """Take the kernels that have been made: between two replays nothing of one is wanted."""
        fusion, self._fusion = self._fusion, None
        if fusion is None:
            return
        arranged, self.unfused = fusion.arranged()
        self._log, self._program = self._recorder.log, fusion.program
        if arranged:  # without them
            self._left_out = []
        self._lay_out(fusion.pinned())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the compiler, which makes kernels of chains of operations.

        Parameters
        ----------
        timeout
            Seconds; None: as long as it takes.

        Returns
        -------
        bool
            Whether it is done.
        """
        return self._fusion is None or self._fusion.begin().wait(timeout)

    def _held(self) -> list[np.ndarray]:
        """Arrays whose contents are wanted after a replay."""
        grads = [grad.array for _, grad in self._final if grad is not None]
        return [*self._outputs, *self._inputs, *grads, *(array for _, array, _ in self._leaves)]

    # --- what it is ---------------------------------------------------------------------------

    def summary(self) -> list[tuple]:
        """What two recordings of the same call have in common: names, sizes, numbers, constants."""
        k, log = self._k, self._log
        end = k.log_size(log)[0]
        block_of = Blocks(k, log).of
        written: set[int | None] = set()
        for x in self._recorder.made:
            written.add(block_of(x))
        found: list[tuple] = []
        constants: dict[int, tuple] = {}

        def reads(address: int, size: int, what: str) -> None:
            block = block_of(address)
            if block is not None and block not in written and block not in constants:
                content = k.bytes_at(address, size)
                large = size > 1 << 12  # of these the content is not kept a second time
                constants[block] = (
                    what,
                    hashlib.sha256(content).digest() if large else content.tobytes(),
                )

        starts_of = {s.seed: s.start for s in self._recorder.streams.values()}
        nodes = iter([*self._recorder.nodes, (end + 1, None)])
        position, node = next(nodes)
        for i, (name, arrays, numbers, _) in enumerate(k.log_calls(log, 0, end)):
            while position <= i and node is not None:
                self._note_node(node, found, reads, written, block_of)
                position, node = next(nodes)
            for address, size, writes in arrays:
                if not writes:
                    reads(address, size, name)
            written |= {block_of(address) for address, _, writes in arrays if writes}
            if name in _DRAWING or (name in _DROPPING and numbers[-3]):
                numbers[-1] -= starts_of.get(numbers[-2], 0)
            numbers = [struct.pack("d", n) if isinstance(n, float) else n for n in numbers]
            found.append((name, tuple(size for _, size, _ in arrays), tuple(numbers)))
        while node is not None:
            self._note_node(node, found, reads, written, block_of)
            position, node = next(nodes)
        for output in self._outputs:
            low, high = bounds(output)
            reads(low, high - low, "the result")
        found.append(("constants", *constants.values()))
        return found

    def _note_node(self, node: Node, found: list, reads: Any, written: set, block_of: Any) -> None:
        for x in arrays_in(node.arguments):
            low, high = bounds(x)
            reads(low, high - low, node.name)
        written |= {block_of(x.__array_interface__["data"][0]) for x in node.outputs}
        found.append((node.name, tuple(x.shape for x in node.outputs), ()))

    def lines(self) -> list[Line]:
        """Its calls in order."""
        return [line for step in self._program for line in self._lines_of(step)]

    def _lines_of(self, step: tuple[int, int] | Node) -> Iterator[Line]:
        if isinstance(step, Node):
            given = [bounds(x) for x in arrays_in(step.arguments)]
            made = [bounds(x) for x in step.outputs]
            reads, writes = ([(low, high - low) for low, high in some] for some in (given, made))
            yield Line(step.name, step.name, step.line, reads, writes, [], True)
            return
        marks = sorted(self._recorder.marks, key=lambda mark: mark[0])
        starts = [position for position, _, _ in marks]
        for i, call in enumerate(self._k.log_calls(self._log, *step), step[0]):
            if call[-1]:  # dead
                continue
            at = bisect_right(starts, i) - 1
            _, operation, source = marks[at] if at >= 0 else (0, call[0], "")
            again = [(*each, f"{each[0]}, again") for each in self._k.log_again(self._log, i)]
            for name, arrays, numbers, _, what in (*again, (*call, operation)):
                reads = [(a, n) for a, n, writes in arrays if not writes and n]
                made = [(a, n) for a, n, writes in arrays if writes and n]
                yield Line(name, what, source, reads, made, numbers, False)

    def __repr__(self) -> str:
        lines = self.lines()
        python = sum(line.by_python for line in lines)
        return (
            f"<Recording of {self.name}: {len(lines)} calls, {python} of them in Python; "
            f"{self.replays} replays>"
        )

    def __str__(self) -> str:
        before, after = self.memory
        head = f"{self!r}\ntemporaries: {before:,} bytes, in {after:,}\n"
        head += "not fused yet: it waits for the compiler\n" if self._fusion is not None else ""
        head += f"not fused: {self.unfused}\n" if self.unfused else ""
        return head + listed(self.lines())

    def to_dot(self) -> str:
        """The calls and what they hand to each other, in Graphviz's language."""
        return drawn(self.lines())


def is_home(t: Tensor) -> bool:
    """Whether a leaf's gradient lies in its place in an optimizer's arena."""
    return t.grad is not None and t.grad is t.grad_buffer


class _Array(int):
    """Stands in a result for an array that is returned as such."""


def _result(returned: list[np.ndarray], x: Any) -> Any:
    """What the caller gets where the recorded call returned `x`."""
    if isinstance(x, Output):
        return tensor_of(returned[x])
    return returned[x] if isinstance(x, _Array) else x
