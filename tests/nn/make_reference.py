"""Write reference.npz: what torch's layers make of the inputs in torch_cases.py.

Run with torch 2.13: ``python tests/nn/make_reference.py``.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch_reference
from torch_cases import Case
from torch_cases_all import CASES


def results(case: Case, seed: int = 0, exact: bool = False) -> dict[str, np.ndarray]:
    """State, inputs, outputs, gradients of both, and the state afterwards, by torch in float32.

    If `exact`, torch computes in float64, and its results are rounded.
    """
    torch.manual_seed(seed)
    module = case.build(torch.nn)
    for values in module.state_dict().values():
        if values.is_floating_point():  # so that biases and statistics are not all alike
            values.copy_(_short(values + torch.rand(values.shape) * 0.5))
    module.train(case.training)
    found = {f"state.{name}": v.numpy().copy() for name, v in module.state_dict().items()}

    def convert(array: np.ndarray) -> torch.Tensor:
        x = torch.from_numpy(array)
        return x.double() if exact and x.is_floating_point() else x

    module.to(torch.float64 if exact else torch.float32)
    inputs = [convert(x) for x in case.inputs(seed)]
    for x in inputs:
        x.requires_grad_(x.is_floating_point())
    outputs = case.call(torch.nn, module, inputs, convert)
    cotangents = [_short(torch.randn(y.shape)) for y in outputs]
    known = [y for y in outputs if y.requires_grad]
    torch.autograd.backward(
        known, [g for g, y in zip(cotangents, outputs, strict=True) if y.requires_grad]
    )
    for i, x in enumerate(inputs):
        found[f"input.{i}"] = x.detach().numpy()
        if x.grad is not None:
            found[f"input_grad.{i}"] = x.grad.numpy()
    for i, (y, cotangent) in enumerate(zip(outputs, cotangents, strict=True)):
        found[f"output.{i}"] = y.detach().numpy()
        found[f"cotangent.{i}"] = cotangent.numpy()
    found |= {f"grad.{name}": p.grad.numpy() for name, p in module.named_parameters()}
    found |= {f"after.{name}": v.numpy() for name, v in module.named_buffers()}
    return {name: x.astype("f") if x.dtype == np.float64 else x for name, x in found.items()}


def _short(values: torch.Tensor) -> torch.Tensor:
    """Numbers of few digits take less room."""
    return torch.round(values * 16) / 16


def main() -> None:
    """Write the file."""
    warnings.filterwarnings("ignore", category=UserWarning, module="torch")
    torch_reference.save({case.name: results(case) for case in CASES})


if __name__ == "__main__":
    main()
