"""Making Tensors: dtypes, devices, sharing of memory, random numbers."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.5, 2], np.float32),
        ([], np.float32),
        (3, np.int64),
        ([[1, 2], [3, 4]], np.int64),
        (True, np.bool_),
        ([True, False], np.bool_),
        (np.zeros(3), np.float64),
        (np.zeros(3, np.float16), np.float16),
        (np.float64(2.0), np.float64),
        (np.arange(3, dtype=np.uint8), np.uint8),
    ],
)
def test_tensor_dtype(data, dtype, device) -> None:
    t = tl.tensor(data, device=device)
    assert t.dtype == dtype and t.device == device and t.is_leaf
    assert t.shape == np.shape(data) and t.cpu().tolist() == np.asarray(data).tolist()


@pytest.mark.parametrize("dtype", [np.float16, "float64", "int32", np.dtype(bool), "bfloat16"])
def test_explicit_dtype(dtype, device) -> None:
    for t in (
        tl.tensor([0, 1, 1], dtype=dtype, device=device),
        tl.zeros(3, dtype=dtype, device=device),
        tl.full((2,), 1, dtype=dtype, device=device),
        tl.eye(2, dtype=dtype, device=device),
        tl.tensor([0.0, 1.0]).to(dtype).to(device),
    ):
        assert t.dtype.name == (dtype if isinstance(dtype, str) else np.dtype(dtype).name)
        assert t.device == device


def test_tensor_copies_and_from_numpy_shares() -> None:
    array = np.zeros(3)
    copied, shared = tl.tensor(array), tl.from_numpy(array)
    array[0] = 5
    assert copied.tolist() == [0, 0, 0] and shared.tolist() == [5, 0, 0]
    assert tl.tensor(shared).array is not shared.array
    with pytest.raises(TypeError, match="from_numpy"):
        tl.from_numpy([1, 2])


def test_from_dlpack_shares(device) -> None:
    source = tl.arange(4.0, device=device)
    t = tl.from_dlpack(source.array)
    assert t.device == device
    source.array[1] = 9
    assert t.cpu().tolist() == [0, 9, 2, 3]
    assert tl.from_dlpack(tl.ones(2, device=device)).cpu().tolist() == [1, 1]  # Tensors speak it


def test_constants_and_ranges(device) -> None:
    on = dict(device=device)
    cases = [
        (tl.zeros(2, 3, **on), np.zeros((2, 3), np.float32)),
        (tl.ones((2, 3), **on), np.ones((2, 3), np.float32)),
        (tl.zeros(**on), np.zeros((), np.float32)),
        (tl.full((2,), 2.5, **on), np.full(2, 2.5, np.float32)),
        (tl.full(2, 7, **on), np.full(2, 7)),
        (tl.full((2,), True, **on), np.full(2, True)),
        (tl.arange(4, **on), np.arange(4)),
        (tl.arange(1, 2, 0.25, **on), np.arange(1, 2, 0.25, dtype=np.float32)),
        (tl.arange(5, 1, -2, **on), np.arange(5, 1, -2)),
        (tl.linspace(0, 1, 5, **on), np.linspace(0, 1, 5, dtype=np.float32)),
        (tl.eye(2, 3, **on), np.eye(2, 3, dtype=np.float32)),
    ]
    for t, expected in cases:
        assert t.dtype == expected.dtype and t.device == device
        np.testing.assert_array_equal(t.cpu().numpy(), expected)
    assert tl.empty(2, 3, **on).shape == (2, 3)


def test_like(device) -> None:
    x = tl.ones(2, 3, dtype="float64", device=device)
    for made in (tl.zeros_like(x), tl.ones_like(x), tl.empty_like(x), tl.full_like(x, 2)):
        assert (made.shape, made.dtype, made.device) == (x.shape, x.dtype, device)
    for made in (tl.rand_like(x), tl.randn_like(x)):
        assert (made.shape, made.dtype, made.device) == (x.shape, x.dtype, device)
    assert tl.full_like(x, 2).cpu().tolist() == [[2] * 3] * 2
    assert tl.zeros_like(x, dtype="int32").dtype == np.int32


def test_requires_grad() -> None:
    assert tl.zeros(2, requires_grad=True).requires_grad
    assert tl.tensor([1.0], requires_grad=True).requires_grad
    assert tl.randn(2, requires_grad=True).requires_grad
    with pytest.raises(TypeError, match="int64 cannot require grad"):
        tl.tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match="int64 cannot require grad"):
        tl.arange(3, requires_grad=True)


def test_random(device) -> None:
    tl.manual_seed(3)
    first = [
        tl.rand(200, 5, device=device),
        tl.randn(1000, device=device),
        tl.randint(-3, 4, (1000,), device=device),
        tl.bernoulli(tl.full((1000,), 0.3, device=device)),
        tl.randperm(50, device=device),
    ]
    host = [t.cpu().numpy() for t in first]
    uniform, normal, integers, coins, order = host
    assert 0 <= uniform.min() < 0.02 and 0.98 < uniform.max() < 1
    assert abs(normal.mean()) < 0.1 and abs(normal.std() - 1) < 0.1
    assert set(integers.tolist()) == set(range(-3, 4))
    assert set(coins.tolist()) == {0.0, 1.0} and 0.2 < coins.mean() < 0.4
    assert sorted(order.tolist()) == list(range(50)) and order.tolist() != list(range(50))
    assert all(t.device == device for t in first)

    tl.manual_seed(3)  # the same bits, on the CPU
    again = [
        tl.rand(200, 5),
        tl.randn(1000),
        tl.randint(-3, 4, (1000,)),
        tl.bernoulli(tl.full((1000,), 0.3)),
        tl.randperm(50),
    ]
    for a, b in zip(host, again, strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_random_generator_is_apart() -> None:
    tl.manual_seed(1)
    expected = tl.rand(3).tolist()
    tl.manual_seed(1)
    own = tl.rand(3, generator=tl.Generator(7)).tolist()
    assert tl.rand(3).tolist() == expected != own
    assert tl.rand(3, generator=tl.Generator(7)).tolist() == own
    assert tl.rand(100, dtype="float16").array.max() < 1
    assert tl.randint(5, shape=100).array.max() < 5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: tl.tensor("abc"), TypeError, "no Tensor holds dtype <U3"),
        (lambda: tl.tensor(1j), TypeError, "complex128"),
        (lambda: tl.tensor(None), TypeError, "object"),
        (lambda: tl.tensor([[1, 2], [3]]), ValueError, "inhomogeneous"),
        (lambda: tl.zeros(2.5), TypeError, r"integers, not \(2.5,\)"),
        (lambda: tl.zeros((2, "3")), TypeError, "a shape is made of integers"),
        (lambda: tl.zeros(2, dtype="float7"), TypeError, "unknown dtype 'float7'"),
        (lambda: tl.zeros(2, device="gpu"), ValueError, "unknown device 'gpu'"),
        (lambda: tl.bernoulli(tl.tensor([1.5])), ValueError, "probability"),
        (lambda: tl.randint(3, 3, (2,)), ValueError, "range must hold"),
        (lambda: tl.no_such_name, AttributeError, "no_such_name"),
    ],
)
def test_errors(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
