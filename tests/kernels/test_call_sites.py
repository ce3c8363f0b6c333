"""A call site whose arguments change after it was used is looked at again, each time."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
import tensorlite.nn.functional as F

CALLS = {
    "layer_norm": lambda x, w: F.layer_norm(x, (x.shape[-1],), w, w),
    "softmax": lambda x, w: F.softmax(x, dim=-1),
    "gelu": lambda x, w: F.gelu(x),
    "linear": lambda x, w: F.linear(x, w.reshape(1, -1)),
    "add": lambda x, w: x + w,
    "mul": lambda x, w: x * x,
    "relu": lambda x, w: F.relu(x),
}


def _misaligned(backend, x):
    """The same values one byte behind where their dtype may begin."""
    xp = backend.xp
    raw = xp.zeros(x.nbytes + 1, np.uint8)
    if xp is np:
        y = np.ndarray(x.shape, x.dtype, raw.data, 1)
    else:
        y = xp.ndarray(x.shape, x.dtype, raw.data + 1)
        raw[1:] = xp.ascontiguousarray(x).view(np.uint8).reshape(-1)
        return y
    y[...] = x
    return y


def _kinds(backend, rng):
    """Arrays of one shape and another: every kind of memory, dtype and layout in turn."""
    plain = backend.asarray(rng.standard_normal((6, 8)).astype("f"))
    wide = backend.asarray(rng.standard_normal((6, 16)).astype("f"))
    yield "plain", plain
    yield "with gaps", wide[:, ::2]
    yield "transposed", backend.asarray(rng.standard_normal((8, 6)).astype("f")).T
    yield "backwards", plain[::-1]
    yield "of another dtype", plain.astype("d")
    yield "short", plain.astype("e")
    yield "of another shape", backend.asarray(rng.standard_normal((2, 3, 8)).astype("f"))
    yield "repeated", backend.xp.broadcast_to(plain[0], (6, 8))
    yield "empty", plain[:0]
    if backend.xp is np:
        yield "misaligned", _misaligned(backend, plain)
    yield "plain again", plain


@pytest.mark.parametrize("name", CALLS)
def test_arguments_of_every_kind_in_turn(name, backend, device):
    call, rng = CALLS[name], np.random.default_rng(4)
    for _ in range(2):
        for kind, array in _kinds(backend, rng):
            w = rng.standard_normal(8)
            x = tl.tensor(0.0, device=device)
            x.array = array
            weight = tl.tensor(w.astype(array.dtype), device=device)
            found = call(x, weight)
            assert found.dtype == array.dtype, kind
            exact = backend.to_host(array).astype("d")
            wanted = call(tl.tensor(exact), tl.tensor(w.astype(array.dtype).astype("d")))
            far = 2e-2 if array.dtype.itemsize == 2 else 1e-5
            np.testing.assert_allclose(
                found.to("float64").cpu().numpy(), wanted.numpy(), far, far, err_msg=kind
            )


def test_a_call_on_one_device_and_then_on_another(device):
    call = CALLS["layer_norm"]
    x, w = np.arange(24.0).reshape(3, 8).astype("f"), np.ones(8, "f")
    places = ["cpu", device, "cpu", device]
    if device.type == "cuda" and tl.cuda.device_count() > 1:
        places += ["cuda:0", "cpu", "cuda:0"]
    results = [
        call(tl.tensor(x, device=place), tl.tensor(w, device=place)).cpu().numpy()
        for place in places
    ]
    for each in results[1:]:
        np.testing.assert_allclose(each, results[0], 1e-5, 1e-6)
    if device.type == "cuda":
        with pytest.raises((RuntimeError, TypeError, ValueError), match="different devices"):
            call(tl.tensor(x, device=device), tl.tensor(w))
        np.testing.assert_array_equal(
            call(tl.tensor(x, device=device), tl.tensor(w, device=device)).cpu().numpy(),
            results[1],
        )
