"""The same values elsewhere: on another device, in another dtype, in memory of their own."""

from __future__ import annotations

import weakref
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite import backend
from tensorlite.backend import CPU, Array, Device, array_backend, backend_for
from tensorlite.backend.dtypes import as_dtype, is_floating
from tensorlite.ops.promotion import cast
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor

__all__ = ["clone"]


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


def to(
    input: Tensor,
    *targets: Any,
    device: Any = None,
    dtype: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`input` on another device, in another dtype, or both.

    Parameters
    ----------
    input : Tensor
    *targets
        A device ("cpu", "cuda:1", "auto"), a dtype, or a Tensor whose device and dtype to take;
        then `non_blocking` and `copy`, if they are given by position.
    device, dtype
        The same by name.
    non_blocking : bool
        Changes nothing: copies are queued wherever that is safe.
    copy : bool
        Whether to copy where nothing changes.

    Returns
    -------
    Tensor
        `input` itself where nothing changes.
    Tensor
        Of the same shape.

    Raises
    ------
    TypeError
        If a target is no dtype, device or Tensor.

    Examples
    --------
    >>> tl.tensor([1, 2]).to("float64")
    tensor([1., 2.], dtype=float64)
    """
    flags = [target for target in targets if isinstance(target, bool)]
    copy = copy or (len(flags) > 1 and flags[1])
    x = input
    for target in (*targets, device, dtype):
        if target is None or isinstance(target, bool):
            continue
        if isinstance(target, Tensor):
            x = cast(to_device(x, target.device), target.dtype)
        elif _is_device(target):
            x = to_device(x, f"cuda:{target}" if isinstance(target, int) else target)
        else:
            x = cast(x, _named_dtype(target))
    return clone(x) if copy and x is input else x


def _named_dtype(target: Any) -> np.dtype:
    try:
        return as_dtype(target)
    except TypeError as error:
        if not isinstance(target, str) or target == "bfloat16":
            raise
        raise TypeError(
            f"unknown dtype or device {target!r}: use 'float32', 'int64', 'cpu', 'cuda:1' …"
        ) from error


def _is_device(target: Any) -> bool:
    if isinstance(target, (Device, int)):
        return True
    return isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda", "auto")


@primitive(name="clone")
def copied(xp: ModuleType, x: Array) -> Array:
    """Copy into memory of its own, in row order; gradients pass."""
    return array_backend((x,)).copy(x)


copied.defvjp(x=lambda g: g)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """Copy into memory of its own, in row order; gradients pass.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Examples
    --------
    >>> tl.clone(tl.tensor([-1.5, 0.0, 2.0]))
    tensor([-1.5,  0. ,  2. ])
    """
    return copied(input)


def contiguous(x: Tensor, memory_format: Any = None) -> Tensor:
    """`x` with its elements in row order in memory; itself if they are.

    Returns
    -------
    Tensor
        Of the same shape and dtype.

    Examples
    --------
    >>> tl.zeros(2, 3).T.contiguous().stride()
    (2, 1)
    """
    return x if x.array.flags.c_contiguous else clone(x)


def is_contiguous(x: Tensor, memory_format: Any = None) -> bool:
    """Whether the elements lie in row order in memory, without gaps.

    Examples
    --------
    >>> tl.zeros(2, 3).T.is_contiguous()
    False
    """
    return x.array.flags.c_contiguous


def type_as(x: Tensor, other: Tensor) -> Tensor:
    """`x` in the dtype and on the device of `other`.

    Parameters
    ----------
    other : Tensor

    Returns
    -------
    Tensor
        Of this Tensor's shape.

    Examples
    --------
    >>> tl.tensor([1, 2]).type_as(tl.zeros(1))
    tensor([1., 2.])
    """
    return to(x, other)


KINDS = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Bool": "bool",
}


def kind_dtype(name: str) -> np.dtype | None:
    """The dtype that a name such as "torch.FloatTensor" means; None if it is no such name."""
    kind = KINDS.get(name.rpartition(".")[2].removesuffix("Tensor"))
    return as_dtype(kind) if kind and name.endswith("Tensor") else None


def type_(x: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """Name the kind of Tensor this is, "torch.FloatTensor"; or cast to a dtype or such a kind.

    Parameters
    ----------
    dtype : dtype or str, optional
        A kind may be named, as "torch.IntTensor".
    non_blocking : bool
        Changes nothing.

    Returns
    -------
    str or Tensor
        The Tensor has the same shape.

    Examples
    --------
    >>> tl.zeros(2).type(), tl.zeros(2).type("torch.IntTensor")
    ('torch.FloatTensor', tensor([0, 0], dtype=int32))
    """
    on_cuda = x.device.type == "cuda"
    if dtype is None:
        kinds = {dtype: kind for kind, dtype in KINDS.items()}
        return f"torch.{'cuda.' * on_cuda}{kinds.get(x.dtype.name, x.dtype.name)}Tensor"
    if not isinstance(dtype, str):
        return cast(x, getattr(dtype, "dtype", dtype))
    kind = kind_dtype(dtype)
    if kind is None:
        return cast(x, dtype)
    return to(x, kind, device="cuda" if ".cuda." in dtype else "cpu")


def is_floating_point(x: Tensor) -> bool:
    """Whether the dtype holds fractions.

    Examples
    --------
    >>> tl.zeros(2).is_floating_point()
    True
    """
    return is_floating(x.dtype)


def is_complex(x: Tensor) -> bool:
    """Whether the dtype is complex: no Tensor's is.

    Examples
    --------
    >>> tl.zeros(2).is_complex()
    False
    """
    return False


def retain_grad(x: Tensor) -> None:
    """Keep the gradient of an intermediate result in its ``.grad``; leaves do so anyway.

    Examples
    --------
    >>> x = tl.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> y.retain_grad()
    >>> (2 * y).backward()
    >>> y.grad
    tensor(2.)
    """
    if x.node is None:
        return
    owner = weakref.ref(x)  # the hook hangs on the node, which the Tensor holds

    def keep(gradient: Tensor) -> None:
        tensor = owner()
        if tensor is not None:
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient

    x.register_hook(keep)


METHODS = (
    *(clone, contiguous, is_complex, is_contiguous, is_floating_point, retain_grad, to, type_as),
)
