"""Checks that all processes have the same model, settings and code, before the first step."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np

import tensorlite
from tensorlite import ranks
from tensorlite.backend import array_backend
from tensorlite.nn.module import Module
from tensorlite.optim.flat import FlatOptimizer
from tensorlite.random import default_generator
from tensorlite.ranks import World


def description(optimizer: FlatOptimizer, world: World) -> dict[str, Any]:
    """Everything that results depend on: model, settings, seed, dtype, code."""
    model, devices, digest = [], set(), hashlib.blake2b(digest_size=16)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = optimizer.label(parameter)
            devices.add(parameter.device.type)
            model.append(f"{name} {tuple(parameter.shape)} {parameter.dtype}")
            host = np.ascontiguousarray(array_backend((parameter.array,)).to_host(parameter.array))
            digest.update(host.reshape(-1).view(np.uint8))
    settings = [
        {k: str(v) for k, v in group.items() if k not in ("params", "param_names")}
        for group in optimizer.param_groups
    ]
    return {
        "number of shards": world.shards,
        "version of tensorlite": tensorlite.__version__,
        "code of tensorlite": _package() if world.size > 1 else "",
        "Python": sys.version.split()[0],
        "NumPy": np.__version__,
        "script": _script(),
        "optimizer": type(optimizer).__name__,
        "model": model,
        "kind of device": sorted(devices),
        "settings of the optimizer": settings,
        "seed or state of the random generator": default_generator.state_dict(),
        "initial values of the parameters": digest.hexdigest(),
    }


def code_of(*parts: Any) -> dict[str, str]:
    """Digests of the files that define a model, a loss: those that are not of tensorlite."""
    kinds: set[Any] = {type(m) for p in parts if isinstance(p, Module) for m in p.modules()}
    found: dict[str, str] = {}
    for part in (*kinds, *(p for p in parts if inspect.isfunction(p))):
        if not part.__module__.startswith("tensorlite."):
            with contextlib.suppress(OSError, TypeError):  # typed into an interpreter
                path = Path(inspect.getfile(part))
                found[f"code in {path.name}"] = _digest(path)
    return found


@functools.cache
def _package() -> str:
    """The digest of all of tensorlite's own code."""
    root = Path(tensorlite.__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() if path.is_file() else ""


def _script() -> str:
    """The digest of the program that runs."""
    return _digest(Path(sys.argv[0] if sys.argv else ""))


def check_same(who: str, mine: dict[str, Any]) -> None:
    """Raise, in all processes, if the description of one differs from that of rank 0.

    Parameters
    ----------
    who : str
        What the message calls it.
    mine : dict
        This process's description.

    Raises
    ------
    RuntimeError
        It names the rank and the first difference.

    Examples
    --------
    >>> tl.distributed.check_same("the model", {"layers": 3})
    """
    world = ranks.world()
    if world.size == 1:
        return
    said = world.gather(mine)
    for rank, other in enumerate(said[1:], 1):
        for key, value in said[0].items():
            theirs = other.get(key)
            if theirs != value:
                raise RuntimeError(
                    f"{who}: rank {rank} differs from rank 0 in its {key}: "
                    + _difference(value, theirs)
                )


def _difference(first: Any, other: Any) -> str:
    """What differs, in a few words."""
    if isinstance(first, list) and isinstance(other, list):
        for a, b in zip(first, other, strict=False):
            if a != b:
                return _difference(a, b)
        return f"{len(other)} there, {len(first)} on rank 0"
    if isinstance(first, dict) and isinstance(other, dict):
        for key, value in first.items():
            if other.get(key) != value:
                return f"{key} is {other.get(key)!r} there and {value!r} on rank 0"
    return f"{other!r} there and {first!r} on rank 0"


class Presence:
    """Which parameters have a gradient in any process, exchanged in every step.

    Parameters
    ----------
    world
        The processes.
    names
        Of the parameters, for messages.
    waits
        Whether a step waits for the others' answers. If not, a process whose own gradients are
        those of the last step assumes that the answer is the same, and checks it in the next step.
    """

    def __init__(self, world: World, names: list[str], waits: bool) -> None:
        self.world, self.names, self.waits = world, names, waits
        self.asked: tuple[Any, np.ndarray] | None = None  # in the last step
        self.mine: list[bool] | None = None
        self.changed = True
        self.wishes = 0
        self.taken: list[bool] = []  # what all were taken to say

    def ask(self, mine: list[bool]) -> None:
        """Say which parameters have a gradient here.

        The `wishes` of a process are sent along. All processes get them in the same step: this one
        if they wait, else the next.
        """
        self.wishes = self.check()
        self.changed, self.mine = mine != self.mine, mine
        words = np.array([self.world.wishes, *mine], np.uint8)
        self.asked = self.world.link.begin_gather(words, "the others' step")

    def anywhere(self) -> list[bool]:
        """Return which parameters have a gradient in any process; call `ask` first."""
        if self.waits or self.changed:
            now, self.taken = self._answer()
            if self.waits:
                self.wishes, self.asked = now, None
        self.world.agreed = self.wishes
        return self.taken

    def _answer(self) -> tuple[int, list[bool]]:
        """The answers of all processes: their wishes, and which parameters have a gradient."""
        pending, found = self.asked or (None, np.zeros((1, 1), np.uint8))
        if pending is not None:
            pending.wait()
        wishes, *there = np.bitwise_or.reduce(found).tolist()
        return wishes, [bool(flag) for flag in there]

    def check(self) -> int:
        """Check what was assumed in the last step; return the wishes that were sent in it."""
        if self.asked is None:
            return 0
        wishes, there = self._answer()
        wrong = [n for n, a, b in zip(self.names, there, self.taken, strict=True) if a != b]
        if wrong:
            raise RuntimeError(
                f"Sharded: in the last step other parameters had gradients than rank "
                f"{self.world.rank} could know without waiting for the others: {wrong[0]!r}"
                + (f" and {len(wrong) - 1} more" if wrong[1:] else "")
                + ". Give Sharded find_unused_parameters=True"
            )
        return wishes
