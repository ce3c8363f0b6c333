"""Arrays handed over by DLPack, both ways, in one memory."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tensorlite as tl

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]


class Peer:
    """Another library: how it takes an array, what it calls dtypes, and its values in NumPy."""

    def __init__(self, name: str) -> None:
        if name == "jax":
            jax = pytest.importorskip("jax")
            jax.config.update("jax_platforms", "cpu")
            jax.config.update("jax_enable_x64", True)
        self.name = name
        self.module: ModuleType = pytest.importorskip("jax.numpy" if name == "jax" else name)

    def take(self, x: Any) -> Any:
        return self.module.from_dlpack(x)

    def make(self, values: np.ndarray, dtype: str) -> Any:
        if self.name == "torch":
            return self.module.tensor(values.tolist(), dtype=getattr(self.module, dtype))
        return self.module.asarray(values).astype(getattr(self.module, dtype, dtype))

    def host(self, x: Any) -> np.ndarray:
        if self.name == "torch":
            x = x.float() if x.dtype == self.module.bfloat16 else x
            return x.numpy()
        return np.asarray(x)


@pytest.fixture(params=["numpy", "torch", "jax"])
def peer(request) -> Peer:
    return Peer(request.param)


@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"])
def test_a_tensor_is_taken(peer, dtype):
    if peer.name == "numpy" and dtype == "bfloat16":
        with pytest.raises((BufferError, RuntimeError, TypeError)):  # NumPy has no such dtype
            peer.take(tl.ones(2, dtype=tl.bfloat16))
        return
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    x = tl.arange(6).reshape(2, 3).to(getattr(tl, dtype))
    theirs = peer.take(x)
    np.testing.assert_array_equal(peer.host(theirs).astype(np.float64), x.double().numpy())
    assert str(theirs.dtype).removeprefix("torch.") == dtype


@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"])
def test_their_array_is_taken(peer, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
        if peer.name == "numpy":
            pytest.skip("NumPy has no bfloat16")
    values = np.arange(6).reshape(2, 3) % 2 if dtype == "bool" else np.arange(6).reshape(2, 3)
    x = tl.from_dlpack(peer.make(values, dtype))
    assert x.dtype.name == dtype
    np.testing.assert_array_equal(x.double().numpy(), values.astype(np.float64))


def test_memory_is_shared(peer):
    if peer.name == "jax":
        pytest.skip("JAX's arrays do not change")
    x = tl.zeros(4)
    theirs = peer.take(x)
    theirs[1] = 7
    assert x.tolist() == [0, 7, 0, 0]
    back = tl.from_dlpack(theirs)
    x[2] = 5
    assert back.tolist() == [0, 7, 5, 0]


@pytest.mark.parametrize("part", ["every other", "turned", "backwards", "empty"])
def test_strides(peer, part):
    whole = tl.arange(12.0).reshape(3, 4)
    x = {
        "every other": whole[::2, 1:],
        "turned": whole.T,
        "backwards": whole.flip(0),
        "empty": whole[:0],
    }[part]
    try:
        theirs = peer.take(x)
    except (ValueError, RuntimeError):  # JAX takes dense arrays alone
        assert peer.name == "jax"
        theirs = peer.take(x.contiguous())
    np.testing.assert_array_equal(peer.host(theirs), x.numpy())


def test_a_tensor_that_requires_grad_is_refused(peer):
    with pytest.raises((BufferError, RuntimeError), match="detach"):
        peer.take(tl.ones(2, requires_grad=True))
