"""Chains of links: what may run as one kernel."""

from __future__ import annotations

from tensorlite.recording.links import Link
from tensorlite.recording.views import View

MOST_LINKS = 48
MOST_INPUTS = 20


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


class Chain:
    """Links over one shape that may run as one kernel, at the place of the last of them.

    Attributes
    ----------
    members : list of (int, Link)
        With their places in the program.
    """

    def __init__(self) -> None:
        self.members: list[tuple[int, Link]] = []
        self.size = 0
        self.shape: tuple[int, ...] | None = None  # None: any with so many elements
        self.made: dict[int, View] = {}  # what the chain writes, by address
        self.read: dict[View, None] = {}  # what it reads from memory
        self.reduced = False  # there is a sum of its rows
        self.draws: tuple | None = None  # the random words that it takes

    def takes(self, link: Link, strange: bool = False) -> bool:
        """Whether a link can be added at the end; if `strange`, one that shares nothing with it."""
        if not self.members:
            return True
        fits = self.shape is None or link.flat or self.shape == link.shape
        if link.size != self.size or not fits or len(self.members) >= MOST_LINKS:
            return False
        if link.reduces and self.reduced:
            return False
        draws = link.draws or self.draws
        if draws and (self.draws not in (None, draws) or self.shape or not link.flat):
            return False
        if len(self.read) + len(link.inputs) > MOST_INPUTS:
            return False
        if not strange and not self._related(link):
            return False
        if not link.flat and self.shape is None and self.size == 1:
            return False
        return all(self._in_register(v) or not self._touches(v) for v in link.inputs) and (
            self._writable(link.output)
        )

    def copy(self) -> Chain:
        """Another chain with the same members."""
        made = Chain()
        for at, link in self.members:
            made.add(at, link)
        return made

    def with_(self, other: Chain) -> Chain | None:
        """Both as one, which runs where the later one does; None where that cannot be."""
        both = Chain()
        for at, link in sorted(self.members + other.members, key=lambda member: member[0]):
            if not both.takes(link, strange=True):
                return None
            both.add(at, link)
        return both

    def _related(self, link: Link) -> bool:
        addresses = {v.address for v in self.read}
        return any(v.address in self.made or v.address in addresses for v in link.inputs)

    def _in_register(self, view: View) -> bool:
        """Whether a view shows, element by element, what the chain has just computed."""
        made = self.made.get(view.address)
        return made is not None and made.type == view.type and view.dense and view.size == self.size

    def _touches(self, view: View) -> bool:
        return any(_overlap(view.span, made.span) for made in self.made.values())

    def _writable(self, view: View) -> bool:
        """Whether what else the chain has at a place lies there element by element, too."""
        others = [*self.made.values(), *self.read]
        return all(
            (v.address == view.address and v.type == view.type and v.dense and v.size == view.size)
            or not _overlap(v.span, view.span)
            for v in others
        )

    def add(self, at: int, link: Link) -> None:
        """Add a link that `takes` was asked about."""
        self.members.append((at, link))
        self.size = link.size
        if not link.flat:
            self.shape = link.shape
        self.reduced = self.reduced or bool(link.reduces)
        self.draws = self.draws or link.draws
        for view in link.inputs:
            if not self._in_register(view):
                self.read[view] = None
        self.made[link.output.address] = link.output

    def conflicts(self, reads: list[tuple[int, int]], writes: list[tuple[int, int]]) -> bool:
        """Whether a call that is no member may not run before the chain does."""
        made = [view.span for view in self.made.values()]
        used = made + [view.span for view in self.read]
        return any(_overlap(a, b) for a in reads for b in made) or any(
            _overlap(a, b) for a in writes for b in used
        )


def advanced(
    opened: list[Chain],
    at: int,
    link: Link | None,
    reads: list[tuple[int, int]],
    writes: list[tuple[int, int]] | None,
) -> tuple[list[Chain], list[Chain]]:
    """The open chains after one more step of a program, and those that must run before it.

    Parameters
    ----------
    at, link
        The step's place; and what it does, if it is a link, which joins a chain or begins one.
    reads, writes
        The memory that it reads, and writes; None: it may touch any.
    """
    joined = None
    if link is not None:
        joined = next((chain for chain in reversed(opened) if chain.takes(link)), Chain())
        opened = [chain for chain in opened if chain is not joined]
        joined.add(at, link)
    left, done = [], []
    for chain in opened:
        if writes is not None and not chain.conflicts(reads, writes):
            left.append(chain)
            continue
        both = None if joined is None else joined.with_(chain)
        if both is None:
            done.append(chain)
        else:
            joined = both
    return (left if joined is None else [*left, joined]), done
