"""Checking gradient rules against finite differences.

One random direction tests a whole Jacobian: with random cotangents v and a random direction u the
number ``v . J u`` is computed once by the rules and once by a difference quotient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.call import listed
from tensorlite.differentiate import grad
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["gradcheck"]


def gradcheck(
    fn: Callable,
    inputs: Sequence[Any],
    *,
    order: int = 1,
    eps: float = 1e-4,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    generator: np.random.Generator | None = None,
) -> None:
    """Check the gradient of a function, and of its gradient, along random directions.

    Parameters
    ----------
    fn
        Takes `inputs`, returns a Tensor or a tuple of them; the same values at every call.
    inputs
        Arguments. Tensors with ``requires_grad`` are differentiated and must be float64.
    order
        1 checks the gradient; 2 also checks the gradient of the gradient, by the inputs and by
        the cotangents.
    eps
        Largest step. Where two steps disagree (a kink nearby) smaller ones are tried.
    rtol, atol
        Allowed error, relative to the sum of the terms' magnitudes and absolute.
    generator
        Source of the directions (default: one with a fixed seed).

    Raises
    ------
    AssertionError
        If rule and difference quotient disagree, or no step is small enough for two difference
        quotients to agree: the message gives the numbers.

    Examples
    --------
    >>> tl.testing.gradcheck(tl.sin, [tl.tensor([0.5], dtype=tl.float64, requires_grad=True)])
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: order {order}: it is 1 or 2")
    places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    points = [inputs[i].detach() for i in places]
    if not points:
        raise ValueError("gradcheck: no input requires grad")
    for i, point in zip(places, points, strict=True):
        if point.dtype != np.float64:
            raise TypeError(f"gradcheck: input {i} is {point.dtype}: differences need float64")
    generator = np.random.default_rng(0) if generator is None else generator
    tolerances = eps, rtol, atol

    def outputs(*points: Tensor) -> list[Tensor]:
        arguments = list(inputs)
        for i, point in zip(places, points, strict=True):
            arguments[i] = point
        return [y for y in listed(fn(*arguments)) if y.dtype.kind == "f"]

    _check(outputs, points, "first order", tolerances, generator)
    if order == 1:
        return

    def gradients(*values: Tensor) -> list[Tensor]:
        on_tape = values[0].requires_grad
        at = [x if on_tape else x.detach().requires_grad_() for x in values[: len(points)]]
        ys, vs = _differentiable(outputs(*at), values[len(points) :])
        found = grad(ys, at, vs, create_graph=on_tape, allow_unused=True)
        return [d for d in found if d is not None]

    cotangents = [_random_like(y, generator) for y in outputs(*points)]
    _check(gradients, points + cotangents, "second order", tolerances, generator)


def _check(
    fn: Callable,
    points: list[Tensor],
    what: str,
    tolerances: tuple[float, float, float],
    generator: np.random.Generator,
) -> None:
    """Compare the gradient of `fn` at `points` with difference quotients along one direction."""
    eps, rtol, atol = tolerances
    directions = [_random_like(x, generator) for x in points]
    leaves = [x.detach().requires_grad_() for x in points]
    results = fn(*leaves)
    cotangents = [_random_like(y, generator) for y in results]
    ys, vs = _differentiable(results, cotangents)
    found = grad(ys, leaves, vs, allow_unused=True)
    used = [(d, u) for d, u in zip(found, directions, strict=True) if d is not None]
    slopes = _products([d for d, _ in used], [u for _, u in used])
    by_rule, magnitude = slopes.sum(), np.abs(slopes).sum()
    noise = np.finfo(np.float64).eps * np.abs(_products(results, cotangents)).sum()

    def along(t: float) -> float:
        moved = [x + t * u for x, u in zip(points, directions, strict=True)]
        return _products(fn(*moved), cotangents).sum()

    for step in (eps, eps / 8, eps / 64):
        wide = (along(step) - along(-step)) / (2 * step)
        narrow = (along(step / 2) - along(-step / 2)) / step
        allowed = atol + rtol * max(magnitude, abs(narrow)) + 8 * noise / step
        if abs(wide - narrow) <= allowed:
            break
    else:
        raise AssertionError(
            f"gradcheck, {what}: difference quotients do not settle ({wide:.9g} with step "
            f"{step:.2g}, {narrow:.9g} with half of it): the inputs are that close to a kink"
        )
    if not abs(by_rule - narrow) <= allowed:
        centre = along(0.0)
        left, right = (centre - along(-step)) / step, (along(step) - centre) / step
        raise AssertionError(
            f"gradcheck, {what}: the rule gives {by_rule:.12g}, the difference quotient is "
            f"{narrow:.12g} (from the left {left:.9g}, from the right {right:.9g}; allowed error "
            f"{allowed:.3g})"
        )


def _random_like(x: Tensor, generator: np.random.Generator) -> Tensor:
    """Standard normal numbers where and of the shape that `x` is."""
    host = generator.standard_normal(x.shape)
    return tensor_of(array_backend((x.array,)).asarray(host, device=x.device))


def _differentiable(ys: Sequence[Tensor], vs: Sequence[Tensor]) -> tuple[list, list]:
    """The outputs that depend on anything, with their cotangents."""
    pairs = [(y, v) for y, v in zip(ys, vs, strict=True) if y.requires_grad]
    return [y for y, _ in pairs], [v for _, v in pairs]


def _products(tensors: Sequence[Tensor], factors: Sequence[Tensor]) -> np.ndarray:
    """All products of elements, on the host."""
    backend = array_backend([t.array for t in tensors])
    products = [
        (backend.to_host(t.array) * backend.to_host(f.array)).ravel()
        for t, f in zip(tensors, factors, strict=True)
    ]
    return np.concatenate([np.zeros(0), *products])
