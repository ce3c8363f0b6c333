"""Running sums and products along an axis."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from numpy.lib.array_utils import normalize_axis_index

from tensorlite.backend import Array
from tensorlite.ops.fused import float32_inside
from tensorlite.ops.shape import flip, pad_constant
from tensorlite.primitive import primitive

__all__ = ["cumprod", "cumsum"]


@primitive
@float32_inside
def cumsum(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """Running sum along `axis`; of booleans and integers an integer."""
    return xp.cumsum(x, axis)


cumsum.defvjp(x=lambda g, axis: flip(cumsum(flip(g, axis), axis), axis))


@primitive
@float32_inside
def cumprod(xp: ModuleType, x: Array, *, axis: int) -> Array:
    """Running product along `axis`; its gradient is right where factors are 0, too."""
    return xp.cumprod(x, axis)


def _cumprod_vjp(g: Any, x: Any, y: Any, axis: int) -> Any:
    """``dx[i] = y[i - 1] * s[i]``, ``s[i] = g[i] + x[i + 1] * s[i + 1]``: without a division."""
    s = recurrence(neighbour(x, axis, 1), g, axis, reverse=True)
    return neighbour(y, axis, -1, edge=1) * s


cumprod.defvjp(x=_cumprod_vjp)


def neighbour(x: Any, axis: int, step: int, edge: float = 0) -> Any:
    """``x[i + step]`` at each i along `axis`, for a step of 1 or -1; `edge` where there is none."""
    axis = normalize_axis_index(axis, len(x.shape))
    n = x.shape[axis]
    widths = [(0, 0)] * len(x.shape)
    widths[axis] = (0, 1) if step > 0 else (1, 0)
    kept = slice(1, None) if step > 0 else slice(0, n)
    return pad_constant(x, tuple(widths), edge)[(slice(None),) * axis + (kept,)]


@primitive
@float32_inside
def recurrence(xp: ModuleType, a: Array, b: Array, *, axis: int, reverse: bool = False) -> Array:
    """``r[i] = b[i] + a[i] * r[i - 1]`` along `axis`; in reverse, of ``r[i + 1]``.

    Each pass doubles the span that r[i] covers, so that there are log2(n) passes of array
    operations (Hillis and Steele, "Data parallel algorithms", CACM 29 (1986) 1170-1183).
    """
    a, r = (xp.moveaxis(v, axis, -1).copy() for v in (a, b))
    if reverse:
        a, r = a[..., ::-1], r[..., ::-1]
    step = 1
    while step < r.shape[-1]:
        r[..., step:] += a[..., step:] * r[..., :-step]
        a[..., step:] = a[..., step:] * a[..., :-step]
        step *= 2
    return xp.moveaxis(r[..., ::-1] if reverse else r, -1, axis)


@recurrence.defvjp_joint
def _recurrence_vjp(
    g: Any, needs: tuple[bool, ...], y: Any, a: Any, axis: int, reverse: bool
) -> tuple:
    step = -1 if reverse else 1
    s = recurrence(neighbour(a, axis, step), g, axis, reverse=not reverse)
    return s * neighbour(y, axis, -step) if needs[0] else None, s if needs[1] else None
