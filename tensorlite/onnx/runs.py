"""Calling a model with several lengths of its dynamic axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tensorlite.onnx.trace import ExportError, Trace
from tensorlite.recording.trees import leaves, mapped
from tensorlite.tensor import Tensor, tensor_of

Axes = dict[str, dict[int, str]]
Run = tuple[Trace, Any]


class Call:
    """A model and what it is called with."""

    def __init__(
        self, model: Callable, args: Any, kwargs: Mapping[str, Any], names: Sequence[str] | None
    ) -> None:
        args = tuple(args) if isinstance(args, (tuple, list)) else (args,)
        self.model, self.tree = model, (args, dict(kwargs))
        given = list(leaves(self.tree))
        if not all(isinstance(x, Tensor) for x in given if isinstance(x, (Tensor, np.ndarray))):
            raise TypeError("export: args holds arrays; the inputs of a model are Tensors")
        self.inputs = [x.array for x in given if isinstance(x, Tensor)]
        if any(not isinstance(x, np.ndarray) for x in self.inputs):
            raise ExportError("export: the inputs are on a GPU: export on the CPU, model.to('cpu')")
        count = len(self.inputs)
        self.names = list(names or []) + [f"input_{i}" for i in range(len(names or []), count)]
        if len(self.names) > count or len(set(self.names)) < count:
            raise ValueError(f"input_names {self.names}: {count} Tensors are given, each needs one")

    def trace(self, inputs: list[np.ndarray]) -> Run:
        """Call the model with these values."""
        trace = Trace(inputs)
        left = iter(inputs)
        args, kwargs = mapped(
            self.tree, lambda x: tensor_of(next(left)) if isinstance(x, Tensor) else x
        )
        with trace.listening():
            result = self.model(*args, **kwargs)
        return trace, result


def axes_of(given: Mapping[str, Any], inputs: Sequence[str], outputs: Sequence[str] | None) -> Axes:
    """The dynamic axes by name, as dictionaries from an axis to its name."""
    known = {*inputs, *(outputs or [])}
    found: Axes = {}
    for name, axes in given.items():
        if name not in known and (outputs is not None or not name.startswith("output_")):
            raise ValueError(f"dynamic_axes names {name!r}; there are {sorted(known)}")
        pairs = axes.items() if isinstance(axes, Mapping) else [(a, f"{name}_{a}") for a in axes]
        found[name] = {int(axis): str(said) for axis, said in pairs}
    return found


def all_runs(call: Call, axes: Axes) -> list[Run]:
    """Runs over other values, and over other lengths of each axis, alone and all together."""
    lengths: dict[str, int] = {}
    for name, array in zip(call.names, call.inputs, strict=True):
        for axis, said in axes.get(name, {}).items():
            if not -array.ndim <= axis < array.ndim:
                raise ValueError(
                    f"dynamic_axes: {name!r} of shape {array.shape} has no axis {axis}"
                )
            if lengths.setdefault(said, array.shape[axis]) != array.shape[axis]:
                raise ValueError(
                    f"dynamic_axes: the axis {said!r} is {lengths[said]} long in one input and "
                    f"{array.shape[axis]} in {name!r}"
                )
    base = {said: max(n, 2) for said, n in lengths.items()}
    runs = [_run(call, axes, base, turned=False)]
    other = {}
    for said, n in base.items():
        found, other[said] = _first(call, axes, base, said, (2 * n, n + 1, n - 1, n // 2))
        runs.append(found)
    together = {said: _third(n, other[said]) for said, n in base.items()}
    for chosen in (together, other):
        try:
            runs.append(_run(call, axes, chosen))
            break
        except ExportError:
            raise
        except Exception as error:
            if chosen is other:
                raise ExportError(
                    f"export: the model does not run with the lengths {chosen}: {error}"
                ) from error
    return runs


def _third(n: int, other: int) -> int:
    """A length that is neither, where a model that took these takes it, too."""
    return 3 * n if other == 2 * n else other if other < n else n + 2


def _first(
    call: Call, axes: Axes, base: dict[str, int], said: str, candidates: Sequence[int]
) -> tuple[Run, int]:
    """The run with the first length of one axis that the model takes."""
    failed: Exception | None = None
    for n in candidates:
        if n < 1 or n == base[said]:
            continue
        try:
            return _run(call, axes, base | {said: n}), n
        except ExportError:
            raise
        except Exception as error:
            failed = failed or error
    raise ExportError(
        f"export: the model runs with no other length of the axis {said!r} than {base[said]}: "
        f"{failed}"
    ) from failed


def _run(call: Call, axes: Axes, lengths: dict[str, int], turned: bool = True) -> Run:
    """One run; with the values in another order, so that nothing rests on them unseen."""
    inputs = []
    for name, array in zip(call.names, call.inputs, strict=True):
        for axis, said in axes.get(name, {}).items():
            places = np.arange(lengths[said]) % max(array.shape[axis], 1)
            array = np.take(array, places, axis)
        inputs.append(array.ravel()[::-1].reshape(array.shape).copy() if turned else array.copy())
    return call.trace(inputs)
