"""Helpers of fused operations: computing in float32, and primitives made of a formula."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import array_backend, is_array
from tensorlite.backend.dtypes import is_short
from tensorlite.primitive import primitive


def widened(x: Any) -> Any:
    """A float16 or bfloat16 array in float32; anything else as it is."""
    if not is_array(x) or not is_short(x.dtype):
        return x
    return array_backend((x,)).cast(x, np.float32)


def float32_inside(
    compute: Callable | None = None, *, rounded: tuple[int, ...] | None = None
) -> Any:
    """Let a primitive's reference, or a kernel, compute in float32 where an input is a short float.

    The first output, or those numbered in `rounded`, are rounded to the dtype of the first array.
    Others are statistics or sums, which would lose digits that later passes need, and stay in
    float32.
    """
    if compute is None:
        return functools.partial(float32_inside, rounded=rounded)

    @functools.wraps(compute)
    def run(xp: Any, *inputs: Any, **static: Any) -> Any:
        dtypes = [x.dtype for x in inputs if is_array(x)]
        if not any(map(is_short, dtypes)):
            return compute(xp, *inputs, **static)
        result = compute(xp, *map(widened, inputs), **static)
        if result is NotImplemented or not is_short(dtypes[0]):
            return result
        if rounded is None:
            return _round_first(result, dtypes[0])
        cast = array_backend(result).cast
        return tuple([cast(y, dtypes[0]) if i in rounded else y for i, y in enumerate(result)])

    return run


def _round_first(result: Any, dtype: np.dtype) -> Any:
    if isinstance(result, tuple):
        return _round_first(result[0], dtype), *result[1:]
    return array_backend((result,)).cast(result, dtype)


def fused(formula: Callable | None = None, *, rounded: tuple[int, ...] | None = None) -> Any:
    """Make one primitive of a formula written with operators and primitives alone.

    It is one node on the tape, and a kernel can replace it. Its gradient is computed by running
    the formula: this is meant for backward passes, which are seldom differentiated again. `rounded`
    is that of `float32_inside`.
    """
    if formula is None:
        return functools.partial(fused, rounded=rounded)

    @functools.wraps(formula)
    def computed(xp: ModuleType, *inputs: Any, **static: Any) -> Any:
        return formula(*inputs, **static)

    reference: Any = computed
    signature = inspect.signature(formula)
    xp = inspect.Parameter("xp", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    reference.__signature__ = signature.replace(parameters=[xp, *signature.parameters.values()])
    made = primitive(float32_inside(reference, rounded=rounded))
    made.defvjp_composite(formula)
    made.primitive.formula = formula
    return made
