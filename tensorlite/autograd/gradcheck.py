"""Checking gradients against difference quotients, element by element, as torch does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.differentiate import grad
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A gradient and a difference quotient disagree.

    Examples
    --------
    >>> wrong = lambda x: x * x.detach()
    >>> try:
    ...     tl.autograd.gradcheck(wrong, tl.tensor([2.0], dtype=tl.float64, requires_grad=True))
    ... except tl.autograd.GradcheckError:
    ...     print("they disagree")
    they disagree
    """


def gradcheck(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    **accepted: Any,
) -> bool:
    """Check the gradients of a function by difference quotients, element by element.

    `tl.testing.gradcheck` checks by random directions: faster, and more exact.

    Parameters
    ----------
    func
        Takes `inputs`, returns a Tensor or a tuple of them.
    inputs
        A Tensor or a tuple of arguments. Tensors with ``requires_grad`` are checked; they should be
        float64.
    eps
        Half the distance of the two points of a difference quotient.
    atol, rtol
        Allowed error.
    raise_exception
        Whether to raise, or to return False.
    nondet_tol
        Allowed difference between two backward passes.
    **accepted
        torch's other options, which change nothing here.

    Returns
    -------
    bool
        True if all agree.

    Raises
    ------
    RuntimeError
        If they do not: a `GradcheckError` that names output, input and the numbers.
    ValueError
        If no input requires grad.

    Examples
    --------
    >>> tl.autograd.gradcheck(tl.sin, tl.tensor([0.5], dtype=tl.float64, requires_grad=True))
    True
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    try:
        _check(func, arguments, eps, atol, rtol, nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    **accepted: Any,
) -> bool:
    """Check the gradients of the gradients of a function; as `gradcheck`.

    Parameters
    ----------
    grad_outputs
        Cotangents of the outputs; random by default.
    func, inputs, eps, atol, rtol, raise_exception, nondet_tol, **accepted
        As of `gradcheck`.

    Returns
    -------
    bool
        True if all agree.

    Examples
    --------
    >>> tl.autograd.gradgradcheck(tl.sin, tl.tensor([0.5], dtype=tl.float64, requires_grad=True))
    True
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    places = _differentiable(arguments)
    outputs = _listed(func(*arguments))
    if grad_outputs is None:
        draw = np.random.default_rng(0)
        cotangents = [_random_like(y, draw) for y in outputs if y.requires_grad]
    else:
        cotangents = [g.detach().requires_grad_() for g in _listed(grad_outputs)]

    def gradients(*values: Any) -> tuple[Tensor, ...]:
        args, gs = values[: len(arguments)], values[len(arguments) :]
        ys = [y for y in _listed(func(*args)) if y.requires_grad]
        found = grad(ys, [args[i] for i in places], list(gs), create_graph=True, allow_unused=True)
        return tuple(d for d in found if d is not None and d.requires_grad)

    return gradcheck(
        gradients,
        (*arguments, *cotangents),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
    )


def _check(
    func: Callable, arguments: tuple, eps: float, atol: float, rtol: float, nondet_tol: float
) -> None:
    places = _differentiable(arguments)
    if not places:
        raise ValueError("gradcheck: no input is a Tensor that requires grad")
    points = [arguments[i] for i in places]
    outputs = [y for y in _listed(func(*arguments)) if y.dtype.kind in "fV"]
    for o, y in enumerate(outputs):
        by_rule = _jacobian(y, points)
        for again, first in zip(_jacobian(y, points), by_rule, strict=True):
            if np.abs(again - first).max(initial=0) > nondet_tol:
                raise GradcheckError(
                    f"gradcheck: two backward passes from output {o} gave different gradients"
                )
        for i, place in enumerate(places):
            quotient = _quotients(func, arguments, place, o, eps)
            if not np.allclose(by_rule[i], quotient, rtol, atol, equal_nan=True):
                worst = np.unravel_index(
                    np.argmax(np.nan_to_num(np.abs(by_rule[i] - quotient), nan=np.inf)),
                    quotient.shape,
                )
                raise GradcheckError(
                    f"gradcheck: the derivative of output {o} by input {place} is not what the "
                    f"difference quotient is: {by_rule[i][worst]:.9g} against "
                    f"{quotient[worst]:.9g} for element {worst[0]} of the output by element "
                    f"{worst[1]} of the input"
                )


def _differentiable(arguments: tuple) -> list[int]:
    return [i for i, a in enumerate(arguments) if isinstance(a, Tensor) and a.requires_grad]


def _jacobian(y: Tensor, points: list[Tensor]) -> list[np.ndarray]:
    """For each point the derivatives of `y`, shape (elements of y, elements of the point)."""
    rows = [np.zeros((y.numel(), x.numel())) for x in points]
    if not y.requires_grad:
        return rows
    for k in range(y.numel()):
        one = np.zeros(y.shape)
        one.reshape(-1)[k] = 1
        found = grad(y, points, _tensor_like(y, one), retain_graph=True, allow_unused=True)
        for row, d in zip(rows, found, strict=True):
            if d is not None:
                row[k] = _host(d).reshape(-1)
    return rows


def _quotients(func: Callable, arguments: tuple, place: int, output: int, eps: float) -> np.ndarray:
    point = arguments[place]
    values = _host(point)
    columns = []
    for k in range(point.numel()):
        ends = []
        for step in (eps, -eps):
            moved = values.copy()
            moved.reshape(-1)[k] += step
            at = [*arguments]
            # Still a leaf that requires grad: the function may ask for its gradient.
            at[place] = _tensor_like(point, moved).requires_grad_()
            ys = [y for y in _listed(func(*at)) if y.dtype.kind in "fV"]
            ends.append(_host(ys[output]).reshape(-1))
        columns.append((ends[0] - ends[1]) / (2 * eps))
    if not columns:
        ys = [y for y in _listed(func(*arguments)) if y.dtype.kind in "fV"]
        return np.zeros((ys[output].numel(), 0))
    return np.stack(columns, axis=1)


def _listed(value: Any) -> Sequence[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


def _host(tensor: Tensor) -> np.ndarray:
    raw = tensor.array
    return np.asarray(array_backend((raw,)).to_host(raw), dtype=np.float64)


def _tensor_like(tensor: Tensor, values: np.ndarray) -> Tensor:
    backend = array_backend((tensor.array,))
    return tensor_of(backend.asarray(values.astype(tensor.dtype), device=tensor.device))


def _random_like(tensor: Tensor, draw: np.random.Generator) -> Tensor:
    return _tensor_like(tensor, draw.standard_normal(tensor.shape)).requires_grad_()
