"""Chains of links: what may run as one kernel."""

from __future__ import annotations

from tensorlite.recording.links import Link, View

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

    def takes(self, link: Link, strange: bool = False) -> bool:
        """Whether a link can be added at the end; if `strange`, one that shares nothing with it."""
        if not self.members:
            return True
        fits = self.shape is None or link.flat or self.shape == link.shape
        if link.size != self.size or not fits or len(self.members) >= MOST_LINKS:
            return False
        if link.reduces and self.reduced:
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
        self.reduced = self.reduced or link.reduces
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
