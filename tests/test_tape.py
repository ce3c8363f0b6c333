"""The tape: accumulation, reuse, hooks, order, higher derivatives, safety, memory."""

import contextlib
import gc
import threading
import weakref

import numpy as np
import pytest

import tensorlite as tl


def leaf(values, device="cpu", dtype=np.float64):
    return tl.tensor(np.asarray(values, dtype), device=device, requires_grad=True)


def host(tensor):
    return tensor.detach().to("cpu").numpy()


def test_gradients_accumulate_over_uses_and_calls(device):
    x = leaf([1.0, 2.0], device)
    (x * x + 3 * x).sum().backward()
    np.testing.assert_allclose(host(x.grad), [5, 7])
    (x * 2).sum().backward()
    np.testing.assert_allclose(host(x.grad), [7, 9])


def test_broadcast_inputs_get_gradients_of_their_shape_and_dtype(device):
    a = leaf(np.ones((2, 1, 3)), device, np.float32)
    b = leaf(np.ones((4, 1)), device)
    (a * b).sum().backward()
    assert a.grad.shape == (2, 1, 3)
    assert a.grad.dtype == np.float32
    assert b.grad.shape == (4, 1)
    np.testing.assert_array_equal(host(a.grad), np.full((2, 1, 3), 4.0))
    np.testing.assert_array_equal(host(b.grad), np.full((4, 1), 6.0))


