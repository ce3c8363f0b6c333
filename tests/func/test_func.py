"""tl.func: functions of functions, in any nesting."""

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import func, nn


def host(tensor):
    return tensor.detach().to("cpu").numpy()


@pytest.fixture
def x(device):
    return tl.tensor(np.array([0.5, -1.0, 2.0]), device=device)


def test_grad_nests(x):
    d = [tl.sin]
    for _ in range(3):
        d.append(func.grad(d[-1]))
    at = x[0]
    values = [float(f(at)) for f in d]
    np.testing.assert_allclose(values, [np.sin(0.5), np.cos(0.5), -np.sin(0.5), -np.cos(0.5)])
    assert not d[1](at).requires_grad


def test_arguments_values_and_more(x):
    def f(a, b, scale=1.0):
        return (a["w"] * b).sum() * scale, {"a": a["w"] * 2}

    (da, db), (value, aux) = func.grad_and_value(f, argnums=(0, 1), has_aux=True)(
        {"w": x}, x * 2, scale=3.0
    )
    np.testing.assert_allclose(host(da["w"]), host(x) * 6)
    np.testing.assert_allclose(host(db), host(x) * 3)
    np.testing.assert_allclose(float(value), 6 * (host(x) ** 2).sum())
    assert not (value.requires_grad or aux["a"].requires_grad)
    d, aux = func.grad(f, argnums=-1, has_aux=True)({"w": x}, x)
    np.testing.assert_allclose(host(d), host(x))


def test_it_works_beside_backward(x):
    w = x.detach().requires_grad_()
    func.grad(lambda a: (a**3).sum())(w).sum().backward()
    np.testing.assert_allclose(host(w.grad), 6 * host(x))
    c = x.detach().requires_grad_()
    d = func.grad(lambda a: (a * a * c).sum())(w)  # by what it closes over, too
    np.testing.assert_allclose(host(tl.grad(d.sum(), w)[0]), 2 * host(x))


@pytest.mark.parametrize("jacobian", [func.jacrev, func.jacfwd])
def test_jacobians(x, jacobian):
    np.testing.assert_allclose(host(jacobian(tl.sin)(x)), np.diag(np.cos(host(x))))
    found = jacobian(lambda a, b: {"p": a * b, "s": b.sum()}, argnums=(0, 1))(x, x * 2)
    np.testing.assert_allclose(host(found["p"][0]), np.diag(2 * host(x)))
    np.testing.assert_allclose(host(found["p"][1]), np.diag(host(x)))
    assert not host(found["s"][0]).any()
    np.testing.assert_allclose(host(found["s"][1]), np.ones(3))
    d, aux = jacobian(lambda a: (a * a, a.sum()), has_aux=True)(x)
    np.testing.assert_allclose(host(d), np.diag(2 * host(x)))
    np.testing.assert_allclose(float(aux), host(x).sum())
    assert jacobian(lambda a: a[:0])(x).shape == (0, 3)


def test_hessian(x):
    matrix = np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 4]])
    m = tl.tensor(matrix, device=x.device)
    np.testing.assert_allclose(host(func.hessian(lambda a: a @ m @ a)(x)), 2 * matrix)
    third = func.jacrev(func.hessian(lambda a: (a**3).sum()))(x)
    expected = np.zeros((3, 3, 3))
    expected[range(3), range(3), range(3)] = 6
    np.testing.assert_allclose(host(third), expected)


def test_products_with_jacobians(x):
    value, pull = func.vjp(lambda a, b: {"y": a * b}, x, x * 2)
    np.testing.assert_allclose(host(value["y"]), 2 * host(x) ** 2)
    for scale in (1.0, 2.0):  # as often as wanted
        da, db = pull({"y": tl.ones_like(x) * scale})
        np.testing.assert_allclose(host(da), 2 * host(x) * scale)
        np.testing.assert_allclose(host(db), host(x) * scale)
    with pytest.raises(RuntimeError, match="not the form of the output"):
        pull(x)
    value, push = func.jvp(lambda a: a**3, (x,), (tl.ones_like(x),))
    np.testing.assert_allclose(host(push), 3 * host(x) ** 2)
    value, push = func.linearize(lambda a: a**3, x)
    for scale in (1.0, 2.0):
        np.testing.assert_allclose(host(push(tl.ones_like(x) * scale)), 3 * scale * host(x) ** 2)
    _, second = func.jvp(func.grad(lambda a: (a**3).sum()), (x,), (tl.ones_like(x),))
    np.testing.assert_allclose(host(second), 6 * host(x))


