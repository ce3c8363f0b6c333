"""Fusion: chains of operations on elements become one kernel each, which a compiler makes.

The program is read once, from its first call to its last. A call that is a link (see `links`) joins
an open chain that it has to do with, or begins one; any other call closes the chains whose memory
it touches. A chain runs at the place of its last link. What it makes and nobody else reads stays in
registers; the bits are those of the calls one by one, which is tried out before a chain is used.

A compiler takes longer than many calls. So kernels are made in the background (see `reading`),
while the recording runs as it is, and between two replays it takes them.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tensorlite.backend.background import Task, later
from tensorlite.backend.kernels.unavailable import say_once
from tensorlite.recording.folding import Blocks, bounds
from tensorlite.recording.nodes import Node
from tensorlite.recording.trees import arrays_in

if TYPE_CHECKING:  # which takes a while to import
    from tensorlite.recording.chains import Chain
    from tensorlite.recording.kernel_text import Written
    from tensorlite.recording.reading import Made, Step
    from tensorlite.recording.twins import Twin
    from tensorlite.recording.views import View


class Fused(NamedTuple):
    """A chain that is used: its places, and what the log is told of it; None: nobody needs it."""

    members: list[int]
    call: tuple | None
    twins: tuple[Twin, ...]


class Fusion:
    """The chains of a recording; their kernels are made in the background.

    Parameters
    ----------
    program
        Ranges of noted calls, and nodes.
    k, recorder
        The extension, and what took the program down. Its log stays as it is until `arranged`.
    held
        Arrays whose contents are wanted after the call.
    """

    def __init__(self, program: list[Any], k: Any, recorder: Any, held: list[np.ndarray]) -> None:
        self.program, self._k, self._recorder, self._held = program, k, recorder, held
        self._made: Made | None = None
        self._task: Task | None = None
        _let_go(_nodes(program), k, recorder)

    def begin(self) -> Task:
        """Let the kernels be made: what is never replayed needs none."""
        if self._task is None:
            self._task = later(self._make)
        return self._task

    def is_ready(self) -> bool:
        """Whether all has been done that is done in the background."""
        return self._task is not None and self._task.is_done()

    def _make(self) -> None:
        from tensorlite.recording.reading import made_of

        self._made = made_of(self.program, self._k, self._recorder, self._held)

    def pinned(self) -> set[int | None]:
        """Blocks that stay where they are: those that Python's calls refer to."""
        blocks = Blocks(self._k, self._recorder.log)
        arrays = [x for n in _nodes(self.program) for x in [*arrays_in(n.arguments), *n.outputs]]
        return {blocks.of(bounds(x)[0]) for x in arrays}

    def arranged(self) -> tuple[bool, str]:
        """Put the kernels in the place of chains, in `program` and in the log.

        Returns
        -------
        whether there are such, and why not
            If so, earlier ranges of the log mean nothing.
        """
        k, recorder, made = self._k, self._recorder, self._made
        if made is None:
            return False, _reason(self.begin().error)
        used = _used(made, k, recorder)
        if used:
            self.program = _arranged(made.steps, used, k, recorder)
        return bool(used), ""


def _reason(error: BaseException | None) -> str:
    """Why nothing was made."""
    from tensorlite.backend.kernels.unavailable import KernelsUnavailable, SourceRefused

    known = isinstance(error, (KernelsUnavailable, OSError))
    text = str(error) if known else f"{type(error).__name__}: {error}"
    if isinstance(error, SourceRefused) or not known:
        say_once(f"captured calls are not fused: {text}")
    return text


def _nodes(program: list[Any]) -> list[Node]:
    return [step for step in program if isinstance(step, Node)]


def _let_go(nodes: list[Node], k: Any, recorder: Any) -> None:
    """Leave the memory of Python's calls to the log, which keeps its blocks as long as it must.

    What lies elsewhere, such as the cotangent of a mean, which is a number spread, is kept with the
    recording.
    """
    blocks = Blocks(k, recorder.log)
    for node in nodes:
        recorder.kept += [x for x in node.kept if not _in_a_block(x, blocks)]
        node.kept = []


def _in_a_block(owner: Any, blocks: Blocks) -> bool:
    return isinstance(owner, np.ndarray) and blocks.of(bounds(owner)[0]) is not None


def _used(made: Made, k: Any, recorder: Any) -> dict[int, Fused]:
    """The chains that are used, by the place of their last link."""
    log, blocks = recorder.log, Blocks(k, recorder.log)
    free = {i for i in recorder.movable if (block := k.log_block(log, i)) and block[2]}
    used = {chain.members[-1][0]: Fused(_places(chain), None, ()) for chain in made.idle}
    for i, (chain, kernel) in enumerate(zip(made.chains, made.kernels, strict=True)):
        assert made.library is not None
        address = made.library.address(i)
        _fill([v for v in chain.read if blocks.of(v.address) in free], k)
        with np.errstate(all="ignore"):
            if _same_bits(chain, kernel, address, made.steps, k, log):
                places = _places(chain)
                used[places[-1]] = Fused(places, _call(kernel, address), made.twins[i])
    return used


