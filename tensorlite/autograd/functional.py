"""Derivatives of functions, with the arguments of ``torch.autograd.functional``.

Each takes a function of Tensors and the point. With ``create_graph`` the result can be
differentiated again; with ``strict`` an output that does not depend on an input is an error and not
a zero. `vectorize` and `strategy` are accepted: derivatives are computed one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tensorlite.differentiate import grad
from tensorlite.ops import reshape, stack, zeros, zeros_like
from tensorlite.primitive import alias
from tensorlite.tape import enable_grad
from tensorlite.tensor import Tensor
from tensorlite.unknown import answers_for

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = Tensor | tuple[Tensor, ...]


def _tuple(value: Any, what: str) -> tuple[Tensor, ...]:
    parts = (value,) if isinstance(value, Tensor) else value
    if not isinstance(parts, tuple | list) or not all(isinstance(p, Tensor) for p in parts):
        kind = type(value).__name__
        raise TypeError(f"{what} must be a Tensor or a tuple of Tensors, not a {kind}")
    return tuple(parts)


def _leaves(inputs: Any, create_graph: bool) -> list[Tensor]:
    """The inputs under nodes or leaves of their own, so that only the direct way counts."""
    return [
        alias(x) if create_graph and x.requires_grad else x.detach().requires_grad_()
        for x in _tuple(inputs, "the inputs given")
    ]


def _called(func: Callable, leaves: list[Tensor]) -> tuple[Any, tuple[Tensor, ...]]:
    """The outputs of `func` as they are, and as a tuple."""
    outputs = func(*leaves)
    return outputs, _tuple(outputs, "what the function returns")


def _like(example: Any, values: Sequence[Any], detach: bool = False) -> Any:
    """One value for a single Tensor, a tuple for several."""
    values = [v.detach() for v in values] if detach else values
    return values[0] if isinstance(example, Tensor) else tuple(values)


def _directions(v: Any, like: Sequence[Tensor], what: str, may_be_left_out: bool) -> list[Any]:
    """Check the vectors of a product against the Tensors they belong to."""
    if v is None:
        if not (may_be_left_out and len(like) == 1 and like[0].numel() == 1):
            raise RuntimeError(f"v may be left out only where {what} is a single number")
        return [None]
    found = _tuple(v, "v")
    shapes = [tuple(t.shape) for t in found], [tuple(t.shape) for t in like]
    if shapes[0] != shapes[1]:
        raise RuntimeError(f"v has the shapes {shapes[0]}, {what} the shapes {shapes[1]}")
    return list(found)


def _pulled(
    outputs: Sequence[Tensor],
    leaves: Sequence[Tensor],
    v: Sequence[Any],
    *,
    create_graph: bool,
    strict: bool,
    retain_graph: bool | None = None,
) -> list[Tensor]:
    """Products of cotangents with the Jacobian; zeros where an input has no part in it."""
    pairs = [(y, g) for y, g in zip(outputs, v, strict=True) if y.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(leaves)
    if pairs:
        found = grad(
            [y for y, _ in pairs],
            leaves,
            [g for _, g in pairs],
            retain_graph,
            create_graph,
            allow_unused=True,
        )
    if strict:
        _refuse_independence(outputs, found)
    return [zeros_like(x.detach()) if d is None else d for x, d in zip(leaves, found, strict=True)]


def _refuse_independence(outputs: Sequence[Tensor], found: Sequence[Tensor | None]) -> None:
    for i, y in enumerate(outputs):
        if not y.requires_grad:
            raise RuntimeError(f"output {i} of the function does not depend on its inputs")
    for i, d in enumerate(found):
        if d is None:
            raise RuntimeError(f"the outputs of the function do not depend on input {i}")


def vjp(
    func: Callable,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The value of `func` and the product of `v` with its Jacobian.

    Parameters
    ----------
    func
        Takes the inputs, returns a Tensor or a tuple of them.
    inputs
        A Tensor or a tuple of Tensors: the point.
    v
        Cotangents of the outputs, of their shapes; may be left out for a single number.
    create_graph, strict
        See the module.

    Returns
    -------
    (outputs, products)
        `products` as `inputs`: one of each input's shape.

    Raises
    ------
    RuntimeError
        If `v` has other shapes.

    Examples
    --------
    >>> tl.vjp(lambda x: x**2, tl.tensor([1.0, 2.0]), tl.tensor([1.0, 1.0]))[1]
    tensor([2., 4.])
    """
    with enable_grad():
        leaves = _leaves(inputs, create_graph)
        outputs, ys = _called(func, leaves)
        directions = _directions(v, ys, "the output", True)
        products = _pulled(ys, leaves, directions, create_graph=create_graph, strict=strict)
    return _like(outputs, ys, not create_graph), _like(inputs, products)


