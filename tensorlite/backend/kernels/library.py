"""The compiled kernels of a device: one face for both.

``library("cpu")`` and ``library("cuda")`` give an object with one function per kernel, called with
raw arrays and Python scalars in the order of the kernel's declaration::

    k = library("cpu")
    y = k.empty(x.shape, x.dtype)
    k.softmax(x, y, rows, columns)

Arguments a kernel does not understand (dtype, strides, device, number of elements) raise before any
memory is touched. The environment variable ``TENSORLITE_KERNELS`` chooses: ``auto`` (the default:
compiled where possible), ``reference`` (never), ``compiled`` (an error where impossible).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

from .unavailable import KernelsUnavailable, say

ON_HOST_KERNELS: list[Callable[[Any], None]] = []
"""Called with the host's compiled kernels when they are there."""


def library(device: str) -> Any | None:
    """Return the compiled kernels of a device.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        The kind of device.

    Returns
    -------
    object or None
        One attribute per kernel; ``empty(shape, dtype)``; ``parts(rows)``, the number of parts in
        which to cut column sums; ``on_host``, whether this is the CPU. None where kernels are
        unavailable or ``TENSORLITE_KERNELS=reference``.

    Raises
    ------
    KernelsUnavailable
        If ``TENSORLITE_KERNELS=compiled`` and they are unavailable.
    """
    mode = os.environ.get("TENSORLITE_KERNELS", "auto")
    if mode not in ("auto", "reference", "compiled"):
        raise ValueError(f"TENSORLITE_KERNELS is {mode!r}; use auto, reference or compiled")
    loaded = None if mode == "reference" else _load(device)
    if mode == "compiled" and isinstance(loaded, KernelsUnavailable):
        raise loaded
    if loaded is None or isinstance(loaded, KernelsUnavailable):
        if device == "cpu":
            from .openblas import spare_cores

            spare_cores()
        return None
    return loaded


@cache
def _load(device: str) -> Any:
    """Load once; a failure is kept too, so that its note appears once."""
    try:
        # Imported when wanted: what compiles takes a tenth of a second to import.
        if device == "cpu":
            from .host import load_host

            host = load_host()
            for listener in ON_HOST_KERNELS:
                listener(host)
            return host
        if device == "cuda":
            from .cuda import CudaLibrary

            return CudaLibrary(library("cpu"))
        raise ValueError(f"no kernels for device {device!r}; use 'cpu' or 'cuda'")
    except KernelsUnavailable as missing:
        say(f"compiled kernels are off ({device}): {missing}")
        return missing
