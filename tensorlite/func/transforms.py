"""Gradients, products with Jacobians, and Jacobians of functions."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tensorlite import differentiate
from tensorlite.autograd.functional import block_rows, pushed
from tensorlite.func.trees import flat, mapped, rebuilt, same_form
from tensorlite.ops import reshape, stack, zeros, zeros_like
from tensorlite.primitive import alias
from tensorlite.tape import enable_grad, is_grad_enabled
from tensorlite.tensor import Tensor

__all__ = ["grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "vjp"]

Argnums = int | Sequence[int]


class _Depth(threading.local):
    transforms = 0


_depth = _Depth()


class _Level:
    """One transform: its inputs on the tape, and whether its results stay there."""

    def __init__(self, inputs: list[Any], what: str) -> None:
        for x in inputs:
            if not isinstance(x, Tensor):
                raise TypeError(f"{what}: an argument is a {type(x).__name__}, not a Tensor")
        # Results stay on the tape where another transform, or the caller, differentiates by them.
        self.records = is_grad_enabled() and (
            _depth.transforms > 0 or any(x.requires_grad for x in inputs)
        )
        self.leaves: list[Tensor] = []
        with enable_grad():
            for x in inputs:
                if x.dtype.kind not in "fV":
                    raise RuntimeError(f"{what}: an argument of dtype {x.dtype} has no derivative")
                tied = self.records and x.requires_grad
                self.leaves.append(alias(x) if tied else x.detach().requires_grad_())

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """While the function runs."""
        _depth.transforms += 1
        try:
            with enable_grad():
                yield
        finally:
            _depth.transforms -= 1

    def out(self, tree: Any) -> Any:
        """Results as the caller gets them."""
        if self.records:
            return tree
        return mapped(lambda t: t.detach() if isinstance(t, Tensor) else t, tree)

    def pull(self, outputs: list[Tensor], cotangents: list[Any]) -> list[Tensor]:
        """Gradients by the leaves; zeros where there is none."""
        pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad]
        if not pairs:
            return [zeros_like(x.detach()) for x in self.leaves]
        return list(
            differentiate.grad(
                [y for y, _ in pairs],
                self.leaves,
                [g for _, g in pairs],
                retain_graph=True,
                create_graph=self.records,
                materialize_grads=True,
                allow_unused=True,
            )
        )


def _chosen(args: tuple, argnums: Argnums, what: str) -> tuple[Any, list[int]]:
    """The arguments to differentiate by, as the caller numbered them."""
    places = [argnums] if isinstance(argnums, int) else list(argnums)
    for place in places:
        if not -len(args) <= place < len(args):
            raise RuntimeError(f"{what}: argnums {place} of {len(args)} positional arguments")
    chosen = args[places[0]] if isinstance(argnums, int) else tuple(args[p] for p in places)
    return chosen, places


def _called(
    func: Callable, args: tuple, kwargs: dict, places: list[int], trees: Any, argnums: Argnums
) -> Any:
    """Call with other Tensors in the chosen places."""
    given = list(args)
    parts = [trees] if isinstance(argnums, int) else trees
    for place, part in zip(places, parts, strict=True):
        given[place] = part
    return func(*given, **kwargs)


def _divided(result: Any, has_aux: bool, what: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(f"{what}: with has_aux the function returns a pair (output, aux)")
    return result


def _check_outputs(output: Any, what: str) -> list[Tensor]:
    outputs = flat(output)
    for y in outputs:
        if not isinstance(y, Tensor):
            raise RuntimeError(f"{what}: the function returns a {type(y).__name__}, not a Tensor")
    return outputs


def grad_and_value(func: Callable, argnums: Argnums = 0, has_aux: bool = False) -> Callable:
    """Make a function that returns the gradient of `func`, and its value.

    Parameters
    ----------
    func
        Returns a Tensor with one element; with `has_aux` a pair of that and anything else.
    argnums
        By which positional arguments: a number, or several.
    has_aux
        Whether `func` returns more than its value.

    Returns
    -------
    callable
        Takes the arguments of `func`; returns ``(gradient, value)``, with `has_aux`
        ``(gradient, (value, aux))``. The gradient has the form of the argument.

    Raises
    ------
    RuntimeError
        If there is no such argument, or `func` does not return what it should.

    Examples
    --------
    >>> tl.func.grad_and_value(lambda x: (x**2).sum())(tl.tensor([1.0, 2.0]))
    (tensor([2., 4.]), tensor(5.))
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen, places = _chosen(args, argnums, "grad")
        level = _Level(flat(chosen), "grad")
        with level.inside():
            trees = rebuilt(chosen, level.leaves)
            result = _called(func, args, kwargs, places, trees, argnums)
            value, aux = _divided(result, has_aux, "grad")
            if not isinstance(value, Tensor):
                raise RuntimeError(
                    f"grad: the function returns a {type(value).__name__}, not a Tensor"
                )
            if value.numel() != 1 or value.ndim:
                raise RuntimeError(
                    f"grad: the function must return a Tensor without axes, not one of shape "
                    f"{tuple(value.shape)}"
                )
            found = level.pull([value], [None])
        slopes = rebuilt(chosen, found)
        value = level.out(value)
        return (slopes, (value, level.out(aux))) if has_aux else (slopes, value)

    return wrapped


