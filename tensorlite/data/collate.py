"""How samples become a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tensorlite.backend import array_backend, is_array
from tensorlite.backend.dtypes import promote_types
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["default_collate", "default_convert", "mapped"]


def default_collate(batch: Sequence[Any]) -> Any:
    """Join samples into a batch: the default `collate_fn` of the loader.

    Tensors, arrays and numbers are stacked along a new axis 0 and come as Tensors. Dictionaries
    and named tuples are joined entry by entry, other sequences too, as lists. Strings and bytes
    are listed.

    Parameters
    ----------
    batch : sequence
        Samples of one structure.

    Returns
    -------
    Tensor, list, dict or namedtuple
        Python's floats become float64, whole numbers int64; floats among whole numbers make all
        of them float64. Arrays and Tensors keep their dtype.

    Raises
    ------
    ValueError
        If shapes or lengths differ; names them.
    TypeError
        If a sample is something else; names its type.

    Examples
    --------
    >>> default_collate([(1, 2.0), (3, 4.0)])
    [tensor([1, 3]), tensor([2., 4.], dtype=float64)]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stacked(batch)
    if isinstance(first, str | bytes):
        return list(batch)
    if is_array(first) or isinstance(first, bool | int | float):
        return _together(batch)
    if isinstance(first, Mapping):
        joined = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return _rebuilt_mapping(first, joined)
    if isinstance(first, Sequence):
        if len({len(sample) for sample in batch}) > 1:
            lengths = sorted({len(sample) for sample in batch})
            raise ValueError(
                f"default_collate: samples of different lengths {lengths} cannot be joined entry "
                "by entry: pad them in the dataset or pass a collate_fn that does"
            )
        return _rebuilt_sequence(
            first, [default_collate(column) for column in zip(*batch, strict=True)]
        )
    raise TypeError(
        "default_collate joins Tensors, arrays, numbers, strings, dictionaries and lists; this "
        f"sample holds a {type(first).__name__}: pass a collate_fn that joins it"
    )


def default_convert(data: Any) -> Any:
    """Make Tensors of the arrays of one sample: the `collate_fn` where `batch_size` is None.

    Parameters
    ----------
    data : array, number, text, or mapping or sequence of such

    Examples
    --------
    >>> import numpy as np
    >>> tl.data.default_convert({"x": np.array([1, 2])})
    {'x': tensor([1, 2])}
    """
    return mapped(data, _converted, tuples=list)


def mapped(data: Any, change: Callable[[Any], Any], tuples: type = tuple) -> Any:
    """Apply `change` to every Tensor and raw array of nested data; leave all else as it is.

    `tuples` is what tuples become; named tuples stay what they are.
    """
    if isinstance(data, str | bytes):
        return data
    if isinstance(data, Tensor) or is_array(data):
        return change(data)
    if isinstance(data, Mapping):
        entries = {key: mapped(value, change, tuples) for key, value in data.items()}
        return _rebuilt_mapping(data, entries)
    if isinstance(data, tuple | list):
        values = [mapped(value, change, tuples) for value in data]
        if isinstance(data, tuple) and not hasattr(data, "_fields"):
            return tuples(values)
        return _rebuilt_sequence(data, values)
    return data


def _converted(array: Any) -> Any:
    """Wrap an array without a copy; a scalar of NumPy's becomes a Tensor without axes."""
    if isinstance(array, Tensor) or array.dtype.kind in "USOMm":
        return array
    return tensor_of(np.asarray(array) if isinstance(array, np.generic) else array)


def _stacked(tensors: Sequence[Any]) -> Tensor:
    shapes = sorted({tuple(t.shape) for t in tensors})
    if len(shapes) > 1:
        raise ValueError(
            f"default_collate: samples of different shapes {shapes} cannot be stacked: pad them "
            "in the dataset or pass a collate_fn that does"
        )
    if any(isinstance(t, Tensor) and t.requires_grad for t in tensors):
        from tensorlite.ops import stack

        return stack(tensors)
    arrays = [t.array if isinstance(t, Tensor) else t for t in tensors]
    backend = array_backend(arrays)
    dtypes = {a.dtype for a in arrays}
    dtype = functools.reduce(promote_types, dtypes) if len(dtypes) > 1 else None
    with backend.on(backend.device_of(arrays[0])):
        if dtype is not None:
            arrays = [a.astype(dtype, copy=False) for a in arrays]
        return tensor_of(backend.xp.stack(arrays))


def _together(values: Sequence[Any]) -> Tensor:
    """Stack arrays or numbers."""
    if not all(type(v) in (bool, int, float) or isinstance(v, np.generic) for v in values):
        values = [v if hasattr(v, "dtype") else np.asarray(v) for v in values]
        strange = [v.dtype for v in values if getattr(v.dtype, "kind", "") in "USOMm"]
        if strange:
            raise TypeError(
                f"default_collate: an array of dtype {strange[0]} cannot become a Tensor: pass a "
                "collate_fn that joins it"
            )
        return _stacked(values)
    joined = np.asarray(values)
    if joined.dtype.kind in "USOMm":
        kinds = sorted({type(v).__name__ for v in values})
        raise TypeError(f"default_collate: cannot join numbers of the types {kinds}")
    return tensor_of(joined)


def _rebuilt_mapping(like: Mapping, entries: dict) -> Any:
    """The entries in the caller's kind of dictionary, where it can be made of them."""
    if type(like) is dict:
        return entries
    try:
        return type(like)(entries)  # type: ignore[call-arg]  # or it raises TypeError
    except TypeError:
        return entries


def _rebuilt_sequence(like: Any, values: list) -> Any:
    """A named tuple as it was, a list of any other sequence."""
    return type(like)(*values) if hasattr(like, "_fields") else values
