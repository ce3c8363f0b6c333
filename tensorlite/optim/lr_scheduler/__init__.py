"""Learning-rate schedules with torch's names, arguments and state.

Call ``schedule.step()`` after ``optimizer.step()``, once per batch or once per epoch, whatever the
schedule counts. Schedules that compute a rate from the last one, as torch's do, keep changes of it
that were made by hand or by another schedule.
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
