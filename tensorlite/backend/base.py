"""What a device must offer, and the names of devices."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend.driver import is_available
from tensorlite.backend.dtypes import float32
from tensorlite.backend.totals import total

Array = Any  # numpy.ndarray or cupy.ndarray: the two share one interface but no base class
KERNEL_FLOATS = frozenset("efdE")  # the characters of float16, float32, float64 and bfloat16


class _Place(NamedTuple):
    type: str
    index: int  # type: ignore[assignment]  # the name that torch has; of a tuple it is a method


class Device(_Place):
    """A place where arrays live: ``device("cpu")``, ``device("cuda:1")``, ``device("cuda", 1)``.

    ``device("cuda")`` is the first, and of several processes on a machine each one's own.

    ``device("auto")`` is CUDA where there is a GPU that can be used, else the CPU. Inside
    ``with device("cuda"):`` Tensors are made there by default.

    Parameters
    ----------
    type : str
        As above.
    index : int, optional
        Of several CUDA devices, which.

    Raises
    ------
    ValueError
        If there is no such device.

    Examples
    --------
    >>> tl.device("cuda", 1)
    device('cuda:1')
    """

    __slots__ = ()

    def __new__(cls, type: str | Device = "cpu", index: int | None = None) -> Device:
        """Read a device's name."""
        if isinstance(type, Device):
            return type
        if isinstance(type, int):
            type, index = "cuda", type
        if type == "auto":
            type = "cuda" if is_available() else "cpu"
        match = re.fullmatch(r"(cpu|cuda)(?::(\d+))?", str(type))
        if match is None or (match[2] is not None and index is not None):
            raise ValueError(f"unknown device {type!r}: use 'cpu', 'cuda', 'cuda:1' or 'auto'")
        if index is None:
            index = int(match[2] or (_home[0] if match[1] == "cuda" else 0))
        if index and match[1] == "cpu":
            raise ValueError(f"unknown device 'cpu:{index}': there is one CPU")
        return super().__new__(cls, match[1], index)

    def __str__(self) -> str:
        return self.type if self.type == "cpu" else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __enter__(self) -> Device:
        _defaults.append(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        _defaults.pop()


_home = [0]  # the number of the device that "cuda" is


def home() -> int:
    """The number of this process's own CUDA device."""
    return _home[0]


def set_home(index: int) -> None:
    """Let "cuda" be this device; before it is first used."""
    _home[0] = index


_defaults = [Device("cpu")]


def defaults() -> list[Device]:
    """The devices that ``with device:`` statements are in, the outermost first."""
    return list(_defaults)


def set_defaults(devices: list[Device]) -> None:
    """Be in the ``with`` statements of these devices."""
    _defaults[:] = devices


def default_device() -> Device:
    """The device of Tensors that are made without naming one.

    Examples
    --------
    >>> tl.get_default_device()
    device('cpu')
    """
    return _defaults[-1]


def set_default_device(device: str | Device | None) -> None:
    """Set the device of Tensors that are made without naming one; None is the CPU.

    Parameters
    ----------
    device : str, Device or None

    Examples
    --------
    >>> tl.set_default_device("cpu")
    """
    _defaults[-1] = Device("cpu" if device is None else device)


def parse_device(name: str | Device) -> Device:
    """Read ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; a `Device` passes through."""
    return name if isinstance(name, Device) else Device(name)


class Backend:
    """An array library and the device it computes on.

    Everything above this floor is written against `xp`, the array namespace, and the few methods
    here for what NumPy and CuPy do differently.
    """

    name: str

    @cached_property
    def xp(self) -> ModuleType:
        """The array namespace: `numpy` or `cupy`."""
        raise NotImplementedError

    @cached_property
    def kernels(self) -> Any:
        """The compiled kernel library for this device, or None: then the references run."""
        raise NotImplementedError

    def asarray(self, value: Any, dtype: Any = None, device: Device | None = None) -> Array:
        """Bring `value` (a host array, a nested sequence, an array of this device) to `device`."""
        raise NotImplementedError

    def to_host(self, array: Array) -> Any:
        """Return the values as a NumPy array (no copy where the array is on the host)."""
        raise NotImplementedError

    def device_of(self, array: Array) -> Device:
        """Tell where `array` lives."""
        raise NotImplementedError

    def byte_bounds(self, array: Array) -> tuple[int, int]:
        """Lowest and one past the highest address that `array` can touch."""
        raise NotImplementedError

    def address(self, array: Array) -> int:
        """Where the first element of `array` is."""
        raise NotImplementedError

    def whole(self, parts: Sequence[Array], shape: tuple[int, ...]) -> Array | None:
        """The array of `shape` whose memory `parts` fill, as their addresses say.

        None if these are parts of different arrays.
        """
        raise NotImplementedError

    def broadcast_to(self, x: Array, shape: tuple[int, ...]) -> Array:
        """View `x` in a larger shape, by NumPy's rules."""
        return self.xp.broadcast_to(x, shape)

    def copy(self, x: Array) -> Array:
        """The values of `x` in memory of their own, without gaps."""
        return x.copy()

    def cast(self, x: Array, dtype: Any) -> Array:
        """The same numbers in another dtype."""
        return x.astype(dtype)

    def write(self, to: Array, x: Array) -> None:
        """``to[...] = x``."""
        to[...] = x

    def lane(self, number: int, size: int, dtype: Any, value: float = 0) -> Array:
        """A new flat array filled with `value`, for a loop that reads several such arrays at once.

        Arrays with different numbers (0, 1, …) start at addresses that do not slow each other down.
        """
        return self.xp.full(size, value, dtype) if value else self.xp.zeros(size, dtype)

    def give_back(self) -> None:
        """Let the system have memory of freed arrays that is kept, if it is better off with it."""

    def plus(self, x1: Array, x2: Array, small: bool = False) -> Array:
        """``x1 + x2``, of two arrays of this device; by a kernel even if they are `small`."""
        return x1 + x2

    def column_sums(self, x: Array, out: Array | None = None) -> Array:
        """The sum of each column of a matrix of floats, rounded once: the gradient of a bias.

        In `out`, if that is given and there are kernels; of short floats it may be float32.
        """
        k = self.kernels
        if k is None or not x.size or x.dtype.char not in KERNEL_FLOATS:
            return self.cast(total(self.xp, x, 0), x.dtype)
        n, columns = x.shape
        parts = k.parts(n)
        flags = x.flags
        dense = flags.c_contiguous and (x.__class__ is not np.ndarray or flags.aligned)
        if dense and parts == n and x.dtype.char in "fd":
            partial = x  # few rows: as many as there would be partial sums
        else:
            partial = k.empty((parts, columns), x.dtype if x.dtype.itemsize == 8 else float32)
            k.column_sum(x if dense else self.copy(x), partial, n, columns, parts)
        sums = k.empty((columns,), x.dtype) if out is None else out
        k.column_total(partial, sums, 1, parts, columns)
        return sums

    def sum_to(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Sum floats down to a shape that broadcasting enlarged to that of `x`."""
        extra = x.ndim - len(shape)
        if 0 < len(shape) < x.ndim and shape == x.shape[extra:] and x.size:
            return self.column_sums(x.reshape(-1, prod(shape))).reshape(shape)
        axes = tuple(range(extra)) + tuple(
            [extra + i for i, n in enumerate(shape) if n == 1 and x.shape[extra + i] != 1]
        )
        if axes:
            x = total(self.xp, x, axes, keepdims=True).astype(x.dtype, copy=False)
        return x.reshape(shape)

    def stream_made(self, device: int, stream: int) -> None:
        """Take note of a new stream, by its address."""
        raise NotImplementedError

    def cut(self, flat: Array) -> Callable[[int, tuple[int, ...]], Array]:
        """Return ``part(start, shape)``, which makes arrays in the memory of `flat`.

        Views of such an array refer to it, and not to `flat`: while a view lives, the reference
        count of the array shows it.
        """
        raise NotImplementedError

    def scale(self, x: Array, factor: Array) -> Array:
        """Multiply floats `x` without gaps in place by `factor`, one number of their dtype.

        A kernel does nothing if the factor is 1; the host need not read the factor for that.
        """
        if self.kernels is not None:
            if factor.__class__ is not x.__class__:
                factor = self.xp.asarray(factor)
            self.kernels.scale_by(x, factor, x, x.size)
        else:
            x *= factor
        return x

    def matmul(
        self, a: Array, b: Array, bias: Array | None = None, out: Array | None = None
    ) -> Array:
        """Matrix product with NumPy's rules for batches and vectors, plus a bias of its dtype.

        It may be put in `out`, which is then returned.
        """
        raise NotImplementedError

    def matmul_and_row_sums(
        self, a: Array, b: Array, out: Array | None = None, sums: Array | None = None
    ) -> tuple[Array, Array]:
        """The product of two matrices, and the sum of each row of `a`; perhaps in `out`, `sums`."""
        wide = np.promote_types(a.dtype, np.float32)
        return self.matmul(a, b), a.sum(axis=1, dtype=wide).astype(a.dtype, copy=False)

    def on(self, device: Device) -> Any:
        """Context manager: new arrays are made on `device`."""
        raise NotImplementedError

    def follow(self, array: Array) -> None:
        """Make the device of `array` the one that computes from here on."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until all queued work has finished."""
        raise NotImplementedError


def rows_of(x: Any) -> Any:
    """All axes of an array or a Tensor but the last as one."""
    shape = x.shape
    return x if len(shape) == 2 else x.reshape(math.prod(shape[:-1]), shape[-1])
