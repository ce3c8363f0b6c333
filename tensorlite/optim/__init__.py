"""Optimizers on flat arenas, learning-rate schedules, gradient clipping; names are torch's."""

import importlib
import sys
from typing import Any

from tensorlite.optim import lr_scheduler
from tensorlite.optim.adadelta import Adadelta
from tensorlite.optim.adagrad import Adagrad
from tensorlite.optim.adam import Adam, AdamW
from tensorlite.optim.adamax import Adamax
from tensorlite.optim.asgd import ASGD
from tensorlite.optim.clip import clip_grad_norm_, clip_grad_value_
from tensorlite.optim.lbfgs import LBFGS
from tensorlite.optim.lion import Lion
from tensorlite.optim.nadam import NAdam
from tensorlite.optim.optimizer import Optimizer
from tensorlite.optim.radam import RAdam
from tensorlite.optim.rmsprop import RMSprop
from tensorlite.optim.rprop import Rprop
from tensorlite.optim.sgd import SGD
from tensorlite.unknown import unknown

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
]


def __getattr__(name: str) -> Any:
    if name == "swa_utils":  # it needs modules, which need not be there
        return importlib.import_module("tensorlite.optim.swa_utils")
    raise unknown("optim", name, sys.modules[__name__])
