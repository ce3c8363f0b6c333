"""Optimizers against their formulas in float64, written out parameter by parameter."""

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn, optim
from tensorlite.backend import backend_for
from tensorlite.optim.arena import flat_gradients
from tensorlite.tensor import tensor_of

SHAPES = [(3, 5), (7,), (), (33, 2)]
STEPS = 50


def sgd(p, g, s, t, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    d = g + weight_decay * p
    if momentum:
        s["b"] = d if t == 1 else momentum * s["b"] + (1 - dampening) * d
        d = d + momentum * s["b"] if nesterov else s["b"]
    return p - lr * d


def adam(p, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    if decoupled:
        p = p - lr * weight_decay * p
    d = g if decoupled else g + weight_decay * p
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * d
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * d * d
    return p - lr * (s["m"] / (1 - betas[0] ** t)) / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps)


def rmsprop(p, g, s, t, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    d = g + weight_decay * p
    s["s"] = alpha * s.get("s", 0) + (1 - alpha) * d * d
    s["a"] = alpha * s.get("a", 0) + (1 - alpha) * d
    q = d / (np.sqrt(s["s"] - (s["a"] ** 2 if centered else 0)) + eps)
    s["b"] = momentum * s.get("b", 0) + q
    return p - lr * s["b"]


def adagrad(p, g, s, t, lr, lr_decay=0.0, weight_decay=0.0, eps=1e-10):
    d = g + weight_decay * p
    s["s"] = s.get("s", 0) + d * d
    return p - lr / (1 + (t - 1) * lr_decay) * d / (np.sqrt(s["s"]) + eps)


def lion(p, g, s, t, lr, betas=(0.9, 0.99), weight_decay=0.0):
    m = s.get("m", 0 * g)
    s["m"] = betas[1] * m + (1 - betas[1]) * g
    return p - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * p)


CASES = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    (optim.Adam, adam, {"lr": 0.01}),
    (optim.Adam, adam, {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.99)}),
    (optim.AdamW, adam, {"lr": 0.01, "weight_decay": 0.1}),
    (optim.RMSprop, rmsprop, {"lr": 0.01}),
    (optim.RMSprop, rmsprop, {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}),
    (optim.RMSprop, rmsprop, {"lr": 0.01, "centered": True}),
    (optim.RMSprop, rmsprop, {"lr": 0.01, "centered": True, "momentum": 0.5}),
    (optim.Adagrad, adagrad, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}),
    (optim.Lion, lion, {"lr": 0.01, "weight_decay": 0.1}),
]


def on_host(tensor):
    return tensor.detach().to("cpu").numpy()


