"""Tensors joined: along an axis, along a new one, in blocks, in a grid."""

from __future__ import annotations

from collections.abc import Sequence

from tensorlite.backend.dims import one_dim
from tensorlite.backend.dtypes import promote_types
from tensorlite.ops.elementwise import cast
from tensorlite.ops.faces import one_by_one, takes_axis
from tensorlite.ops.padding import pad_constant
from tensorlite.ops.reshaping import atleast_1d, atleast_2d, atleast_3d
from tensorlite.ops.shape import broadcast_to, concat_arrays, reshape, stack_arrays
from tensorlite.outside import operand
from tensorlite.tensor import Tensor

__all__ = [
    "block_diag",
    "cat",
    "column_stack",
    "concat",
    "concatenate",
    "dstack",
    "hstack",
    "meshgrid",
    "row_stack",
    "stack",
    "vstack",
]


def _of_one_dtype(name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The Tensors cast to the dtype they promote to; refuse none at all."""
    tensors = list(tensors)
    if not tensors:
        raise ValueError(f"{name}: there are no Tensors to join")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            tensors[i] = operand(x, f"{name}: element {i}")
    first = tensors[0].dtype
    if all(x.dtype == first for x in tensors):
        return tensors
    dtype = first
    for x in tensors[1:]:
        dtype = promote_types(dtype, x.dtype)
    return [x if x.dtype == dtype else cast(x, dtype) for x in tensors]


@takes_axis
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join Tensors along an axis that they have; their other lengths must agree.

    Parameters
    ----------
    tensors : sequence of Tensor
        Of several dtypes, the result has the one they promote to. Empty Tensors of shape (0,) fit
        beside any shape, and are left out.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        As long along `dim` as all together.

    Raises
    ------
    ValueError
        If there are no Tensors.
    RuntimeError
        If other lengths differ, or one has no axes.

    Examples
    --------
    >>> tl.cat([tl.zeros(2, 3), tl.ones(1, 3)]).shape
    (3, 3)
    """
    tensors = _of_one_dtype("cat", tensors)
    ndim = max([len(x.shape) for x in tensors])
    for i, x in enumerate(tensors):
        if not x.shape:
            raise RuntimeError(
                f"cat: Tensor {i} has no axis to join along: stack() joins along a new one"
            )
    if any(len(x.shape) != ndim for x in tensors):
        tensors = [x for x in tensors if tuple(x.shape) != (0,)]
    axis = one_dim(dim, ndim, "cat")
    _check_lengths(tensors, axis)
    return concat_arrays(*tensors, axis=axis)


def _check_lengths(tensors: Sequence[Tensor], axis: int) -> None:
    """Refuse Tensors that do not agree but along `axis`."""
    first = tuple(tensors[0].shape)
    for i, x in enumerate(tensors):
        shape = tuple(x.shape)
        if shape[:axis] != first[:axis] or shape[axis + 1 :] != first[axis + 1 :]:
            raise RuntimeError(
                f"cat: Tensor {i} of shape {shape} does not fit Tensor 0 of shape {first}: all "
                f"lengths but that of axis {axis} must agree"
            )


@takes_axis
def concat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`cat` by another name.

    Parameters
    ----------
    tensors, dim
        As of `cat`.

    Returns
    -------
    Tensor
        As long along `dim` as all together.

    Examples
    --------
    >>> tl.concat([tl.zeros(2, 3), tl.ones(1, 3)]).shape
    (3, 3)
    """
    return cat(tensors, dim)


@takes_axis
def concatenate(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`cat` by NumPy's name.

    Parameters
    ----------
    tensors, dim
        As of `cat`.

    Returns
    -------
    Tensor
        As long along `dim` as all together.

    Examples
    --------
    >>> tl.concatenate([tl.zeros(2, 3), tl.ones(1, 3)]).shape
    (3, 3)
    """
    return cat(tensors, dim)


@takes_axis
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join Tensors of one shape along a new axis, which is at the place `dim` of the result.

    Parameters
    ----------
    tensors : sequence of Tensor
    dim : int
        Place of the new axis.

    Returns
    -------
    Tensor
        With one axis more.

    Raises
    ------
    ValueError
        If there are no Tensors.
    RuntimeError
        If their shapes differ.

    Examples
    --------
    >>> tl.stack([tl.tensor([1, 2]), tl.tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    tensors = _of_one_dtype("stack", tensors)
    shape = tuple(tensors[0].shape)
    for i, x in enumerate(tensors):
        if tuple(x.shape) != shape:
            raise RuntimeError(
                f"stack: Tensor {i} of shape {tuple(x.shape)} does not fit Tensor 0 of shape "
                f"{shape}: all shapes must agree"
            )
    return stack_arrays(*tensors, axis=one_dim(dim, len(shape) + 1, "stack"))


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the second axis, or the first where there is one only.

    Parameters
    ----------
    tensors : sequence of Tensor
        Their other lengths agree.

    Returns
    -------
    Tensor
        As long along that axis as all together.

    Raises
    ------
    ValueError
        If there are no Tensors.

    Examples
    --------
    >>> tl.hstack([tl.tensor([1, 2]), tl.tensor([3])])
    tensor([1, 2, 3])
    """
    tensors = atleast_1d(list(tensors))
    if not tensors:
        raise ValueError("hstack: there are no Tensors to join")
    return cat(tensors, 0 if len(tensors[0].shape) == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the first axis; Tensors with one axis are rows.

    Parameters
    ----------
    tensors : sequence of Tensor
        Their other lengths agree.

    Returns
    -------
    Tensor, shape (n, ...)

    Examples
    --------
    >>> tl.vstack([tl.tensor([1, 2]), tl.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    return cat(atleast_2d(list(tensors)), 0)


def row_stack(tensors: Sequence[Tensor]) -> Tensor:
    """`vstack` by another name.

    Parameters
    ----------
    tensors : sequence of Tensor
        As of `vstack`.

    Returns
    -------
    Tensor, shape (n, ...)

    Examples
    --------
    >>> tl.row_stack([tl.tensor([1, 2]), tl.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    return vstack(tensors)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the third axis, which is made where it is missing.

    Parameters
    ----------
    tensors : sequence of Tensor
        Their other lengths agree.

    Returns
    -------
    Tensor, shape (n, m, k, ...)

    Examples
    --------
    >>> tl.dstack([tl.tensor([1, 2]), tl.tensor([3, 4])])
    tensor([[[1, 3],
             [2, 4]]])
    """
    return cat(atleast_3d(list(tensors)), 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the second axis; Tensors with one axis are columns.

    Parameters
    ----------
    tensors : sequence of Tensor
        Of as many rows.

    Returns
    -------
    Tensor, shape (n, m)

    Examples
    --------
    >>> tl.column_stack([tl.tensor([1, 2]), tl.tensor([3, 4])])
    tensor([[1, 3],
            [2, 4]])
    """
    columns = [x if len(x.shape) > 1 else reshape(x, (-1, 1)) for x in tensors]
    return cat(columns, 1)


def block_diag(*tensors: Tensor) -> Tensor:
    """Lay matrices corner to corner in a matrix of zeros; fewer axes count as a row.

    Parameters
    ----------
    *tensors : Tensor, shapes (), (n,) or (n, m)

    Returns
    -------
    Tensor, shape (sum of n, sum of m)

    Raises
    ------
    ValueError
        If there are none, or one has more than two axes.

    Examples
    --------
    >>> tl.block_diag(tl.tensor([[1, 2]]), tl.tensor([[3], [4]]))
    tensor([[1, 2, 0],
            [0, 0, 3],
            [0, 0, 4]])
    """
    for i, x in enumerate(tensors):
        if len(x.shape) > 2:
            raise ValueError(f"block_diag: Tensor {i} of shape {tuple(x.shape)} is no matrix")
    blocks = _of_one_dtype("block_diag", atleast_2d(list(tensors)))
    width = sum(x.shape[1] for x in blocks)
    rows, before = [], 0
    for x in blocks:
        after = width - before - x.shape[1]
        rows.append(pad_constant(x, ((0, 0), (before, after)), 0))
        before += x.shape[1]
    return cat(rows, 0)


# --- grids --------------------------------------------------------------------------------------


def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid: Tensor i repeated along the axes of the others.

    Parameters
    ----------
    *tensors : Tensor
        With one axis each, or none; also one sequence of them.
    indexing : {"ij", "xy"}
        Whether the first Tensor runs along the first axis, or along the second.

    Returns
    -------
    tuple of Tensor
        One per Tensor given, all of one shape.

    Raises
    ------
    RuntimeError
        If there are no Tensors, one has several axes, dtypes differ, or there is no such
        `indexing`.

    Examples
    --------
    >>> tl.meshgrid(tl.tensor([1, 2]), tl.tensor([3, 4]), indexing="ij")[0]
    tensor([[1, 1],
            [2, 2]])
    """
    tensors = one_by_one(tensors)
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing is 'ij' or 'xy', not {indexing!r}")
    if not tensors:
        raise RuntimeError("meshgrid: there are no Tensors to lay out")
    for i, x in enumerate(tensors):
        if len(x.shape) > 1:
            raise RuntimeError(
                f"meshgrid: Tensor {i} of shape {tuple(x.shape)} has more than one axis"
            )
        if x.dtype != tensors[0].dtype:
            raise RuntimeError(
                f"meshgrid: Tensor {i} is {x.dtype}, not {tensors[0].dtype} like Tensor 0"
            )
    lengths = [x.shape[0] if x.shape else 1 for x in tensors]
    places = list(range(len(tensors)))
    if indexing == "xy":
        places[:2] = places[:2][::-1]
    shape = tuple(lengths[p] for p in places)  # an exchange is its own inverse
    return tuple(
        [
            broadcast_to(
                reshape(x, tuple([-1 if places[i] == j else 1 for j in range(len(places))])), shape
            )
            for i, x in enumerate(tensors)
        ]
    )
