"""Derivatives of functions, and recomputation instead of storage.

`vjp`, `hvp`, `jacobian` and `hessian` take a function of Tensors and the point, as
`torch.autograd.functional` does. `checkpoint` trades time for memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite import random
from tensorlite.backward import Accumulate, grad, propagate
from tensorlite.call import listed, record_outputs
from tensorlite.ops import reshape, stack, sum, zeros_like
from tensorlite.primitive import alias
from tensorlite.tape import Node, enable_grad, is_grad_enabled, next_index, no_grad
from tensorlite.tensor import Tensor

Tensors = Tensor | tuple[Tensor, ...]


def _leaves(inputs: Tensors, create_graph: bool) -> list[Tensor]:
    """The inputs under nodes or leaves of their own, so that only the direct way counts."""
    if create_graph:
        return [
            alias(x) if x.requires_grad else x.detach().requires_grad_() for x in listed(inputs)
        ]
    return [x.detach().requires_grad_() for x in listed(inputs)]


def _like(inputs: Tensors, values: list) -> Any:
    """One value for a single input, a tuple for several."""
    return values[0] if isinstance(inputs, Tensor) else tuple(values)


def vjp(
    func: Callable, inputs: Tensors, v: Tensors | None = None, *, create_graph: bool = False
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
    create_graph
        Record the result, to differentiate it again.

    Returns
    -------
    (outputs, products)
        `products` as `inputs`: one of each input's shape.
    """
    with enable_grad():
        leaves = _leaves(inputs, create_graph)
        outputs = func(*leaves)
        found = grad(
            listed(outputs),
            leaves,
            None if v is None else listed(v),
            create_graph=create_graph,
            allow_unused=True,
        )
    products = [zeros_like(x) if d is None else d for x, d in zip(leaves, found, strict=True)]
    if not create_graph:
        outputs = (
            outputs.detach() if isinstance(outputs, Tensor) else tuple(o.detach() for o in outputs)
        )
    return outputs, _like(inputs, products)


def hvp(func: Callable, inputs: Tensors, v: Tensors) -> tuple[Tensor, Any]:
    """The value of a scalar `func` and the product of its Hessian with `v`, without the Hessian.

    Parameters
    ----------
    func
        Takes the inputs, returns a Tensor with one element.
    inputs
        A Tensor or a tuple of Tensors: the point.
    v
        As `inputs`, of the same shapes.
    """
    with enable_grad():
        leaves = _leaves(inputs, False)
        value = func(*leaves)
        slopes = grad(value, leaves, create_graph=True, allow_unused=True)
        pairs = [
            (s, w)
            for s, w in zip(slopes, listed(v), strict=True)
            if s is not None and s.requires_grad
        ]
        found: tuple = (None,) * len(leaves)
        if pairs:
            found = grad(
                [s for s, _ in pairs], leaves, [w.detach() for _, w in pairs], allow_unused=True
            )
    products = [
        zeros_like(x.detach()) if d is None else d for x, d in zip(leaves, found, strict=True)
    ]
    return value.detach(), _like(inputs, products)


def jacobian(func: Callable, inputs: Tensors, *, create_graph: bool = False) -> Any:
    """All derivatives of the outputs of `func` by its inputs.

    Parameters
    ----------
    func
        Takes the inputs, returns one Tensor.
    inputs
        A Tensor or a tuple of Tensors: the point.
    create_graph
        Record the result, to differentiate it again.

    Returns
    -------
    Tensor or tuple of Tensor
        For each input: shape ``(*output.shape, *input.shape)``. One backward pass an output
        element.
    """
    with enable_grad():
        leaves = _leaves(inputs, create_graph)
        output = func(*leaves)
        flat = reshape(output, (-1,))
        rows = []
        for i in range(flat.numel()):
            found = (None,) * len(leaves)
            if flat.requires_grad:
                found = grad(
                    flat[i], leaves, retain_graph=True, create_graph=create_graph, allow_unused=True
                )
            rows.append(
                [zeros_like(x) if d is None else d for x, d in zip(leaves, found, strict=True)]
            )
        columns = [
            reshape(stack(column), (*output.shape, *x.shape))
            for column, x in zip(zip(*rows, strict=True), leaves, strict=True)
        ]
    return _like(inputs, columns if create_graph else [c.detach() for c in columns])


