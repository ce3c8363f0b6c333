"""Loading state dicts, and moving Tensors to other devices and dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.ops.convert import to
from tensorlite.ops.inplace import copy_
from tensorlite.plan import is_float
from tensorlite.tensor import Tensor


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` did not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load(
    owner: str, own: Mapping[str, Tensor], given: Mapping[str, Any], strict: bool
) -> IncompatibleKeys:
    """Copy the values of `given` into the Tensors of `own`, once everything is known to fit."""
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    values = {name: _host(given[name]) for name in own if name in given}
    problems = [f"missing: {name}" for name in missing if strict]
    problems += [f"unexpected: {name}" for name in unexpected if strict]
    for name, value in values.items():
        wanted = own[name]
        if value.shape != wanted.shape:
            problems.append(f"{name}: shape {value.shape}, but the module has {wanted.shape}")
        if value.dtype != wanted.dtype:
            problems.append(
                f"{name}: dtype {value.dtype}, but the module has {wanted.dtype}; cast the module "
                f"with .to({str(value.dtype)!r}), or the values"
            )
    if problems:
        listed = "\n  ".join(problems)
        raise ValueError(f"load_state_dict of {owner}, nothing was changed:\n  {listed}")
    for name, value in values.items():
        copy_(own[name], value)  # in place: an optimizer's arena may hold the values
    return IncompatibleKeys(missing, unexpected)


def _host(value: Any) -> np.ndarray:
    """A Tensor, or whatever else NumPy understands, as a NumPy array."""
    array = value.array if isinstance(value, Tensor) else value
    return np.asarray(array_backend((array,)).to_host(array))


def move(tensor: Tensor, targets: tuple) -> None:
    """Bring a parameter or buffer, and its gradient, to a device or dtype; integers stay such."""
    moved = to(tensor.detach(), *targets)
    if not is_float(moved.array) and is_float(tensor.array):
        raise TypeError(f"a module is cast to dtypes of floating point, not to {moved.dtype}")
    if not is_float(tensor.array):
        moved = to(tensor.detach(), moved.device)
    if moved.array is not tensor.array:
        tensor.array = moved.array
        tensor.grad_buffer = None
        if tensor.grad is not None:
            tensor.grad = to(tensor.grad.detach(), *targets)
