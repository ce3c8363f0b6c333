"""Anomaly detection and the audit of saved memory."""

import numpy as np
import pytest

import tensorlite as tl


def test_the_first_nan_is_named_with_the_users_line(device):
    x = tl.tensor(np.array([1.0, -1.0]), device=device, requires_grad=True)
    with (
        np.errstate(all="ignore"),
        tl.debug.detect_anomaly(),
        pytest.raises(FloatingPointError, match=r"log at .*test_debug\.py:\d+: the first NaN"),
    ):
        x.log().sum()


def test_a_nan_born_in_backward_is_named(device):
    @tl.primitive
    def fragile(xp, x):
        return xp.zeros_like(x)

    fragile.defvjp(x=lambda g, x: g * x / (x - x))
    x = tl.tensor(np.ones(2), device=device, requires_grad=True)
    with np.errstate(all="ignore"), tl.debug.detect_anomaly():
        loss = fragile(x).sum()
        with pytest.raises(
            FloatingPointError, match=r"the gradient of fragile at .*test_debug\.py"
        ):
            loss.backward()


def test_anomaly_detection_ends_with_its_block(device):
    with tl.debug.detect_anomaly():
        pass
    with np.errstate(all="ignore"):
        assert not np.isfinite(tl.tensor(0.0, device=device).log().item())


def test_saved_memory_counts_bytes_by_operation_and_line(device):
    x = tl.tensor(np.ones(100), device=device, requires_grad=True)
    with tl.debug.trace_lines():
        loss = (x.exp() * x).sum()
    memory = tl.debug.saved_memory(loss)
    assert memory.nbytes == 1600  # the output of exp, which mul saves too, and x
    assert {row.op for row in memory} == {"exp", "mul"}
    assert all("test_debug.py" in row.source for row in memory)
    assert "1,600 bytes" in repr(memory)
    loss.backward()
    assert tl.debug.saved_memory(loss).nbytes == 0
