"""What a backward pass tells of the leaves' gradients, by the compiled walk and in Python."""

from __future__ import annotations

import pytest

import tensorlite as tl
from tensorlite import backward as engine
from tensorlite.arrivals import Arrivals, merged
from tensorlite.backend import array_backend
from tensorlite.tape import mode


@pytest.fixture(params=["walk", "propagate"])
def watched(request, monkeypatch, device):
    """Run backward, and return the numbers of the buckets in the order in which they were full."""
    walks = hasattr(array_backend((tl.zeros(1, device=device).array,)).kernels, "walk")
    if request.param == "walk" and not walks:
        pytest.skip("the walk is compiled with the kernels")

    def run(loss, told):
        special = request.param == "propagate" or mode.switches.special
        monkeypatch.setattr(mode.switches, "special", special)
        monkeypatch.setattr(engine, "listener", lambda root: told)
        loss.backward()

    return run


def leaves(device, count=3):
    return [tl.full((3,), float(i + 1), device=device, requires_grad=True) for i in range(count)]


def test_buckets_are_full_in_the_order_of_the_walk(watched, device):
    a, b, c = leaves(device)
    order = []

    def filled(number):
        order.append((number, [leaf.grad is not None for leaf in (a, b, c)]))

    told = Arrivals({a: (0,), b: (0, 1), c: (2,)}, (2, 2, 1), filled)
    watched((((a * b).exp() * c) * b).sum(), told)  # b is there when a is; bucket 1 wants another
    assert order == [(2, [False, True, True]), (0, [True, True, True])]


def test_a_leaf_is_there_after_its_last_use(watched, device):
    a, b, c = leaves(device)
    grads = []
    told = Arrivals({a: (0,)}, (1,), lambda _: grads.append(a.grad.tolist()))
    watched(((a * a + b) * a * c).sum(), told)
    expected = a.grad.tolist()
    assert grads == [expected]


def test_leaves_with_hooks_and_without_gradients_fill_nothing(watched, device):
    a, b, c = leaves(device)
    order = []
    a.register_hook(lambda g: None)
    told = Arrivals({a: (0,), b: (1,), c: (2,)}, (1, 1, 1), order.append)
    watched((a * b).sum(), told)
    assert order == [1]


def test_what_is_told_may_raise(watched, device):
    (a,) = leaves(device, 1)

    def filled(number):
        raise ValueError("not now")

    with pytest.raises(ValueError, match="not now"):
        watched((a * 2).sum(), Arrivals({a: (0,)}, (1,), filled))


def test_several_are_told_apart(watched, device):
    a, b, c = leaves(device)
    first, second = [], []
    told = merged(
        [
            Arrivals({a: (0,), b: (1,)}, (1, 1), first.append),
            Arrivals({b: (0,), c: (0,)}, (2,), second.append),
        ]
    )
    watched(((a * b).exp() * c).sum(), told)
    assert (sorted(first), second) == ([0, 1], [0])


def test_many_nodes_are_counted_once_each(watched, device):
    (a,) = leaves(device, 1)
    y, times = a, []
    for _ in range(30):
        y = y + y  # 2³⁰ ways down
    told = Arrivals({a: (0,)}, (1,), times.append)
    watched(y.sum(), told)
    assert times == [0]
