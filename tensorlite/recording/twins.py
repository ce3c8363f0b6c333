"""Copies that need no memory of their own: a temporary and its copy, both made by one kernel.

A gradient that is kept by a leaf and read by others is copied first. Where a kernel makes both, it
need not write both: who reads the temporary later may read the copy, as long as nobody changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tensorlite.recording.chains import Chain
from tensorlite.recording.views import View

Span = tuple[int, int]


class Twin(NamedTuple):
    """What is read at addresses of `span` is read at those from `to` on."""

    span: Span
    to: int


def twins(chain: Chain, wanted: set[int], steps: Sequence[Any], temporary: set[int]) -> list[Twin]:
    """Temporaries that need not be written, as a copy of them is; they are taken from `wanted`.

    Parameters
    ----------
    chain
        The links that become one kernel.
    wanted
        Addresses of what it is to write.
    steps
        The program: `item`, a number where it is a noted call, and the spans `reads` and `writes`.
    temporary
        Those of `wanted` that only steps of the program read.
    """
    found = []
    for _, link in chain.members:
        if link.text != "{0}" or link.reduces:
            continue
        given, copy = link.inputs[0], link.output
        made = chain.made.get(given.address)
        if made is None or not {given.address, copy.address} <= wanted or given == copy:
            continue
        alike = made.type == given.type == copy.type and given.dense and given.size == copy.size
        if alike and given.address in temporary and _are_read_alike(chain, made, copy, steps):
            wanted.discard(given.address)
            found.append(Twin(made.span, copy.span[0]))
    return found


def _are_read_alike(chain: Chain, made: View, copy: View, steps: Sequence[Any]) -> bool:
    """Whether only noted calls after the chain read both, and no other step writes to them."""
    members = {at for at, _ in chain.members}
    last, written = max(members), [link.output.address for _, link in chain.members]
    if written.count(made.address) != 1 or written.count(copy.address) != 1:
        return False
    for at, step in enumerate(steps):
        if at in members:
            continue
        if at > last and (step.writes is None or any(_meet(s, copy.span) for s in step.writes)):
            return False
        if any(_meet(span, made.span) for span in step.writes or ()):
            return False
        read = [span for span in step.reads if _meet(span, made.span)]
        if read and not (isinstance(step.item, int) and at > last):
            return False
        if any(low < made.span[0] or made.span[1] < high for low, high in read):
            return False
    return True


def _meet(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
