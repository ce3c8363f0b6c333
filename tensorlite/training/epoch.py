"""The current epoch: its losses stay on the device until they are read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite import ranks
from tensorlite.backend import Array, array_backend


class Epoch:
    """What happened in the epoch so far.

    The loss of every batch is kept, so that the one that became NaN can be named. Writing it is one
    small copy on the device; nothing waits for it before the epoch's end.

    Parameters
    ----------
    lr
        Learning rate at its beginning.

    Attributes
    ----------
    sizes : list of int
        Samples of each batch.
    counts : list of float
        What each batch counts in the mean: its samples, unless a weight was given.
    seconds : float
        Time spent on them.
    """

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.sizes: list[int] = []
        self.counts: list[float] = []
        self.seconds = 0.0
        self._losses: Array = None
        #: Of batches that are computed in shards: their number, losses of the shards here, weights.
        self._shards: list[tuple[int, dict[int, Array], list[float]]] = []
        self._bad_shard: tuple[int, int] | None = None  # a batch, and its shard that is not finite

    @property
    def samples(self) -> int:
        """Samples seen."""
        return sum(self.sizes)

    def add(self, loss: Array, samples: int, counts: float | None = None) -> None:
        """Take note of a batch: its mean loss, an array with no axes, and what it counts."""
        n = len(self.sizes)
        if self._losses is None or n == len(self._losses):
            self._grow(array_backend((loss,)), loss)
        self._losses[n] = loss
        self.sizes.append(samples)
        self.counts.append(samples if counts is None else counts)

    def add_shards(
        self, losses: dict[int, Array], weights: list[float], samples: int, counts: float
    ) -> None:
        """Take note of a batch of which these shards were computed here; see `gather`."""
        self._shards.append((len(self.sizes), losses, weights))
        self.add(np.zeros((), np.float32), samples, counts)  # until `gather`

    def gather(self) -> None:
        """Put together what all processes know of the batches' losses; all must call it."""
        if not self._shards:
            return
        world = ranks.world()
        pending, self._shards = self._shards, []
        most = max(len(range(*world.span(rank))) for rank in range(world.size))
        mine = np.zeros((len(pending), most))
        for row, (_, losses, _) in zip(mine, pending, strict=True):
            for shard, loss in losses.items():
                row[shard - world.own[0]] = array_backend((loss,)).to_host(loss)
        of_all = [mine] if world.size == 1 else world.link.gather_array(mine, "losses")
        parts = [part[:, : len(range(*world.span(r)))] for r, part in enumerate(of_all)]
        by_shard = np.concatenate(parts, axis=1)
        weights = np.array([weights for *_, weights in pending])
        # One order of additions, however many processes there are.
        found = np.where(weights > 0, by_shard * weights, 0.0).sum(axis=1)
        numbers = [number for number, *_ in pending]
        self._losses[numbers] = found.astype(np.float32)
        bad = np.argwhere((weights > 0) & ~np.isfinite(by_shard))
        if bad.size and self._bad_shard is None:
            self._bad_shard = numbers[bad[0][0]], int(bad[0][1])

    def _grow(self, backend: Any, like: Array) -> None:
        room = max(256, 2 * len(self.sizes))
        with backend.on(backend.device_of(like)):
            larger = backend.xp.zeros(room, np.float32)
            if self._losses is not None:
                larger[: len(self.sizes)] = self._losses
        self._losses = larger

    def losses(self) -> np.ndarray:
        """The batches' losses, float32 on the host; waits for the device."""
        if self._losses is None:
            return np.zeros(0, np.float32)
        return array_backend((self._losses,)).to_host(self._losses[: len(self.sizes)])

    def mean_loss(self) -> float:
        """The mean over samples; waits for the device."""
        if not self.sizes:
            return math.nan
        return float(np.average(self.losses().astype(np.float64), weights=self.counts))

    def first_bad_batch(self) -> tuple[int, float] | None:
        """Number of the first batch (from 1) whose loss is NaN or infinite, and that loss."""
        losses = self.losses()
        bad = np.flatnonzero(~np.isfinite(losses))
        return (int(bad[0]) + 1, float(losses[bad[0]])) if bad.size else None

    def where(self, batch: int) -> str:
        """Which shard of a batch has a loss that is not finite, and on which rank; or nothing."""
        if self._bad_shard is None or self._bad_shard[0] != batch - 1:
            return ""
        world, shard = ranks.world(), self._bad_shard[1]
        rank = next(r for r in range(world.size) if shard in range(*world.span(r)))
        on = f", computed by rank {rank}" if world.size > 1 else ""
        return f" (in shard {shard} of {world.shards}{on})"

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {
            "lr": self.lr,
            "sizes": np.array(self.sizes, np.int64),
            "seconds": self.seconds,
            "losses": self.losses(),
            "counts": np.array(self.counts, np.float64),
        }

    def load_state_dict(self, state: dict[str, Any], like: Array) -> None:
        """Go on from a `state_dict`, with the losses on the device of `like`."""
        backend = array_backend((like,))
        self.lr, self.seconds = float(state["lr"]), float(state["seconds"])
        self.sizes = np.asarray(state["sizes"]).tolist()
        self.counts = np.asarray(state["counts"]).tolist()
        self._losses = None
        if self.sizes:
            losses = np.array(state["losses"])
            if not ranks.world().is_cut:  # else they are put together on the host
                losses = backend.asarray(losses, device=backend.device_of(like))
            self._losses = losses