def hessian(func: Callable, inputs: Tensor) -> Tensor:
    """All second derivatives of a scalar `func`, shape ``(*input.shape, *input.shape)``."""

    def slope(x: Tensor) -> Tensor:
        (d,) = grad(sum(func(x)), x, create_graph=True)
        return d

    return jacobian(slope, inputs)


class _Recompute:
    """The plan of a checkpointed call: run it again, recording, and go back through that."""

    differentiable = True
    asks = None
    residuals: tuple = ()

    def __init__(self, fn: Callable, args: tuple, kwargs: dict, needs: tuple[bool, ...]) -> None:
        self.name = f"checkpoint({getattr(fn, '__name__', type(fn).__name__)})"
        self.fn, self.args, self.kwargs, self.needs = fn, args, kwargs, needs
        self.random_state = random.default_generator.state_dict()

    def as_tensors(self, node: Node) -> tuple:
        """Nothing is saved but the inputs, which are Tensors already."""
        return ()

    def pull(self, g: Any, saved: tuple) -> list:
        """Gradients of all inputs that need one; see `pull_some`."""
        return self.pull_some(g, saved, self.needs)

    def pull_some(self, g: Any, saved: tuple, needs: tuple[bool, ...]) -> list:
        """Gradients of the inputs; those of Tensors that `fn` closes over go to their leaves."""
        create_graph = isinstance(g, Tensor) or (
            isinstance(g, list) and any(isinstance(part, Tensor) for part in g)
        )
        now = random.default_generator.state_dict()
        random.default_generator.load_state_dict(self.random_state)
        try:
            with enable_grad():
                inputs = [
                    alias(arg if create_graph else arg.detach().requires_grad_()) if need else arg
                    for arg, need in zip(self.args, needs, strict=True)
                ]
                start = next_index()
                outputs = listed(self.fn(*inputs, **self.kwargs))
        finally:
            random.default_generator.load_state_dict(now)
        cotangents = g if isinstance(g, list) else [g]
        roots = [
            (output.node, part)
            for output, part in zip(outputs, cotangents, strict=True)
            if part is not None and output.node is not None
        ]
        accumulate = Accumulate(create_graph)
        left = propagate(
            roots,
            accumulate,
            retain_graph=create_graph,
            create_graph=create_graph,
            stop=start,
        )
        accumulate.finish()
        return [left.get(x.node) if need else None for x, need in zip(inputs, needs, strict=True)]


def checkpoint(fn: Callable, *args: Any, **kwargs: Any) -> Any:
    """Call ``fn(*args, **kwargs)`` without keeping what its backward needs: it runs again there.

    Saves the memory of everything recorded inside, at the price of a second forward pass. Random
    numbers (dropout) are drawn as in the first.

    Parameters
    ----------
    fn
        Returns a Tensor or a tuple of Tensors. It may use parameters of modules; `backward`
        accumulates their gradients, while `grad` sees only those passed in `args`.
    *args, **kwargs
        Its arguments; gradients flow to the Tensors among `args`.

    Notes
    -----
    Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost", 2016.
    """
    if not is_grad_enabled():
        return fn(*args, **kwargs)
    parents = tuple(
        (arg.node or arg) if isinstance(arg, Tensor) and arg.requires_grad else None for arg in args
    )
    plan = _Recompute(fn, args, kwargs, tuple(parent is not None for parent in parents))
    with no_grad():
        outputs = fn(*args, **kwargs)
    raw = outputs.array if isinstance(outputs, Tensor) else tuple(o.array for o in outputs)
    return record_outputs(plan, parents, (), raw)
