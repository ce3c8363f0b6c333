"""Gradients of Tensors by others: `Tensor.backward`, `tl.autograd.backward`, the way to `grad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorlite.backward import (
    Accumulate,
    Walk,
    backward_of,
    leading_to,
    plus,
    reachable,
    run_hooks,
    seed_of,
)
from tensorlite.tape import mode, on_device_of, run_on_device_of, set_grad_enabled
from tensorlite.tensor import Tensor, source_of, tensor_of


def backward(
    output: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradient of `output` to the ``.grad`` of every leaf it depends on.

    Parameters
    ----------
    output
        The Tensor to differentiate; a single number unless `gradient` is given.
    gradient
        Cotangent of `output`, of its shape (default 1).
    retain_graph
        Keep the saved arrays, so that backward can run again (default: as `create_graph`).
    create_graph
        Record the backward pass itself, for higher derivatives.
    inputs
        Add to the ``.grad`` of these Tensors only, leaves or not.

    Raises
    ------
    RuntimeError
        If nothing in `output`'s history requires a gradient, or its graph was already used.

    Examples
    --------
    >>> x = tl.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """
    if not output.requires_grad:
        raise RuntimeError(
            "backward() of a Tensor with no history: none of its inputs has requires_grad=True, "
            "or it was computed under no_grad()"
        )
    retain = create_graph if retain_graph is None else bool(retain_graph)
    if inputs is not None:
        backward_to(inputs, [output], [gradient], retain, create_graph)
        return
    switches = mode.switches
    recording, switches.grad = switches.grad, create_graph  # as set_grad_enabled does, but faster
    try:
        if switches.devices:
            run_on_device_of(output.array, backward_of, output, gradient, retain, create_graph)
        else:  # one call less, as small models have many
            backward_of(output, gradient, retain, create_graph)
    finally:
        switches.grad = recording


def backward_to(
    inputs: Any, outputs: list[Tensor], gradients: list, retain: bool, create_graph: bool
) -> None:
    """Add to the ``.grad`` of `inputs` alone."""
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not inputs:
        raise RuntimeError("backward(): inputs is empty: leave it out, or name the Tensors")
    cotangents = one_each(gradients, outputs, "backward()")
    found = gradients_of(outputs, inputs, cotangents, retain, create_graph)
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
        The Tensors to differentiate, of any shapes.
    grad_tensors
        A cotangent for each (default: 1 for single numbers).
    retain_graph, create_graph, inputs
        As in `Tensor.backward`.
    grad_variables
        An old name of `grad_tensors`.

    Raises
    ------
    RuntimeError
        If one has no history and does not require grad.

    Examples
    --------
    >>> x = tl.tensor(3.0, requires_grad=True)
    >>> tl.autograd.backward([x * x, 2 * x])
    >>> x.grad
    tensor(8.)
    """
    outputs = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    cotangents = one_each(
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
            Walk(accumulate, retain_graph=retain, create_graph=create_graph).propagate(roots)
            accumulate.finish()


def one_each(cotangents: Any, outputs: list[Tensor], what: str) -> list:
    """The cotangents as a list, one per output."""
    if cotangents is None or isinstance(cotangents, Tensor) or not hasattr(cotangents, "__len__"):
        found = [cotangents] * (len(outputs) if cotangents is None else 1)
    elif isinstance(cotangents, (list, tuple)):
        found = list(cotangents)
    else:
        found = [cotangents]
    if len(found) != len(outputs) or not outputs:
        raise ValueError(f"{what}: {len(found)} grad_outputs for {len(outputs)} outputs")
    return found


def gradients_of(
    outputs: list[Tensor], inputs: list[Tensor], cotangents: list, retain: bool, create_graph: bool
) -> list[Tensor | None]:
    """The gradient by each input, None where there is none; see `tensorlite.autograd.grad`."""
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise RuntimeError(f"grad(): input {i} of shape {x.shape} does not require grad")
    wanted = [source_of(x) for x in inputs]
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
        Walk(
            deliver,
            retain_graph=retain,
            create_graph=create_graph,
            needed=leading_to(order, set(wanted)),
            captured=found,
        ).propagate(roots)
        for leaf in set(wanted):
            if isinstance(leaf, Tensor) and leaf.hooks is not None and found[leaf] is not None:
                found[leaf] = run_hooks(leaf.hooks, found[leaf], create_graph)
    results = [found[key] for key in wanted]
    return [d if d is None or create_graph else tensor_of(d) for d in results]
