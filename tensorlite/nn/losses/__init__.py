"""Losses, as torch's functions.

``reduction`` is "mean" (over all elements), "sum", or "none": one loss per element or example.
Prediction and target have the same shape: nothing broadcasts where torch would warn of it. The
old arguments ``size_average`` and ``reduce`` are understood.
"""
# ruff: noqa: F403

from tensorlite.nn.losses import binary, classification, ctc, likelihood, margins, regression
from tensorlite.nn.losses.binary import *
from tensorlite.nn.losses.classification import *
from tensorlite.nn.losses.ctc import *
from tensorlite.nn.losses.likelihood import *
from tensorlite.nn.losses.margins import *
from tensorlite.nn.losses.regression import *

_FAMILIES = (binary, classification, ctc, likelihood, margins, regression)

__all__ = [name for family in _FAMILIES for name in family.__all__]
