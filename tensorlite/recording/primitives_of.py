"""Gradient rules and formulas, taken apart into the primitives that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorlite.backend import is_array
from tensorlite.recording.trees import arrays_in, mapped
from tensorlite.tape import mode
from tensorlite.tensor import Tensor, tensor_of


def taken_apart(
    recorder: Any, function: Callable, arguments: tuple, outputs: list[np.ndarray], calls: int
) -> Any:
    """The result of a rule or a formula, run on Tensors, so that its primitives are units.

    None where that is not `outputs` to the bit, or it is not made of primitives; then the log ends
    after so many calls as before.
    """
    run = in_primitives(function)
    if not recorder.fuse or run is None:
        return None
    nodes, marks, kept = len(recorder.nodes), len(recorder.marks), len(recorder.kept)
    result, refused = in_parts(recorder, run, arguments)
    made = arrays_in(result)
    same = refused is None and len(made) == len(outputs)
    if same and all(_identical(x, y) for x, y in zip(made, outputs, strict=True)):
        return result
    recorder.k.log_cut(recorder.log, calls)
    del recorder.nodes[nodes:], recorder.marks[marks:], recorder.kept[kept:]
    return None


def in_parts(recorder: Any, run: Callable, arguments: tuple) -> tuple[Any, str | None]:
    """What `run` returns of Tensors, each of whose primitives is a unit; and why it is refused.

    None where it is no function of Tensors.
    """
    leaves = dict(recorder.leaves)
    before = mode.switches.set(grad=False)
    recorder.inside = False
    recorder.open()
    try:
        result = run(*mapped(arguments, _as_tensor))
    except Exception:  # then it stays whole
        result = None
    finally:
        recorder.close()
        mode.switches.set(**before)
        recorder.leaves = leaves
    refused, recorder.reason, recorder.inside = recorder.reason, None, False
    return mapped(result, lambda x: x.array if isinstance(x, Tensor) else x), refused


def in_primitives(function: Callable) -> Callable | None:
    """What a unit computes, as a function of Tensors; None if it is no rule and no formula."""
    if hasattr(function, "of"):  # a gradient rule
        return function
    formula = getattr(getattr(function, "__self__", None), "formula", None)
    if formula is None or getattr(function, "__name__", "") != "computed":
        return None
    return lambda raw, static, save: (formula(*raw, **static), ())


def _as_tensor(x: Any) -> Any:
    return tensor_of(x) if is_array(x) and not isinstance(x, np.generic) else x


def _identical(x: np.ndarray, y: np.ndarray) -> bool:
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()
