"""The accelerator of this machine, whatever it is: torch.accelerator's names over `cuda`."""

from __future__ import annotations

from tensorlite import cuda
from tensorlite.backend.base import Device

__all__ = ["current_accelerator", "device_count", "is_available", "synchronize"]

is_available = cuda.is_available
device_count = cuda.device_count


def current_accelerator(check_available: bool = False) -> Device | None:
    """``device("cuda")`` where there is one that can be used, else None.

    Parameters
    ----------
    check_available : bool
        Taken as torch takes it; a device that cannot be used is none.

    Examples
    --------
    >>> device = tl.accelerator.current_accelerator() or tl.device("cpu")
    """
    return Device("cuda") if is_available() else None


def synchronize(device: str | Device = "cuda") -> None:
    """Wait until all work queued on the accelerator has finished.

    Examples
    --------
    >>> if tl.accelerator.is_available():
    ...     tl.accelerator.synchronize()
    """
    cuda.synchronize(device)
