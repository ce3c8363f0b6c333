"""Results that the caller gets as they lie in memory: each is its own, and none is copied."""

import numpy as np
import pytest

import tensorlite as tl
import tensorlite.nn.functional as F

pytestmark = pytest.mark.usefixtures("host")
SIZES = pytest.mark.parametrize("n", [4, 160])  # of which the results are copied, and handed out


def both_ways(n):
    """A function with a gradient, and what it is called with."""
    rng = np.random.default_rng(0)
    x = tl.tensor(rng.normal(size=(n, n)).astype(np.float32), requires_grad=True)
    g = tl.tensor(rng.normal(size=(n, n)).astype(np.float32))

    def step(factor):
        x.grad = None
        y = F.gelu(x * factor)
        y.backward(g)
        return {"y": y, "grad": x.grad, "views": (y[1:], y.T), "array": y.array}

    return x, step, [tl.full((1,), float(i + 1)) for i in range(7)]


def arrays(found):
    tensors = [found["y"], found["grad"], *found["views"]]
    return [*(t.detach().numpy() for t in tensors), found["array"]]


@SIZES
def test_results_stay_as_they_were(n):
    _, step, factors = both_ways(n)
    captured = tl.capture(step)
    kept = [captured(factor) for factor in factors]
    assert captured.recordings[-1].replays > 3
    for factor, found in zip(factors, kept, strict=True):
        for given, right in zip(arrays(found), arrays(step(factor)), strict=True):
            np.testing.assert_array_equal(given, right)


@SIZES
def test_a_gradient_that_is_returned_is_the_leafs(n):
    x, step, factors = both_ways(n)
    captured = tl.capture(step)
    for factor in factors:
        before = x.grad
        held = None if before is None else before.numpy().copy()
        found = captured(factor)
        np.testing.assert_array_equal(x.grad.numpy(), found["grad"].numpy())
        if before is not None:  # and the one from before stays
            np.testing.assert_array_equal(before.numpy(), held)
    assert np.shares_memory(x.grad.numpy(), found["grad"].numpy())


def test_large_results_are_not_copied():
    _, step, factors = both_ways(160)
    captured = tl.capture(step)
    found = [captured(factor) for factor in factors]
    y = found[-1]["y"]
    assert np.shares_memory(y.array, found[-1]["array"])  # as without capture
    assert not np.shares_memory(y.array, found[-2]["array"])
    assert "copy" not in [line.name for line in captured.recordings[-1].lines()]


def test_a_result_that_is_written_to_is_the_callers_alone():
    double = tl.capture(lambda x: x * 2)
    x = tl.ones(200, 200)
    for _ in range(6):
        y = double(x)
        assert y.sum().item() == 80_000
        y.zero_()


def test_gradients_that_are_added_to_and_returned():
    weight = tl.ones(200, 200, requires_grad=True)

    def add(x):
        (weight * x).sum().backward()
        return weight.grad

    add = tl.capture(add)
    kept = [add(tl.full((1,), float(i))) for i in range(8)]
    assert [t[0, 0].item() for t in kept] == [0, 1, 3, 6, 10, 15, 21, 28]
    assert weight.grad[0, 0].item() == 28


def test_what_another_object_refers_to_is_not_handed_out():
    seen = []

    def keep(x):
        y = x + 1
        seen.append(y)
        return y

    keep = tl.capture(keep)
    found = [keep(tl.full((200, 200), float(i))) for i in range(6)]
    assert [t[0, 0].item() for t in found] == [1, 2, 3, 4, 5, 6]


def test_a_constant_result_is_a_copy():
    table = tl.capture(lambda: tl.zeros(200, 200) + 3)
    for _ in range(5):
        y = table()
        assert y.sum().item() == 120_000
        y.zero_()


def test_blocks_that_are_in_use_are_not_handed_out():
    k = tl.backend.HOST.kernels
    log = k.log_open()
    with pytest.raises(ValueError, match="block 3 is not there"):
        k.log_hand_out(log, [3])
    with pytest.raises(ValueError, match="0 blocks"):
        k.log_place(log, [np.ones(3)])


@pytest.mark.parametrize(
    "shape, bias",  # flat with a rest, rows of whole cache lines and others, rows of a few elements
    [((2_100_003,), (1,)), ((2048, 1040), (1040,)), ((2048, 1035), (1035,)), ((700_000, 3), (3,))],
)
def test_large_results_of_one_kernel_have_eagers_bits(shape, bias):
    rng = np.random.default_rng(0)
    x, b = (tl.tensor(rng.normal(size=s).astype(np.float32)) for s in (shape, bias))

    def call(factor):
        y = x * factor + b
        return y, tl.tanh(y), y > 0

    captured = tl.capture(call)
    for i in range(3):
        factor = tl.full((1,), i - 0.5)
        found, right = captured(factor), call(factor)
        for one, other in zip(found, right, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert [line.name[:5] for line in captured.recordings[-1].lines()] == ["fused"]
