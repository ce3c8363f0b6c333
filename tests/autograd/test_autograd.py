"""Derivatives of functions, gradients of several Tensors, and checks."""

import traceback

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


def test_a_constant_has_derivatives_of_zero(device):
    x = tl.ones(2, device=device)

    def constant(x):
        return tl.tensor(1.0, device=device)

    np.testing.assert_array_equal(host(tl.autograd.hessian(constant, x)), np.zeros((2, 2)))
    np.testing.assert_array_equal(host(tl.autograd.jacobian(constant, x)), np.zeros(2))
    for product in (tl.autograd.hvp, tl.autograd.vjp, tl.autograd.jvp):
        value, d = product(constant, x, None if product is tl.autograd.vjp else x)
        assert value.item() == 1
        assert not host(d).any()
    with pytest.raises(RuntimeError, match="output 0 of the function does not depend"):
        tl.autograd.jacobian(constant, x, strict=True)


def test_an_empty_output_has_an_empty_jacobian(device):
    x = tl.ones(2, device=device)
    assert tl.autograd.jacobian(lambda x: x[:0], x).shape == (0, 2)
    both = tl.autograd.jacobian(lambda x, y: (x[:0], y), (x, x))
    assert [[b.shape for b in row] for row in both] == [[(0, 2), (0, 2)], [(2, 2), (2, 2)]]


def test_several_inputs_and_outputs_nest_as_in_torch(device):
    x, y = (tl.tensor(v, device=device) for v in ([1.0, 2.0], [3.0, 4.0]))
    (xx, xy), (yx, yy) = tl.autograd.functional.hessian(lambda x, y: (x * x * y).sum(), (x, y))
    np.testing.assert_allclose(host(xx), np.diag([6.0, 8.0]))
    np.testing.assert_allclose(host(xy), np.diag([2.0, 4.0]))
    np.testing.assert_allclose(host(yx), host(xy).T)
    assert not host(yy).any()
    (ax, ay), (bx, by) = tl.autograd.functional.jacobian(lambda x, y: (x * y, x), (x, y))
    np.testing.assert_allclose(host(ax), np.diag([3.0, 4.0]))
    np.testing.assert_allclose(host(ay), np.diag([1.0, 2.0]))
    np.testing.assert_allclose(host(bx), np.eye(2))
    assert not host(by).any()
    outputs, (dx, dy) = tl.autograd.functional.vjp(lambda x, y: (x * y, x), (x, y), (y, x))
    assert [o.tolist() for o in outputs] == [[3, 8], [1, 2]]
    np.testing.assert_allclose(host(dx), [9 + 1, 16 + 2])
    np.testing.assert_allclose(host(dy), [3, 8])
    outputs, (da, db) = tl.autograd.functional.jvp(lambda x, y: (x * y, x), (x, y), (y, x))
    np.testing.assert_allclose(host(da), [9 + 1, 16 + 4])
    np.testing.assert_allclose(host(db), [3, 4])


@pytest.mark.parametrize("name", ["vjp", "jvp", "vhp", "hvp"])
def test_vectors_of_other_shapes_are_refused(device, name):
    x = tl.ones(2, device=device)
    function = getattr(tl.autograd.functional, name)
    with pytest.raises(RuntimeError, match=r"v has the shapes \[\(3,\)\]"):
        function(lambda x: (x * x).sum() if "h" in name else x * x, x, tl.ones(3, device=device))
    with pytest.raises(RuntimeError, match="v may be left out only where"):
        function(lambda x: (x * x).sum() if "h" in name else x * x, x)
    with pytest.raises(TypeError, match="what the function returns must be a Tensor"):
        function(lambda x: 3, x, x)


def test_results_with_create_graph_can_be_differentiated(device):
    x = tl.tensor([1.0, 2.0], device=device, requires_grad=True)
    for name, expected in (("jacobian", [6, 12]), ("vjp", [6, 12]), ("jvp", [6, 12])):
        function = getattr(tl.autograd.functional, name)
        v = () if name == "jacobian" else (tl.ones(2, device=device),)
        result = function(lambda x: x**3, x, *v, create_graph=True)
        d = result if name == "jacobian" else result[1]
        (second,) = tl.grad(d.sum(), x)
        np.testing.assert_allclose(host(second), expected)


# --- grad and backward -------------------------------------------------------------------------


def test_grad_takes_torchs_arguments(device):
    x = tl.tensor([1.0, 2.0], device=device, requires_grad=True)
    unused = tl.ones(3, device=device, requires_grad=True)
    y = x**3
    (d,) = tl.autograd.grad(y, x, tl.ones(2, device=device), True, True)
    assert d.requires_grad
    assert tl.grad(y.sum(), [x, unused], retain_graph=True, allow_unused=True)[1] is None
    _, zeros = tl.grad(y.sum(), [x, unused], retain_graph=True, materialize_grads=True)
    assert zeros.tolist() == [0, 0, 0]
    named = tl.grad(y.sum(), {"x": x}, retain_graph=True)
    assert named["x"].tolist() == [3, 12]
    (rows,) = tl.grad(y, x, tl.eye(2, device=device), is_grads_batched=True, retain_graph=True)
    assert rows.tolist() == [[3, 0], [0, 12]]
    tl.grad(y.sum(), x)
    with pytest.raises(RuntimeError, match="second time"):
        tl.grad(y.sum(), x)


