"""What a device must offer, and the names of devices."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: the two share one interface but no base class


class Device(NamedTuple):
    """A place where arrays live: ``Device("cpu", 0)`` or ``Device("cuda", index)``."""

    type: str
    index: int = 0

    def __str__(self) -> str:
        return self.type if self.type == "cpu" else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


def parse_device(name: str | Device) -> Device:
    """Read ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; a `Device` passes through."""
    if isinstance(name, Device):
        return name
    match = re.fullmatch(r"(cpu|cuda)(?::(\d+))?", str(name))
    if match is None or (match[1] == "cpu" and match[2] not in (None, "0")):
        raise ValueError(f"unknown device {name!r}: use 'cpu', 'cuda', 'cuda:1' or 'auto'")
    return Device(match[1], int(match[2] or 0))


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

    def cut(self, flat: Array) -> Callable[[int, tuple[int, ...]], Array]:
        """Return ``part(start, shape)``, which makes arrays in the memory of `flat`.

        Unlike views of it, they are what their own views refer to: whoever holds a view of one
        holds a reference to that one.
        """
        raise NotImplementedError

    def scale(self, x: Array, factor: Array) -> Array:
        """Multiply floats `x` without gaps in place by `factor`, one number of their dtype.

        A kernel leaves them alone where that is 1, without the host having to know.
        """
        if self.kernels is not None:
            self.kernels.scale_by(x, self.xp.asarray(factor), x, x.size)
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
