"""Fusion: chains of operations on elements become one kernel each, which a compiler makes.

The program is read once, from its first call to its last. A call that is a link (see `links`) joins
an open chain that it has to do with, or begins one; any other call closes the chains whose memory
it touches. A chain runs at the place of its last link. What it makes and nobody else reads stays in
registers; the bits are those of the calls one by one, which is tried out before a chain is used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend.kernels.generated import Generated, generated
from tensorlite.backend.kernels.unavailable import KernelsUnavailable
from tensorlite.recording.chains import Chain, advanced
from tensorlite.recording.folding import Blocks
from tensorlite.recording.kernel_links import link_of_call
from tensorlite.recording.kernel_text import Written, source, written
from tensorlite.recording.links import is_copy, link_of_node
from tensorlite.recording.nodes import Node
from tensorlite.recording.trees import arrays_in

Span = tuple[int, int]


class Step(NamedTuple):
    """A call of the program, and the memory that it reads and writes; None: it may touch any."""

    item: int | Node
    reads: list[Span]
    writes: list[Span] | None
    link: Any


class Fused(NamedTuple):
    """A chain that is used: its places, and what the log is told of it; None: nobody needs it."""

    members: list[int]
    call: tuple | None


def fused(program: list[Any], k: Any, recorder: Any, held: list[np.ndarray]) -> tuple[list, str]:
    """The program with chains as single calls, and why there are none where there are none.

    Parameters
    ----------
    program
        Ranges of noted calls, and nodes. The log is arranged anew: earlier ranges mean nothing.
    held
        Arrays whose contents are wanted after the call.
    """
    log = recorder.log
    steps = list(_steps(program, k, log))
    chains = [chain for chain in _chains(steps) if _pays(chain, steps)]
    if not chains:
        return program, ""
    blocks = Blocks(k, log)
    for chain in chains:
        for at, _ in chain.members:
            item = steps[at].item
            if isinstance(item, Node):
                # The log keeps its blocks, as long as it must. What lies elsewhere, such as the
                # cotangent of a mean, which is a number spread, is kept with the recording.
                recorder.kept += [x for x in item.kept if not _in_a_block(x, blocks)]
                item.kept = []
    kernels: list[Written] = []
    found: list[Chain] = []
    used: dict[int, Fused] = {}
    for chain in chains:
        wanted = _wanted(chain, steps, k, recorder, held)
        members = [at for at, _ in chain.members]
        if not wanted:
            used[members[-1]] = Fused(members, None)
            continue
        made = written(chain, wanted)
        if made is not None:
            kernels.append(made)
            found.append(chain)
    if kernels:
        try:
            text = source([made.text for made in kernels])
            library = generated(text, k.fused_services())
        except (KernelsUnavailable, OSError) as error:
            _pin(recorder, k, [step.item for step in steps if isinstance(step.item, Node)])
            return program, str(error)
        for i, (chain, made) in enumerate(zip(found, kernels, strict=True)):
            if _same_bits(chain, made, library, i, steps, k, log):
                members = [at for at, _ in chain.members]
                used[members[-1]] = Fused(members, _call(made, library, i))
    return _arranged(steps, used, k, recorder), ""


def _in_a_block(owner: Any, blocks: Blocks) -> bool:
    return isinstance(owner, np.ndarray) and blocks.of(_bounds(owner)[0]) is not None


# --- reading the program --------------------------------------------------------------------------


def _steps(program: list[Any], k: Any, log: Any) -> Iterator[Step]:
    for step in program:
        if isinstance(step, Node):
            given = [_bounds(x) for x in arrays_in(step.arguments)]
            made = [_bounds(x) for x in step.outputs]
            pure = getattr(step.function, "__name__", "") == "computed"
            pure = pure or is_copy(step.function, step.arguments)
            writes = (made if pure else made + given) if step.listed else None
            yield Step(step, given, writes, link_of_node(step))
            continue
        for i, call in enumerate(k.log_calls(log, *step), step[0]):
            name, arrays, numbers, _ = call
            reads = [(at, at + n) for at, n, writes in arrays if n and not writes]
            made = [(at, at + n) for at, n, writes in arrays if n and writes]
            yield Step(i, reads, made, link_of_call(name, arrays, numbers, k.log_types(log, i)))


def _bounds(x: np.ndarray) -> Span:
    low, high = np.lib.array_utils.byte_bounds(x)
    return int(low), int(high)


def _chains(steps: list[Step]) -> list[Chain]:
    """All chains, be they of one link."""
    done: list[Chain] = []
    opened: list[Chain] = []
    for at, step in enumerate(steps):
        opened, closed = advanced(opened, at, step.link, step.reads, step.writes)
        done += closed
    return done + opened


def _pays(chain: Chain, steps: list[Step]) -> bool:
    """Whether a chain spares anything: a pass over memory, or a call of Python."""
    by_python = any(isinstance(steps[at].item, Node) for at, _ in chain.members)
    return by_python or len(chain.members) > 1


def _wanted(
    chain: Chain, steps: list[Step], k: Any, recorder: Any, held: list[np.ndarray]
) -> set[int]:
    """Addresses of what a chain makes that is read by others, or after the call."""
    blocks = Blocks(k, recorder.log)
    movable = set(recorder.movable)
    members = {at for at, _ in chain.members}
    wanted = set()
    for at, view in chain.made.items():
        low, high = view.span
        block = blocks.of(at)
        temporary = block in movable and k.log_block(recorder.log, block)[2]
        others = any(
            step.writes is None or any(a < high and low < b for a, b in step.reads)
            for i, step in enumerate(steps)
            if i not in members
        )
        if not temporary or others or any(a < high and low < b for a, b in map(_bounds, held)):
            wanted.add(at)
    return wanted


# --- trying it out --------------------------------------------------------------------------------


def _same_bits(
    chain: Chain, made: Written, library: Generated, i: int, steps: list[Step], k: Any, log: Any
) -> bool:
    """Whether a kernel gives what the calls one by one give, over the memory as it is now."""
    spans = sorted({view.span for view in chain.made.values()})
    memory = [k.bytes_at(low, high - low) for low, high in spans]
    before = [x.copy() for x in memory]
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
    function(library.address(i))(places.ctypes.data, numbers.ctypes.data, sizes.ctypes.data)
    same = all(
        _alike(_content(view, k), result)
        for view, result in zip(made.outputs, results, strict=True)
    )
    for x, content in zip(memory, before, strict=True):
        x[...] = content
    return same


def _content(view: Any, k: Any) -> np.ndarray:
    low, high = view.span
    kind = {"B": np.uint8, "q": np.int64, "f": np.float32, "d": np.float64, "e": np.float16}
    # What no NumPy knows, bfloat16, has no other zeros and NaN than its upper halves of floats.
    return k.bytes_at(low, high - low).view(kind.get(view.type, np.uint16)).copy()


def _alike(x: np.ndarray, y: np.ndarray) -> bool:
    """The same bits, but for those of a NaN."""
    if x.tobytes() == y.tobytes():
        return True
    equal = (x == y) & (np.signbit(x) == np.signbit(y)) if x.dtype.kind == "f" else x == y
    return bool(np.all(equal | ((x != x) & (y != y))))


# --- using it -------------------------------------------------------------------------------------


def _call(made: Written, library: Generated, i: int) -> tuple:
    """What `log_arrange` takes for a generated kernel."""
    first = len(made.arrays) - len(made.outputs)
    spans = [view.span for view in made.arrays]
    arrays = [(low, high - low, j >= first) for j, (low, high) in enumerate(spans)]
    names = [link.name for link in made.links]
    shown = names if len(names) <= 8 else [*names[:4], "…", *names[-3:]]
    label = f"fused[{' '.join(shown)}]" if len(names) > 1 else names[0]
    return label, library.address(i), arrays, made.numbers, made.sizes


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
    recorder.marks, recorder.nodes = lines, nodes
    _pin(recorder, k, [node for _, node in nodes])
    return program


def _pin(recorder: Any, k: Any, nodes: list[Node]) -> None:
    """Leave what Python calls refer to where it is."""
    blocks = Blocks(k, recorder.log)
    pinned = set()
    for node in nodes:
        for x in [*arrays_in(node.arguments), *node.outputs]:
            pinned.add(blocks.of(_bounds(x)[0]))
    recorder.movable = [block for block in recorder.movable if block not in pinned]


def _mark(item: int | Node, marks: list[tuple[int, str, str]]) -> tuple[str, str]:
    """The operation and the user's line that a call belongs to."""
    if isinstance(item, Node):
        return item.name, item.line
    before = [mark for mark in marks if mark[0] <= item]
    return before[-1][1:] if before else ("", "")
