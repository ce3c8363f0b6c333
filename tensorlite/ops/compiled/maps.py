"""Elementwise operations: activations, transcendentals, dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite.backend import Array
from tensorlite.backend.numpy import LARGE
from tensorlite.ops import activation, arithmetic, elementwise, trigonometry
from tensorlite.ops.compiled.arrays import packed
from tensorlite.ops.dropout import philox_dropout


def _give(
    primitive: Callable,
    name: str,
    *scalars: str,
    only: dict[str, Any] | None = None,
    dtypes: str = "efdE",
) -> None:
    """Let kernel `name` compute `primitive` on arrays of one shape.

    Parameters
    ----------
    scalars
        Static parameters that the kernel takes, in its order.
    only
        Values that the other static parameters must have.
    dtypes
        Characters of the dtypes the kernel has.
    """
    fixed = (only or {}).items()
    new_name = f"new_{name}"

    def run(k: Any, x: Array, *others: Array, **static: Any) -> Any:
        if any(static[key] != value for key, value in fixed):
            return NotImplemented
        values = [static[key] for key in scalars]
        if k.on_host:  # which sees to dtypes and strides itself
            return getattr(k, new_name)(x, *others, *values)
        arrays = packed(x, *others)
        if arrays is None or x.dtype.char not in dtypes or any(a.shape != x.shape for a in others):
            return NotImplemented
        y = k.empty(x.shape, x.dtype)
        getattr(k, name)(*arrays, y, x.size, *values)
        return y

    primitive.kernel(run)
    if not fixed and not scalars:
        primitive.on_host(new_name)


for _name in ("exp", "expm1", "log", "log1p"):
    _give(getattr(elementwise, _name), _name, dtypes="fd")
for _name in ("tanh", "tanh_backward"):
    _give(getattr(trigonometry, _name), _name)
for _name in ("relu", "sigmoid", "silu"):
    _give(getattr(activation, _name), _name)
    _give(getattr(activation, f"{_name}_backward"), f"{_name}_backward")
for _ending in ("", "_backward"):
    _give(getattr(activation, f"leaky_relu{_ending}"), f"leaky_relu{_ending}", "negative_slope")
    _give(getattr(activation, f"softplus{_ending}"), f"softplus{_ending}", only={"beta": 1.0})

for _primitive, _name in (
    (activation.scaled_elu, "elu"),
    (activation.elu_backward, "elu_backward"),
):
    _give(_primitive, _name, "alpha", only={"scale": 1.0, "steepness": 1.0})


def _give_large(primitive: Callable, last: int | None = None) -> Callable:
    """Let a kernel compute `primitive` of two arrays of the CPU of which the first is large.

    The second has the first's shape or, if given, the `last` axes of it. The kernel gets both
    without gaps, the output, which it returns, and the static parameters.
    """

    def give(fill: Callable) -> None:
        def run(k: Any, x1: Array, x2: Array, **static: Any) -> Any:
            if x1.__class__ is not x2.__class__ or x1.size < LARGE or not k.on_host:
                return NotImplemented
            if x2.shape != x1.shape and (last is None or x2.shape != x1.shape[x1.ndim - last :]):
                return NotImplemented
            arrays = packed(x1, x2)
            if arrays is None:
                return NotImplemented
            y = k.empty(x1.shape, x1.dtype)
            return fill(k, *arrays, y, **static)

        primitive.kernel(run, from_size=LARGE)

    return give


@_give_large(arithmetic.add, last=1)
def _add(k: Any, x1: Array, x2: Array, y: Array, *, alpha: float) -> Any:
    if x1.shape == x2.shape:
        k.axpy(x2, x1, y, y.size, float(alpha))
    elif alpha == 1:
        k.bias_add(x1, x2, y, y.size // x2.size, x2.size)
    else:
        return NotImplemented
    return y


@_give_large(arithmetic.sub)
def _sub(k: Any, x1: Array, x2: Array, y: Array, *, alpha: float) -> Any:
    k.axpy(x2, x1, y, y.size, -float(alpha))
    return y


@_give_large(arithmetic.mul, last=0)
def _mul(k: Any, x1: Array, x2: Array, y: Array) -> Any:
    (k.multiply if x1.shape == x2.shape else k.scale_by)(x1, x2, y, y.size)
    return y


@activation.gelu.kernel
def _gelu(k: Any, x: Array, *, approximate: str) -> Any:
    arrays = packed(x)
    if arrays is None or approximate not in ("none", "tanh"):
        return NotImplemented
    y = k.empty(x.shape, x.dtype)
    (k.gelu if approximate == "none" else k.gelu_tanh)(*arrays, y, x.size)
    return y


@activation.gelu_backward.kernel
def _gelu_backward(k: Any, dy: Array, x: Array, *, approximate: str) -> Any:
    arrays = packed(dy, x)
    if arrays is None or dy.shape != x.shape:
        return NotImplemented
    dx = k.empty(x.shape, x.dtype)
    kernel = k.gelu_backward if approximate == "none" else k.gelu_tanh_backward
    kernel(*arrays, dx, x.size)
    return dx


@philox_dropout.kernel
def _dropout(k: Any, x: Array, *, p: float, key: tuple[int, int], offset: int) -> Any:
    arrays = packed(x)
    if arrays is None:
        return NotImplemented
    y = k.empty(x.shape, x.dtype)
    k.dropout(*arrays, y, None, x.size, p, key[0] | key[1] << 32, offset)
    return y
