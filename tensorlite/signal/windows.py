"""Window functions: `M` weights that fall off from the middle to both ends.

Those with ``sym=True``, the default, are symmetric; with ``sym=False`` they are a period of M + 1
points less the last, for spectra. Every function takes `dtype`, `device` and `requires_grad`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tensorlite.backend.dtypes import as_dtype, default_dtype
from tensorlite.ops.bessel import i0
from tensorlite.ops.creation import tensor
from tensorlite.tensor import Tensor
from tensorlite.unknown import answers_for

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


def _places(M: int, sym: bool) -> tuple[np.ndarray, float]:
    """The numbers of the points, and that of the last point of the symmetric window."""
    if M < 0:
        raise ValueError(f"a window of {M} points: M must not be negative")
    return np.arange(M, dtype=np.float64), float(max(M - 1 if sym else M, 1))


def _made(values: np.ndarray, dtype: Any = None, **options: Any) -> Tensor:
    dtype = default_dtype() if dtype is None else as_dtype(dtype)
    if dtype.char not in "fd":
        raise ValueError(f"a window of dtype {dtype}: it must be float32 or float64")
    if values.size == 1:
        values = np.ones(1)
    return tensor(values, dtype=dtype, **options)


def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, **options: Any) -> Tensor:
    """``Σ (-1)**k a[k] cos(2 pi k n / (M - 1))``.

    Parameters
    ----------
    M : int
        How many points.
    a : list of float
        Weights of the cosines.
    sym : bool
        Symmetric, or periodic.

    Returns
    -------
    Tensor, shape (M,)

    Raises
    ------
    ValueError
        If `M` is negative, or `a` is empty.

    Examples
    --------
    >>> tl.signal.windows.general_cosine(5, a=[0.5, 0.5])
    tensor([0. , 0.5, 1. , 0.5, 0. ])
    """
    weights = list(a)
    if not weights:
        raise ValueError("general_cosine: a is empty; it must hold the weights of the cosines")
    n, last = _places(M, sym)
    angle = 2 * math.pi / last * n
    return _made(
        sum(((-1) ** k * w * np.cos(k * angle) for k, w in enumerate(weights)), 0 * n), **options
    )


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any) -> Tensor:
    """``alpha - (1 - alpha) cos(2 pi n / (M - 1))``.

    Parameters
    ----------
    M : int
        How many points.
    alpha : float
    sym : bool
        Symmetric, or periodic.
    **options
        dtype, device and so on, as of `ones`.

    Returns
    -------
    Tensor, shape (M,)

    Examples
    --------
    >>> tl.signal.windows.general_hamming(5)
    tensor([0.08, 0.54, 1.  , 0.54, 0.08])
    """
    return general_cosine(M, a=[alpha, 1 - alpha], sym=sym, **options)


def hamming(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Hamming's window: `general_hamming` with 0.54.

    Parameters
    ----------
    M : int
        How many points.
    sym : bool
        Symmetric, or periodic.
    **options
        dtype, device and so on, as of `ones`.

    Returns
    -------
    Tensor, shape (M,)

    Raises
    ------
    ValueError
        If `M` is negative, or the dtype neither float32 nor float64.

    Examples
    --------
    >>> tl.signal.windows.hamming(5)
    tensor([0.08, 0.54, 1.  , 0.54, 0.08])
    """
    return general_hamming(M, sym=sym, **options)


def hann(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Hann's window: one arch of a squared sine.

    Parameters
    ----------
    M : int
        How many points.
    sym : bool
        Symmetric, or periodic.
    **options
        dtype, device and so on, as of `ones`.

    Returns
    -------
    Tensor, shape (M,)

    Raises
    ------
    ValueError
        If `M` is negative, or the dtype neither float32 nor float64.

    Examples
    --------
    >>> tl.signal.windows.hann(5)
    tensor([0. , 0.5, 1. , 0.5, 0. ])
    """
    return general_hamming(M, alpha=0.5, sym=sym, **options)


def blackman(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Blackman's window: `general_cosine` with 0.42, 0.5, 0.08.

    Parameters
    ----------
    M : int
        How many points.
    sym : bool
        Symmetric, or periodic.
    **options
        dtype, device and so on, as of `ones`.

    Returns
    -------
    Tensor, shape (M,)

    Raises
    ------
    ValueError
        If `M` is negative, or the dtype neither float32 nor float64.

    Examples
    --------
    >>> tl.signal.windows.blackman(5)
    tensor([-1.3877788e-17,  3.4000000e-01,  1.0000000e+00,  3.4000000e-01,
            -1.3877788e-17])
    """
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, **options)


