"""The precision of float32 matrix products; it can be set where there is no CUDA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

_precision = "highest"

ON_CHANGE: list[Callable[[], None]] = []
"""Called when the choice has changed: products that were made ready must be made anew."""


def set_float32_matmul_precision(precision: Literal["highest", "high"]) -> None:
    """Choose how float32 matrices are multiplied on CUDA.

    Parameters
    ----------
    precision
        "highest" (the default): float32 throughout. "high": inputs are rounded to TF32 (10 bits of
        mantissa) and multiplied by the tensor cores, which is faster; sums are
        float32. It needs compute capability 8.0 and changes nothing for other dtypes or the CPU.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> tl.set_float32_matmul_precision("highest")
    """
    global _precision
    if precision not in ("highest", "high"):
        raise ValueError(f"float32 matmul precision is 'highest' or 'high', not {precision!r}")
    _precision = precision
    for listener in ON_CHANGE:
        listener()


def get_float32_matmul_precision() -> str:
    """Return what `set_float32_matmul_precision` was last given.

    Examples
    --------
    >>> tl.get_float32_matmul_precision()
    'highest'
    """
    return _precision
