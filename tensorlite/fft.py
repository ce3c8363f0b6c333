"""What of ``torch.fft`` has real results: frequencies, and shifts of their order.

Tensors hold no complex numbers, so the transforms themselves are not here. What asks for one hears
so, and what to use instead.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tensorlite.backend.dtypes import default_dtype
from tensorlite.ops.creation import tensor
from tensorlite.ops.tiling import roll
from tensorlite.tensor import Tensor
from tensorlite.unknown import unknown

__all__ = ["fftfreq", "fftshift", "ifftshift", "rfftfreq"]

_COMPLEX = {
    f"{inverse}{kind}fft{axes}"
    for inverse in ("", "i")
    for kind in ("", "r", "h")
    for axes in ("", "2", "n")
}


def __getattr__(name: str) -> Any:
    if name in _COMPLEX:
        raise AttributeError(
            f"tl.fft.{name} would need complex numbers, which Tensors do not hold: compute it "
            f"outside of the graph, numpy.fft.{name}(t.numpy()), or write it with real products, "
            "such as convolutions or matrices of cosines and sines"
        )
    raise unknown("fft", name, sys.modules[__name__])


def fftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Frequencies of a discrete Fourier transform of `n` samples: first those from 0 up.

    Parameters
    ----------
    n : int
        How many samples.
    d : float
        Time from one to the next; the frequencies are in cycles per its unit.

    Returns
    -------
    Tensor, shape (n,)

    Examples
    --------
    >>> tl.fft.fftfreq(4)
    tensor([ 0.  ,  0.25, -0.5 , -0.25])
    """
    return _made(np.fft.fftfreq(n, d), dtype, device, requires_grad)


def rfftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Frequencies from 0 up of a transform of `n` real samples; see `fftfreq`.

    Parameters
    ----------
    d : float
        Time from one to the next.

    Returns
    -------
    Tensor, shape (n // 2 + 1,)

    Examples
    --------
    >>> tl.fft.rfftfreq(4)
    tensor([0.  , 0.25, 0.5 ])
    """
    return _made(np.fft.rfftfreq(n, d), dtype, device, requires_grad)


def _made(values: np.ndarray, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    dtype = default_dtype() if dtype is None else dtype
    return tensor(values, dtype=dtype, device=device, requires_grad=requires_grad)


def fftshift(input: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Move the frequency 0 to the middle of each of the axes `dim` (default: of all).

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int or tuple of int, optional

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Examples
    --------
    >>> tl.fft.fftshift(tl.arange(5))
    tensor([3, 4, 0, 1, 2])
    """
    return _shifted(input, dim, lambda n: n // 2)


def ifftshift(input: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Undo `fftshift`: move the middle of each of the axes `dim` (default: of all) to 0.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int or tuple of int, optional

    Returns
    -------
    Tensor
        Of `input`'s shape and dtype.

    Examples
    --------
    >>> tl.fft.ifftshift(tl.arange(5))
    tensor([2, 3, 4, 0, 1])
    """
    return _shifted(input, dim, lambda n: (n + 1) // 2)


def _shifted(input: Tensor, dim: Any, half: Any) -> Tensor:
    dims = range(input.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    if not input.ndim:
        return input
    return roll(input, tuple(half(input.shape[d]) for d in dims), tuple(dims))
