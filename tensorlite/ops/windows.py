"""Windows over spatial axes, for convolution and pooling."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType

from tensorlite.backend import Array
from tensorlite.tensor import Tensor


def per_axis(
    value: int | Sequence[int], axes: int, name: str, op: str, least: int = 1
) -> tuple[int, ...]:
    """One number for each of `axes` spatial axes, none below `least`."""
    if value.__class__ is int and value >= least:
        return (value,) * axes
    try:
        values = tuple(map(operator.index, value if isinstance(value, Iterable) else (value,)))
    except TypeError as error:
        raise TypeError(f"{op}: {name}={value!r} is no integer, nor {axes} of them") from error
    if len(values) == 1:
        values *= axes
    if len(values) != axes or min(values) < least:
        raise ValueError(f"{op}: {name}={value} is not one integer, or {axes}, of at least {least}")
    return values


def with_batch(
    op: str, x: Tensor, axes: int, name: str = "input"
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """`x` as (N, C, *axes), and a function that removes the batch axis again if `x` has none.

    Raises
    ------
    ValueError
        If `x` is neither (N, C, …) nor (C, …) with that many spatial axes.
    """
    shape = x.array.shape
    if len(shape) == axes + 2:
        return x, _as_it_is
    if len(shape) == axes + 1:
        return x.reshape(1, *shape), _without_batch
    spatial = ", ".join(("D, H, W", "H, W", "L")[3 - axes : 4 - axes])
    raise ValueError(
        f"{op}: {name} of shape {shape} is neither (N, C, {spatial}) nor (C, {spatial})"
    )


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _without_batch(x: Tensor) -> Tensor:
    return x.reshape(x.shape[1:])


def output_size(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil: bool = False,
) -> tuple[int, ...]:
    """How many windows fit on each axis; with `ceil`, a last one may reach over the end.

    It then begins inside the axis or the padding before it.

    Raises
    ------
    ValueError
        If a window is longer than its padded axis.
    """
    result = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        if room < 0:
            raise ValueError(
                f"a window of {k} (dilation {d}) does not fit into an axis of {n} + 2 · {p} "
                f"padding: spatial size {tuple(size)}, kernel {tuple(kernel)}"
            )
        count = room // s + 1
        if ceil and room % s and count * s < n + p:
            count += 1
        result.append(count)
    return tuple(result)


def taps(
    kernel: Sequence[int], out: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[slice, ...]]:
    """For each place in a window, row by row: slices of the padded axes, one element per window."""
    for place in itertools.product(*map(range, kernel)):
        yield tuple(
            slice(k * d, k * d + (o - 1) * s + 1 if o else k * d, s)
            for k, o, s, d in zip(place, out, stride, dilation, strict=True)
        )


def enlarged(
    xp: ModuleType,
    x: Array,
    padding: Sequence[int],
    value: float = 0.0,
    after: Sequence[int] | None = None,
) -> Array:
    """Pad the last axes of `x` on both sides; `x` itself where there is nothing to pad.

    `after` is the padding behind the axes where that differs.
    """
    after = padding if after is None else after
    if not any(padding) and not any(after):
        return x
    leading = x.shape[: -len(padding)]
    size = x.shape[-len(padding) :]
    result = xp.full(
        leading + tuple(n + p + a for n, p, a in zip(size, padding, after, strict=True)),
        value,
        x.dtype,
    )
    result[inside(size, padding)] = x
    return result


def inside(size: Sequence[int], padding: Sequence[int]) -> tuple:
    """The index of the unpadded part of a padded array."""
    return (..., *[slice(p, p + n) for n, p in zip(size, padding, strict=True)])


def windows(
    xp: ModuleType,
    x: Array,
    kernel: Sequence[int],
    out: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Array:
    """All windows of the last axes of `x` as a view of shape (…, *kernel, *out)."""
    axes = len(kernel)
    leading, steps = x.strides[:-axes], x.strides[-axes:]
    return xp.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:-axes], *kernel, *out),
        (
            *leading,
            *[step * d for step, d in zip(steps, dilation, strict=True)],
            *[step * s for step, s in zip(steps, stride, strict=True)],
        ),
    )


def positions(
    xp: ModuleType, size: Sequence[int], padding: Sequence[int], tap: Sequence[slice]
) -> Array:
    """Where in a flattened plane of `size` each window has its `tap`; int32.

    Of a tap in the padding it is the nearest element inside.
    """
    result = xp.zeros((), xp.int32)
    for i, (n, p, part) in enumerate(zip(size, padding, tap, strict=True)):
        axis = xp.arange(part.start, part.stop, part.step, dtype=xp.int32) - p
        axis = xp.clip(axis, 0, n - 1)
        result = result * n + axis.reshape((-1,) + (1,) * (len(size) - i - 1))
    return result
