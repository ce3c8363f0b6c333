"""Layers against torch's: its state dicts load, and outputs and gradients are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch_reference
from torch_cases import Case
from torch_cases_all import CASES

import tensorlite as tl
from tensorlite import nn
from tensorlite.backend import Device

STORED = torch_reference.load()


def part(results: dict[str, np.ndarray], kind: str) -> dict[str, np.ndarray]:
    """The entries ``kind.name`` by name."""
    split = ((key.partition("."), value) for key, value in results.items())
    return {name: value for (first, _, name), value in split if first == kind}


def check(case: Case, results: dict[str, np.ndarray], device: Device) -> None:
    """Load the state, run forward and backward, and compare everything."""
    state = part(results, "state")
    module = case.build(nn)
    assert list(module.state_dict()) == list(state)
    module.load_state_dict(state)
    module.to(device).train(case.training)
    inputs = [
        tl.tensor(x, device=device, requires_grad=x.dtype == np.float32)
        for x in part(results, "input").values()
    ]

    outputs = case.call(nn, module, inputs, lambda x: tl.tensor(x, device=device))
    compare(outputs, part(results, "output"), "output")
    cotangents = part(results, "cotangent").values()
    loss = sum(
        (y * tl.tensor(g, device=device)).sum()
        for y, g in zip(outputs, cotangents, strict=True)
        if y.requires_grad
    )
    loss.backward()

    differentiable = [x.grad for x in inputs if x.requires_grad]
    compare(differentiable, part(results, "input_grad"), "gradient of input")
    parameters = dict(module.named_parameters())
    grads = part(results, "grad")
    assert list(parameters) == list(grads)
    compare([p.grad for p in parameters.values()], grads, "gradient of")
    after = part(results, "after")
    compare([dict(module.named_buffers())[name] for name in after], after, "afterwards")


def compare(found: list[Any], wanted: dict[str, np.ndarray], what: str) -> None:
    assert len(found) == len(wanted)
    for tensor, (name, value) in zip(found, wanted.items(), strict=True):
        assert tensor.shape == value.shape, f"{what} {name}"
        assert tensor.dtype == value.dtype, f"{what} {name}"
        host = tensor.detach().to("cpu").numpy()
        np.testing.assert_allclose(host, value, rtol=1e-5, atol=1e-5, err_msg=f"{what} {name}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_as_torch_did(case: Case, device: Device) -> None:
    check(case, STORED[case.name], device)
