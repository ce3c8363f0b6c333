"""What torch's module of this name has: base classes that programs ask for."""

from tensorlite.nn.loss import _Loss, _WeightedLoss

__all__ = ["_Loss", "_WeightedLoss"]
