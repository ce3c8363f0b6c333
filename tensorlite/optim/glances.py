"""Checks that an optimizer makes in every step, compiled where a compiler is there.

A step of a small model takes as long as a few dozen lines of Python do.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any

from tensorlite.backend import HOST, Array
from tensorlite.backend.kernels.library import ON_HOST_KERNELS
from tensorlite.tensor import Tensor


def _same_objects(a: list, b: list) -> bool:
    """Whether two lists hold the same objects."""
    return len(a) == len(b) and all(map(is_, a, b))


def _in_place(watched: list[tuple[Tensor, Array, Array]]) -> bool:
    """Whether each parameter still has its array, and a gradient in its place."""
    for parameter, data, own in watched:
        grad = parameter.grad
        if parameter.array is not data or grad is None or grad.array is not own:
            return False
    return True


def _forget_gradients(parameters: list[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = None


same_objects: Callable[[list, list], bool] = _same_objects
in_place: Callable[[list], bool] = _in_place
forget_gradients: Callable[[list], None] = _forget_gradients


def _use_kernels(kernels: Any) -> None:
    global same_objects, in_place, forget_gradients
    same_objects = kernels.same_objects
    in_place = kernels.in_place
    forget_gradients = kernels.forget_gradients


ON_HOST_KERNELS.append(_use_kernels)
if HOST.__dict__.get("kernels") is not None:  # they were there first
    _use_kernels(HOST.kernels)
