"""Checks of data before a model sees it: each names what is wrong and where."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_finite", "check_labels", "check_same_length", "check_split"]


def check_finite(values: np.ndarray, name: str = "data") -> None:
    """Raise `ValueError` if a floating-point array holds NaN or infinity.

    Parameters
    ----------
    values : numpy.ndarray
        Of any shape.
    name : str
        What the message calls it.

    Raises
    ------
    ValueError
        If it does.

    Examples
    --------
    >>> import numpy as np
    >>> tl.data.check_finite(np.ones(3))
    """
    if values.dtype.kind != "f":
        return
    finite = np.isfinite(values)
    if not finite.all():
        bad = np.argwhere(~finite)
        first = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name} holds {len(bad)} NaN or infinite values among {values.size}, the first at "
            f"index {first} ({values[first]}): clean or drop these samples"
        )


def check_labels(labels: np.ndarray, classes: int, name: str = "labels") -> None:
    """Raise unless labels are integers in ``0 .. classes - 1``.

    Parameters
    ----------
    name : str
        What the messages call them.

    Raises
    ------
    TypeError
        If the dtype is not an integer one.
    ValueError
        If a label is negative or at least `classes`; names the first and its index.

    Examples
    --------
    >>> import numpy as np
    >>> tl.data.check_labels(np.array([0, 2]), classes=3)
    """
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name} must be class indices of an integer dtype, got {labels.dtype}")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        first = int(outside[0])
        raise ValueError(
            f"{name}: label {labels.flat[first]} at index {first} is outside 0..{classes - 1} "
            f"({classes} classes; {outside.size} such labels)"
        )


def check_same_length(arrays: tuple[Any, ...], owner: str) -> None:
    """Raise `ValueError` unless all arrays have a first axis, and the same length along it."""
    shapes = [tuple(array.shape) for array in arrays]
    if any(not shape for shape in shapes) or len({shape[0] for shape in shapes}) != 1:
        raise ValueError(f"{owner} needs arrays of one length along axis 0, got shapes {shapes}")


def check_split(
    features: np.ndarray, targets: np.ndarray, classes: int | None = None, name: str = "data"
) -> None:
    """Check that samples are fit to train on: not empty, paired, finite, labels in range.

    Parameters
    ----------
    features, targets : numpy.ndarray
        Samples along axis 0.
    classes : int, optional
        Number of classes; then `targets` must be labels below it.
    name : str
        What the messages call the data, such as "training data".

    Raises
    ------
    ValueError
        If they are not.

    Examples
    --------
    >>> import numpy as np
    >>> tl.data.check_split(np.ones((2, 3)), np.array([0, 1]), classes=2)
    """
    check_same_length((features, targets), name)
    if len(features) == 0:
        raise ValueError(f"{name} is empty: there is nothing to train on")
    check_finite(features, f"{name}: features")
    check_finite(targets, f"{name}: targets")
    if classes is not None:
        check_labels(targets, classes, f"{name}: labels")