def _places(chain: Chain) -> list[int]:
    return [at for at, _ in chain.members]


# --- trying it out --------------------------------------------------------------------------------

_KINDS = "Bqfde"  # elements that NumPy knows


def _same_bits(
    chain: Chain, made: Written, address: int, steps: list[Step], k: Any, log: Any
) -> bool:
    """Whether a kernel gives what the calls one by one give; all memory is as it was then."""
    spans = sorted({view.span for view in chain.made.values()})
    memory = [k.bytes_at(low, high - low) for low, high in spans]
    before = [x.copy() for x in memory]
    try:
        for at, _ in chain.members:
            item = steps[at].item
            if isinstance(item, Node):
                item.run({})
            else:
                k.log_replay(log, item, item + 1)
        results = [_content(view, k) for view in made.outputs]
        for x, content in zip(memory, before, strict=True):
            x[...] = content
        read = [view.span for view in chain.read]
        for view in made.outputs:
            low, high = view.span
            if not any(a < high and low < b for a, b in read):
                k.bytes_at(low, high - low)[...] = 0xFF
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        places = np.array([view.address for view in made.arrays], np.uint64)
        numbers, sizes = np.array(made.numbers, np.float64), np.array(made.sizes, np.int64)
        function(address)(places.ctypes.data, numbers.ctypes.data, sizes.ctypes.data)
        return all(
            _alike(_content(view, k), result)
            for view, result in zip(made.outputs, results, strict=True)
        )
    finally:
        for x, content in zip(memory, before, strict=True):
            x[...] = content


def _fill(views: list[View], k: Any) -> None:
    """Put numbers into memory that was given back: what it held may be gone."""
    numbers = np.random.Generator(np.random.Philox(0)).standard_normal(1 << 12)
    for view in views:
        low, high = view.span
        if view.type in _KINDS:
            memory = k.bytes_at(low, high - low).view(view.type)
            memory[...] = np.resize(numbers > 0 if view.type in "Bq" else numbers, memory.shape)


def _content(view: Any, k: Any) -> np.ndarray:
    low, high = view.span
    # What no NumPy knows, bfloat16, has no other zeros and NaN than its upper halves of floats.
    return k.bytes_at(low, high - low).view(view.type if view.type in _KINDS else "H").copy()


def _alike(x: np.ndarray, y: np.ndarray) -> bool:
    """The same bits, but for those of a NaN."""
    if x.tobytes() == y.tobytes():
        return True
    equal = (x == y) & (np.signbit(x) == np.signbit(y)) if x.dtype.kind == "f" else x == y
    return bool(np.all(equal | ((x != x) & (y != y))))


# --- using it -------------------------------------------------------------------------------------


def _call(made: Written, address: int) -> tuple:
    """What `log_arrange` takes for a generated kernel."""
    first = len(made.arrays) - len(made.outputs)
    spans = [view.span for view in made.arrays]
    arrays = [(low, high - low, j >= first) for j, (low, high) in enumerate(spans)]
    names = [link.name for link in made.links]
    shown = names if len(names) <= 8 else [*names[:4], "…", *names[-3:]]
    label = f"fused[{' '.join(shown)}]" if len(names) > 1 else names[0]
    return label, address, arrays, made.numbers, made.sizes


def _arranged(steps: list[Step], used: dict[int, Fused], k: Any, recorder: Any) -> list[Any]:
    """Put the kernels into the log, in the order in which everything runs."""
    gone = {at for chain in used.values() for at in chain.members}
    marks = sorted(recorder.marks, key=lambda mark: mark[0])
    calls: list[Any] = []
    program: list[Any] = []
    lines: list[tuple[int, str, str]] = []
    nodes: list[tuple[int, Node]] = []
    for at, step in enumerate(steps):
        if at in gone and (at not in used or used[at].call is None):
            continue
        if at not in used and isinstance(step.item, Node):
            nodes.append((len(calls), step.item))
            program.append(step.item)
            continue
        first = steps[used[at].members[0]].item if at in used else step.item
        lines.append((len(calls), *_mark(first, marks)))
        calls.append(used[at].call if at in used else step.item)
        if program and isinstance(program[-1], tuple):
            program[-1] = (program[-1][0], len(calls))
        else:
            program.append((len(calls) - 1, len(calls)))
    k.log_arrange(recorder.log, calls)
    for chain in used.values():
        for twin in chain.twins:
            k.log_redirect(recorder.log, *twin.span, twin.to)
    recorder.marks, recorder.nodes = lines, nodes
    return program


def _mark(item: int | Node, marks: list[tuple[int, str, str]]) -> tuple[str, str]:
    """The operation and the user's line that a call belongs to."""
    if isinstance(item, Node):
        return item.name, item.line
    before = [mark for mark in marks if mark[0] <= item]
    return before[-1][1:] if before else ("", "")
