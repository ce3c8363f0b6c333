"""Reading a recording's program: which chains it has, and what their kernels are.

This is done in the background, while the recording runs; nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend.kernels.generated import Generated, generated
from tensorlite.recording.chains import Chain, advanced
from tensorlite.recording.folding import Blocks, bounds
from tensorlite.recording.kernel_links import link_of_call
from tensorlite.recording.kernel_text import Written, source, written
from tensorlite.recording.links import is_copy, link_of_node
from tensorlite.recording.nodes import Node
from tensorlite.recording.trees import arrays_in
from tensorlite.recording.twins import Twin, twins

Span = tuple[int, int]


class Step(NamedTuple):
    """A call of the program, and the memory that it reads and writes; None: it may touch any."""

    item: int | Node
    reads: list[Span]
    writes: list[Span] | None
    link: Any


class Made(NamedTuple):
    """The program's steps; chains, their kernels, and the library these are in.

    The kernels do not write the `twins` of what they write, which others read in its place. Nobody
    needs what the chains `idle` make.
    """

    steps: list[Step]
    idle: list[Chain]
    chains: list[Chain]
    kernels: list[Written]
    twins: list[tuple[Twin, ...]]
    library: Generated | None


def made_of(program: list[Any], k: Any, recorder: Any, held: list[np.ndarray]) -> Made:
    """Find the chains of a program, and compile their kernels.

    Parameters
    ----------
    program
        Ranges of noted calls, and nodes.
    held
        Arrays whose contents are wanted after the call.

    Raises
    ------
    KernelsUnavailable
        If the kernels cannot be compiled, or cannot be kept anywhere.
    """
    steps = list(_steps(program, k, recorder.log))
    idle, chains, kernels, spared = [], [], [], []
    for chain in _chains(steps):
        if not _pays(chain, steps):
            continue
        wanted, temporary = _wanted(chain, steps, k, recorder, held)
        alike = twins(chain, wanted, steps, temporary)
        made = written(chain, wanted) if wanted else None
        if made is not None:
            chains.append(chain)
            kernels.append(made)
            spared.append(tuple(alike))
        elif not wanted:
            idle.append(chain)
    library = None
    if kernels:
        library = generated(source([made.text for made in kernels]), k.fused_services())
    return Made(steps, idle, chains, kernels, spared, library)


def _steps(program: list[Any], k: Any, log: Any) -> Iterator[Step]:
    for step in program:
        if isinstance(step, Node):
            given = [bounds(x) for x in arrays_in(step.arguments)]
            made = [bounds(x) for x in step.outputs]
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
) -> tuple[set[int], set[int]]:
    """Addresses of what a chain makes that is read by others, or after the call.

    And those of all that only the program reads.
    """
    blocks = Blocks(k, recorder.log)
    movable = set(recorder.movable)
    members = {at for at, _ in chain.members}
    wanted, temporary = set(), set()
    for at, view in chain.made.items():
        low, high = view.span
        block = blocks.of(at)
        later = not (block in movable and k.log_block(recorder.log, block)[2])
        later = later or any(a < high and low < b for a, b in map(bounds, held))
        others = any(
            step.writes is None or any(a < high and low < b for a, b in step.reads)
            for i, step in enumerate(steps)
            if i not in members
        )
        if others or later:
            wanted.add(at)
        if not later:
            temporary.add(at)
    return wanted, temporary