def test_vmap(device):
    a = tl.tensor(np.arange(12.0).reshape(3, 4), device=device)
    b = tl.tensor(np.arange(4.0), device=device)
    dot = func.vmap(lambda p, q: p @ q, in_dims=(0, None))
    np.testing.assert_allclose(host(dot(a, b)), host(a) @ host(b))
    columns = func.vmap(lambda p: {"s": p.sum(), "p": p * 2}, 1, {"s": 0, "p": 1})(a)
    np.testing.assert_allclose(host(columns["s"]), host(a).sum(0))
    np.testing.assert_allclose(host(columns["p"]), 2 * host(a))
    nested = func.vmap(func.vmap(lambda p, q: p * q, (0, None)), (None, 0))(b, b)
    np.testing.assert_allclose(host(nested), np.outer(host(b), host(b)))
    each = func.vmap(func.grad(lambda p, q: (p * q).sum() ** 2), (0, None))(a, b)
    expected = 2 * (host(a) @ host(b))[:, None] * host(b)
    np.testing.assert_allclose(host(each), expected)
    w = b.detach().requires_grad_()
    func.vmap(lambda p: (p * w).sum())(a).sum().backward()
    np.testing.assert_allclose(host(w.grad), host(a).sum(0))
    np.testing.assert_allclose(
        host(func.vmap(lambda d: d["x"] * 2, in_dims=({"x": 0},))({"x": a})), 2 * host(a)
    )


def test_vmap_and_random_numbers(device):
    zeros = tl.zeros((3, 2), device=device)

    def noisy(p):
        return p + tl.rand(2, device=device)

    with pytest.raises(RuntimeError, match="randomness='different'"):
        func.vmap(noisy)(zeros)
    rows = host(func.vmap(noisy, randomness="different")(zeros))
    assert len(np.unique(rows)) == 6
    rows = host(func.vmap(noisy, randomness="same")(zeros))
    assert (rows == rows[0]).all()
    assert len(np.unique(rows)) == 2


def test_functional_call(device):
    tl.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(device)
    x = tl.tensor(np.arange(12.0, dtype=np.float32).reshape(4, 3), device=device)
    before = {name: host(t).copy() for name, t in model.state_dict().items()}
    params = {name: t.detach() * 2 for name, t in model.named_parameters()}
    buffers = {name: t.clone() for name, t in model.named_buffers()}

    def loss(params):
        return (func.functional_call(model, (params, buffers), (x,)) ** 2).mean()

    slopes = func.grad(loss)(params)
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(device)
    other.load_state_dict({**{n: t * 2 for n, t in model.named_parameters()}, **buffers})
    (other(x) ** 2).mean().backward()
    for name, parameter in other.named_parameters():
        np.testing.assert_allclose(host(slopes[name]), host(parameter.grad), rtol=1e-4, atol=1e-6)
    for name, t in model.state_dict().items():  # the module is as it was
        np.testing.assert_array_equal(host(t), before[name])
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())
    with pytest.raises(RuntimeError, match=r"has no \['7.weight'\]"):
        func.functional_call(model, {"7.weight": x}, x)
    with pytest.raises(RuntimeError, match=r"not given: .*running_var"):
        func.functional_call(model, params, x, strict=True)


def test_tied_parameters_and_ensembles(device):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            self.b = nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    model = Tied().to(device)
    x, two = tl.ones((1, 2), device=device), tl.eye(2, device=device) * 2
    assert func.functional_call(model, {"a.weight": two}, x).tolist() == [[4, 4]]
    models = [nn.Linear(2, 2).to(device) for _ in range(3)]
    params, buffers = func.stack_module_state(models)
    assert (params["weight"].shape, buffers) == ((3, 2, 2), {})
    together = func.vmap(lambda p: func.functional_call(models[0], p, x))(params)
    for row, each in zip(host(together), models, strict=True):
        np.testing.assert_allclose(row, host(each(x)), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: func.grad(lambda a: a)(x), r"without axes, not one of shape \(3,\)"),
        (lambda x: func.grad(lambda a: 3)(x), "returns a int"),
        (lambda x: func.grad(tl.sum, argnums=2)(x), "argnums 2 of 1"),
        (lambda x: func.grad(tl.sum)(x.long()), "int64 has no derivative"),
        (lambda x: func.jacrev(lambda a: "y")(x), "returns a str"),
        (lambda x: func.jvp(tl.sin, (x,), (x[:2],)), "a tangent of shape"),
        (lambda x: func.grad(lambda a: a.sum(), has_aux=True)(x), "pair"),
    ],
)
def test_wrong_calls_are_named(x, call, message):
    with pytest.raises(RuntimeError, match=message):
        call(x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: func.vmap(tl.sin, in_dims=2)(x), "in_dims 2 of an argument"),
        (lambda x: func.vmap(tl.add)(x, x[:2]), r"batches of one size, got \[2, 3\]"),
        (lambda x: func.vmap(tl.add, (0, 0, 0))(x, x), "has not the form"),
        (lambda x: func.vmap(tl.sin)(x[:0]), "no samples"),
        (lambda x: func.vmap(lambda a: 3)(x), "must return Tensors"),
    ],
)
def test_wrong_batches_are_named(x, call, message):
    with pytest.raises(ValueError, match=message):
        call(x)
