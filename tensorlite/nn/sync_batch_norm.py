"""Batch normalization over all shards of a batch, wherever they are computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorlite import ranks
from tensorlite.autograd.function import Function
from tensorlite.backend import array_backend
from tensorlite.nn.batch_norm import BatchNormNd
from tensorlite.nn.module import Module
from tensorlite.tape import mode
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["SyncBatchNorm"]


class SyncBatchNorm(BatchNormNd):
    """Batch normalization of (N, C, ...) with mean and variance of the whole batch.

    `BatchNormNd` normalizes each shard by its own statistics; this one by those of all shards,
    which are added in the fixed tree. In evaluation, and where batches are not cut into shards, the
    two are the same. A process with several shards needs the later ones before it has computed the
    first: `Trainer` and `tl.distributed.each_shard` compute them side by side.

    Parameters
    ----------
    num_features : int
        Number of channels C, the second axis of the input.
    eps, momentum, affine, track_running_stats, device, dtype, bias
        As those of `BatchNormNd`.
    process_group : None
        There are no groups of processes.

    Raises
    ------
    RuntimeError
        In training, where a process computes several shards one after the other.

    Examples
    --------
    >>> model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    """

    _ndims = tuple(range(2, 33))

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        if process_group is not None:
            raise ValueError("SyncBatchNorm: there are no process groups; leave it out")
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = None

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Put this in the place of every `BatchNorm1d`, `BatchNorm2d` and `BatchNorm3d`.

        Parameters
        ----------
        module
            Changed in place where it only contains them. Parameters and statistics are kept.
        process_group
            None.

        Returns
        -------
        Module
            `module`, or what takes its place.
        """
        made = module
        if isinstance(module, BatchNormNd) and not isinstance(module, cls):
            made = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
                bias=module.bias is not None,
            )
            made.weight, made.bias = module.weight, module.bias
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                setattr(made, name, getattr(module, name))
            made.training = module.training
        for name, child in list(module.named_children()):
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made

    def forward(self, input: Tensor) -> Tensor:
        """Return a Tensor of the shape of `input`."""
        world = ranks.world()
        if not (self.training and world.is_cut):
            return super().forward(input)
        self._check(input)
        if mode.switches.recorder is not None:
            raise RuntimeError(
                "SyncBatchNorm cannot be captured: the processes exchange statistics in the middle"
            )
        batch = world.batch
        if batch is None or (len(world.own) > 1 and batch.meeting is None):
            raise RuntimeError(
                "SyncBatchNorm: the statistics are those of all shards of a batch at once, and "
                f"this process has {len(world.own)} of {world.shards}: take batches from a loader "
                "given to tl.distributed.cut, and write tl.distributed.each_shard(batch, step) in "
                "the place of a loop over shards(batch)"
            )
        again = mode.switches.recomputes
        if self.track_running_stats and not again:
            self._track(world)
        axes = tuple([axis for axis in range(input.ndim) if axis != 1])
        shape = [1, -1] + [1] * (input.ndim - 2)
        wide = input if input.dtype.itemsize > 2 else input.float()
        per_sample = input.numel() // (input.shape[0] * self.num_features)
        count = batch.samples * per_sample
        mean = across_shards(wide.sum(axes)) / count
        centred = wide - mean.reshape(shape)
        variance = across_shards((centred * centred).sum(axes)) / count
        if self.track_running_stats and not again:
            self._update(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        y = centred * (variance + self.eps).rsqrt().reshape(shape)
        if self.weight is not None:
            y = y * self.weight.reshape(shape)
        if self.bias is not None:
            y = y + self.bias.reshape(shape)
        return y.to(input.dtype)

    def _update(self, mean: Tensor, variance: Tensor) -> None:
        """Let the running statistics follow those of the batch."""
        if self.running_mean is None or self.running_var is None:
            return
        self.num_batches_tracked.add_(1)
        part = self.momentum
        if part is None:
            part = 1 / self.num_batches_tracked.item()
        for running, now in ((self.running_mean, mean), (self.running_var, variance)):
            running.array[...] = running.array * (1 - part) + now.array * part


def across_shards(value: Tensor) -> Tensor:
    """The sum over all shards that have samples; every such shard calls it and gets the same."""
    return _AcrossShards.apply(value)


class _AcrossShards(Function):
    """Σ over shards, added in the fixed tree.

    With the loss Σ wₛ Lₛ over shards, the gradient of a shard's value, which will be weighed by wₜ
    later, is Σₛ (wₛ / wₜ) ∂Lₛ/∂sum: the sum of the weighed gradients once more.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return tensor_of(_added(value.array))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        batch = ranks.world().batch
        weight = batch.weights[batch.shard]
        return across_shards(grad * weight) / weight


def _added(array: Any) -> Any:
    """The sum over shards in float64, in the dtype that came."""
    batch, backend = ranks.world().batch, array_backend((array,))
    mine = backend.to_host(array).astype(np.float64)
    whole = _sum([mine]) if batch.meeting is None else batch.meeting(_sum, mine)
    return backend.asarray(whole.astype(array.dtype), device=backend.device_of(array))


def _sum(mine: list[Any]) -> Any:
    """The sum over all shards, of which these are computed here."""
    world = ranks.world()
    rows = mine if world.size == 1 else _from_all(world, np.stack(mine))
    while len(rows) > 1:  # neighbours, then neighbours of neighbours
        pairs = [rows[i : i + 2] for i in range(0, len(rows), 2)]
        rows = [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
    return rows[0]


def _from_all(world: ranks.World, mine: Any) -> list[Any]:
    """The rows of all shards that have samples, in their order."""
    spans = [range(*world.span(rank)) for rank in range(world.size)]
    counts = [sum(world.batch.sizes[shard] > 0 for shard in span) for span in spans]
    sent = np.zeros((max(counts), *mine.shape[1:]))  # of one size, as the link wants them
    sent[: len(mine)] = mine
    who = [rank for rank, count in enumerate(counts) if count]
    found = world.link.gather_among(sent, who, "statistics of SyncBatchNorm")
    return [row for rank, rows in zip(who, found, strict=True) for row in rows[: counts[rank]]]