def grad(func: Callable, argnums: Argnums = 0, has_aux: bool = False) -> Callable:
    """Make a function that returns the gradient of `func`; as `grad_and_value`.

    Parameters
    ----------
    func, argnums, has_aux
        As of `grad_and_value`.

    Examples
    --------
    >>> tl.func.grad(tl.sin)(tl.tensor(0.0))
    tensor(1.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        slopes, value = both(*args, **kwargs)
        return (slopes, value[1]) if has_aux else slopes

    return wrapped


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> Any:
    """The value of `func`, and a function for the products of cotangents with its Jacobian.

    Parameters
    ----------
    func, *primals
        The function, and its arguments.
    has_aux : bool
        Whether `func` returns a pair of its output and anything else.

    Returns
    -------
    (output, vjp_fn) or (output, vjp_fn, aux)
        ``vjp_fn(cotangents)`` takes what has the form of the output and returns a tuple, a gradient
        an argument. It may be called many times.

    Raises
    ------
    RuntimeError
        If `func` does not return Tensors, or cotangents do not fit.

    Examples
    --------
    >>> value, product = tl.func.vjp(lambda x: x**2, tl.tensor([1.0, 2.0]))
    >>> product(tl.tensor([1.0, 1.0]))
    (tensor([2., 4.]),)
    """
    level = _Level(flat(primals), "vjp")
    with level.inside():
        output, aux = _divided(func(*rebuilt(primals, level.leaves)), has_aux, "vjp")
        outputs = _check_outputs(output, "vjp")

    def vjp_fn(cotangents: Any) -> tuple:
        if not same_form(cotangents, output):
            raise RuntimeError("vjp_fn: the cotangents have not the form of the output")
        with enable_grad():
            return rebuilt(primals, level.pull(outputs, flat(cotangents)))

    result = level.out(output), vjp_fn
    return (*result, level.out(aux)) if has_aux else result


def jvp(
    func: Callable, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> Any:
    """The value of `func`, and the product of its Jacobian with the tangents.

    It is computed by going back twice: tensorlite has no rules for going forward.

    Parameters
    ----------
    func
        Takes the primals, returns Tensors.
    primals, tangents
        Tuples of arguments, and of what has their form.
    strict
        Accepted for torch's sake.
    has_aux
        Whether `func` returns a pair of its output and anything else.

    Raises
    ------
    RuntimeError
        If primals and tangents have not one form and shapes.

    Examples
    --------
    >>> tl.func.jvp(lambda x: x**2, (tl.tensor([1.0, 2.0]),), (tl.tensor([1.0, 1.0]),))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    if not isinstance(primals, tuple | list) or not same_form(primals, tangents):
        raise RuntimeError("jvp: primals and tangents are tuples of one form")
    value, push, *aux = _linear(func, tuple(primals), has_aux, "jvp")
    return (value, push(tangents), *aux)


def linearize(func: Callable, *primals: Any) -> tuple[Any, Callable]:
    """The value of `func`, and a function for the products of its Jacobian with tangents.

    Parameters
    ----------
    func, *primals
        The function, and the Tensors where it is linearized.

    Raises
    ------
    RuntimeError
        If a tangent has another shape.

    Examples
    --------
    >>> value, product = tl.func.linearize(lambda x: x**2, tl.tensor([1.0, 2.0]))
    >>> product(tl.tensor([1.0, 1.0]))
    tensor([2., 4.])
    """
    value, push = _linear(func, primals, False, "linearize")
    return value, lambda *tangents: push(tangents)


