"""Torch's attributes of Tensors and of their memory, and changes of shape in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite import views
from tensorlite.backend import array_backend
from tensorlite.ops import inplace, shape
from tensorlite.ops.axes import swapaxes, t, transpose
from tensorlite.ops.channels import channel_sum
from tensorlite.ops.reshaping import squeeze, unsqueeze
from tensorlite.tensor import Tensor


def stride(x: Tensor, dim: int | None = None) -> Any:
    """Elements of memory from one index to the next, along each axis or along `dim`."""
    steps = tuple(step // x.array.itemsize for step in x.array.strides)
    return steps if dim is None else steps[dim]


def storage_offset(x: Tensor) -> int:
    """Elements of memory before the first one, in the array that a view was taken from."""
    base = getattr(x.array, "base", None)
    if base is None or not hasattr(base, "dtype"):
        return 0
    bounds = array_backend((x.array,)).byte_bounds
    return (bounds(x.array)[0] - bounds(base)[0]) // x.array.itemsize


def data_ptr(x: Tensor) -> int:
    """Address of the first element."""
    array = x.array
    return array.data.ptr if hasattr(array, "__cuda_array_interface__") else array.ctypes.data


def get_device(x: Tensor) -> int:
    """Index of the CUDA device, or -1 on the CPU."""
    return x.device.index if x.device.type == "cuda" else -1


def is_signed(x: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return x.dtype.kind in "ifV"


def is_same_size(x: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    return x.shape == other.shape


def is_nonzero(x: Tensor) -> bool:
    """Whether the one element is not zero."""
    return bool(x)


def apply_(x: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace each element by what a Python function makes of it, on the CPU; slow."""
    if x.device.type != "cpu":
        raise TypeError("apply_() is for Tensors on the CPU: use t.cpu().apply_(…)")
    flat = [callable(value) for value in x.array.reshape(-1).tolist()]
    inplace.write(x, ..., array_backend((x.array,)).asarray(flat).reshape(x.array.shape))
    return x


def fill_diagonal_(x: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Write one value on the main diagonal; `wrap` goes on below in a tall matrix."""
    if x.ndim < 2 or (x.ndim > 2 and len(set(x.shape)) > 1):
        raise RuntimeError(
            f"fill_diagonal_: a matrix, or axes of one length, not a Tensor of shape {x.shape}"
        )
    rows, columns = x.shape[0], x.shape[1]
    if x.ndim > 2:
        places: Any = (range(rows),) * x.ndim
        inplace.write(x, tuple(list(p) for p in places), fill_value)
        return x
    for top in range(0, rows if wrap else 1, columns + 1):
        length = min(columns, rows - top)
        inplace.write(x, (list(range(top, top + length)), list(range(length))), fill_value)
    return x


def sum_to_size(x: Tensor, *size: Any) -> Tensor:
    """Sum `x` to the shape `size`: over the axes that broadcasting would add or stretch."""
    wanted = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    extra = x.ndim - len(wanted)
    fits = extra >= 0 and all(n in (1, m) for n, m in zip(wanted, x.shape[extra:], strict=True))
    if not fits:
        raise RuntimeError(f"sum_to_size: shape {tuple(wanted)} does not broadcast to {x.shape}")
    if len(wanted) == 1 and wanted[0] == x.shape[-1] > 0:
        return channel_sum(x.reshape(-1, wanted[0]))  # a bias, for which there are kernels
    repeated = [i for i in range(x.ndim) if i < extra or wanted[i - extra] != x.shape[i]]
    total = x.sum(dim=tuple(repeated), keepdim=True) if repeated else x
    return shape.reshape(total, tuple(wanted))


def detach_(x: Tensor) -> Tensor:
    """Forget how `x` was computed; returns it."""
    x.node, x.requires_grad = None, False
    return x


def reshaped(op: Callable) -> Callable:
    """The form of a function that changes the shape of the Tensor itself: ``x.t_()``."""

    def update(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if views.is_view(x) or views.others(x):
            raise RuntimeError(
                f"{op.__name__}_: other Tensors show the memory of this one and would not follow; "
                f"write t = t.{op.__name__}(…)"
            )
        result = op(x, *args, **kwargs)
        x.array, x.node, x.requires_grad = result.array, result.node, result.requires_grad
        return x

    update.__name__ = f"{op.__name__}_"
    update.__doc__ = f"`{op.__name__}` of the Tensor itself; returns it."
    return update


def unchanged(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`x` itself: torch changes something here only for kinds of Tensors that do not exist here."""
    return x


METHODS: dict[str, Callable] = {
    **{f.__name__: f for f in (stride, storage_offset, data_ptr, get_device, is_signed)},
    **{f.__name__: f for f in (is_same_size, is_nonzero, apply_, fill_diagonal_, sum_to_size)},
    "detach_": detach_,
    "nelement": Tensor.numel,
    "ndimension": Tensor.dim,
    **dict.fromkeys(("conj", "resolve_conj", "resolve_neg", "pin_memory"), unchanged),
    **{f"{op.__name__}_": reshaped(op) for op in (squeeze, unsqueeze, t, transpose, swapaxes)},
    "swapdims_": reshaped(swapaxes),
}
PROPERTIES: dict[str, tuple[Callable, str]] = {
    "is_cuda": (lambda x: x.device.type == "cuda", "Whether the values are on a CUDA device."),
    "grad_fn": (lambda x: x.node, "The recorded operation that made it, or None."),
    "itemsize": (lambda x: x.array.itemsize, "Bytes of one element."),
    "real": (unchanged, "The Tensor itself: all Tensors are real."),
    "H": (lambda x: x.mT, "The matrix transposed: all Tensors are real."),
}
