"""Data: named datasets, and loaders that turn samples into batches of Tensors."""

from tensorlite.data.checks import check_finite, check_labels, check_split
from tensorlite.data.collate import default_collate, default_convert
from tensorlite.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
    windows,
)
from tensorlite.data.datasets import cifar10, diabetes, digits, fashion_mnist, mnist, mnist1d, text
from tensorlite.data.loader import DataLoader
from tensorlite.data.own import from_path
from tensorlite.data.registry import Description, describe, load, names
from tensorlite.data.samplers import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from tensorlite.data.sources import cache_dir
from tensorlite.data.splits import Scaling, Split, Splits
from tensorlite.data.vocabulary import Vocabulary
from tensorlite.data.worker import get_worker_info

collate = default_collate

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Description",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "Scaling",
    "SequentialSampler",
    "Split",
    "Splits",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "Vocabulary",
    "WeightedRandomSampler",
    "cache_dir",
    "check_finite",
    "check_labels",
    "check_split",
    "cifar10",
    "collate",
    "default_collate",
    "default_convert",
    "describe",
    "diabetes",
    "digits",
    "fashion_mnist",
    "from_path",
    "get_worker_info",
    "load",
    "mnist",
    "mnist1d",
    "names",
    "random_split",
    "text",
    "windows",
]
