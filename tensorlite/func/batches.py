"""`vmap`: a function of samples as a function of batches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tensorlite.func.trees import flat, rebuilt
from tensorlite.ops import movedim, stack
from tensorlite.random import default_generator
from tensorlite.tensor import Tensor

__all__ = ["vmap"]


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """Make a function of batches of a function of samples.

    The samples are computed one after another and their results stacked: the values and the
    gradients are those of torch, the speed is that of a loop. Whatever `func` does, it may do.

    Parameters
    ----------
    func
        Takes Tensors, in any nesting, and returns Tensors.
    in_dims
        The axis of each argument's batch: a number for all, or in the form of the arguments (a
        tuple); None: every sample gets the whole argument.
    out_dims
        Where the batch goes in each output: a number, or in the form of the outputs.
    randomness
        What becomes of random numbers: "error", "different" ones for each sample, or the "same".
    chunk_size
        Accepted for torch's sake.

    Raises
    ------
    ValueError
        If no argument has a batch, or their batches differ in size.
    RuntimeError
        If `func` draws random numbers and `randomness` is "error".

    Examples
    --------
    >>> tl.vmap(tl.dot)(tl.ones(3, 2), tl.ones(3, 2))
    tensor([2., 2., 2.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            f"vmap: randomness must be 'error', 'different' or 'same', not {randomness!r}"
        )

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, dims = flat(args), _spread(in_dims, args, "in_dims")
        named, zeroth = flat(kwargs), [0 if isinstance(v, Tensor) else None for v in flat(kwargs)]
        size = _size([*leaves, *named], [*dims, *zeroth])
        begin = default_generator.state_dict()
        rows, form = [], None
        for i in range(size):
            if randomness == "same":
                default_generator.load_state_dict(begin)
            sample = [_sample(x, dim, i) for x, dim in zip(leaves, dims, strict=True)]
            options = [_sample(x, dim, i) for x, dim in zip(named, zeroth, strict=True)]
            form = func(*rebuilt(args, sample), **rebuilt(kwargs, options))
            rows.append(flat(form))
        if randomness == "error" and default_generator.state_dict() != begin:
            default_generator.load_state_dict(begin)
            raise RuntimeError(
                "vmap: the function draws random numbers: say randomness='different' (for each "
                "sample its own) or 'same'"
            )
        for y in flat(form):
            if not isinstance(y, Tensor):
                raise ValueError(
                    f"vmap: the function must return Tensors, not a {type(y).__name__}"
                )
        places = _spread(out_dims, form, "out_dims")
        joined = [
            _joined(column, place)
            for column, place in zip(zip(*rows, strict=True), places, strict=True)
        ]
        return rebuilt(form, joined)

    return wrapped


def _spread(dims: Any, tree: Any, what: str) -> list[int | None]:
    """An axis for each leaf, from a number or from a tree whose leaves stand for what is below."""
    if dims is None or isinstance(dims, int):
        return [dims if isinstance(leaf, Tensor) else None for leaf in flat(tree)]
    if isinstance(tree, Tensor) and isinstance(dims, tuple | list) and len(dims) == 1:
        return [dims[0]]
    fits = isinstance(dims, dict) == isinstance(tree, dict) and isinstance(
        tree, dict | tuple | list
    )
    if not fits or len(dims) != len(tree):
        raise ValueError(f"vmap: {what} {dims!r} has not the form of what it is for")
    if isinstance(tree, dict):
        return [d for key, part in tree.items() for d in _spread(dims[key], part, what)]
    return [d for one, part in zip(dims, tree, strict=True) for d in _spread(one, part, what)]


def _size(leaves: list[Any], dims: list[int | None]) -> int:
    sizes = set()
    for x, dim in zip(leaves, dims, strict=True):
        if dim is None:
            continue
        if not isinstance(x, Tensor):
            raise ValueError(f"vmap: a {type(x).__name__} has no batch: its in_dims must be None")
        if not -x.ndim <= dim < x.ndim:
            raise ValueError(f"vmap: in_dims {dim} of an argument of shape {tuple(x.shape)}")
        sizes.add(x.shape[dim])
    if len(sizes) != 1:
        raise ValueError(f"vmap: the arguments must have batches of one size, got {sorted(sizes)}")
    if sizes == {0}:
        raise ValueError("vmap: a batch of no samples says nothing about the outputs")
    return sizes.pop()


def _sample(x: Any, dim: int | None, i: int) -> Any:
    return x if dim is None else x[(slice(None),) * (dim % x.ndim) + (i,)]


def _joined(column: tuple, place: int | None) -> Any:
    if place is None:
        return column[0]
    whole = stack(list(column))
    return whole if place == 0 else movedim(whole, 0, place)
