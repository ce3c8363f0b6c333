"""When to stop: no improvement for a while, or a loss reached."""

from __future__ import annotations

import math
from typing import Any


class Stopping:
    """Watches one loss, epoch by epoch.

    Parameters
    ----------
    patience
        Epochs without a new best loss that are accepted; None accepts any number.
    target_loss
        A loss that is good enough; None if there is none.

    Attributes
    ----------
    best_loss, best_epoch
        The lowest loss and its epoch; infinite and 0 before the first.
    """

    def __init__(self, patience: int | None = None, target_loss: float | None = None) -> None:
        if patience is not None and patience < 1:
            raise ValueError(f"patience must be at least 1 epoch, not {patience}")
        if target_loss is not None and math.isnan(target_loss):
            raise ValueError("target_loss must be a number, not nan: no loss is lower than that")
        self.patience, self.target_loss = patience, target_loss
        self.best_loss, self.best_epoch, self.epoch = math.inf, 0, 0

    def update(self, epoch: int, loss: float) -> bool:
        """Take note of an epoch's loss; return whether it is the best."""
        self.epoch = epoch
        if not loss < self.best_loss:
            return False
        self.best_loss, self.best_epoch = loss, epoch
        return True

    def reason(self, epochs: int) -> str | None:
        """Why to stop now, if there is a reason: "target_loss", "epochs", "patience"."""
        if self.target_loss is not None and self.best_loss <= self.target_loss:
            return "target_loss"
        if self.epoch >= epochs:
            return "epochs"
        if self.patience is not None and self.epoch - self.best_epoch >= self.patience:
            return "patience"
        return None

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        return {
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.best_loss, self.best_epoch = float(state["best_loss"]), int(state["best_epoch"])
        self.epoch = int(state["epoch"])
