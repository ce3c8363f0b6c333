"""Gradients of several Tensors by several others: what `tl.grad` and `tl.autograd.backward` do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorlite.backend import array_backend
from tensorlite.backward import (
    Accumulate,
    leading_to,
    plus,
    propagate,
    reachable,
    run_hooks,
    seed_of,
)
from tensorlite.tape import on_device_of, set_grad_enabled
from tensorlite.tensor import Tensor, tensor_of


def backward_to(
    inputs: Any, outputs: list[Tensor], gradients: list, retain: bool, create_graph: bool
) -> None:
    """Add to the ``.grad`` of `inputs` alone."""
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not inputs:
        raise RuntimeError("backward(): inputs is empty: leave it out, or name the Tensors")
    found = grad(outputs, inputs, gradients, retain, create_graph, allow_unused=True)
    accumulate = Accumulate(create_graph)
    for x, d in zip(inputs, found, strict=True):
        if d is not None:
            accumulate.add(x, d if create_graph else d.array)


def backward_of_all(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of several Tensors to the ``.grad`` of the leaves, in one walk.

    Parameters
    ----------
    tensors
        The Tensors to differentiate.
    grad_tensors
        A cotangent for each (default: 1 for single numbers).
    retain_graph, create_graph, inputs
        As in `Tensor.backward`.
    grad_variables
        An old name of `grad_tensors`.
    """
    outputs = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    cotangents = _one_each(
        grad_variables if grad_tensors is None else grad_tensors, outputs, "backward()"
    )
    retain = create_graph if retain_graph is None else bool(retain_graph)
    if inputs is not None:
        backward_to(inputs, outputs, cotangents, retain, create_graph)
        return
    accumulate = Accumulate(create_graph)
    roots = []
    with set_grad_enabled(create_graph):
        for i, (output, cotangent) in enumerate(zip(outputs, cotangents, strict=True)):
            if not output.requires_grad:
                raise RuntimeError(f"backward(): tensor {i} has no history, and requires no grad")
            with on_device_of(output.array):
                seed = seed_of(output, cotangent, create_graph, "backward()")
                if output.node is None:
                    accumulate(output, seed, (seed, seed))
                else:
                    roots.append((output.node, seed))
        with on_device_of(outputs[0].array):
            propagate(roots, accumulate, retain_graph=retain, create_graph=create_graph)
            accumulate.finish()


def _one_each(cotangents: Any, outputs: list[Tensor], what: str) -> list:
    """The cotangents as a list, one an output."""
    if cotangents is None or isinstance(cotangents, Tensor) or not hasattr(cotangents, "__len__"):
        found = [cotangents] * (len(outputs) if cotangents is None else 1)
    elif isinstance(cotangents, (list, tuple)):
        found = list(cotangents)
    else:
        found = [cotangents]
    if len(found) != len(outputs) or not outputs:
        raise ValueError(f"{what}: {len(found)} grad_outputs for {len(outputs)} outputs")
    return found


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor] | dict[Any, Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """Gradients of `outputs` with respect to `inputs`, leaving every ``.grad`` alone.

    Parameters
    ----------
    outputs
        Tensors to differentiate; their gradients add up.
    inputs
        Tensors to differentiate by, leaves or intermediate results: one, several, or a dictionary.
    grad_outputs
        Cotangents, one an output (default: 1 for single numbers).
    retain_graph, create_graph
        As in `backward`.
    only_inputs
        Accepted for torch's sake.
    allow_unused
        Return None for an input that the outputs do not depend on, instead of raising.
    is_grads_batched
        Whether each cotangent is a batch of them along axis 0; so are then the gradients. They are
        computed one after another.
    materialize_grads
        Return zeros for an input that the outputs do not depend on.

    Returns
    -------
    tuple of Tensor, or dict
        One for each input, of its shape and dtype.
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if isinstance(inputs, dict):
        found = grad(
            *(outputs, list(inputs.values()), grad_outputs, retain_graph, create_graph),
            *(only_inputs, allow_unused, is_grads_batched, materialize_grads),
        )
        return dict(zip(inputs, found, strict=True))
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    cotangents = _one_each(grad_outputs, outputs, "grad()")
    retain = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        results = _batched(outputs, inputs, cotangents, retain, create_graph)
    else:
        results = _gradients(outputs, inputs, cotangents, retain, create_graph)
    for i, (x, d) in enumerate(zip(inputs, results, strict=True)):
        if d is None and materialize_grads:
            shape = (len(cotangents[0]), *x.shape) if is_grads_batched else x.shape
            zeros = array_backend((x.array,)).xp.zeros(shape, x.dtype)
            results[i] = tensor_of(zeros)
        elif d is None and not allow_unused:
            raise RuntimeError(
                f"grad(): the outputs do not depend on input {i} of shape {x.shape}; pass "
                "allow_unused=True to get None for it"
            )
    return tuple(results)


def _batched(
    outputs: list[Tensor], inputs: list[Tensor], cotangents: list, retain: bool, create_graph: bool
) -> list[Tensor | None]:
    """`_gradients` for each cotangent of a batch."""
    from tensorlite.ops import stack  # operations are built on this module

    count = len(next(c for c in cotangents if c is not None))
    rows = [
        _gradients(
            outputs,
            inputs,
            [None if c is None else c[i] for c in cotangents],
            retain or i < count - 1,
            create_graph,
        )
        for i in range(count)
    ]
    with set_grad_enabled(create_graph):
        columns = [[d for d in column if d is not None] for column in zip(*rows, strict=True)]
        return [stack(column) if len(column) == count else None for column in columns]


def _gradients(
    outputs: list[Tensor], inputs: list[Tensor], cotangents: list, retain: bool, create_graph: bool
) -> list[Tensor | None]:
    """The gradient by each input, None where there is none; see `grad`."""
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise RuntimeError(f"grad(): input {i} of shape {x.shape} does not require grad")
    wanted = [x.node or x for x in inputs]
    found: dict[Any, Any] = dict.fromkeys(wanted)

    def deliver(leaf: Tensor, d: Any, holders: tuple = ()) -> None:
        if leaf in found:
            found[leaf] = d if found[leaf] is None else plus(found[leaf], d)

    roots = []
    for output, cotangent in zip(outputs, cotangents, strict=True):
        with on_device_of(output.array):
            seed = seed_of(output, cotangent, create_graph, "grad()")
        if output.node is not None:
            roots.append((output.node, seed))
        elif output.requires_grad:
            deliver(output, seed)
    order = reachable(node for node, _ in roots)
    with set_grad_enabled(create_graph), on_device_of(outputs[0].array):
        propagate(
            roots,
            deliver,
            retain_graph=retain,
            create_graph=create_graph,
            needed=leading_to(order, set(wanted)),
            captured=found,
        )
        for leaf in set(wanted):
            if isinstance(leaf, Tensor) and leaf.hooks is not None and found[leaf] is not None:
                found[leaf] = run_hooks(leaf.hooks, found[leaf], create_graph)
    results = [found[key] for key in wanted]
    return [d if d is None or create_graph else tensor_of(d) for d in results]
