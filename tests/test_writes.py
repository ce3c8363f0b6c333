"""The log of writes in place: exact however many there are."""

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import tape
from tensorlite.writes import WriteLog


@pytest.mark.parametrize("every", [1, 100])
def test_the_log_is_what_an_array_of_times_says(every):
    rng = np.random.default_rng(0)
    log, times = WriteLog(), np.full(300, -1)
    for when in range(3000):
        low, length = rng.integers(0, 280), rng.integers(0, 20)
        log.note((int(low), int(low + length)), when)
        times[low : low + length] = when
        low, length = rng.integers(0, 280), rng.integers(1, 20)
        if when % every == 0:
            assert log.last(int(low), int(low + length)) == times[low : low + length].max()
    assert len(log) <= 300


def test_writing_the_same_memory_again_takes_no_room():
    log = WriteLog()
    for when in range(100):
        log.note((0, 8), when)
        log.note((16, 24), when)
    assert len(log) == 2


def test_an_average_of_many_parameters_between_forward_and_backward(device):
    parameters = [tl.ones(2, device=device, requires_grad=True) for _ in range(4200)]
    average = [p.detach().clone() for p in parameters]
    loss = sum((p * p).sum() for p in parameters)
    for mean, p in zip(average, parameters, strict=True):
        with tl.no_grad():
            mean[:] = mean * 0.9 + p.detach() * 0.1
    loss.backward()
    assert all(p.grad.tolist() == [2, 2] for p in parameters)


def test_fresh_masks_between_forward_and_backward(device):
    weight = tl.ones(3, device=device, requires_grad=True)
    kept = []  # or the memory of the last would be used again
    for _ in range(4200):
        loss = (weight * weight).sum()
        mask = tl.ones(3, device=device)
        mask[0] = 0
        kept.append(mask)
        loss.backward()
    assert weight.grad.tolist() == [8400] * 3


@pytest.mark.parametrize("others", [0, 10, 5000])
def test_a_real_write_is_noticed_among_any_number_of_others(others, device):
    x = tl.ones(4, device=device, requires_grad=True)
    y = x * 3
    z = (y * y).sum()
    row = y.detach()
    row[1] = 7
    for _ in range(others):
        other = tl.zeros(2, device=device)
        other[0] = 1
    with pytest.raises(RuntimeError, match="changed in place"):
        z.backward()


def test_a_write_before_the_forward_pass_is_no_matter(device):
    x = tl.ones(4, device=device, requires_grad=True)
    with tl.no_grad():
        x[1] = 7
    assert tape.last_write() > 0
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 14, 2, 2]
