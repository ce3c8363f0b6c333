"""vjp, hvp, jacobian, hessian and checkpoint."""

import numpy as np
import pytest

import tensorlite as tl


def f(x, w):
    return (x @ w).tanh()


@pytest.fixture
def point(device):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    return tuple(tl.tensor(v, device=device) for v in (x, w))


def host(tensor):
    return tensor.detach().to("cpu").numpy()


def test_vjp_is_the_cotangent_times_the_jacobian(point):
    x, w = point
    v = tl.ones_like(f(x, w))
    value, (dx, dw) = tl.autograd.vjp(f, point, v)
    jx, jw = tl.autograd.jacobian(f, point)
    assert jx.shape == (2, 4, 2, 3)
    assert jw.shape == (2, 4, 3, 4)
    np.testing.assert_allclose(host(value), np.tanh(host(x) @ host(w)))
    np.testing.assert_allclose(host(dx), host(jx).sum((0, 1)))
    np.testing.assert_allclose(host(dw), host(jw).sum((0, 1)))


def test_jacobian_is_the_formula(point):
    x, w = point
    (jx, _) = tl.autograd.jacobian(f, point)
    slope = 1 - np.tanh(host(x) @ host(w)) ** 2
    expected = np.einsum("ij,kj,il->ijlk", slope, host(w), np.eye(2))
    np.testing.assert_allclose(host(jx), expected, atol=1e-12)


def test_hessian_and_its_product(device):
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    matrix = tl.tensor(a, device=device)
    x = tl.tensor(np.array([0.5, -1.0]), device=device)

    def quartic(x):
        return (x @ matrix @ x) ** 2

    h = tl.autograd.hessian(quartic, x)
    q, ax = host(x) @ a @ host(x), a @ host(x)
    np.testing.assert_allclose(host(h), 8 * np.outer(ax, ax) + 4 * q * a)
    v = tl.tensor(np.array([1.0, 2.0]), device=device)
    value, product = tl.autograd.hvp(quartic, x, v)
    assert value.item() == pytest.approx(q**2)
    np.testing.assert_allclose(host(product), host(h) @ [1.0, 2.0])


def test_a_linear_function_has_no_second_derivative(device):
    x = tl.tensor(np.ones(3), device=device)
    _, product = tl.autograd.hvp(lambda x: x.sum(), x, x)
    np.testing.assert_array_equal(host(product), np.zeros(3))


def block(x, w):
    return tl.nn.functional.dropout((x @ w).tanh(), 0.5, training=True) @ w.mT


def test_checkpoint_gives_the_same_gradients_and_keeps_less(point):
    gradients = []
    saved = []
    for call in (lambda fn, *a: fn(*a), tl.checkpoint):
        tl.manual_seed(3)
        x, w = (t.detach().requires_grad_() for t in point)
        loss = (call(block, call(block, x, w), w) ** 2).sum()
        saved.append(tl.debug.saved_memory(loss).nbytes)
        loss.backward()
        gradients.append((host(x.grad), host(w.grad), tl.rand(3).numpy()))
    for plain, again in zip(*gradients, strict=True):
        np.testing.assert_allclose(plain, again, rtol=1e-12)
    assert saved[1] < saved[0]


def test_checkpoint_reaches_parameters_it_closes_over(point):
    x, w = (t.detach().requires_grad_() for t in point)
    tl.checkpoint(lambda x: f(x, w), x).sum().backward()
    expected = tl.grad(f(x, w).sum(), w)[0]
    np.testing.assert_allclose(host(w.grad), host(expected))


def test_checkpoint_at_second_order(point):
    x, w = (t.detach().requires_grad_() for t in point)

    def penalty(call):
        (dx,) = tl.grad(call(f, x, w).sum(), x, create_graph=True)
        return tl.grad((dx * dx).sum(), [x, w])

    for plain, again in zip(penalty(lambda fn, *a: fn(*a)), penalty(tl.checkpoint), strict=True):
        np.testing.assert_allclose(host(plain), host(again))


def test_checkpoint_with_several_outputs(point):
    x, w = (t.detach().requires_grad_() for t in point)
    a, b = tl.checkpoint(lambda x, w: (f(x, w), x * 2), x, w)
    (a.sum() + b.sum()).backward()
    expected = tl.grad(f(x, w).sum() + (x * 2).sum(), x)[0]
    np.testing.assert_allclose(host(x.grad), host(expected))


def test_grad_of_nothing_is_refused(device) -> None:
    with pytest.raises(ValueError, match="for 0 outputs"):
        tl.grad([], [tl.ones(2, device=device, requires_grad=True)])
