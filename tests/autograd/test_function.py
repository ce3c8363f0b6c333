"""tl.autograd.Function: rules of one's own."""

import gc
import weakref

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.autograd import Function, once_differentiable


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


class Affine(Function):
    """Several inputs, one of them no Tensor; `setup_context`."""

    @staticmethod
    def forward(x, w, scale, b):
        return (x @ w) * scale + b

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, w, ctx.scale, _ = inputs
        ctx.save_for_backward(x, w)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        ctx.seen = ctx.needs_input_grad
        dx = g @ w.mT * ctx.scale if ctx.needs_input_grad[0] else None
        dw = x.mT @ g * ctx.scale if ctx.needs_input_grad[1] else None
        return dx, dw, None, g  # the bias's is summed down to its shape


class SinCos(Function):
    """Several outputs."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin(), x.cos()

    @staticmethod
    def backward(ctx, ds, dc):
        (x,) = ctx.saved_tensors
        return ds * x.cos() - dc * x.sin()


def leaf(values, device):
    return tl.tensor(values, device=device, requires_grad=True)


def host(tensor):
    return tensor.detach().to("cpu").numpy()


@pytest.mark.parametrize(
    ("function", "same"),
    [(Cube, lambda x: x**3), (Exp, tl.exp), (SinCos, lambda x: (tl.sin(x), tl.cos(x)))],
)
def test_derivatives_of_every_order(device, function, same):
    def value(fn, x):
        y = fn(x)
        return (y[0] * y[1] * 2 + y[1] if isinstance(y, tuple) else y * y).sum()

    derivatives = []
    for fn in (function.apply, same):
        x = leaf(np.array([0.3, -0.7, 1.1]), device)
        d = value(fn, x)
        row = [host(d)]
        for _ in range(3):
            (d,) = tl.grad(d.sum(), x, create_graph=True)
            row.append(host(d))
        derivatives.append(row)
    for a, b in zip(*derivatives, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_gradcheck_agrees(device):
    draw = np.random.default_rng(0)
    x, w, b = (leaf(draw.normal(size=s), device) for s in ((2, 3), (3, 4), (4,)))
    tl.testing.gradcheck(lambda x, w, b: Affine.apply(x, w, 1.5, b), [x, w, b], order=2)
    tl.testing.gradcheck(Cube.apply, [x], order=2)
    tl.testing.gradcheck(SinCos.apply, [x], order=2)


def test_only_wanted_gradients_are_asked_for(device):
    x, w, b = (
        tl.ones(s, device=device, requires_grad=r)
        for s, r in (((2, 3), False), ((3, 4), True), ((4,), True))
    )
    y = Affine.apply(x, w, 2.0, b)
    assert y.requires_grad
    y.sum().backward()
    assert w.grad.tolist() == [[4.0] * 4] * 3
    assert b.grad.tolist() == [2.0] * 4
    assert x.grad is None


def test_without_gradients_nothing_is_recorded(device):
    assert not Cube.apply(tl.ones(2, device=device)).requires_grad
    with tl.no_grad():
        assert not Cube.apply(leaf([1.0], device)).requires_grad


def test_outputs_that_nobody_used_and_marked_ones(device):
    seen = []

    class Split(Function):
        @staticmethod
        def forward(ctx, x, materialize):
            ctx.set_materialize_grads(materialize)
            order = x.argsort()
            first, second, third = x * 1, x * 2, x * 3
            ctx.mark_non_differentiable(third)
            return first, second, third, order, "text"

        @staticmethod
        def backward(ctx, *gs):
            seen.append([None if g is None else g.tolist() for g in gs])
            return gs[0] * 1 if gs[0] is not None else None, None

    x = leaf([2.0, 1.0], device)
    for materialize in (True, False):
        first, second, third, order, text = Split.apply(x, materialize)
        assert (first.requires_grad, second.requires_grad) == (True, True)
        assert not (third.requires_grad or order.requires_grad)
        assert text == "text"
        first.sum().backward()
    zeros = [0.0, 0.0]
    assert seen == [
        [[1.0, 1.0], zeros, zeros, [0, 0], None],
        [[1.0, 1.0], None, None, None, None],
    ]


def test_saved_tensors_that_were_overwritten_are_refused(device):
    x = leaf([1.0, 2.0], device)
    y = Cube.apply(x)
    with tl.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="CubeBackward: the array saved as 'saved tensor 0'"):
        y.sum().backward()


def test_a_second_walk_is_refused(device):
    y = Cube.apply(leaf([1.0], device)).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda g: (g, g), RuntimeError, "returned 2 gradients for the 1 arguments"),
        (lambda g: (), RuntimeError, "returned 0 gradients for the 1 arguments"),
        (lambda g: 3, TypeError, "gradient 0 is a int"),
        (lambda g: tl.ones(3), RuntimeError, r"gradient 0 has the shape \(3,\).*\(2,\)"),
    ],
)
def test_wrong_gradients_are_named(returned, error, message):
    class Bad(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return returned(g)

    with pytest.raises(error, match=f"BadBackward: .*{message}"):
        Bad.apply(tl.ones(2, requires_grad=True)).sum().backward()


def test_once_differentiable(device):
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = leaf([3.0], device)
    Once.apply(x).sum().backward()
    assert x.grad.tolist() == [6]
    (d,) = tl.grad((Once.apply(x) * x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        d.sum().backward()


def test_what_is_wrong_in_forward_is_named(device):
    class Dirty(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)

    with pytest.raises(NotImplementedError, match="mark_dirty"):
        Dirty.apply(leaf([1.0], device))

    class Saves(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(3)

    with pytest.raises(TypeError, match=r"argument 0 is a int.*ctx\.name = value"):
        Saves.apply(leaf([1.0], device))
    with pytest.raises(RuntimeError, match=r"call Cube\.apply"):
        Cube()


def test_nothing_outlives_the_graph(device):
    gc.collect()
    gc.disable()
    try:
        x = leaf([1.0], device)
        y = Exp.apply(x) + SinCos.apply(x)[0]
        gone = [weakref.ref(node.plan.ctx) for node in y.node.parents[:1]]
        gone.append(weakref.ref(y.node.parents[1].parents[0].plan.ctx))
        assert all(ref() is not None for ref in gone)
        del y
        assert all(ref() is None for ref in gone)
    finally:
        gc.enable()


def test_under_autocast_and_in_modules(device):
    class Layer(tl.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = tl.nn.Parameter(tl.ones(3))

        def forward(self, x):
            return Cube.apply(x * self.weight)

    layer = Layer().to(device)
    with tl.autocast(device.type, dtype="bfloat16"):
        layer(tl.ones(3, device=device)).sum().backward()
    assert layer.weight.grad.tolist() == [3, 3, 3]