def test_backward_of_several_and_to_some(device):
    x, w = (tl.tensor(v, device=device, requires_grad=True) for v in ([1.0, 2.0], [3.0, 4.0]))
    h = x * w
    tl.autograd.backward([h, h.sum()], [tl.ones(2, device=device), None])
    assert (x.grad.tolist(), w.grad.tolist()) == ([6, 8], [2, 4])
    x.grad = w.grad = None
    h = x * w
    (h * h).sum().backward(inputs=[x, h])
    assert (x.grad.tolist(), h.grad.tolist()) == ([18, 64], [6, 16])
    assert w.grad is None
    with pytest.raises(RuntimeError, match="inputs is empty"):
        (x * w).sum().backward(inputs=[])


def test_a_graph_that_saved_nothing_is_walked_twice(device):
    x = tl.tensor([1.0, 2.0], device=device, requires_grad=True)
    for y in (x.sum(), (x + 1).mean(), (-x).reshape(1, 2).sum(), tl.cat([x, x]).sum(), x[0]):
        x.grad = None
        y.backward()
        once = host(x.grad).copy()
        y.backward()
        np.testing.assert_array_equal(host(x.grad), 2 * once)
    for y in ((x * x).sum(), x.exp().sum(), (x.exp() + 1).sum()):
        y.backward()
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()


def test_hooks_return_handles(device):
    x = tl.tensor([1.0], device=device, requires_grad=True)

    def double(g):
        return g * 2

    first, second = x.register_hook(double), x.register_hook(double)
    assert tl.grad(x.sum(), x)[0].tolist() == [4]
    first.remove()
    first.remove()
    assert tl.grad(x.sum(), x)[0].tolist() == [2]
    with second:
        pass
    (x * 1).sum().backward()
    assert x.grad.tolist() == [1]


def test_hooks_after_the_gradient(device):
    x = tl.tensor([1.0, 2.0], device=device, requires_grad=True)
    seen = []

    def step(leaf):
        seen.append(leaf.grad.tolist())
        leaf.grad = None

    handle = x.register_post_accumulate_grad_hook(step)
    x.register_hook(lambda g: g * 10)
    (x * 2 + x).sum().backward()
    assert seen == [[30, 30]]
    assert x.grad is None
    handle.remove()
    x.sum().backward()
    assert (len(seen), x.grad.tolist()) == (1, [10, 10])
    with pytest.raises(RuntimeError, match="for leaves"):
        (x * 2).register_post_accumulate_grad_hook(step)


# --- checks ------------------------------------------------------------------------------------


class Wrong(tl.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (2 * x + 0.01)


def test_gradcheck(device):
    draw = np.random.default_rng(0)
    x, w = (
        tl.tensor(draw.normal(size=s), device=device, requires_grad=True) for s in ((2, 3), (3, 2))
    )
    assert tl.autograd.gradcheck(lambda x, w: ((x @ w).tanh(), x.sum()), (x, w))
    assert tl.autograd.gradgradcheck(lambda x, w: (x @ w).tanh(), (x, w), atol=1e-4)
    with pytest.raises(tl.autograd.GradcheckError, match="derivative of output 0 by input 0"):
        tl.autograd.gradcheck(Wrong.apply, x)
    assert not tl.autograd.gradcheck(Wrong.apply, x, raise_exception=False)
    with pytest.raises(ValueError, match="no input"):
        tl.autograd.gradcheck(lambda x: x, x.detach())


def test_anomalies_in_gradients_name_the_line(device):
    x = tl.tensor([0.0, 1.0], device=device, requires_grad=True)
    bad = tl.tensor([np.nan, 1.0], device=device)

    with tl.autograd.detect_anomaly():
        y = (x * bad).sum()  # NaN in the forward pass is none of its business
        with pytest.raises(RuntimeError, match=r"gradient of mul.*test_autograd\.py:\d+ is NaN"):
            y.backward()
    tl.autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(RuntimeError, match="is NaN"):
            (x * bad).sum().backward()
    finally:
        tl.autograd.set_detect_anomaly(False)
    (x * bad).sum().backward()


def test_variable(device):
    x = tl.tensor([1.0], device=device)
    assert tl.autograd.Variable(x, requires_grad=True).requires_grad
    assert not tl.autograd.Variable(x).requires_grad


def test_grad_of_nothing_is_refused(device) -> None:
    with pytest.raises(ValueError, match="for 0 outputs"):
        tl.grad([], [tl.ones(2, device=device, requires_grad=True)])


@pytest.mark.parametrize("compiled", [True, False])
def test_a_rule_that_fails_says_whose_it_is(compiled, device):
    @tl.primitive
    def broken(xp, x, y):
        return x * y

    def rule(g, y):
        raise ValueError("no such thing")

    broken.defvjp(x=rule)
    x = tl.ones(2, 3, device=device, requires_grad=True)
    z = broken(x * 2, tl.ones(3, device=device)).sum()
    with pytest.raises(ValueError, match="no such thing") as found:
        z.backward() if compiled else tl.grad(z, x)
    (note,) = found.value.__notes__
    assert note.startswith("raised in the gradient of broken")
    assert "output is float32 (2, 3), by inputs float32 (2, 3)" in note
    if compiled:  # grad() calls the rules it needs one by one
        lines = "".join(traceback.format_exception(found.value))
        assert "<tensorlite: the gradient of broken>" in lines
        assert "rule0(g" in lines  # the text itself
