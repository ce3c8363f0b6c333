"""One update of a Trainer: from batches to changed parameters, on one process or several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorlite import distributed, ranks
from tensorlite.amp import GradScaler
from tensorlite.backend import Array, Device
from tensorlite.nn.module import Module
from tensorlite.nn.sync_batch_norm import SyncBatchNorm
from tensorlite.ops import zeros
from tensorlite.optim import Optimizer, clip_grad_norm_
from tensorlite.optim.arena import flat_gradients
from tensorlite.tape import on_device_of, unit
from tensorlite.tensor import Tensor
from tensorlite.training.epoch import Epoch
from tensorlite.training.evaluation import Batch, moved, raw

__all__ = ["Update"]


class Update:
    """Takes steps: forward, backward, clipping, the optimizer.

    The gradient of a step is that of the mean over all samples of its batches, also where these are
    not of one size. (Of all that `weight` counts, if that is given.)

    Parameters
    ----------
    model, optimizer, loss, clip_norm, scaler, weight
        As those of `Trainer`.
    device
        Of the model.
    before
        Called before parameters change.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[..., Tensor],
        *,
        clip_norm: float | None,
        scaler: GradScaler | None,
        weight: Callable[..., Any] | None,
        device: Device,
        before: Callable[[], None],
    ) -> None:
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.clip_norm, self.scaler, self.weight = clip_norm, scaler, weight
        self.device, self.before = device, before
        self._counts: list[float] = []  # of the batches since the last step
        #: `gradients`, captured: what processes do between two exchanges.
        self.captured: Callable[..., Tensor] | None = None

    def step(self, *batch: Tensor) -> Tensor:
        """One step on one batch, which can be captured; its loss."""
        *inputs, target = batch
        loss = self.loss(self.model(*inputs), target)
        self.optimizer.zero_grad()
        loss.backward()
        self._finish()
        return loss

    def gradients(self, *batch: Tensor) -> Tensor:
        """Forward and backward of one batch, or of the only shard here; its loss."""
        *inputs, target = batch
        loss = self.loss(self.model(*inputs), target)
        loss.backward()
        return loss

    def add(self, batch: Batch, progress: Epoch) -> None:
        """Add a batch's gradients to those there are, and its loss to the epoch's."""
        if not self._counts:
            self.optimizer.zero_grad()
        if ranks.world().is_cut:
            self._add_shards(batch, progress)
        else:
            *inputs, target = moved(batch, self.device)
            samples = len(target)
            counts = samples if self.weight is None else float(raw(self.weight(*inputs, target)))
            progress.add(self._backward([*inputs, target], counts), samples, counts)
            self._counts.append(counts)

    def _add_shards(self, batch: Any, progress: Epoch) -> None:
        losses: dict[int, Array] = {}
        present = ranks.world().batch

        def step(*part: Any) -> None:
            counts = present.samples if self.weight is None else present.counted
            losses[present.shard] = self._backward(moved(part, self.device), counts)

        if any(isinstance(module, SyncBatchNorm) for module in self.model.modules()):
            distributed.each_shard(batch, step, self.weight)
        else:
            for part in distributed.shards(batch, self.weight):
                step(*part)
        if self.scaler is not None and not losses:
            self.scaler.scale(zeros(()))  # no samples here, and yet a part in its decision
        counts = present.samples if self.weight is None else present.counted
        progress.add_shards(losses, present.weights, present.samples, counts)
        self._counts.append(counts)

    def _backward(self, batch: list[Tensor], counts: float) -> Array:
        if self.captured is not None:
            return self.captured(*batch).array
        *inputs, target = batch
        loss = self.loss(self.model(*inputs), target)
        scaled = loss if self.scaler is None else self.scaler.scale(loss)
        if self._counts:  # in proportion to the first batch of the step
            scaled = scaled * (counts / self._counts[0])
        scaled.backward()
        return loss.array

    def take(self) -> None:
        """Step with the gradients of the batches that were added."""
        counts, self._counts = self._counts, []
        self._finish(1.0 if len(counts) == 1 else counts[0] / sum(counts))

    def _finish(self, factor: float = 1.0) -> None:
        optimizer, scaler = self.optimizer, self.scaler
        if scaler is not None:
            scaler.unscale_(optimizer)
        if factor != 1.0:
            self._multiply(factor)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.before()  # what is being copied for a checkpoint changes now
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

    def _multiply(self, factor: float) -> None:
        """Multiply the gradients; of those that processes divide, this one's part."""
        sharing = getattr(self.optimizer, "sharing", None)
        if sharing is None:
            grads = flat_gradients(p for g in self.optimizer.param_groups for p in g["params"])
        else:
            sharing.settle()
            grads = sharing.own_gradients([part.arena for part in sharing.parts])
        for grad in grads:
            with on_device_of(grad):
                unit("gradient", _scaled, grad, factor)


def _scaled(grad: Array, factor: float) -> None:
    grad *= grad.dtype.type(factor)
