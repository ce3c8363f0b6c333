"""The epoch under way: its losses, kept on the device until somebody asks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

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
    seconds : float
        Time spent on them.
    """

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.sizes: list[int] = []
        self.seconds = 0.0
        self._losses: Array = None

    @property
    def samples(self) -> int:
        """Samples seen."""
        return sum(self.sizes)

    def add(self, loss: Array, samples: int, seconds: float) -> None:
        """Take note of a batch: its mean loss, an array with no axes."""
        n = len(self.sizes)
        if self._losses is None or n == len(self._losses):
            self._grow(array_backend((loss,)), loss)
        self._losses[n] = loss
        self.sizes.append(samples)
        self.seconds += seconds

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
        return float(np.average(self.losses().astype(np.float64), weights=self.sizes))

    def first_bad_batch(self) -> tuple[int, float] | None:
        """Number of the first batch (from 1) whose loss is NaN or infinite, and that loss."""
        losses = self.losses()
        bad = np.flatnonzero(~np.isfinite(losses))
        return (int(bad[0]) + 1, float(losses[bad[0]])) if bad.size else None

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {
            "lr": self.lr,
            "sizes": np.array(self.sizes, np.int64),
            "seconds": self.seconds,
            "losses": self.losses(),
        }

    def load_state_dict(self, state: dict[str, Any], like: Array) -> None:
        """Go on from a `state_dict`, with the losses on the device of `like`."""
        backend = array_backend((like,))
        self.lr, self.seconds = float(state["lr"]), float(state["seconds"])
        self.sizes = np.asarray(state["sizes"]).tolist()
        self._losses = None
        if self.sizes:
            device = backend.device_of(like)
            self._losses = backend.asarray(np.asarray(state["losses"]), device=device)
