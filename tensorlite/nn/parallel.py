"""Data parallelism as torch spells it: on one device there is nothing to divide."""

from __future__ import annotations

from typing import Any

from tensorlite.nn.module import Module


class DataParallel(Module):
    """A module under the name ``module``, called as it is.

    Torch divides a batch among several CUDA devices here. tensorlite computes it on the module's
    device, so that programs and their state dictionaries work, and raises for several devices.

    Inputs and outputs are those of `module`, of any shapes.

    Parameters
    ----------
    module : Module
        What is called.
    device_ids : list, optional
        At most one.
    output_device, dim
        Taken as in torch, and without effect.

    Raises
    ------
    ValueError
        For several devices.

    Examples
    --------
    >>> nn.DataParallel(nn.Linear(4, 3))(tl.zeros(2, 4)).shape
    (2, 3)
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        if device_ids is not None and len(device_ids) > 1:
            raise ValueError(
                f"DataParallel: device_ids = {device_ids}: a batch is not divided among devices; "
                "give one, or none"
            )
        self.module = module
        self.dim = dim
        self.device_ids = [] if device_ids is None else list(device_ids)
        self.output_device = output_device

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Call the module."""
        return self.module(*inputs, **kwargs)
