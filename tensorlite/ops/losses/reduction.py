"""The last step of all losses, reduction, and the checks that they share."""

from __future__ import annotations

import math
from typing import Any

from tensorlite.backend.dtypes import is_floating, promote_types
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import cast
from tensorlite.ops.reduce import in_float32, mean, sum
from tensorlite.tensor import Tensor


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean, the sum, or `loss` itself."""
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")


def divided_sum(loss: Tensor, divisor: Any) -> Tensor:
    """The sum of `loss` over `divisor`, a number or what to sum too, rounded once."""
    total = sum(in_float32(loss))
    if isinstance(divisor, Tensor):
        divisor = sum(in_float32(divisor))
        nothing = divisor == 0
        total = where(nothing, math.nan, total / where(nothing, 1.0, divisor))
    else:
        total = total / divisor
    return total if total.dtype == loss.dtype else cast(total, loss.dtype)


def chosen(op: str, reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """The reduction, which the old arguments `size_average` and `reduce` name if given."""
    if size_average is None and reduce is None:
        return reduction
    for name, value in (("size_average", size_average), ("reduce", reduce)):
        if value is not None and not isinstance(value, (bool, int)):
            raise TypeError(
                f"{op}: {name} is an old argument, True or False, not {value!r}; give the others "
                "by name, such as reduction='sum'"
            )
    if reduce is not None and not reduce:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


def check_same_shape(op: str, input: Tensor, target: Any, names: str = "input target") -> None:
    """Refuse what would broadcast: (N, 1) against (N,) would compare all pairs."""
    if isinstance(target, Tensor) and input.array.shape == target.array.shape:
        return
    a, b = names.split()
    if not isinstance(target, Tensor):
        raise TypeError(f"{op}: {b} must be a Tensor, not {type(target).__name__}")
    hint = "give both the same shape"
    if math.prod(input.shape) == math.prod(target.shape):
        hint = f"reshape one, such as {a}.reshape({tuple(target.shape)})"
    raise ValueError(
        f"{op}: {a} of shape {tuple(input.shape)} and {b} of shape {tuple(target.shape)} would "
        f"broadcast; {hint}"
    )


def check_floats(op: str, input: Tensor) -> None:
    """Refuse integers, whose losses NumPy would give in dtypes of its own choice."""
    if not is_floating(input.dtype):
        raise TypeError(f"{op}: input is {input.dtype}; a loss is of floats: use input.float()")


def floats_alike(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions and targets as floats of one dtype; targets may be integers or booleans."""
    if input.dtype == target.dtype:
        return input, target
    dtype = promote_types(input.dtype, target.dtype)
    return cast(input, dtype), cast(target, dtype)


def at_least_zero(x: Tensor) -> Tensor:
    """max(0, x); at 0 the slope is 1, as in torch's losses."""
    return where(x >= 0, x, 0.0)
