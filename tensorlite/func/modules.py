"""Modules as functions of their parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tensorlite.ops import stack
from tensorlite.tensor import Tensor

__all__ = ["functional_call", "stack_module_state"]


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other Tensors in the place of its parameters and buffers.

    Parameters
    ----------
    module : Module
        Is left as it was; only buffers that `forward` replaces or writes to are those given.
    parameter_and_buffer_dicts : dict, or sequence of dicts
        Tensors by dotted name; what is missing is the module's own.
    args : tuple, or anything else
        The arguments; what is no tuple is the only one.
    kwargs : dict, optional
        Named arguments.
    tie_weights : bool
        Whether names that share a parameter all get the Tensor given for one of them.
    strict : bool
        Whether missing names are an error. Unknown names always are.

    Raises
    ------
    ValueError
        If a name is given twice.
    RuntimeError
        If a name is unknown, or with `strict` missing.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> zeros = {"weight": tl.zeros(1, 2), "bias": tl.ones(1)}
    >>> tl.func.functional_call(layer, zeros, tl.ones(3, 2)).shape
    (3, 1)
    """
    dicts = parameter_and_buffer_dicts
    given: dict[str, Tensor] = {}
    for part in [dicts] if isinstance(dicts, Mapping) else dicts:
        if twice := given.keys() & part.keys():
            raise ValueError(f"functional_call: {sorted(twice)[0]!r} is given twice")
        given.update(part)
    positional = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, given, tie_weights, strict):
        return module(*positional, **(kwargs or {}))


@contextlib.contextmanager
def _replaced(module: Any, given: dict[str, Tensor], tie: bool, strict: bool) -> Iterator[None]:
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    unknown, missing = sorted(given.keys() - own.keys()), sorted(own.keys() - given.keys())
    if unknown or (strict and missing):
        raise RuntimeError(
            f"functional_call: {type(module).__name__} has no {unknown}; not given: {missing}"
        )
    if tie:
        by_tensor = {id(own[name]): tensor for name, tensor in given.items()}
        given = {name: by_tensor[id(t)] for name, t in own.items() if id(t) in by_tensor}
    places = []
    for name, tensor in given.items():
        path, _, last = name.rpartition(".")
        owner = module.get_submodule(path)
        inside = owner.__dict__
        # Beside the registry: what is put in a parameter's place for a call is no Parameter.
        holder = inside if last in inside else inside["_hidden"]
        places.append((holder, last, holder[last]))
        holder[last] = tensor
    try:
        yield
    finally:
        for holder, last, before in places:
            holder[last] = before


def stack_module_state(models: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of modules of one form, stacked along a new axis 0.

    Parameters
    ----------
    models : sequence of Module
        Of one class, their parameters of the same shapes.

    Returns
    -------
    (params, buffers)
        For `functional_call` under `vmap`; the parameters are leaves that require grad.

    Raises
    ------
    RuntimeError
        If there are none, or they are of several classes.

    Examples
    --------
    >>> params, buffers = tl.func.stack_module_state([nn.Linear(2, 1) for _ in range(3)])
    >>> params["weight"].shape
    (3, 1, 2)
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: no models are given")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: the models are of different classes")

    def stacked(named: list[dict[str, Tensor]], leaves: bool) -> dict[str, Tensor]:
        together = {}
        for name in named[0]:
            parts = [each[name] for each in named]
            whole = stack([t.detach() for t in parts])
            wanted = leaves and all(t.requires_grad for t in parts)
            together[name] = whole.requires_grad_() if wanted else whole
        return together

    params = stacked([dict(m.named_parameters()) for m in models], True)
    return params, stacked([dict(m.named_buffers()) for m in models], False)
