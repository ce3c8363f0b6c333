"""Torch's attributes of Tensors and of their memory, and changes of shape in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite import views
from tensorlite.backend import array_backend
from tensorlite.ops import inplace, shape
from tensorlite.ops.axes import swapaxes, t, transpose
from tensorlite.ops.channels import channel_sum
from tensorlite.ops.described import in_place_doc, with_example
from tensorlite.ops.reshaping import squeeze, unsqueeze
from tensorlite.tensor import Tensor


def stride(x: Tensor, dim: int | None = None) -> Any:
    """Elements of memory from one index to the next, along each axis or along `dim`.

    Parameters
    ----------
    dim : int, optional
        Which axis.

    Returns
    -------
    tuple of int, or int

    Examples
    --------
    >>> tl.zeros(2, 3).stride()
    (3, 1)
    """
    steps = tuple(step // x.array.itemsize for step in x.array.strides)
    return steps if dim is None else steps[dim]


def storage_offset(x: Tensor) -> int:
    """Elements of memory before the first one, in the array that a view was taken from.

    Examples
    --------
    >>> tl.arange(5)[2:].storage_offset()
    2
    """
    base = getattr(x.array, "base", None)
    if base is None or not hasattr(base, "dtype"):
        return 0
    bounds = array_backend((x.array,)).byte_bounds
    return (bounds(x.array)[0] - bounds(base)[0]) // x.array.itemsize


def data_ptr(x: Tensor) -> int:
    """Address of the first element.

    Examples
    --------
    >>> x = tl.zeros(2)
    >>> x.data_ptr() == x[:1].data_ptr()
    True
    """
    array = x.array
    return array.data.ptr if hasattr(array, "__cuda_array_interface__") else array.ctypes.data


def get_device(x: Tensor) -> int:
    """Index of the CUDA device, or -1 on the CPU.

    Examples
    --------
    >>> tl.zeros(2).get_device()
    -1
    """
    return x.device.index if x.device.type == "cuda" else -1


def is_signed(x: Tensor) -> bool:
    """Whether the dtype has negative numbers.

    Examples
    --------
    >>> tl.zeros(2).is_signed()
    True
    """
    return x.dtype.kind in "ifV"


def is_same_size(x: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape.

    Parameters
    ----------
    other : Tensor

    Examples
    --------
    >>> tl.zeros(2).is_same_size(tl.zeros(3))
    False
    """
    return x.shape == other.shape


def is_nonzero(x: Tensor) -> bool:
    """Whether the one element is not zero.

    Raises
    ------
    ValueError
        If there is not one element.

    Examples
    --------
    >>> tl.tensor([0.5]).is_nonzero()
    True
    """
    return bool(x)


def apply_(x: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace each element by what a Python function makes of it, on the CPU; slow.

    Parameters
    ----------
    callable : callable
        It gets and returns a Python number.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape.

    Raises
    ------
    TypeError
        If the Tensor is not on the CPU.

    Examples
    --------
    >>> tl.tensor([1, 2]).apply_(lambda n: n * 10)
    tensor([10, 20])
    """
    if x.device.type != "cpu":
        raise TypeError("apply_() is for Tensors on the CPU: use t.cpu().apply_(…)")
    flat = [callable(value) for value in x.array.reshape(-1).tolist()]
    inplace.write(x, ..., array_backend((x.array,)).asarray(flat).reshape(x.array.shape))
    return x


def fill_diagonal_(x: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Write one value on the main diagonal; `wrap` goes on below in a tall matrix.

    Parameters
    ----------
    fill_value : number
    wrap : bool
        As above.

    Returns
    -------
    Tensor
        The Tensor itself.

    Raises
    ------
    RuntimeError
        If it is no matrix, nor has axes of one length.

    Examples
    --------
    >>> tl.zeros(2, 2).fill_diagonal_(5)
    tensor([[5., 0.],
            [0., 5.]])
    """
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
    """Sum `x` to the shape `size`: over the axes that broadcasting would add or stretch.

    Parameters
    ----------
    *size : int, or one sequence of int
        A shape that broadcasts to this Tensor's.

    Returns
    -------
    Tensor, shape `size`

    Raises
    ------
    RuntimeError
        If it does not broadcast.

    Examples
    --------
    >>> tl.ones(2, 3).sum_to_size(1, 3)
    tensor([[2., 2., 2.]])
    """
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
    """Forget how `x` was computed; returns it.

    Returns
    -------
    Tensor
        The Tensor itself, of any shape.

    Examples
    --------
    >>> (tl.zeros(2, requires_grad=True) + 1).detach_()
    tensor([1., 1.])
    """
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
    update.__doc__ = in_place_doc(op, of_shape=True)
    return update


def unchanged(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`x` itself: torch changes something here only for kinds of Tensors that do not exist here.

    Returns
    -------
    Tensor
        Of any shape.

    Examples
    --------
    >>> tl.tensor([1.0]).conj()
    tensor([1.])
    """
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
    "is_cuda": (
        lambda x: x.device.type == "cuda",
        with_example("Whether the values are on a CUDA device.", "tl.zeros(2).is_cuda", "False"),
    ),
    "grad_fn": (
        lambda x: x.node,
        with_example(
            "The recorded operation that made it, or None.", "tl.zeros(2).grad_fn is None", "True"
        ),
    ),
    "itemsize": (
        lambda x: x.array.itemsize,
        with_example("Bytes of one element.", "tl.zeros(2).itemsize", "4"),
    ),
    "real": (
        unchanged,
        with_example("The Tensor itself: all are real.", "tl.zeros(2).real", "tensor([0., 0.])"),
    ),
    "H": (
        lambda x: x.mT,
        with_example(
            "The last two axes exchanged: all Tensors are real.", "tl.zeros(2, 3).H.shape", "(3, 2)"
        ),
    ),
}
