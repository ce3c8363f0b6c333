"""Damage of every kind, the same from every seed: what disks, networks and copies do to files."""

from __future__ import annotations

import random

KINDS = ("bit", "bits", "byte", "zeros", "random", "cut", "longer", "moved", "repeated", "gone")


def mutated(content: bytes, seed: int) -> tuple[str, bytes]:
    """Return a kind of damage and the damaged content, which is never the same as `content`.

    Every second time it is near the beginning, where headers are.
    """
    draw = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    reach = len(content) if seed // len(KINDS) % 2 else min(len(content), 4096)
    while True:
        damaged = _damaged(bytearray(content), kind, draw, reach)
        if damaged != content:
            return kind, damaged


def _damaged(data: bytearray, kind: str, draw: random.Random, reach: int) -> bytes:
    at = draw.randrange(reach)
    length = draw.choice((1, 8, 64, 512, 4096))
    if kind == "bit":
        data[at] ^= 1 << draw.randrange(8)
    elif kind == "bits":
        for _ in range(draw.randrange(2, 20)):
            data[draw.randrange(reach)] ^= 1 << draw.randrange(8)
    elif kind == "byte":
        data[at] = draw.randrange(256)
    elif kind == "zeros":
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == "random":
        data[at : at + length] = draw.randbytes(len(data[at : at + length]))
    elif kind == "cut":
        del data[at:]
    elif kind == "longer":
        data += draw.randbytes(length)
    elif kind == "moved":  # two pieces change places
        other = draw.randrange(len(data))
        length = min(length, abs(other - at), len(data) - max(at, other))
        one, two = bytes(data[at : at + length]), bytes(data[other : other + length])
        data[at : at + length], data[other : other + length] = two, one
    elif kind == "repeated":
        data[at:at] = data[at : at + length]
    else:
        del data[at : at + length]
    return bytes(data)
