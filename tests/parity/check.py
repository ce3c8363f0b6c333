"""Run the calls of the parity table on tensorlite, and say how the answers differ from torch's."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import tensorlite as tl
from parity.values import (
    HERE,
    Numbers,
    call,
    cotangent,
    decoded,
    leaves,
    read_through,
    sign_free,
)

TOLERANCE = {"float64": 1e-8, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}
# Where torch's own answers in float64 are less exact: factors on the tolerance.
LOOSE = {"nn.functional.hardsigmoid": 10.0}  # its slope is 1 / 6 in float32
REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, ArithmeticError)
FEW = 2  # calls an operation in a quick run


class Problem(NamedTuple):
    """One difference: its kind, and what a reader needs to see it again."""

    kind: str
    text: str


NUMBERS = Numbers.read(HERE / "numbers.npz")


class Missing(Exception):
    """tensorlite has no such name."""


class Library:
    """tensorlite, where the table says ``torch``."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.wanted: list = []

    def tensor(self, text: str) -> Any:
        array, dtype, wants = NUMBERS[text]
        x = tl.tensor(array.copy(), dtype=getattr(tl, dtype), device=self.device)
        if wants:
            x.requires_grad_()
            self.wanted.append(x)
        return x

    def size(self, lengths: list) -> Any:
        return tl.Size(lengths)

    def dtype(self, name: str) -> Any:
        return getattr(tl, name)

    def call(self, form: str, entry: dict, by_name: bool = False) -> Any:
        """Call with new arguments, in their places or all by their names."""
        self.wanted = []
        args = [decoded(a, self.tensor, self) for a in entry["args"]]
        kwargs = {k: decoded(v, self.tensor, self) for k, v in entry.get("kwargs", {}).items()}
        check_exists(form)
        read_through(entry, args)
        if by_name:
            args, kwargs = [], {**dict(zip(entry["names"], args, strict=True)), **kwargs}
        return call(tl, tl.Tensor, form, args, kwargs)


def check_exists(form: str) -> None:
    """Raise `Missing` where tensorlite has no such function, method or property."""
    if form.startswith(("property ", "in place ", "Tensor.")):
        name = form.removeprefix("Tensor.").rpartition(" ")[2]
        if not hasattr(tl.Tensor, name):
            raise Missing(f"Tensor has no {name}")
        return
    found: Any = tl
    path = "tensorlite"
    for part in form.split(".")[1:]:
        path += f".{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = importlib.import_module(path)
            except ImportError:
                raise Missing(f"there is no {path}") from None


# --- comparing ----------------------------------------------------------------------------------


def host(x: Any) -> np.ndarray:
    """The values of a Tensor, bfloat16 as float32."""
    array = x.detach().cpu().numpy()
    return array.astype(np.float32) if x.dtype.kind == "V" else array


def differs(expected: Any, got: Any, where: str, loose: float) -> Iterator[Problem]:
    """Compare a result with what the table says of it."""
    if isinstance(expected, str) and expected.startswith("@"):
        yield from tensor_differs(expected, got, where, loose)
    elif isinstance(expected, dict):
        ((kind, inner),) = expected.items()
        if kind == "named":
            if not isinstance(got, tuple) or len(got) != len(inner):
                yield Problem("type", f"{where}: {type(got).__name__}, not a tuple {list(inner)}")
                return
            for (field, value), item in zip(inner.items(), got, strict=True):
                if getattr(got, field, None) is not item:
                    yield Problem("type", f"{where}: has no field {field!r}")
                yield from differs(value, item, f"{where}.{field}", loose)
        elif kind == "tuple":
            yield from sequence_differs(inner, got, tuple, where, loose)
        elif kind == "Size":
            if not isinstance(got, tl.Size) or list(got) != inner:
                yield Problem("value", f"{where}: {got!r}, expected Size({inner})")
        elif kind == "float" and (not isinstance(got, float) or str(got) != inner):
            yield Problem("value", f"{where}: {got!r}, expected {inner}")
    elif isinstance(expected, list):
        yield from sequence_differs(expected, got, list, where, loose)
    elif type(expected) is not type(got):
        yield Problem("type", f"{where}: {type(got).__name__}, not {type(expected).__name__}")
    elif expected != got and not np.isclose(expected, got, rtol=1e-8):
        yield Problem("value", f"{where}: {got!r}, expected {expected!r}")


def sequence_differs(
    expected: list, got: Any, kind: type, where: str, loose: float
) -> Iterator[Problem]:
    if not isinstance(got, kind):
        yield Problem("type", f"{where}: {type(got).__name__}, not a {kind.__name__}")
    elif len(got) != len(expected):
        yield Problem("value", f"{where}: {len(got)} results, expected {len(expected)}")
    else:
        for i, (value, item) in enumerate(zip(expected, got, strict=True)):
            yield from differs(value, item, f"{where}[{i}]", loose)


