"""Running a model without training it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tensorlite.backend import Device, array_backend, backend_for
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
) -> dict[str, Any]:
    """Mean loss and metrics over a loader.

    Parameters
    ----------
    model
        Called with all Tensors of a batch but the last, in evaluation mode.
    loss
        ``loss(output, target)``, a mean over the samples of a batch.
    loader
        Batches whose last Tensor is the target.
    metrics
        What else to compute.

    Returns
    -------
    dict
        "loss", and each metric's result by its name.
    """
    device = device_of(model)
    total: Any = 0.0
    samples = 0
    for metric in metrics:
        metric.reset()
    with evaluating(model):
        for batch in loader:
            *inputs, target = moved(batch, device)
            output = model(*inputs)
            total = total + loss(output, target).array.astype(np.float64) * len(target)
            samples += len(target)
            for metric in metrics:
                metric.update(output.array, target.array)
    mean = float(total) / samples if samples else math.nan
    return {"loss": mean, **{metric.name: metric.compute() for metric in metrics}}


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
