"""What the host does of an optimizer's step that is recorded, each time it is replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorlite.backend import Array
from tensorlite.optim.arena import Arena
from tensorlite.optim.foreign import as_number
from tensorlite.tape import note_write_at

if TYPE_CHECKING:
    from tensorlite.optim.flat import FlatOptimizer


def as_numbers(names: tuple[str, ...], values: dict[str, Any]) -> list[float]:
    """A step's numbers in the order in which a kernel reads them; gradients are scaled by 1."""
    return [
        1.0 if name == "scale" and values[name] is None else float(values[name] or 0)
        for name in names
    ]


class Replay:
    """The host's part of a recorded step: it counts, and writes the kernels' numbers anew."""

    def __init__(
        self,
        optimizer: FlatOptimizer,
        group: dict[str, Any],
        arena: Arena,
        names: tuple[str, ...],
        runs: list[tuple[int, int, Array, Array | None]],
    ) -> None:
        self.optimizer, self.group, self.arena, self.names = optimizer, group, arena, names
        self.places = [place.parameter for place in arena.places]
        # Of each run: the parameters that had a gradient, and where the kernel's numbers are
        # written; the count, too, where the device makes numbers of it (see `skip`).
        self.runs = [
            (
                [
                    i
                    for i, place in enumerate(arena.places)
                    if start <= place.start < stop and place.parameter.grad is not None
                ],
                hyper,
                count,
            )
            for start, stop, hyper, count in runs
        ]
        self.last: list[Any] = [None] * len(runs)
        self.skipped = arena.skipped
        self.settings = self._settings()
        self.order = optimizer.names_of_numbers(arena)

    def _settings(self) -> dict[str, Any] | None:
        """Settings that are part of the device's formulas, if it has any."""
        if self.skipped is None:
            return None
        free = ("params", "lr", "weight_decay")
        return {name: value for name, value in self.group.items() if name not in free}

    def fits(self) -> bool:
        """Whether the step would still be these launches."""
        optimizer, arena = self.optimizer, self.arena
        listed = any(arena is own for flat in optimizer._present() for own in flat.arenas)
        steps = arena.steps
        return (
            listed
            and arena.skipped is self.skipped
            and self.settings == self._settings()
            and optimizer.state_of(self.group) == self.names
            and not (optimizer._before_step or optimizer._after_step)
            and all(len({steps[i] for i in own}) == 1 for own, _, _ in self.runs)
        )

    def __call__(self) -> None:
        """Count a step, and write the numbers that its kernels read."""
        optimizer, group, arena = self.optimizer, self.group, self.arena
        counted = optimizer.counted(group)
        decay = as_number(group.get("weight_decay", 0.0))
        scale = -1.0 if group.get("maximize") else None
        if counted and len(self.runs) == 1 and len(self.runs[0][0]) == len(arena.steps):
            arena.steps = [arena.steps[0] + 1] * len(arena.steps)
        elif counted:
            arena.steps = arena.steps.copy()
            for own, _, _ in self.runs:
                for i in own:
                    arena.steps[i] += 1
        for k, (own, hyper, count) in enumerate(self.runs):
            step = arena.steps[own[0]]
            if count is not None:
                count[...] = step
            lr = as_number(optimizer.learning_rate(group, step))
            known = {"lr": lr, "decay": decay, "scale": scale, "skip": None}
            values = {**known, **optimizer.hyper(group, step)}
            if values != self.last[k]:
                self.last[k] = values
                hyper[:] = as_numbers(self.order, values)  # on the host
        note_write_at(arena.bounds)
