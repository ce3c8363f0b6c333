"""Operations and gradients on a second CUDA device, whichever is current."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tensorlite as tl

pytestmark = pytest.mark.usefixtures("two_devices")


def leaf(device, shape=(3, 4)):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 7
    return tl.tensor(values, device=device, requires_grad=True)


def test_results_are_where_the_inputs_are():
    x = leaf("cuda:1")
    for y in (x + 1, x * x, x @ x.mT, x.sum(), x[1], x[np.array([0, 2])], tl.exp(x), x > 0.5):
        assert str(y.device) == "cuda:1"


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_are_where_the_leaves_are(create_graph):
    x, reference = leaf("cuda:1"), leaf("cpu")
    for t in (x, reference):
        loss = (tl.exp(t) @ t.mT).sum()
        loss.backward(create_graph=create_graph)
        (t.grad * t.grad + loss.detach()).sum()
    assert str(x.grad.device) == "cuda:1"
    np.testing.assert_allclose(
        x.grad.detach().to("cpu").numpy(), reference.grad.detach().numpy(), rtol=1e-5
    )


def test_a_graph_over_two_devices():
    x = leaf("cuda:0")
    y = (x * 2).to("cuda:1")
    seen = []
    y.register_hook(lambda g: seen.append(str((g * 1).device)))
    w = leaf("cuda:1")
    loss = (y * w).sum().to("cuda:0") + x.sum()
    loss.backward()
    assert (str(x.grad.device), str(w.grad.device), seen) == ("cuda:0", "cuda:1", ["cuda:1"])
    x.grad.data += 0
    np.testing.assert_allclose(
        x.grad.to("cpu").numpy(), 2 * w.detach().to("cpu").numpy() + 1, rtol=1e-6
    )
    np.testing.assert_allclose(w.grad.to("cpu").numpy(), y.detach().to("cpu").numpy(), rtol=1e-6)
    (d,) = tl.grad((leaf("cuda:1") * w).sum(), w)
    assert str(d.device) == "cuda:1"


@pytest.mark.parametrize("others", [("cuda:0", "cuda:1"), ("cpu", "cuda:1")])
def test_mixing_devices_names_them(others):
    a, b = (leaf(device) for device in others)
    with pytest.raises(RuntimeError, match=f"mul.*{others[0]}.*{others[1]}"):
        a * b


def test_other_threads_follow_too():
    device = []
    ready, go = threading.Event(), threading.Event()

    def work():
        tl.ones(2)
        ready.set()
        go.wait()
        device.append(str((leaf("cuda:1") + 1).device))

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    leaf("cuda:1")
    go.set()
    thread.join()
    assert device == ["cuda:1"]
