"""Optimizers on flat arenas, learning-rate schedules, gradient clipping."""

from tensorlite.optim import lr_scheduler
from tensorlite.optim.adagrad import Adagrad
from tensorlite.optim.adam import Adam, AdamW
from tensorlite.optim.clip import clip_grad_norm_, clip_grad_value_
from tensorlite.optim.lion import Lion
from tensorlite.optim.optimizer import Optimizer
from tensorlite.optim.rmsprop import RMSprop
from tensorlite.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
]
