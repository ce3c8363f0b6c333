"""A Tensor taken apart along an axis; the parts share its memory on the CPU."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from tensorlite.backend.dims import one_dim
from tensorlite.ops.faces import also_named, takes_axis
from tensorlite.ops.index import basic_getitem
from tensorlite.ops.shape import split_at
from tensorlite.tensor import Tensor

__all__ = [
    "chunk",
    "dsplit",
    "hsplit",
    "split",
    "split_with_sizes",
    "tensor_split",
    "vsplit",
]


def _axis(tensor: Tensor, dim: int, name: str) -> int:
    if not tensor.shape:
        raise RuntimeError(f"{name}: a Tensor with no axes has no parts")
    return one_dim(dim, len(tensor.shape), name)


@takes_axis
def split(
    tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Cut a Tensor along `dim` into parts of one length, or of the lengths given.

    Parameters
    ----------
    tensor : Tensor
    split_size_or_sections : int or sequence of int
        The length of every part (the last may be shorter), or the length of each, in order; these
        add up to the length of the axis.
    dim : int

    Returns
    -------
    tuple of Tensor
        Views.

    Raises
    ------
    RuntimeError
        If the lengths do not make up the axis, or there is none.

    Examples
    --------
    >>> [part.tolist() for part in tl.split(tl.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    if isinstance(split_size_or_sections, (tuple, list)):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    axis = _axis(tensor, dim, "split")
    given: Any = split_size_or_sections
    size, n = operator.index(given), tensor.shape[axis]
    if size < 0 or (size == 0 and n):
        raise RuntimeError(
            f"split: parts of {size} elements do not make up axis {axis} of length {n}"
        )
    return split_at(tensor, tuple(range(size, n, size)) if n else (), axis)


@takes_axis
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Cut a Tensor along `dim` into parts of the lengths given, which add up to the axis.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    split_sizes : sequence of int
    dim : int
        The axis.

    Returns
    -------
    tuple of Tensor
        Views.

    Raises
    ------
    RuntimeError
        If the lengths do not add up to the axis, or there is none.

    Examples
    --------
    >>> tl.split_with_sizes(tl.arange(5), [2, 3])
    (tensor([0, 1]), tensor([2, 3, 4]))
    """
    axis = _axis(input, dim, "split")
    sizes, n = tuple(map(operator.index, split_sizes)), input.shape[axis]
    if sum(sizes) != n or any(size < 0 for size in sizes):
        raise RuntimeError(
            f"split: the lengths {sizes} of the parts do not add up to the length {n} of axis "
            f"{axis}; parts of one length are asked for by a number, split(x, 2)"
        )
    return split_at(input, tuple(accumulate(sizes[:-1])), axis) if sizes else ()


