"""checkpoint: the gradients, random numbers and statistics of a run that keeps everything."""

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn


def f(x, w):
    return (x @ w).tanh()


@pytest.fixture
def point(device):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    return tuple(tl.tensor(v, device=device) for v in (x, w))


def host(tensor):
    return tensor.detach().to("cpu").numpy()


def plain(fn, *args, **kwargs):
    return fn(*args, **kwargs)


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


# --- what it uses ------------------------------------------------------------------------------


def captured(call, x, w):
    h = w * 2
    return call(lambda a: f(a, h), x)


def captured_twice(call, x, w):
    h = w * 2
    return call(lambda a: f(a, h) * h.sum() + call(lambda b: b * h.mean(), f(a, w)), x)


def in_a_list(call, x, w):
    return call(lambda parts: f(*parts), [x * 1, w])


def in_a_dictionary(call, x, w):
    return call(lambda d: f(d["x"], d["inner"]["w"]), {"x": x, "inner": {"w": w * 3}})


def by_name(call, x, w):
    return call(lambda a, *, b: f(a, b), x, b=w * 3)


def only_by_name(call, x, w):
    return call(lambda *, a, b: f(a, b), a=x, b=w)


def nothing_given(call, x, w):
    return call(lambda: f(x * 2, w))


def nested_results(call, x, w):
    out = call(lambda a: {"y": f(a, w), "more": [a * 2, (a.sum(), 3, None)]}, x)
    assert out["more"][1][1:] == (3, None)
    return out["y"].sum() + out["more"][0].sum() * out["more"][1][0]


def unused_result(call, x, w):
    return call(lambda a: (f(a, w), a * 2, a > 0), x)[0]


def result_is_an_input(call, x, w):
    same, other = call(lambda a, b: (a, f(a, b)), x * 2, w)
    return same.sum() + other.sum()


def given_twice(call, x, w):
    h = x * 2
    return call(lambda a, b: f(a, w) * f(b, w), h, h)


