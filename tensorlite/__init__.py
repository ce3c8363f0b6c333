"""tensorlite: tensors with automatic differentiation, on NumPy and CuPy.

Importing it imports NumPy and nothing heavier: the rest is loaded when first named.
"""
# ruff: noqa: F401, F403

import importlib
from typing import Any

from tensorlite.autograd import checkpoint
from tensorlite.backend import device
from tensorlite.backward import grad
from tensorlite.ops import *
from tensorlite.ops import methods
from tensorlite.primitive import primitive
from tensorlite.random import Generator, manual_seed
from tensorlite.tape import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tensorlite.tensor import Tensor

__version__ = "0.1.0"

methods.attach()

_LATER = ("amp", "cuda", "data", "debug", "io", "nn", "optim", "testing", "training")


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"tensorlite.{name}")
    if name == "bfloat16":
        return importlib.import_module("ml_dtypes").bfloat16
    if name == "autocast":
        return importlib.import_module("tensorlite.amp").autocast
    raise AttributeError(f"module 'tensorlite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER])
