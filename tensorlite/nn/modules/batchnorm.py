"""Torch's module of this name, for programs that import base classes from it."""

from tensorlite.nn.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from tensorlite.nn.batch_norm import BatchNormNd as _BatchNorm
from tensorlite.nn.batch_norm import NormBase as _NormBase
from tensorlite.nn.sync_batch_norm import SyncBatchNorm

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "_BatchNorm", "_NormBase"]