def parameters(device, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    values = [np.asarray(rng.normal(size=shape)) for shape in SHAPES]
    backend = backend_for(device)
    tensors = [tensor_of(backend.asarray(v.astype(dtype)), requires_grad=True) for v in values]
    return values, tensors


def put_gradients(tensors, rng, device, missing=()):
    grads = []
    for i, tensor in enumerate(tensors):
        grad = np.asarray(rng.normal(size=tensor.shape))
        grads.append(None if i in missing else grad)
        if i not in missing:
            tensor.grad = tensor_of(backend_for(device).asarray(grad.astype(tensor.dtype)))
    return grads


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("cls", "formula", "settings"), CASES)
def test_update_is_the_formula(cls, formula, settings, dtype, device):
    values, tensors = parameters(device, dtype)
    optimizer = cls(tensors, **settings)
    extra = {"decoupled": True} if cls is optim.AdamW else {}
    states, counts = [{} for _ in values], [0] * len(values)
    rng = np.random.default_rng(1)
    for step in range(STEPS):
        optimizer.zero_grad()
        grads = put_gradients(tensors, rng, device, missing=(1,) if step % 7 == 3 else ())
        optimizer.step()
        for i, grad in enumerate(grads):
            if grad is not None:
                counts[i] += 1
                values[i] = formula(values[i], grad, states[i], counts[i], **settings, **extra)
    for value, tensor in zip(values, tensors, strict=True):
        scale = max(1.0, float(np.abs(value).max()))
        tolerance = 3e-6 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(on_host(tensor), value, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(("cls", "formula", "settings"), CASES)
def test_state_dict_continues_exactly(cls, formula, settings, device):
    def run(optimizer, tensors, rng, steps):
        for _ in range(steps):
            put_gradients(tensors, rng, device)
            optimizer.step()

    _, straight = parameters(device)
    optimizer = cls(straight, **settings)
    rng = np.random.default_rng(2)
    run(optimizer, straight, rng, 3)
    saved = optimizer.state_dict()
    weights = [on_host(t).copy() for t in straight]
    run(optimizer, straight, np.random.default_rng(3), 4)

    _, resumed = parameters(device, seed=9)
    for tensor, weight in zip(resumed, weights, strict=True):
        tensor.array[...] = backend_for(device).asarray(weight)
    again = cls(resumed, **{**settings, "lr": 123.0})
    again.load_state_dict(saved)
    run(again, resumed, np.random.default_rng(3), 4)
    for a, b in zip(straight, resumed, strict=True):
        assert on_host(a).tobytes() == on_host(b).tobytes()


def test_groups_have_their_own_settings(device):
    _, tensors = parameters(device)
    before = [on_host(t).copy() for t in tensors]
    optimizer = optim.SGD([{"params": tensors[:2]}, {"params": tensors[2:], "lr": 0.0}], lr=0.5)
    put_gradients(tensors, np.random.default_rng(0), device)
    optimizer.step()
    changed = [not np.array_equal(b, on_host(t)) for b, t in zip(before, tensors, strict=True)]
    assert changed == [True, True, False, False]


def test_rebound_data_and_gradient_are_brought_back(device):
    _, (weight, *_) = parameters(device)
    optimizer = optim.SGD([weight], lr=1.0)
    weight.array = weight.array * 0 + 5
    weight.grad = tensor_of(weight.array * 0 + 2)
    optimizer.step()
    np.testing.assert_array_equal(on_host(weight), np.full((3, 5), 3.0, np.float32))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: optim.SGD([]), ValueError, "no parameters"),
        (lambda p: optim.SGD([p, p]), ValueError, "given twice"),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "lr must be"),
        (lambda p: optim.SGD([p], lr=math.nan), ValueError, "lr must be"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, "betas"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "needs momentum"),
        (lambda p: optim.SGD([p], nesterov=True, momentum=0.9, dampening=0.1), ValueError, "damp"),
        (lambda p: optim.SGD(p), TypeError, "one Tensor"),
        (lambda p: optim.SGD([{"params": {p}}]), TypeError, "need an order"),
        (lambda p: optim.SGD([("w", p), tl.ones(2)]), ValueError, "or none"),
        (lambda p: optim.Adam([p], fused=True, foreach=True), RuntimeError, "choose one"),
        (lambda p: optim.Adam([p], differentiable=True), RuntimeError, "create_graph"),
        (lambda p: optim.Adam([p], lr=tl.ones(2)), ValueError, "one number"),
        (lambda p: optim.SGD([p.array]), TypeError, "not a Tensor"),
        (lambda p: optim.SGD([p * 2]), ValueError, "must be a leaf"),
    ],
)
def test_bad_arguments(make, error, words, device):
    _, (weight, *_) = parameters(device)
    with pytest.raises(error, match=words):
        make(weight)


def test_loading_a_foreign_state_lists_every_difference(device):
    _, tensors = parameters(device)
    optimizer = optim.Adam([("w", tensors[0]), ("b", tensors[1])])
    put_gradients(tensors, np.random.default_rng(0), device)
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["exp_avg"] = np.zeros((2, 2), np.float32)
    del saved["state"][1]["exp_avg_sq"]
    with pytest.raises(ValueError, match=r"w: .*\(2, 2\).*b: exp_avg_sq is not saved"):
        optimizer.load_state_dict(saved)
    saved["param_groups"][0]["param_names"] = ["w", "c"]
    with pytest.raises(ValueError, match=r"not saved \['b'\].*not here \['c'\]"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("in_arena", [False, True])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, math.inf])
