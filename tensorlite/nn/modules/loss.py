"""Torch's module of this name, for programs that import base classes from it."""

from tensorlite.nn.loss import _Loss, _WeightedLoss

__all__ = ["_Loss", "_WeightedLoss"]
