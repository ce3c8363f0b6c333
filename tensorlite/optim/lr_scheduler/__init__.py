"""Learning-rate schedules with torch's names, arguments and state.

Call ``schedule.step()`` after ``optimizer.step()``, once a batch or once an epoch as you count.
Where torch's schedules go from one rate to the next, so do these: a rate that was changed by hand
or by another schedule stays changed.
"""

from tensorlite.optim.lr_scheduler.base import LRScheduler
from tensorlite.optim.lr_scheduler.composed import ChainedScheduler, SequentialLR
from tensorlite.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from tensorlite.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from tensorlite.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from tensorlite.optim.lr_scheduler.plateau import ReduceLROnPlateau
from tensorlite.unknown import answers_for

_LRScheduler = LRScheduler  # its name before torch 2

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

__getattr__ = answers_for(__name__)