def tensor_differs(
    expected: str, got: Any, where: str, loose: float, kind: str = "value"
) -> Iterator[Problem]:
    array, dtype, _ = NUMBERS[expected]
    if not isinstance(got, tl.Tensor):
        yield Problem("type", f"{where}: {type(got).__name__}, not a Tensor")
    elif tuple(got.shape) != array.shape:
        yield Problem(kind, f"{where}: shape {tuple(got.shape)}, expected {array.shape}")
    else:
        if got.dtype != getattr(tl, dtype):
            yield Problem("dtype", f"{where}: {got.dtype}, expected {dtype}")
        found, wanted = host(got).astype(np.float64), array.astype(np.float64)
        if kind == "second gradient":  # where torch has no answer none is asked for
            found = np.where(np.isnan(wanted), wanted, found)
        allowed = TOLERANCE.get(dtype, 0.0) * loose
        scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-3)
        if not np.allclose(found, wanted, rtol=allowed, atol=allowed * scale, equal_nan=True):
            off = ~np.isclose(found, wanted, rtol=allowed, atol=allowed * scale, equal_nan=True)
            at = tuple(int(i) for i in np.argwhere(off)[0])
            yield Problem(
                kind,
                f"{where}: {int(off.sum())} of {off.size} differ, first at {at}: "
                f"{found[at]!r}, expected {wanted[at]!r}",
            )


def gradients_differ(
    expected: list, got: Any, where: str, loose: float, kind: str
) -> Iterator[Problem]:
    """None and zeros mean the same."""
    for i, (text, g) in enumerate(zip(expected, got, strict=True)):
        if g is None or text is None:
            rest = g if text is None else text
            if rest is None:
                continue
            values = host(rest) if text is None else NUMBERS[rest][0]
            if np.any(values):
                yield Problem(kind, f"{where} {i}: {g!r}, expected {text}")
        else:
            yield from tensor_differs(text, g, f"{where} {i}", loose, kind)


def weighed(outputs: list) -> Any:
    """The sum of differentiable results, each with fixed weights."""
    total = None
    for i, x in enumerate(outputs):
        if x is not None and x.requires_grad:
            weights = tl.tensor(cotangent(tuple(x.shape), i), device=x.device, dtype=x.dtype)
            part = (x * weights).sum()
            total = part if total is None else total + part
    return total


# --- one name -----------------------------------------------------------------------------------


def shown(form: str, entry: dict) -> str:
    """The call, as one would type it."""

    def text(value: Any) -> str:
        if isinstance(value, str) and value.startswith("@"):
            dtype, shape = value[1:].split(":")[:2]
            return f"<{dtype} ({shape})>"
        if isinstance(value, dict):
            ((kind, inner),) = value.items()
            return f"{kind}({text(inner)})"
        if isinstance(value, list):
            return "[" + ", ".join(map(text, value)) + "]"
        return repr(value)

    args = [text(a) for a in entry["args"]]
    args += [f"{k}={text(v)}" for k, v in entry.get("kwargs", {}).items()]
    return f"{form}({', '.join(args)})"


def answers(name: str, form: str, entry: dict, device: Any, quick: bool) -> Iterator[Problem]:
    """Call once, and compare values, types and gradients."""
    library = Library(device)
    out = library.call(form, entry)
    loose = LOOSE.get(name, 1.0)
    yield from differs(entry["out"], determined(name, out), "result", loose)
    if not entry.get("grads"):
        return
    outputs = sign_free(name, list(leaves(out, tl.Tensor)), tl.abs)
    again = not quick and "seconds" in entry
    loss = weighed(outputs)
    if loss is None:
        first: Any = [None] * len(library.wanted)
    else:
        first = tl.grad(loss, library.wanted, create_graph=again, allow_unused=True)
    yield from gradients_differ(entry["grads"], first, "gradient", loose, "gradient")
    if again:
        loss = weighed(list(first))
        if loss is None:
            second: Any = [None] * len(library.wanted)
        else:
            second = tl.grad(loss, library.wanted, allow_unused=True)
        yield from gradients_differ(
            entry["seconds"], second, "second gradient", loose * 10, "second gradient"
        )


def determined(name: str, out: Any) -> Any:
    """Absolute values in place of what has no sign."""
    if isinstance(out, tl.Tensor) or sign_free(name, [0], lambda x: None) == [0]:
        return out
    made = sign_free(name, list(out), tl.abs)
    return type(out)(*made) if hasattr(out, "_fields") else type(out)(made)
