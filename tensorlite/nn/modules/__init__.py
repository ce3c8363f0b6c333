"""Where torch keeps the classes of layers: names that programs import from there."""

from tensorlite.nn.module import Module
from tensorlite.nn.modules import batchnorm, conv, instancenorm, loss, utils

__all__ = ["Module", "batchnorm", "conv", "instancenorm", "loss", "utils"]
