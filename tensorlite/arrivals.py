"""Notifications during a backward pass: which gradients are complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tensorlite.tape import Node


class Arrivals(NamedTuple):
    """Which leaves to watch during a backward pass; the compiled walk reads it, too.

    Leaves are watched in buckets: a bucket is full once the gradient of each of its leaves is
    complete. A bucket with a leaf that has hooks, or that gets no gradient, is never full.

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

    def counter(self, nodes: Iterable[Node]) -> Callable[[Any], None]:
        """A function to call with a leaf whenever one of its gradients has arrived.

        `nodes` are those of the graph: they say how many gradients each leaf will get.
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


def merged(several: list[Arrivals]) -> Arrivals | None:
    """One `Arrivals` that does what all of them do; None for an empty list."""
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
