"""Datasets by name, for the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tensorlite.data import datasets
from tensorlite.data.sources import FileSet
from tensorlite.data.splits import Splits, Task
from tensorlite.suggest import choose

__all__ = ["Description", "describe", "load", "names"]


class Entry(NamedTuple):
    """A dataset that can be loaded by name."""

    load: Callable[..., Splits]
    task: Task
    size: str
    files: FileSet | str  # what has to be found, or where it always is


class Description(NamedTuple):
    """A line of ``tensorlite data``.

    Attributes
    ----------
    name, task, size, where : str
        What it is called, what there is to learn, how large it is, where it comes from.
    present : bool
        Whether it is there.

    Examples
    --------
    >>> tl.data.describe()[0].name
    'digits'
    """

    name: str
    task: Task
    size: str
    where: str
    present: bool


REGISTRY = {
    "digits": Entry(
        datasets.digits, "classification", "1,438 + 359 images, 1×8×8, 10 classes", "embedded"
    ),
    "diabetes": Entry(datasets.diabetes, "regression", "354 + 88 rows, 10 features", "embedded"),
    "mnist1d": Entry(
        datasets.mnist1d,
        "classification",
        "4,000 + 1,000 signals, 1×40, 10 classes",
        "generated",
    ),
    "mnist": Entry(
        datasets.mnist,
        "classification",
        "60,000 + 10,000 images, 1×28×28, 10 classes",
        datasets.MNIST,
    ),
    "fashion-mnist": Entry(
        datasets.fashion_mnist,
        "classification",
        "60,000 + 10,000 images, 1×28×28, 10 classes",
        datasets.FASHION_MNIST,
    ),
    "cifar10": Entry(
        datasets.cifar10,
        "classification",
        "50,000 + 10,000 images, 3×32×32, 10 classes",
        datasets.CIFAR10,
    ),
    "text": Entry(
        datasets.text, "language", "about 465,000 characters, or a file's", "pydoc_data.topics"
    ),
}


def names() -> tuple[str, ...]:
    """Names that `load` knows.

    Examples
    --------
    >>> "mnist" in tl.data.names()
    True
    """
    return tuple(REGISTRY)


def load(name: str, **options: Any) -> Splits:
    """Load a dataset by name; underscores may stand for hyphens.

    Parameters
    ----------
    name : str
        One of `names`.
    **options
        Passed to the dataset's own function, such as `path` for "text".

    Raises
    ------
    ValueError
        If there is no such dataset; suggests the nearest names.

    Examples
    --------
    >>> tl.data.load("digits").name
    'digits'
    """
    return REGISTRY[choose("dataset", name, REGISTRY)].load(**options)


def describe() -> list[Description]:
    """Tell of every dataset what it is, where it would come from, and whether it is there.

    Examples
    --------
    >>> len(tl.data.describe()) == len(tl.data.names())
    True
    """
    rows = []
    for name, entry in REGISTRY.items():
        where, present = entry.files, True
        if isinstance(where, FileSet):
            folder = where.locate()
            present = folder is not None
            where = str(folder) if present else f"download from {where.mirrors[0]}"
        rows.append(Description(name, entry.task, entry.size, str(where), present))
    return rows
