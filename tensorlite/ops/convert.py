"""The same values elsewhere: on another device, in another dtype, in memory of their own."""

from __future__ import annotations

import weakref
from types import ModuleType
from typing import Any

from tensorlite import backend
from tensorlite.backend import CPU, Array, Device, array_backend, backend_for
from tensorlite.ops.elementwise import cast
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor


@primitive(name="to")
def to_device_array(xp: ModuleType, x: Array, *, device: Device, source: Device) -> Array:
    """Copy an array from the device `source` to `device`."""
    if device == CPU:
        return array_backend((x,)).to_host(x)
    return backend_for(device).asarray(x, device=device)


to_device_array.defvjp(x=lambda g, device, source: to_device_array(g, source, device))


def to_device(x: Tensor, device: str | Device) -> Tensor:
    """`x` on another device; itself if it is there. The gradient comes back to where `x` is."""
    source, device = x.device, backend.device(device)
    return x if source == device else to_device_array(x, device, source)


def to(x: Tensor, *targets: Any) -> Tensor:
    """`x` on another device, in another dtype, or both.

    Parameters
    ----------
    x : Tensor
    *targets
        A device ("cpu", "cuda:1", "auto"), a dtype, or a Tensor whose device and dtype to take.

    Returns
    -------
    Tensor
        `x` itself where nothing changes.
    """
    for target in targets:
        if isinstance(target, Tensor):
            x = to(x, target.device, target.dtype)
        elif isinstance(target, Device) or str(target).split(":")[0] in ("cpu", "cuda", "auto"):
            x = to_device(x, target)
        else:
            x = cast(x, target)
    return x


@primitive
def clone(xp: ModuleType, x: Array) -> Array:
    """Copy into memory of its own; gradients pass."""
    return array_backend((x,)).copy(x)


clone.defvjp(x=lambda g: g)


def contiguous(x: Tensor) -> Tensor:
    """`x` with its elements in row order in memory; itself if they are."""
    return x if x.array.flags.c_contiguous else clone(x)


def retain_grad(x: Tensor) -> None:
    """Keep the gradient of an intermediate result in its ``.grad``; leaves do so anyway."""
    if x.node is None:
        return
    owner = weakref.ref(x)  # the hook hangs on the node, which the Tensor holds

    def keep(gradient: Tensor) -> None:
        tensor = owner()
        if tensor is not None:
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient

    x.register_hook(keep)