def nuttall(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Nuttall's minimal window of four cosines.

    Parameters
    ----------
    M : int
        How many points.
    sym : bool
        Symmetric, or periodic.
    **options
        dtype, device and so on, as of `ones`.

    Returns
    -------
    Tensor, shape (M,)

    Raises
    ------
    ValueError
        If `M` is negative, or the dtype neither float32 nor float64.

    Examples
    --------
    >>> tl.signal.windows.nuttall(5)
    tensor([3.628000e-04, 2.269824e-01, 1.000000e+00, 2.269824e-01,
            3.628000e-04])
    """
    a = [0.3635819, 0.4891775, 0.1365995, 0.0106411]
    return general_cosine(M, a=a, sym=sym, **options)


def bartlett(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """A triangle that begins and ends at 0.

    Parameters
    ----------
    M : int
        How many points.
    sym : bool
        Symmetric, or periodic.
    **options
        dtype, device and so on, as of `ones`.

    Returns
    -------
    Tensor, shape (M,)

    Raises
    ------
    ValueError
        If `M` is negative, or the dtype neither float32 nor float64.

    Examples
    --------
    >>> tl.signal.windows.bartlett(5)
    tensor([0. , 0.5, 1. , 0.5, 0. ])
    """
    n, last = _places(M, sym)
    return _made(1 - np.abs(2 / last * n - 1), **options)


def cosine(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """One arch of a sine, between its zeros.

    Parameters
    ----------
    M : int
        How many points.
    sym : bool
        Symmetric, or periodic.
    **options
        dtype, device and so on, as of `ones`.

    Returns
    -------
    Tensor, shape (M,)

    Raises
    ------
    ValueError
        If `M` is negative, or the dtype neither float32 nor float64.

    Examples
    --------
    >>> tl.signal.windows.cosine(5)
    tensor([0.309017, 0.809017, 1.      , 0.809017, 0.309017])
    """
    n, _ = _places(M, sym)
    return _made(np.sin(math.pi / (M if sym else M + 1) * (n + 0.5)) if M else n, **options)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **options: Any
) -> Tensor:
    """``exp(-|n - center| / tau)``; only a periodic window may have another center.

    Parameters
    ----------
    M : int
        How many points.
    center : float, optional
        By default the middle.
    tau : float
        Above 0.
    sym : bool
        Symmetric, or periodic.
    **options
        dtype, device and so on, as of `ones`.

    Returns
    -------
    Tensor, shape (M,)

    Raises
    ------
    ValueError
        If `M` is negative, `tau` is not positive, or a symmetric window has a center.

    Examples
    --------
    >>> tl.signal.windows.exponential(5)
    tensor([0.13533528, 0.36787945, 1.        , 0.36787945, 0.13533528])
    """
    if tau <= 0:
        raise ValueError(f"exponential: tau is {tau}; it must be positive")
    if sym and center is not None:
        raise ValueError("exponential: a symmetric window has its center in the middle")
    n, last = _places(M, sym)
    return _made(np.exp(-np.abs(n - (last / 2 if center is None else center)) / tau), **options)


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **options: Any) -> Tensor:
    """``exp(-(n - center)² / (2 std²))``.

    Parameters
    ----------
    M : int
        How many points.
    std : float
        Above 0.
    sym : bool
        Symmetric, or periodic.
    **options
        dtype, device and so on, as of `ones`.

    Returns
    -------
    Tensor, shape (M,)

    Raises
    ------
    ValueError
        If `M` is negative, or `std` is not positive.

    Examples
    --------
    >>> tl.signal.windows.gaussian(5)
    tensor([0.13533528, 0.60653067, 1.        , 0.60653067, 0.13533528])
    """
    if std <= 0:
        raise ValueError(f"gaussian: std is {std}; it must be positive")
    n, last = _places(M, sym)
    return _made(np.exp(-(((n - last / 2) / std) ** 2) / 2), **options)


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **options: Any) -> Tensor:
    """Kaiser's window ``i0(beta sqrt(1 - (2 n / (M - 1) - 1)²)) / i0(beta)``.

    Parameters
    ----------
    M : int
        How many points.
    beta : float
        Not negative.
    sym : bool
        Symmetric, or periodic.
    **options
        dtype, device and so on, as of `ones`.

    Returns
    -------
    Tensor, shape (M,)

    Raises
    ------
    ValueError
        If `M` or `beta` is negative.

    Examples
    --------
    >>> tl.signal.windows.kaiser(5)
    tensor([5.2773441e-05, 2.1567275e-01, 1.0000000e+00, 2.1567275e-01,
            5.2773441e-05])
    """
    if beta < 0:
        raise ValueError(f"kaiser: beta is {beta}; it must not be negative")
    n, last = _places(M, sym)
    inside = np.sqrt(np.maximum(0, 1 - (2 / last * n - 1) ** 2))
    return _made(i0(beta * inside) / i0(np.array([beta])), **options)


__getattr__ = answers_for(__name__)
