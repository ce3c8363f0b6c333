"""The fixed tree in which the results of shards are added.

A node is the half-open range of shards below it. It is split at the largest power of two that is
less than its length, so a range of 2ᵏ shards that begins at a multiple of 2ᵏ is a node: with 8
shards on 2, 4 or 8 processes, each process computes a whole node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Node = tuple[int, int]


def middle(node: Node) -> int:
    """Where a node of more than one shard is split."""
    first, last = node
    return first + (1 << (last - first - 1).bit_length() - 1)


def cover(first: int, last: int, shards: int) -> list[Node]:
    """The fewest nodes of a tree over `shards` shards that make up ``first … last - 1``."""

    def below(node: Node) -> list[Node]:
        if node[1] <= first or last <= node[0]:
            return []
        if first <= node[0] and node[1] <= last:
            return [node]
        cut = middle(node)
        return below((node[0], cut)) + below((cut, node[1]))

    return below((0, shards))


def merges(first: int, last: int, shards: int) -> dict[int, int]:
    """After each shard of a range: how many nodes it completes, beyond itself."""
    counts = dict.fromkeys(range(first, last), 0)

    def visit(node: Node) -> None:
        if node[1] - node[0] > 1:
            cut = middle(node)
            visit((node[0], cut))
            visit((cut, node[1]))
            counts[node[1] - 1] += 1

    for node in cover(first, last, shards):
        visit(node)
    return counts


def total(values: dict[Node, Any], shards: int, add: Callable[[Any, Any], Any]) -> Any:
    """The sum over all shards, from the values of nodes that make up all of them."""

    def value(node: Node) -> Any:
        if node in values:
            return values[node]
        cut = middle(node)
        return add(value((node[0], cut)), value((cut, node[1])))

    return value((0, shards))