def split_method(tensor: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple:
    """Cut along `dim` into parts of one length, or of the lengths given; see `tensorlite.split`.

    Parameters
    ----------
    tensor : Tensor
        Of at least one axis.
    split_size : int or sequence of int
        The length of every part, or of each.
    dim : int
        The axis.

    Returns
    -------
    tuple of Tensor
        Views.

    Examples
    --------
    >>> tl.arange(5).split(2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    return split(tensor, split_size, dim)


@takes_axis
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut along `dim` into at most `chunks` parts of one length; the last may be shorter.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    chunks : int
        At least 1.
    dim : int
        The axis.

    Returns
    -------
    tuple of Tensor
        Views.

    Raises
    ------
    RuntimeError
        If there is no axis, or `chunks` is less than 1.

    Examples
    --------
    >>> tl.chunk(tl.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    axis = _axis(input, dim, "chunk")
    if chunks < 1:
        raise RuntimeError(f"chunk: at least 1 part, not {chunks}")
    n = input.shape[axis]
    if n == 0:
        return split_at(input, (0,) * (chunks - 1), axis)
    length = -(-n // chunks)
    return split_at(input, tuple(range(length, n, length)), axis)


# Torch has these once for numbers of parts, and once for places to cut.
CUTS = also_named(indices_or_sections=("indices", "sections", "tensor_indices_or_sections"))


@CUTS
@takes_axis
def tensor_split(
    input: Tensor, indices_or_sections: int | Sequence[int] | Tensor, dim: int = 0
) -> tuple[Tensor, ...]:
    """Cut along `dim` into a number of parts nearly equal in length, or at the places given.

    Parameters
    ----------
    input : Tensor
    indices_or_sections : int, sequence of int, or integer Tensor
        A number of parts (the first ones are longer by 1 where it does not divide the length), or
        the places to cut, as in slices.
    dim : int

    Returns
    -------
    tuple of Tensor
        Views.

    Raises
    ------
    RuntimeError
        If there are less than 1 part, or no axis.

    Examples
    --------
    >>> tl.tensor_split(tl.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    axis = _axis(input, dim, "tensor_split")
    n = input.shape[axis]
    given: Any = indices_or_sections
    if isinstance(given, Tensor):
        given = given.tolist()
    if not isinstance(given, (tuple, list)):
        sections = operator.index(given)
        if sections < 1:
            raise RuntimeError(f"tensor_split: at least 1 part, not {sections}")
        length, longer = divmod(n, sections)
        cuts = tuple(i * length + min(i, longer) for i in range(1, sections))
        return split_at(input, cuts, axis)
    cuts = tuple(min(max(c + n if c < 0 else c, 0), n) for c in map(operator.index, given))
    if cuts == tuple(sorted(cuts)):
        return split_at(input, cuts, axis)
    bounds = zip((0, *cuts), (*cuts, n), strict=True)
    before = (slice(None),) * axis
    return tuple([basic_getitem(input, (*before, slice(a, b), ...)) for a, b in bounds])


def _split_along(
    name: str, input: Tensor, cut: int | Sequence[int], axis: int, least: int
) -> tuple:
    if len(input.shape) < least:
        raise RuntimeError(
            f"{name}: a Tensor of shape {tuple(input.shape)} has fewer than {least} axes"
        )
    n = input.shape[axis]
    if isinstance(cut, int) and (cut < 1 or n % cut):
        raise RuntimeError(
            f"{name}: axis {axis} of length {n} does not divide into {cut} equal parts"
        )
    return tensor_split(input, cut, axis)


@CUTS
def hsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the second axis (of one axis: along it) in equal parts, or at places given.

    Parameters
    ----------
    input : Tensor
        Of any shape with at least one axis.
    indices_or_sections : int or sequence of int
        How many parts, or where to cut.

    Returns
    -------
    tuple of Tensor
        Views.

    Raises
    ------
    RuntimeError
        If there are fewer axes, or the parts would not be equal.

    Examples
    --------
    >>> tl.hsplit(tl.arange(4), 2)
    (tensor([0, 1]), tensor([2, 3]))
    """
    axis = 0 if len(input.shape) == 1 else 1
    return _split_along("hsplit", input, indices_or_sections, axis, 1)


@CUTS
def vsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the first of at least two axes, in equal parts, or at the places given.

    Parameters
    ----------
    input : Tensor
        Of at least two axes.
    indices_or_sections : int or sequence of int
        How many parts, or where to cut.

    Returns
    -------
    tuple of Tensor
        Views.

    Raises
    ------
    RuntimeError
        If there are fewer axes, or the parts would not be equal.

    Examples
    --------
    >>> [x.shape for x in tl.vsplit(tl.zeros(4, 2), [1])]
    [(1, 2), (3, 2)]
    """
    return _split_along("vsplit", input, indices_or_sections, 0, 2)


@CUTS
def dsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Cut along the third of at least three axes, in equal parts, or at the places given.

    Parameters
    ----------
    input : Tensor, shape (n, m, k, ...)
    indices_or_sections : int or sequence of int
        How many parts, or where to cut.

    Returns
    -------
    tuple of Tensor
        Views.

    Raises
    ------
    RuntimeError
        If there are fewer axes, or the parts would not be equal.

    Examples
    --------
    >>> [x.shape for x in tl.dsplit(tl.zeros(1, 2, 4), 2)]
    [(1, 2, 2), (1, 2, 2)]
    """
    return _split_along("dsplit", input, indices_or_sections, 2, 3)
