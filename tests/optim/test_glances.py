"""What an optimizer looks at in every step: the compiled way says what Python's own does."""

import gc
import weakref

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.backend import HOST
from tensorlite.optim import SGD, Adam, glances
from tensorlite.tensor import Size


def ways(name):
    """Python's own function, and the compiled one where there is one."""
    compiled = getattr(HOST.kernels, name, None)
    return [getattr(glances, f"_{name}"), *([compiled] if compiled else [])]


def parameter(*shape):
    return tl.ones(*shape, requires_grad=True)


def test_same_objects() -> None:
    a, b = parameter(2), parameter(2)
    for same in ways("same_objects"):
        assert same([a, b], [a, b]) and same((a, b), [a, b]) and same([], [])
        assert not same([a, b], [b, a])
        assert not same([a, b], [a])
        assert not same([a], [a, b])


def test_in_place() -> None:
    a, b = parameter(2), parameter(3)
    for p in (a, b):
        p.grad = tl.zeros(*p.shape)
    watched = [(p, p.array, p.grad.array) for p in (a, b)]
    for in_place in ways("in_place"):
        assert in_place(watched) and in_place([])
        b.grad, kept = None, b.grad
        assert not in_place(watched)
        b.grad = tl.zeros(3)
        assert not in_place(watched)
        b.grad = kept
        a.array, kept = a.array.copy(), a.array
        assert not in_place(watched)
        a.array = kept
        assert in_place(watched)


def test_forget_gradients() -> None:
    for forget in ways("forget_gradients"):
        a, b = parameter(2), parameter(3)
        a.grad = tl.zeros(2)
        gone = weakref.ref(a.grad)
        forget([a, b])
        assert a.grad is None and b.grad is None
        gc.collect()
        assert gone() is None


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_what_changes_between_steps_is_seen(kind) -> None:
    """One step is launched as the one before; where something differs, it is as if anew."""
    data = [np.arange(3, dtype=np.float32) + i for i in range(2)]

    def trained(change) -> list[np.ndarray]:
        ps = [tl.tensor(d, requires_grad=True) for d in data]
        optimizer = kind(ps, lr=0.1)
        for step in range(6):
            for p in ps:
                p.grad = None
            if step == 3:
                change(optimizer, ps)
            (ps[0] * ps[0] + 2 * ps[1]).sum().backward()
            if step == 4 and change is leave_out:
                ps[1].grad = None
            optimizer.step()
        return [p.detach().numpy() for p in ps]

    def nothing(optimizer, ps) -> None:
        pass

    def leave_out(optimizer, ps) -> None:
        pass

    def other_rate(optimizer, ps) -> None:
        optimizer.param_groups[0]["lr"] = 0.05

    def other_memory(optimizer, ps) -> None:
        ps[0].data = ps[0].detach().clone()

    def held_gradient(optimizer, ps) -> None:
        (3 * ps[1]).sum().backward()
        optimizer.kept = ps[1].grad
        ps[1].grad = None

    plain = trained(nothing)
    for change in (other_memory, held_gradient):
        for x, y in zip(trained(change), plain, strict=True):
            np.testing.assert_array_equal(x, y)
    assert not np.array_equal(trained(other_rate)[0], plain[0])
    without = trained(leave_out)
    np.testing.assert_array_equal(without[0], plain[0])
    assert not np.array_equal(without[1], plain[1])


def test_kernels_that_come_and_go(monkeypatch) -> None:
    """A launch that was kept is not used where the kernels are others."""
    p, q = parameter(3), parameter(3)
    for each in (p, q):
        optimizer = SGD([each], lr=0.1)
        for step in range(4):
            if step == 2 and each is q:
                monkeypatch.setattr(HOST, "kernels", None)
            each.grad = None
            (each * each).sum().backward()
            optimizer.step()
        monkeypatch.undo()
    np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6)


def test_size_knows_its_parts() -> None:
    _ = HOST.kernels  # with them, `shape` is compiled
    shape = tl.zeros(2, 3, 4).shape
    assert type(shape) is Size and shape == (2, 3, 4) and shape.numel() == 24
    assert shape[0] == 2 and shape[-1] == 4 and shape[np.int64(1)] == 3 and shape[True] == 3
    for part in (slice(None, -1), slice(None), slice(None, None, -1), slice(5, 9)):
        assert type(shape[part]) is Size
        assert shape[part] == (2, 3, 4)[part]
    assert tl.zeros(()).shape == () and type(tl.zeros(()).shape) is Size
    with pytest.raises(IndexError):
        shape[3]
    with pytest.raises(TypeError):
        shape["0"]
    with pytest.raises(AttributeError):
        tl.zeros(2).shape = (1, 2)
