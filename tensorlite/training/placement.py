"""Moving a model together with the optimizer that was made for it."""

from __future__ import annotations

from tensorlite import backend
from tensorlite.backend import Device
from tensorlite.nn.module import Module
from tensorlite.optim import Optimizer
from tensorlite.training.evaluation import device_of


def place(model: Module, optimizer: Optimizer, device: str | Device) -> Device:
    """Move a model and its optimizer; return the device.

    "auto" leaves a model that is on CUDA where it is, and moves one that is on the CPU to CUDA if
    there is such a device.
    """
    here = device_of(model)
    target = here if device == "auto" and here.type != "cpu" else backend.device(device)
    if target == here:
        return here
    model.to(target)
    optimizer.gather()
    return target
