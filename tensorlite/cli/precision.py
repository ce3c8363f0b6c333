"""A model that computes in short floats: ``tensorlite train --autocast``."""

from __future__ import annotations

from typing import Any

from tensorlite.amp import GradScaler, autocast
from tensorlite.backend import Device
from tensorlite.backend.dtypes import as_dtype
from tensorlite.cli.errors import UsageError
from tensorlite.nn.module import Module


def cast(model: Module, dtype: str | None, device: Device) -> Module:
    """Let a model's matrix products run in `dtype`; its outputs are float32, as before.

    Raises
    ------
    UsageError
        If the dtype is not there.
    """
    if dtype is None:
        return model
    try:
        short = as_dtype(dtype)
    except (ImportError, TypeError, ValueError) as error:
        raise UsageError(f"--autocast {dtype}: {error}") from error
    kind = type(model)

    def forward(self: Module, *inputs: Any) -> Any:
        with autocast(device.type, dtype=short):
            return kind.forward(self, *inputs).float()

    model.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return model


def scaler(dtype: str | None, device: Device) -> GradScaler | None:
    """What keeps the gradients of float16 from vanishing; bfloat16 needs none."""
    return GradScaler(device.type) if dtype == "float16" else None