def test_clip_grad_norm(norm_type, in_arena, device):
    _, tensors = parameters(device)
    if in_arena:
        optimizer = optim.SGD(tensors, lr=0.0)
        for tensor in tensors:
            (tensor * tensor).sum().backward()
        assert len(flat_gradients(optimizer.param_groups[0]["params"])) == 1
    else:
        put_gradients(tensors, np.random.default_rng(0), device)
    grads = np.concatenate([on_host(t.grad).ravel() for t in tensors]).astype(np.float64)
    norm = np.linalg.norm(grads, norm_type)
    total = optim.clip_grad_norm_(tensors, norm / 2, norm_type)
    assert total.item() == pytest.approx(norm, rel=1e-6)
    clipped = np.concatenate([on_host(t.grad).ravel() for t in tensors])
    np.testing.assert_allclose(clipped, grads / 2, rtol=1e-5)
    optim.clip_grad_norm_(tensors, norm, norm_type)
    np.testing.assert_allclose(
        np.concatenate([on_host(t.grad).ravel() for t in tensors]), clipped, rtol=1e-6
    )


def test_a_large_gradient_may_lie_where_it_goes(device):
    """A cotangent that is a view of the arena: the parameter's last gradient, backwards."""
    weight = tl.zeros(70_000, device=device, requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.1)
    values = np.arange(70_000, dtype=np.float32)
    weight.backward(tl.tensor(values, device=device))
    last = weight.grad
    optimizer.zero_grad()
    tl.flip(weight, 0).backward(last)
    np.testing.assert_array_equal(on_host(weight.grad), values[::-1])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [5, 100])
def test_gradients_of_a_layer_are_computed_where_they_stay(rows, bias, device, monkeypatch):
    backend, copied = backend_for(device), []
    monkeypatch.setattr(
        type(backend),
        "write",
        lambda self, to, x: (copied.append(to.shape), to.__setitem__(..., x)),
    )
    layer = nn.Linear(7, 6, bias).to(device)
    x = tl.randn(rows, 7, device=device)
    wanted = tl.grad(layer(x).square().sum(), list(layer.parameters()))
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    layer(x).square().sum().backward()
    can_write_there = backend.kernels is not None or device.type == "cuda"
    assert (layer.weight.shape in copied) != can_write_there
    for parameter, gradient in zip(layer.parameters(), wanted, strict=True):
        assert parameter.grad is parameter.grad_buffer
        np.testing.assert_allclose(on_host(parameter.grad), on_host(gradient), rtol=1e-5, atol=1e-5)
    assert optimizer._flats[0].arenas[0].grad.any()
    layer(x).square().sum().backward()  # adds to what is there
    for parameter, gradient in zip(layer.parameters(), wanted, strict=True):
        double = 2 * on_host(gradient)
        np.testing.assert_allclose(on_host(parameter.grad), double, rtol=1e-5, atol=1e-5)


def test_a_layer_used_twice_gets_both_gradients(device):
    layer = nn.Linear(6, 6).to(device)
    x = tl.randn(5, 6, device=device)
    wanted = tl.grad(layer(layer(x)).square().sum(), list(layer.parameters()))
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    layer(layer(x)).square().sum().backward()
    assert optimizer._flats[0].arenas[0].grad.any()
    for parameter, gradient in zip(layer.parameters(), wanted, strict=True):
        np.testing.assert_allclose(on_host(parameter.grad), on_host(gradient), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [5, 300])
@pytest.mark.parametrize("what", ["input", "cotangent"])
def test_a_layers_gradient_may_be_made_of_what_lies_in_its_place(what, rows, device):
    layer = nn.Linear(rows, rows).to(device)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    layer(tl.randn(rows, rows, device=device)).sum().backward()
    last = layer.weight.grad
    x, g = tl.randn(2, rows, rows, device=device).unbind()
    x, g = (last.mT, g) if what == "input" else (x, last.mT)
    wanted = on_host(g).T @ on_host(x)
    optimizer.zero_grad()
    layer(x).backward(g)
    np.testing.assert_allclose(on_host(layer.weight.grad), wanted, rtol=1e-4, atol=1e-3)


def test_clip_grad_value(device):
    _, tensors = parameters(device)
    put_gradients(tensors, np.random.default_rng(0), device)
    optim.clip_grad_value_(tensors, 0.25)
    assert max(float(np.abs(on_host(t.grad)).max()) for t in tensors) == 0.25


def test_a_step_before_backward_is_noticed(device):
    _, (weight, *_) = parameters(device)
    optimizer = optim.SGD([weight], lr=0.1)
    loss = (weight * weight).sum()
    weight.grad = tensor_of(weight.array)
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"mul: the array saved .* changed in place"):
        loss.backward()
