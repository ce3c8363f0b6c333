"""Recurrent layers of 16-bit floats, as modules and under autocast, on both devices."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn

HALVES = {"float16": 4e-3, "bfloat16": 3e-2}
KINDS = ["LSTM", "GRU", "RNN"]


def host(tensor):
    return tensor.detach().to("cpu").double().numpy()


def layer(kind, device, **options):
    tl.manual_seed(0)
    model = getattr(nn, kind)(5, 9, num_layers=2, **options).to(device)
    return model, tl.randn(4, 3, 5).to(device)


def states(state):
    return state if isinstance(state, tuple) else (state,)


def close(ours, exact, tolerance):
    scale = max(1.0, np.abs(exact).max(initial=0))
    assert np.abs(host(ours) - exact).max(initial=0) <= tolerance * scale


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_module_of_short_floats(kind, bidirectional, half, device):
    """Results and gradients in its dtype, near those of the same numbers in float64."""
    model, x = layer(kind, device, bidirectional=bidirectional)
    short, dtype = model.to(getattr(tl, half)), getattr(tl, half)
    exact = getattr(nn, kind)(5, 9, num_layers=2, bidirectional=bidirectional, dtype=tl.float64)
    exact.load_state_dict({name: p.to("cpu").double() for name, p in short.state_dict().items()})
    found = []
    for each, inputs in ((short, x.to(dtype)), (exact, x.to("cpu").to(dtype).double())):
        output, state = each(inputs)
        (output.double() ** 2).sum().backward()
        found.append([output, *states(state), *[p.grad for p in each.parameters()]])
    for ours, right in zip(*found, strict=True):
        assert ours.dtype == np.dtype(dtype)
        close(ours, host(right), HALVES[half])


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("given", [False, True], ids=["no state", "a state"])
@pytest.mark.parametrize("kind", KINDS)
def test_autocast_returns_short_floats_and_gradients_stay_float32(kind, given, half, device):
    model, x = layer(kind, device)
    optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
    start = tl.ones(2, 3, 9).to(device)
    state = None if not given else (start, start) if kind == "LSTM" else start
    found = []
    for enabled in (True, False):
        optimizer.zero_grad()
        with tl.autocast(device.type, dtype=getattr(tl, half), enabled=enabled):
            output, last = model(x, state)
        (output.float() ** 2).sum().backward()
        dtypes = {part.dtype for part in (output, *states(last))}
        assert dtypes == {np.dtype(getattr(tl, half)) if enabled else np.dtype("float32")}
        found.append([output, *states(last), *[p.grad.clone() for p in model.parameters()]])
        assert {p.grad.dtype for p in model.parameters()} == {np.dtype("float32")}
    for ours, right in zip(*found, strict=True):
        close(ours, host(right), HALVES[half])
    optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_of_a_weight_is_rounded_to_short_floats(kind, device):
    """It is a sum over all steps in float32, put into the optimizer's arena as it is."""
    if device.type != "cuda":
        pytest.skip("the CPU computes in float32 throughout")
    model, x = layer(kind, device)
    optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
    with tl.autocast("cuda", dtype=tl.bfloat16):
        output, _ = model(x)
    output.backward(tl.ones_like(output))
    assert optimizer is not None
    for name, p in model.named_parameters():
        if name.startswith("weight"):
            bits = p.grad.to("cpu").numpy().view(np.uint32)
            assert (bits & 0xFFFF).any(), name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_same_results_where_blocks_cannot_run_together(kind, dtype, device, monkeypatch):
    if device.type != "cuda" or tl.backend.backend_for("cuda").kernels is None:
        pytest.skip("of the CUDA kernels")
    model, x = layer(kind, device)
    model, x = model.to(getattr(tl, dtype)), x.to(getattr(tl, dtype))
    library = type(tl.backend.backend_for("cuda").kernels)

    def everything():
        model.zero_grad()
        output, state = model(x)
        (output.float() ** 2).sum().backward()
        return [output, *states(state), *[p.grad for p in model.parameters()]]

    together = everything()
    monkeypatch.setattr(library, "resident", lambda *arguments: 0)
    for one, other in zip(everything(), together, strict=True):
        close(other, host(one), 2e-6 if dtype == "float32" else HALVES[dtype])
        assert one.dtype == other.dtype


@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences_and_dropout_of_short_floats(kind, device):
    model, x = layer(kind, device, dropout=0.5)
    model = model.to(tl.bfloat16)
    packed = nn.utils.rnn.pack_padded_sequence(x.bfloat16(), tl.tensor([4, 2, 1]))
    tl.manual_seed(1)
    output, state = model(packed)
    output.data.float().sum().backward()
    assert output.data.dtype == states(state)[0].dtype == np.dtype(tl.bfloat16)
    padded, lengths = nn.utils.rnn.pad_packed_sequence(output)
    assert lengths.tolist() == [4, 2, 1] and not host(padded)[2:, 2].any()
    assert all(np.isfinite(host(p.grad)).all() for p in model.parameters())