def test_a_long_chain_needs_no_recursion(device):
    x = leaf(1.0, device)
    y = x
    for _ in range(20_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1.0


def test_an_input_without_gradient_costs_no_rule():
    ran = []

    @tl.primitive
    def product(xp, a, b):
        return a * b

    product.defvjp(
        a=lambda g, b: ran.append("a") or g * b,
        b=lambda g, a: ran.append("b") or g * a,
    )
    product(leaf(2.0), tl.tensor(3.0)).backward()
    assert ran == ["a"]


def test_a_second_backward_says_what_to_do(device):
    x = leaf(2.0, device)
    y = x * x
    y.backward()
    with pytest.raises(
        RuntimeError, match=r"mul: backward through this graph a second time.*retain_graph=True"
    ):
        y.backward()
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12.0


def test_backward_needs_a_history_and_a_single_number(device):
    with pytest.raises(RuntimeError, match="no history"):
        tl.ones(3, device=device).sum().backward()
    x = leaf([1.0, 2.0], device)
    with pytest.raises(RuntimeError, match=r"shape \(2,\).*loss.mean"):
        (x * x).backward()
    with pytest.raises(ValueError, match=r"gradient's shape \(3,\)"):
        (x * x).backward(tl.ones(3, device=device))


def test_no_grad_and_enable_grad(device):
    x = leaf(2.0, device)
    with tl.no_grad():
        assert not (x * x).requires_grad
        with tl.enable_grad():
            assert (x * x).requires_grad
        assert not tl.is_grad_enabled()

    @tl.no_grad()
    def double(t):
        return t * 2

    assert not double(x).requires_grad
    assert tl.is_grad_enabled()


def test_grad_mode_belongs_to_the_thread():
    seen = []
    with tl.no_grad():
        thread = threading.Thread(target=lambda: seen.append(tl.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_grad_of_leaves_and_intermediate_results_leaves_grad_alone(device):
    x = leaf(3.0, device)
    y = x * x
    z = y * y
    dy, dx = tl.grad(z, [y, x])
    assert (dy.item(), dx.item()) == (18.0, 108.0)
    assert x.grad is None


def test_grad_of_an_unused_input(device):
    x, unused = leaf(3.0, device), leaf(1.0, device)
    with pytest.raises(RuntimeError, match=r"do not depend on input 1.*allow_unused"):
        tl.grad(x * x, [x, unused], retain_graph=True)
    assert tl.grad(x * x, [x, unused], allow_unused=True)[1] is None


def test_grad_visits_only_what_leads_to_the_inputs(device):
    ran = []
    x, w = leaf(3.0, device), leaf(1.0, device)
    side = w * w
    side.register_hook(lambda g: ran.append("side"))
    assert tl.grad(x * x + side * 0, x)[0].item() == 6.0


@pytest.mark.parametrize("order", range(1, 6))
def test_higher_orders(order, device):
    x = leaf(0.7, device)
    y = tl.exp(x * 2.0)
    for _ in range(order):
        (y,) = tl.grad(y, x, create_graph=True)
    assert y.item() == pytest.approx(2.0**order * np.exp(1.4))


def test_backward_with_create_graph(device):
    x = leaf([1.0, 2.0], device)
    (x**3).sum().backward(create_graph=True)
    (second,) = tl.grad(x.grad.sum(), x)
    np.testing.assert_allclose(host(second), [6, 12])


def test_hooks_change_gradients_and_go_away(device):
    x = leaf([1.0, 2.0], device)
    y = x * 3
    handle = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    y.sum().backward()
    np.testing.assert_array_equal(host(x.grad), [31, 31])
    handle.remove()
    handle.remove()
    x.grad = None
    (y := x * 3).sum().backward()
    np.testing.assert_array_equal(host(x.grad), [4, 4])


def test_a_hook_on_a_leaf_sees_the_total_once(device):
    seen = []
    x = leaf(1.0, device)
    x.register_hook(lambda g: seen.append(g.item()))
    (x * 2 + x * 3).backward()
    assert seen == [5.0]


def test_retain_grad(device):
    x = leaf(2.0, device)
    y = x * x
    y.retain_grad()
    (y * 3).backward()
    assert y.grad.item() == 3.0


def test_several_outputs(device):
    x = leaf(np.arange(6.0), device)
    a, b, c = tl.chunk(x, 3)
    (a.sum() + (c * c).sum()).backward()
    np.testing.assert_array_equal(host(x.grad), [1, 1, 0, 0, 8, 10])
    del b


def test_the_compiled_walk_gives_the_gradients_of_the_other():
    """Anomaly detection wants to see every gradient, for which backward walks in Python."""

    def gradients(how) -> list[np.ndarray]:
        generator = np.random.default_rng(3)
        x, y, w = (leaf(generator.normal(size=size)) for size in ((4, 6), (6,), (3, 6)))
        short = leaf(generator.normal(size=6), dtype=np.float32)
        bias = leaf(generator.normal(size=3))
        update = tl.optim.SGD([w, bias])
        with how:
            h = x * y + x.exp() * short  # broadcast, used twice, cast
            a, b, _ = tl.split(h, 2, dim=1)
            c = tl.nn.functional.linear(h, w, bias)
            h.register_hook(lambda g: g * 2)
            y.register_hook(lambda g: g + 1)
            labels = tl.tensor([0, 1, 2, 0])
            loss = tl.nn.functional.cross_entropy(c, labels) + (a * b).sum() + (a * a).mean()
            loss.backward(retain_graph=True)
            (loss * 0.5).backward()
        assert w.grad is w.grad_buffer
        assert update.param_groups[0]["params"][0] is w
        return [host(t.grad) for t in (x, y, w, short, bias)]

    pairs = zip(
        gradients(contextlib.nullcontext()), gradients(tl.debug.detect_anomaly()), strict=True
    )
    for one, other in pairs:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("how", [contextlib.nullcontext, tl.debug.detect_anomaly])
def test_a_rule_that_fails_keeps_nothing_alive(how):
    @tl.primitive
    def fails(xp, x1, x2):
        return x1 + x2

    @fails.defvjp_joint
    def rule(g, needs, x1, x2):
        return (g,) if x1[0] > 0 else 1 / 0

    for value, error in ((1.0, ValueError), (-1.0, ZeroDivisionError)):
        x, y = leaf([value]), leaf([1.0])
        saved = x * 3
        alive = weakref.ref(saved.array)
        z = fails(saved, y).exp()
        with how(), pytest.raises(error):
            z.backward()
        del saved, z
        gc.collect()
        assert alive() is None
        assert x.grad is None


def test_an_overwritten_saved_array_is_refused(device):
    w = leaf([1.0, 2.0], device)
    loss = (w * w).sum()
    with tl.no_grad():
        w -= 0.1
    with pytest.raises(
        RuntimeError,
        match=r"mul: the array saved as 'x[12]' \(shape \(2,\), float64\) was changed in place",
    ):
        loss.backward()


def test_overwriting_what_is_not_saved_is_fine(device):
    w, v = leaf([1.0, 2.0], device), leaf([1.0, 1.0], device)
    loss = (w * w).sum()
    with tl.no_grad():
        v -= 0.1
    loss.backward()
    np.testing.assert_array_equal(host(w.grad), [2, 4])


def test_memory_goes_with_the_graph_and_not_later():
    gc.disable()
    try:
        x = leaf(np.ones(1000))
        y = x
        alive = []
        for _ in range(10):
            y = (y * 1.5).tanh()
            alive.append(weakref.ref(y.node.saved[0]) if y.node.saved else None)
        loss = y.sum()
        loss.backward()
        del y, loss
        assert not any(ref() is not None for ref in alive if ref)
    finally:
        gc.enable()


def test_saved_arrays_are_freed_as_nodes_are_used():
    x = leaf(np.ones(10))
    y = x.exp()
    z = y.exp()
    z.sum().backward()
    assert y.node.saved is None
    assert z.node.saved is None


def test_a_rule_that_asks_for_something_unknown_is_refused_where_it_is_defined():
    @tl.primitive
    def twice(xp, x, *, times=2):
        return x * times

    with pytest.raises(TypeError, match="twice: a rule asks for 'z'"):
        twice.defvjp(x=lambda g, z: g)
    with pytest.raises(TypeError, match="no input 'q'"):
        twice.defvjp(q=lambda g: g)


def test_a_primitive_of_ones_own(device):
    @tl.primitive
    def scaled_square(xp, x, *, scale=1.0):
        return scale * xp.square(x)

    scaled_square.defvjp(x=lambda g, x, scale: g * (2 * scale) * x)
    x = leaf([1.0, 2.0], device)
    tl.testing.gradcheck(lambda t: scaled_square(t, scale=3.0), [x], order=2)
    raw = scaled_square(x.array, 2.0)
    assert type(raw) is type(x.array)


def test_errors_name_the_operation_and_the_inputs(device):
    a, b = tl.ones((2, 3), device=device), tl.ones(4, device=device)
    with pytest.raises(ValueError, match=r"add: .*inputs: float32 \(2, 3\), float32 \(4,\)"):
        a + b


def test_a_hook_gets_a_tensor_of_a_gradient_without_axes(device):
    x = tl.tensor(3.0, requires_grad=True, device=device)
    x.register_hook(lambda gradient: gradient * 2)
    (x * x).backward()
    assert x.grad.item() == 12
