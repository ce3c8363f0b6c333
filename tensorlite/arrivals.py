"""Whoever wants to know during a backward pass which gradients are there is told here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tensorlite.tape import Node


class Arrivals(NamedTuple):
    """What is to be told of a backward pass; the compiled walk reads it, too.

    Leaves are told of in buckets: a bucket is full once each of its leaves has its whole gradient.
    One that waits for a leaf with hooks, or one that gets no gradient, is never full.

    Attributes
    ----------
    buckets : dict of Tensor to tuple of int
        The numbers of each leaf's buckets.
    members : tuple of int
        How many leaves each bucket has.
    filled : callable
        Called with a bucket's number when it is full.
    """

    buckets: dict[Any, tuple[int, ...]]
    members: tuple[int, ...]
    filled: Callable[[int], None]

    def told(self, nodes: Iterable[Node]) -> Callable[[Any], None]:
        """What is to be called with a leaf whenever one of its gradients has come.

        `nodes` are those of the graph, from which follows how many will come.
        """
        uses: dict[Any, int] = {}
        for node in nodes:
            for parent in node.parents:
                if parent in self.buckets and parent.hooks is None:
                    uses[parent] = uses.get(parent, 0) + 1
        missing = list(self.members)

        def arrived(leaf: Any) -> None:
            left = uses.get(leaf, 0) - 1
            if left == 0:
                for bucket in self.buckets[leaf]:
                    missing[bucket] -= 1
                    if missing[bucket] == 0:
                        self.filled(bucket)
            if left >= 0:
                uses[leaf] = left

        return arrived


def together(several: list[Arrivals]) -> Arrivals | None:
    """One for all; None where there is none."""
    if len(several) < 2:
        return several[0] if several else None
    buckets: dict[Any, tuple[int, ...]] = {}
    members: tuple[int, ...] = ()
    owners: list[tuple[Callable[[int], None], int]] = []
    for one in several:
        for leaf, own in one.buckets.items():
            moved = tuple(bucket + len(members) for bucket in own)
            buckets[leaf] = buckets.get(leaf, ()) + moved
        members += one.members
        owners += [(one.filled, bucket) for bucket in range(len(one.members))]

    def filled(bucket: int) -> None:
        tell, number = owners[bucket]
        tell(number)

    return Arrivals(buckets, members, filled)
