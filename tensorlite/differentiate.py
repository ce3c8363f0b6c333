"""`grad`: gradients of several Tensors by several others, also of a batch of cotangents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorlite.backend import array_backend
from tensorlite.gradients import gradients_of, one_each
from tensorlite.ops import stack
from tensorlite.tape import set_grad_enabled
from tensorlite.tensor import Tensor, tensor_of


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
        Cotangents, one per output (default: 1 for single numbers).
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

    Raises
    ------
    RuntimeError
        If an input has no part in the outputs, unless `allow_unused`.

    Examples
    --------
    >>> x = tl.tensor(3.0, requires_grad=True)
    >>> tl.grad(x * x, x)
    (tensor(6.),)
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if isinstance(inputs, dict):
        found = grad(
            *(outputs, list(inputs.values()), grad_outputs, retain_graph, create_graph),
            *(only_inputs, allow_unused, is_grads_batched, materialize_grads),
        )
        return dict(zip(inputs, found, strict=True))
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    cotangents = one_each(grad_outputs, outputs, "grad()")
    retain = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        results = _batched(outputs, inputs, cotangents, retain, create_graph)
    else:
        results = gradients_of(outputs, inputs, cotangents, retain, create_graph)
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
    """`gradients_of` for each cotangent of a batch."""
    count = len(next(c for c in cotangents if c is not None))
    rows = [
        gradients_of(
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
