"""Data: named datasets, and loaders that turn samples into batches of Tensors."""

from tensorlite.data.checks import check_finite, check_labels, check_split
from tensorlite.data.dataset import (
    Dataset,
    Subset,
    TensorDataset,
    collate,
    random_split,
    windows,
)
from tensorlite.data.datasets import cifar10, diabetes, digits, fashion_mnist, mnist, mnist1d, text
from tensorlite.data.loader import DataLoader
from tensorlite.data.registry import Description, describe, load, names
from tensorlite.data.sources import cache_dir
from tensorlite.data.splits import Scaling, Split, Splits
from tensorlite.data.vocabulary import Vocabulary

__all__ = [
    "DataLoader",
    "Dataset",
    "Description",
    "Scaling",
    "Split",
    "Splits",
    "Subset",
    "TensorDataset",
    "Vocabulary",
    "cache_dir",
    "check_finite",
    "check_labels",
    "check_split",
    "cifar10",
    "collate",
    "describe",
    "diabetes",
    "digits",
    "fashion_mnist",
    "load",
    "mnist",
    "mnist1d",
    "names",
    "random_split",
    "text",
    "windows",
]