def _linear(func: Callable, primals: tuple, has_aux: bool, what: str) -> tuple:
    level = _Level(flat(primals), what)
    with level.inside():
        output, aux = _divided(func(*rebuilt(primals, level.leaves)), has_aux, what)
        outputs = _check_outputs(output, what)

    def push(tangents: Any) -> Any:
        for x, t in zip(level.leaves, flat(tangents), strict=True):
            if x.shape != t.shape:
                raise RuntimeError(f"{what}: a tangent of shape {t.shape} for shape {x.shape}")
        with enable_grad():
            products = pushed(
                outputs, level.leaves, flat(tangents), create_graph=level.records, retain_graph=True
            )
        return rebuilt(output, products)

    result = level.out(output), push
    return (*result, level.out(aux)) if has_aux else result


def jacrev(
    func: Callable,
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable:
    """Make a function that returns the Jacobian of `func`, a backward pass an output element.

    Parameters
    ----------
    func
        Returns Tensors; with `has_aux` a pair of them and anything else.
    argnums
        By which positional arguments: a number, or several.
    has_aux
        Whether `func` returns more than its output.
    chunk_size
        Accepted for torch's sake.

    Returns
    -------
    callable
        Takes the arguments of `func`; returns, in the form of the output and in it in that of the
        argument, Tensors of shape ``(*output.shape, *argument.shape)``.

    Raises
    ------
    RuntimeError
        If there is no such argument, or `func` does not return what it should.

    Examples
    --------
    >>> tl.func.jacrev(lambda x: x**2)(tl.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen, places = _chosen(args, argnums, "jacrev")
        level = _Level(flat(chosen), "jacrev")
        with level.inside():
            trees = rebuilt(chosen, level.leaves)
            result = _called(func, args, kwargs, places, trees, argnums)
            output, aux = _divided(result, has_aux, "jacrev")
            blocks = [
                rebuilt(chosen, block_rows(y, level.leaves, create_graph=level.records))
                for y in _check_outputs(output, "jacrev")
            ]
        jacobians = rebuilt(output, blocks)
        return (jacobians, level.out(aux)) if has_aux else jacobians

    return wrapped


def jacfwd(
    func: Callable, argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """Make a function that returns the Jacobian of `func`, as `jacrev` does.

    It takes one product per input element: cheaper than `jacrev` where the inputs have fewer
    elements than the outputs.

    Parameters
    ----------
    func, argnums, has_aux
        As of `jacrev`.
    randomness
        Accepted for torch's sake.

    Raises
    ------
    RuntimeError
        If there is no such argument, or `func` does not return what it should.

    Examples
    --------
    >>> tl.func.jacfwd(lambda x: x**2)(tl.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen, places = _chosen(args, argnums, "jacfwd")
        inputs = flat(chosen)

        def of_chosen(*leaves: Tensor) -> Any:
            trees = rebuilt(chosen, list(leaves))
            return _called(func, args, kwargs, places, trees, argnums)

        output, push, *aux = _linear(of_chosen, tuple(inputs), has_aux, "jacfwd")
        outputs = flat(output)
        columns = [_columns(push, inputs, place, outputs) for place in range(len(inputs))]
        blocks = [
            rebuilt(chosen, [columns[i][o] for i in range(len(inputs))])
            for o in range(len(outputs))
        ]
        jacobians = rebuilt(output, blocks)
        return (jacobians, *aux) if has_aux else jacobians

    return wrapped


def _columns(
    push: Callable, inputs: list[Tensor], place: int, outputs: list[Tensor]
) -> list[Tensor]:
    """The Jacobians of all outputs by one input."""
    x = inputs[place]
    found: list[list[Tensor]] = []
    with enable_grad():
        for k in range(x.numel()):
            tangents = [zeros_like(t.detach()) for t in inputs]
            tangents[place].array.reshape(-1)[k] = 1
            found.append(flat(push(tangents)))
        result = []
        for o, y in enumerate(outputs):
            if not found:
                result.append(zeros((*y.shape, *x.shape), dtype=y.dtype, device=y.device))
                continue
            side_by_side = stack([row[o] for row in found], dim=-1)
            result.append(reshape(side_by_side, (*y.shape, *x.shape)))
    return result


def hessian(func: Callable, argnums: Argnums = 0) -> Callable:
    """Make a function that returns the Hessian of `func`, in the form of the argument twice.

    Parameters
    ----------
    func, argnums
        As of `jacrev`.

    Examples
    --------
    >>> tl.func.hessian(lambda x: (x**3).sum())(tl.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
