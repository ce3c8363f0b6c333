"""A temporary and its copy, both made by one kernel, share memory where nobody tells them apart."""

import numpy as np
import pytest

import tensorlite as tl
import tensorlite.nn.functional as F

pytestmark = pytest.mark.usefixtures("host")


def leaves(rows=6, columns=40):
    rng = np.random.default_rng(0)
    x, bias = (rng.normal(size=s).astype(np.float32) for s in ((rows, columns), (columns,)))
    x, bias = (tl.tensor(value, requires_grad=True) for value in (x, bias))
    return x, bias, tl.tensor(rng.normal(size=(rows, columns)).astype(np.float32))


def same_as_eager(step):
    """Captured calls give what eager ones give; the recording."""
    captured = tl.capture(step)
    for i in range(6):
        factor = tl.full((1,), i + 0.5)
        given = captured(factor)
        for one, other in zip(given, step(factor), strict=True):
            np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())
    (recording,) = captured.recordings
    assert recording.replays > 2
    return recording


def writes(recording):
    return [len(line.writes) for line in recording.lines() if line.name.startswith("fused")]


def both_ways(changed=None, again=False):
    x, bias, g = leaves()

    def step(factor):
        x.grad = bias.grad = None
        y = F.relu(x * 1 + bias)
        y.backward(g * factor)
        if changed is not None:
            changed(x.grad)
        sums = x.grad.exp().sum(0) if again else bias.grad
        return y, x.grad, bias.grad, sums

    return step


@pytest.mark.parametrize("shape", [(6, 40), (300, 256)])
def test_a_gradient_that_is_kept_and_added_up_is_written_once(shape):
    x, bias, g = leaves(*shape)

    def step(factor):
        x.grad = bias.grad = None
        y = F.relu(x + bias)
        y.backward(g)
        return y, x.grad, bias.grad

    recording = same_as_eager(step)
    assert writes(recording) == [2]  # y and the gradient of x, which the sum reads
    assert recording.memory[0] < 40 * x.array.nbytes


def test_what_is_changed_afterwards_is_apart():
    def halve(gradient):
        gradient.mul_(0.5)

    same_as_eager(both_ways(halve))
    same_as_eager(both_ways(halve, again=True))


def test_the_copy_may_be_read_too():
    same_as_eager(both_ways(again=True))


def test_what_python_reads_is_apart():
    x, _, g = leaves()

    def step(factor):
        x.grad = None
        y = tl.sin(x * factor)  # which NumPy computes, its gradient, too
        z = y + x * 2
        z.backward(g)
        return z, x.grad

    same_as_eager(step)


def test_calls_are_redirected_where_they_begin_in_the_memory():
    k = tl.backend.HOST.kernels
    a, b, c = np.ones(16, np.float32), np.full(16, 2, np.float32), np.zeros(8, np.float32)
    log = k.log_open()
    k.log_enter(log)
    try:
        k.copy(c, a[4:12])
    finally:
        k.log_enter(None)
    at, to = (x.__array_interface__["data"][0] for x in (a, b))
    k.log_redirect(log, at, at + a.nbytes, to)
    k.log_replay(log, 0, 1)
    assert c.tolist() == [2] * 8
    assert k.log_calls(log, 0, 1)[0][1][1][0] == to + 16