def own_function(call, x, w):
    class Double(tl.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    return call(lambda a: Double.apply(f(a, w)) + Double.apply(w).sum(), x)


KINDS = [
    *(captured, captured_twice, in_a_list, in_a_dictionary, by_name, only_by_name, nothing_given),
    *(nested_results, unused_result, result_is_an_input, given_twice, own_function),
]


@pytest.mark.parametrize("use", KINDS)
def test_gradients_reach_all_that_is_used(point, use):
    found = []
    for call in (plain, tl.checkpoint):
        x, w = (t.detach().requires_grad_() for t in point)
        use(call, x, w).sum().backward()
        by_grad = tl.grad(use(call, x, w).sum(), [x, w])
        found.append([host(d) for d in (x.grad, w.grad, *by_grad)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("use", KINDS)
def test_second_derivatives_reach_all_that_is_used(point, use):
    found = []
    for call in (plain, tl.checkpoint):
        x, w = (t.detach().requires_grad_() for t in point)
        dx, dw = tl.grad(use(call, x, w).sum(), [x, w], create_graph=True)
        ((dx * dx).sum() + (dw * dw).sum()).backward()
        found.append([host(x.grad), host(w.grad)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_hooks_run_once(point):
    x, w = (t.detach().requires_grad_() for t in point)
    seen = []
    h = w * 2
    for t in (x, w, h):
        t.register_hook(lambda g: seen.append(g.shape))
    tl.checkpoint(lambda a: f(a, h), x).sum().backward()
    assert sorted(seen) == [(2, 3), (3, 4), (3, 4)]


def test_what_was_written_to_is_noticed(point):
    x, w = (t.detach().requires_grad_() for t in point)
    h = w * 2
    y = tl.checkpoint(lambda a: f(a, h), x)
    h.data.array[...] = 0
    tl.tape.note_write(h.array)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_a_function_that_does_something_else_the_second_time_is_refused(point):
    x, w = (t.detach().requires_grad_() for t in point)
    h, calls = w * 2, []

    def fickle(a):
        calls.append(1)
        return f(a, w if len(calls) == 1 else h)

    with pytest.raises(RuntimeError, match="it must do the same twice"):
        tl.checkpoint(fickle, x).sum().backward()


# --- what surrounds it -------------------------------------------------------------------------


def test_random_numbers_of_every_generator(device):
    own = tl.Generator(5)

    def noisy(a):
        noise = tl.tensor(own.uniform((3,)), device=device)
        return nn.functional.dropout(a * noise, 0.5, training=True)

    for keeps in (True, False):
        tl.manual_seed(3)
        x = tl.ones(3, device=device, requires_grad=True)
        y = tl.checkpoint(noisy, x, preserve_rng_state=keeps)
        after = own.offset
        y.sum().backward()
        assert (own.offset == after) is keeps
        if keeps:
            np.testing.assert_array_equal(host(x.grad), host(y))


def test_autocast_is_that_of_the_first_run(device):
    w = tl.ones((4, 4), device=device, requires_grad=True)
    x = tl.ones((4, 4), device=device, requires_grad=True)
    seen = []

    def product(a):
        y = a @ w
        seen.append(y.dtype.name)
        return y

    with tl.autocast(device.type, dtype="bfloat16"):
        y = tl.checkpoint(product, x)
        z = x @ w  # the weights cast inside were not recorded
    (y.float() + z.float()).sum().backward()
    assert seen == ["bfloat16", "bfloat16"]
    np.testing.assert_array_equal(host(w.grad), np.full((4, 4), 8))
    seen.clear()
    y = tl.checkpoint(product, x)
    with tl.autocast(device.type, dtype="bfloat16"):
        y.sum().backward()
    assert seen == ["float32", "float32"]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.norm(x))

    def inner(self, x):
        return self(x)


@pytest.mark.parametrize(
    "how", [lambda m: m, lambda m: lambda x: m(x), lambda m: m.inner, lambda m: nn.Sequential(m)]
)
def test_modules_are_in_the_mode_of_the_first_run(device, how):
    model = Block().to(device)
    x = tl.tensor(np.arange(12.0).reshape(4, 3), device=device, requires_grad=True)
    tl.manual_seed(1)
    expected = tl.grad((model(x) ** 2).sum(), x)[0]
    before = model.state_dict()
    model = Block().to(device)
    tl.manual_seed(1)
    y = tl.checkpoint(how(model), x)
    model.eval()
    (y**2).sum().backward()
    np.testing.assert_allclose(host(x.grad), host(expected), rtol=1e-5, atol=1e-6)
    assert not model.drop.training
    for name, value in model.state_dict().items():  # statistics moved once
        np.testing.assert_allclose(host(value), host(before[name]), err_msg=name)


def test_checkpoint_sequential(device):
    tl.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(3, 3) for _ in range(5)]).to(device)
    x = tl.ones((2, 3), device=device, requires_grad=True)
    expected = tl.grad(model(x).sum(), [x, *model.parameters()])
    from tensorlite.utils.checkpoint import checkpoint_sequential

    for segments in (1, 2, 3, 5):
        y = checkpoint_sequential(model, segments, x, use_reentrant=False)
        found = tl.grad(y.sum(), [x, *model.parameters()])
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(host(a), host(b), rtol=1e-6)
    with pytest.raises(ValueError, match="6 segments of 5"):
        checkpoint_sequential(model, 6, x)


def test_it_takes_torchs_arguments(device):
    x = tl.ones(2, device=device, requires_grad=True)
    entered = []

    class Noting:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            entered.append(self.name)

        def __exit__(self, *_):
            pass

    y = tl.utils.checkpoint.checkpoint(
        lambda a, b: a * b,
        x,
        b=x,
        use_reentrant=False,
        context_fn=lambda: (Noting("first"), Noting("second")),
        determinism_check="none",
    )
    y.sum().backward()
    assert entered == ["first", "second"]
    assert x.grad.tolist() == [2, 2]
    with tl.no_grad():
        assert not tl.checkpoint(lambda a: a * 2, x).requires_grad
    assert tl.checkpoint(lambda: 3) == 3