def jvp(
    func: Callable,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The value of `func` and the product of its Jacobian with `v`, by going back twice.

    Parameters
    ----------
    func
        Takes the inputs, returns a Tensor or a tuple of them.
    inputs
        A Tensor or a tuple of Tensors: the point.
    v
        As `inputs`, of the same shapes; may be left out for a single number.
    create_graph, strict
        See the module.

    Returns
    -------
    (outputs, products)
        `products` as `outputs`: one of each output's shape.

    Raises
    ------
    RuntimeError
        If `v` has other shapes.

    Examples
    --------
    >>> tl.jvp(lambda x: x**2, tl.tensor([1.0, 2.0]), tl.tensor([1.0, 1.0]))[1]
    tensor([2., 4.])
    """
    with enable_grad():
        leaves = _leaves(inputs, create_graph)
        directions = _directions(v, leaves, "the input", True)
        if directions == [None]:
            directions = [zeros_like(leaves[0].detach()) + 1]
        outputs, ys = _called(func, leaves)
        products = pushed(ys, leaves, directions, create_graph=create_graph, strict=strict)
    return _like(outputs, ys, not create_graph), _like(outputs, products)


def pushed(
    outputs: Sequence[Tensor],
    leaves: Sequence[Tensor],
    directions: Sequence[Tensor],
    *,
    create_graph: bool,
    strict: bool = False,
    retain_graph: bool | None = None,
) -> list[Tensor]:
    """Products of the Jacobian with directions.

    The product of cotangents u with the Jacobian is linear in u: its derivative by u, times the
    directions, is what is wanted.
    """
    us = [zeros_like(y.detach()).requires_grad_() for y in outputs]
    slopes = _pulled(
        outputs, leaves, us, create_graph=True, strict=strict, retain_graph=retain_graph
    )
    return _pulled(
        slopes,
        us,
        list(directions),
        create_graph=create_graph,
        strict=False,
        retain_graph=retain_graph,
    )


def vhp(
    func: Callable,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensor, Any]:
    """The value of a scalar `func` and the product of `v` with its Hessian, without the Hessian.

    Parameters
    ----------
    func
        Takes the inputs, returns a Tensor with one element.
    inputs
        A Tensor or a tuple of Tensors: the point.
    v
        As `inputs`, of the same shapes; may be left out for a single number.
    create_graph, strict
        See the module.

    Raises
    ------
    RuntimeError
        If `v` has other shapes, or `func` does not return one number.

    Examples
    --------
    >>> tl.vhp(lambda x: (x**3).sum(), tl.tensor([1.0, 2.0]), tl.tensor([1.0, 1.0]))[1]
    tensor([ 6., 12.])
    """
    with enable_grad():
        leaves = _leaves(inputs, create_graph)
        directions = _directions(v, leaves, "the input", True)
        value, ys = _called(func, leaves)
        _refuse_more_than_a_number(ys)
        slopes = _pulled(ys, leaves, [None], create_graph=True, strict=strict)
        products = _pulled(slopes, leaves, directions, create_graph=create_graph, strict=strict)
    return _like(value, ys, not create_graph), _like(inputs, products)


def hvp(
    func: Callable,
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensor, Any]:
    """The value of a scalar `func` and the product of its Hessian with `v`: as `vhp`.

    The Hessian is symmetric where second derivatives are continuous, so the two agree.

    Parameters
    ----------
    inputs, v, create_graph, strict
        As of `vhp`.

    Returns
    -------
    value, product
        The value, and Tensors of the shapes of `inputs`.

    Examples
    --------
    >>> tl.hvp(lambda x: (x**3).sum(), tl.tensor([1.0, 2.0]), tl.tensor([1.0, 1.0]))[1]
    tensor([ 6., 12.])
    """
    return vhp(func, inputs, v, create_graph, strict)


def _refuse_more_than_a_number(ys: tuple[Tensor, ...]) -> None:
    if len(ys) != 1 or ys[0].numel() != 1:
        shapes = [tuple(y.shape) for y in ys]
        raise RuntimeError(f"the function must return a single number, not shapes {shapes}")


def jacobian(
    func: Callable,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """All derivatives of the outputs of `func` by its inputs.

    Parameters
    ----------
    func
        Takes the inputs, returns a Tensor or a tuple of them.
    inputs
        A Tensor or a tuple of Tensors: the point.
    create_graph, strict, vectorize, strategy
        See the module.

    Returns
    -------
    Tensor or nested tuples of Tensors
        For each output, and in it for each input: shape ``(*output.shape, *input.shape)``. One
        backward pass an output element.

    Examples
    --------
    >>> tl.jacobian(lambda x: x**2, tl.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    with enable_grad():
        leaves = _leaves(inputs, create_graph)
        outputs, ys = _called(func, leaves)
        blocks = [
            _like(inputs, block_rows(y, leaves, create_graph=create_graph, strict=strict))
            for y in ys
        ]
    return blocks[0] if isinstance(outputs, Tensor) else tuple(blocks)


def block_rows(
    output: Tensor, leaves: Sequence[Tensor], *, create_graph: bool, strict: bool = False
) -> list[Tensor]:
    """The derivatives of one output by every leaf: one backward pass an element."""
    flat = reshape(output, (-1,))
    rows = [
        _pulled(
            [flat[i]], leaves, [None], create_graph=create_graph, strict=strict, retain_graph=True
        )
        for i in range(flat.numel())
    ]
    if not rows:
        return [
            zeros((*output.shape, *x.shape), dtype=output.dtype, device=x.device) for x in leaves
        ]
    return [
        reshape(stack(column), (*output.shape, *x.shape))
        for column, x in zip(zip(*rows, strict=True), leaves, strict=True)
    ]


def hessian(
    func: Callable,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """All second derivatives of a scalar `func`.

    Parameters
    ----------
    func
        Takes the inputs, returns a Tensor with one element.
    inputs
        A Tensor or a tuple of Tensors: the point.
    create_graph, strict, vectorize, outer_jacobian_strategy
        See the module.

    Returns
    -------
    Tensor or tuple of tuples of Tensors
        For a pair of inputs: shape ``(*first.shape, *second.shape)``.

    Raises
    ------
    RuntimeError
        If `func` does not return one number.

    Examples
    --------
    >>> tl.hessian(lambda x: (x**3).sum(), tl.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def slopes(*leaves: Tensor) -> Any:
        _, ys = _called(func, list(leaves))
        _refuse_more_than_a_number(ys)
        found = _pulled(ys, leaves, [None], create_graph=True, strict=strict)
        return found[0] if isinstance(inputs, Tensor) else tuple(found)

    return jacobian(slopes, inputs, create_graph, strict)


__getattr__ = answers_for(__name__)
