"""Running a model without training it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tensorlite import ranks
from tensorlite.backend import Array, Device, array_backend, backend_for, is_array
from tensorlite.nn.module import Module
from tensorlite.tape import no_grad
from tensorlite.tensor import Tensor, tensor_of
from tensorlite.training.metrics import Metric

Batch = Sequence[Tensor]  # inputs of the model, and the target last


def device_of(model: Module) -> Device:
    """Where a model's parameters are; the CPU if it has none."""
    return next((p.device for p in model.parameters()), Device("cpu"))


def moved(batch: Batch, device: Device) -> list[Tensor]:
    """A batch on `device`."""
    return [x if x.device == device else x.to(device) for x in batch]


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode without a tape; afterwards every submodule is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluate(
    model: Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    loader: Iterable[Batch],
    metrics: Sequence[Metric] = (),
    weight: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    """Mean loss and metrics over a loader; on several processes each computes some batches.

    All of them get the results, which are to the bit those of one process.

    Parameters
    ----------
    model
        Called with all Tensors of a batch but the last, in evaluation mode.
    loss
        ``loss(output, target)``, a mean over the samples of a batch, of shape ().
    loader
        Batches whose last Tensor is the target.
    metrics
        What else to compute.
    weight
        ``weight(*batch)``: how much a batch counts, where its loss is not a mean over samples but,
        for example, over tokens.

    Returns
    -------
    dict
        "loss", and each metric's result by its name.

    Examples
    --------
    >>> sorted(tl.training.evaluate(model, F.cross_entropy, loader, [tl.training.Accuracy()]))
    ['accuracy', 'loss']
    """
    for metric in metrics:
        metric.reset()
    world = ranks.world()
    part = _every(loader, world.rank, world.size)
    total: Any = 0.0
    weights: Any = 0
    with evaluating(model):
        if world.size == 1:
            batches = (batch for _, batch in part)
            for found, output, target in _judged(model, loss, batches, weight):
                total, weights = total + found[0], weights + found[1]
                for metric in metrics:
                    metric.update(output, target)
        else:
            for (loss_of_batch, counts), *parts in _of_all(model, loss, part, metrics, weight):
                total, weights = total + loss_of_batch, weights + counts
                for metric, values in zip(metrics, parts, strict=True):
                    metric.add(*values)
    mean = float(total) / float(weights) if weights else math.nan
    return {"loss": mean, **{metric.name: metric.compute() for metric in metrics}}


def _judged(
    model: Module, loss: Callable, loader: Iterable[Batch], weight: Callable | None
) -> Iterator[tuple[tuple[Any, Any], Array, Array]]:
    """Iterate over batches: the loss times what the batch counts, that; output and target."""
    device = device_of(model)
    for batch in loader:
        *inputs, target = moved(batch, device)
        output = model(*inputs)
        counts = len(target) if weight is None else raw(weight(*inputs, target))
        found = loss(output, target).array.astype(np.float64)
        yield (found * counts, counts), output.array, target.array


def _every(loader: Any, first: int, stride: int) -> Iterator[tuple[int, Batch]]:
    """Iterate over one batch in `stride`, with their numbers."""
    if hasattr(loader, "every"):
        return loader.every(first, stride)
    return itertools.islice(enumerate(loader), first, None, stride)


def _of_all(
    model: Module,
    loss: Callable,
    loader: Iterator[tuple[int, Batch]],
    metrics: Sequence[Metric],
    weight: Callable | None,
) -> list[Any]:
    """What all processes found in their batches, in the order of the batches."""
    numbers: list[int] = []

    def batches() -> Iterator[Batch]:
        for number, batch in loader:
            numbers.append(number)
            yield batch

    mine = [
        (found, *[metric.of(output, target) for metric in metrics])
        for found, output, target in _judged(model, loss, batches(), weight)
    ]
    on_host = [[tuple(map(_to_host, part)) for part in parts] for parts in mine]
    rows: dict[int, Any] = {}
    for theirs in ranks.world().gather(dict(zip(numbers, on_host, strict=True))):
        rows |= theirs
    return [rows[number] for number in sorted(rows)]


def _to_host(value: Any) -> Any:
    return array_backend((value,)).to_host(value) if is_array(value) else value


def raw(value: Any) -> Any:
    """The array of a Tensor; a number as it is."""
    return value.array if isinstance(value, Tensor) else value


def predict(model: Module, data: Any, batch_size: int = 256) -> np.ndarray:
    """Outputs of a model in evaluation mode.

    Parameters
    ----------
    model
        Called with a batch of samples.
    data
        An array or Tensor of samples along axis 0; or a loader, whose targets are left out.
    batch_size
        Samples computed at a time, for arrays.

    Returns
    -------
    numpy.ndarray
        The outputs of all samples along axis 0.

    Raises
    ------
    ValueError
        If there are no samples.

    Examples
    --------
    >>> tl.training.predict(model, x.detach()).shape
    (24, 3)
    """
    device = device_of(model)
    outputs = []
    with evaluating(model):
        for inputs in _inputs(data, batch_size, device):
            output = model(*inputs).array
            outputs.append(array_backend((output,)).to_host(output))
    if not outputs:
        raise ValueError("predict: there are no samples")
    return np.concatenate(outputs)


def _inputs(data: Any, batch_size: int, device: Device) -> Iterator[list[Tensor]]:
    """Yield what the model is called with."""
    if not hasattr(data, "shape"):
        for batch in data:
            batch = [batch] if isinstance(batch, Tensor) else list(batch)
            yield moved(batch if len(batch) == 1 else batch[:-1], device)
        return
    array = data.array if isinstance(data, Tensor) else data
    for start in range(0, len(array), batch_size):
        part = array[start : start + batch_size]
        yield [tensor_of(backend_for(device).asarray(part, device=device))]
