"""Torch's module of this name, for programs that import classes of layers from it."""

from tensorlite.nn.module import Module
from tensorlite.nn.modules import batchnorm, conv, instancenorm, loss, utils

__all__ = ["Module", "batchnorm", "conv", "instancenorm", "loss", "utils"]
