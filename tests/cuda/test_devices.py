"""Operations and gradients on a second CUDA device, whichever is current."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn, optim

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
    x.grad.array += 0
    np.testing.assert_allclose(
        x.grad.to("cpu").numpy(), 2 * w.detach().to("cpu").numpy() + 1, rtol=1e-6
    )
    np.testing.assert_allclose(w.grad.to("cpu").numpy(), y.detach().to("cpu").numpy(), rtol=1e-6)
    (d,) = tl.grad((leaf("cuda:1") * w).sum(), w)
    assert str(d.device) == "cuda:1"


@pytest.mark.parametrize(
    "optimizer", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad, optim.Lion]
)
def test_a_model_trains_on_the_device_that_is_not_current(optimizer):
    losses = []
    for device in ("cuda:1", "cpu"):
        tl.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
        model.to(device)
        update = optimizer(model.parameters(), lr=0.01)
        scaler = tl.amp.GradScaler(tl.device(device).type, init_scale=8.0)
        for _ in range(3):
            loss = model(leaf(device)).square().mean()
            update.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(update)
            optim.clip_grad_norm_(model.parameters(), 0.1)
            scaler.step(update)
            scaler.update()
            losses.append(loss.item())
    np.testing.assert_allclose(losses[:3], losses[3:], rtol=1e-5)


def test_writes_are_in_order_on_the_device_that_is_not_current():
    x = tl.zeros(3, 4, device="cuda:1")
    x[1] = leaf("cuda:1").detach()[2]
    x += 1
    x.copy_(x * 2)
    assert x.sum().item() == pytest.approx(2 * (12 + (8 + 9 + 10 + 11) / 7))


def test_gradients_on_two_devices_are_clipped_together():
    leaves = [leaf("cuda:0"), leaf("cuda:1")]
    for x in leaves:
        x.sum().backward()
    total = optim.clip_grad_norm_(leaves, 1.0)
    assert total.item() == pytest.approx(24**0.5)
    for x in leaves:
        np.testing.assert_allclose(x.grad.to("cpu").numpy(), 24**-0.5, rtol=1e-5)


def test_a_state_is_loaded_on_the_device_that_is_not_current():
    w = leaf("cuda:1")
    update = optim.Adam([w], lr=0.1)
    (w * w).sum().backward()
    update.step()
    saved = update.state_dict()
    update.step()
    update.load_state_dict(saved)
    again = update.state_dict()["state"][0]
    for name, values in saved["state"][0].items():
        assert again[name].device == values.device
        np.testing.assert_array_equal(again[name].to("cpu").numpy(), values.to("cpu").numpy())


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


@pytest.mark.parametrize("view", ["mT", "every_second", "reversed"])
def test_strided_arrays_reach_another_device_whole(view):
    x = tl.arange(0, 2**15, device="cuda:0").reshape(128, 256) + 0
    strided = {"mT": x.mT, "every_second": x[:, ::2], "reversed": x[:, ::-1]}[view]
    there = strided.to("cuda:1")
    whole = np.arange(2**15).reshape(128, 256)
    expected = {"mT": whole.T, "every_second": whole[:, ::2], "reversed": whole[:, ::-1]}[view]
    np.testing.assert_array_equal(there.to("cpu").numpy(), expected)
