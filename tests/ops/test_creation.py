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


def test_numbers_are_rounded_once() -> None:
    assert tl.tensor([0.1], dtype="float64").item() == 0.1
    assert tl.tensor(1e200, dtype="float64").item() == 1e200
    assert tl.tensor([2.0**24 + 1], dtype="int64").item() == 2**24 + 1


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
        (tl.zeros((), **on), np.zeros((), np.float32)),
        (tl.zeros(size=(2,), **on), np.zeros(2, np.float32)),
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
    assert tl.randint(5, size=(100,)).array.max() < 5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: tl.tensor("abc"), TypeError, "a str is no array, number or sequence of them"),
        (lambda: tl.tensor(["a"]), TypeError, "no Tensor holds text"),
        (lambda: tl.tensor(1j), TypeError, "no Tensor holds complex numbers"),
        (lambda: tl.tensor([1j]), TypeError, "no Tensor holds complex numbers"),
        (lambda: tl.tensor(None), TypeError, "a NoneType is no array"),
        (lambda: tl.tensor([None]), TypeError, "of objects there is no Tensor"),
        (lambda: tl.tensor([[1, 2], [3]]), ValueError, "not of one length"),
        (lambda: tl.tensor([2**63]), ValueError, "the largest that int64 holds"),
        (lambda: tl.tensor([2**70]), ValueError, "the largest that int64 holds"),
        (
            lambda: tl.tensor([300], dtype="uint8"),
            RuntimeError,
            "uint8 holds numbers from 0 to 255",
        ),
        (lambda: tl.full((2,), 300, dtype="uint8"), RuntimeError, "uint8 holds numbers"),
        (lambda: tl.zeros(), TypeError, r"zeros\(\) needs a size"),
        (lambda: tl.zeros(-1), RuntimeError, "no negative length"),
        (lambda: tl.zeros(2, dtype="complex64"), TypeError, "no Tensor holds complex numbers"),
        (lambda: tl.arange(1, 0), RuntimeError, "lead away from 0"),
        (lambda: tl.arange(0, 1, 0), ValueError, "step is 0"),
        (lambda: tl.arange(0, float("nan")), RuntimeError, "not all finite"),
        (lambda: tl.rand(2, dtype="int64"), NotImplementedError, "drawn are floats, not int64"),
        (lambda: tl.randint(5, 3), TypeError, "size is a tuple"),
        (lambda: tl.randint(256, 300, (2,), dtype="uint8"), RuntimeError, "uint8 holds not all"),
        (lambda: tl.randint(-1, 5, (2,), dtype="uint8"), RuntimeError, "uint8 holds not all"),
        (lambda: tl.randint(129, (2,), dtype="int8"), RuntimeError, "int8 holds not all"),
        (lambda: tl.randint(70000, (2,), dtype="float16"), RuntimeError, "float16 holds not all"),
        (lambda: tl.randint_like(tl.zeros(2).byte(), 257), RuntimeError, "uint8 holds not all"),
        (lambda: tl.zeros(2).byte().random_(256, 300), RuntimeError, "uint8 holds not all"),
        (lambda: tl.randint(5, (2,), dtype="bool"), RuntimeError, "bool holds not all"),
        (lambda: tl.normal(tl.zeros(2), -1.0), RuntimeError, "a deviation is at least 0"),
        (lambda: tl.normal(0.0, 1.0), TypeError, "size must be given"),
        (lambda: tl.multinomial(tl.tensor([0.0, 1.0]), 2), RuntimeError, "fewer categories"),
        (lambda: tl.multinomial(tl.tensor([-1.0, 1.0]), 1), RuntimeError, "not negative"),
        (lambda: tl.multinomial(tl.zeros(2), 1), RuntimeError, "some are above 0"),
        (lambda: tl.zeros(2.5), TypeError, r"integers, not \(2.5,\)"),
        (lambda: tl.zeros((2, "3")), TypeError, "a shape is made of integers"),
        (lambda: tl.zeros(2, dtype="float7"), TypeError, "unknown dtype 'float7'"),
        (lambda: tl.zeros(2, device="gpu"), ValueError, "unknown device 'gpu'"),
        (lambda: tl.bernoulli(tl.tensor([1.5])), RuntimeError, "probability"),
        (lambda: tl.randint(3, 3, (2,)), RuntimeError, r"no integer in \[3, 3\)"),
        (lambda: tl.no_such_name, AttributeError, "no_such_name"),
    ],
)
def test_errors(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


# --- spellings of torch's -----------------------------------------------------------------------


def test_integers_by_position_and_by_name(device) -> None:
    for drawn, low, high in [
        (tl.randint(5, (300,), device=device), 0, 5),
        (tl.randint(-2, 5, (300,), device=device), -2, 5),
        (tl.randint(high=5, size=(300,), device=device), 0, 5),
        (tl.randint(-2, high=5, size=(300,), device=device), -2, 5),
        (tl.randint(5, size=(300,), dtype="float32", device=device), 0, 5),
        (tl.randint_like(tl.zeros(300, device=device), -2, 5), -2, 5),
    ]:
        assert {*drawn.cpu().tolist()} == {*range(low, high)}


def test_ranges_of_short_floats_do_not_stand_still(device) -> None:
    """Each number comes from its own place: running sums stop where the step is rounded away."""
    numbers = tl.arange(0, 2049, dtype="float16", device=device)
    assert numbers[-2:].cpu().tolist() == [2047, 2048]
    numbers = tl.arange(0, 600, dtype="bfloat16", device=device)
    assert numbers.numel() == 600 and numbers[512].item() == 512 and numbers[-1].item() == 600
    assert tl.linspace(0, 1, 5, dtype="bfloat16", device=device).cpu().tolist() == [
        *(0, 0.25, 0.5, 0.75, 1)
    ]


def test_ranges_as_torch_counts(device) -> None:
    on = dict(device=device)
    cases = [
        (tl.arange(2.5, **on), [0.0, 1.0, 2.0]),
        (tl.arange(5.5, dtype=tl.int64, **on), [0, 1, 2, 3, 4]),
        (tl.arange(start=1, end=3, **on), [1, 2]),
        (tl.arange(1, end=3, **on), [1, 2]),
        (tl.arange(end=3, **on), [0, 1, 2]),
        (tl.arange(tl.tensor(3), **on), [0, 1, 2]),
        (tl.arange(3, 0, -1, **on), [3, 2, 1]),
        (tl.arange(2, 2, **on), []),
        (tl.linspace(tl.tensor(0.0), 2, 3, **on), [0.0, 1.0, 2.0]),
        (tl.linspace(-3, 2, 4, dtype=tl.int32, **on), [-3, -1, 0, 2]),
        (tl.linspace(3, 5, 1, **on), [3.0]),
        (tl.logspace(0, 3, 4, base=2, dtype=tl.int32, **on), [1, 2, 4, 8]),
    ]
    for made, expected in cases:
        assert made.device == device and made.cpu().tolist() == expected


def test_of_the_same_kind(device) -> None:
    x = tl.zeros(2, 3, dtype="float64", device=device)
    for made, shape, value in [
        (x.new_zeros(2), (2,), 0),
        (x.new_zeros(2, 1), (2, 1), 0),
        (x.new_zeros((2, 1)), (2, 1), 0),
        (x.new_ones(size=(4,)), (4,), 1),
        (x.new_full((2,), 3), (2,), 3),
        (x.new_tensor([5, 5]), (2,), 5),
        (tl.full_like(x, 2), (2, 3), 2),
        (tl.fill(x, 7), (2, 3), 7),
        (tl.fill(x, tl.tensor(7, device=device)), (2, 3), 7),
    ]:
        assert made.dtype == x.dtype and made.device == device and made.shape == shape
        assert {*made.cpu().reshape(-1).tolist()} == {value}
    assert x.new_empty(3).shape == (3,) and x.new_zeros(1, dtype=tl.int32).dtype == tl.int32


def test_old_names_of_kinds() -> None:
    assert tl.FloatTensor([1, 2]).dtype == tl.float32 and tl.LongTensor(2, 3).shape == (2, 3)
    assert isinstance(tl.zeros(1), tl.FloatTensor) and not isinstance(tl.zeros(1), tl.LongTensor)
    x = tl.zeros(2)
    assert x.type() == "torch.FloatTensor" and x.type("torch.LongTensor").dtype == tl.int64
    assert x.type(tl.DoubleTensor).dtype == tl.float64 and x.type(tl.int8).dtype == tl.int8
    assert x.type_as(tl.zeros(1, dtype=tl.float64)).dtype == tl.float64
    for name, dtype in dict(byte="uint8", char="int8", short="int16", bfloat16="bfloat16").items():
        assert getattr(x, name)().dtype.name == dtype
    assert not x.long().is_floating_point() and tl.is_floating_point(x)


def test_moving_changes_nothing_where_nothing_changes(device) -> None:
    x = tl.zeros(2, device=device)
    for same in (x.to(device), x.to(device, tl.float32, True), x.to(dtype=tl.float32), x.to(x)):
        assert same is x
    assert x.to(device, copy=True) is not x and x.to(tl.float32, False, True) is not x
    assert x.to(device=device, dtype=tl.int64, non_blocking=True).dtype == tl.int64


def test_default_dtype() -> None:
    try:
        tl.set_default_dtype(tl.float64)
        made = (tl.zeros(1), tl.tensor(1.5), tl.arange(0.5), tl.rand(1), tl.Tensor([1]), tl.eye(1))
        assert {x.dtype for x in made} == {np.dtype("float64")}
    finally:
        tl.set_default_dtype(tl.float32)
    assert tl.tensor(1.5).dtype == np.float32


def test_wrapped_values_share_memory() -> None:
    array = np.zeros(2)
    assert tl.as_tensor(array).array is array and tl.asarray(array).array is array
    t = tl.as_tensor(array)
    assert tl.as_tensor(t) is t and tl.asarray(t, copy=True).array is not array
    assert tl.as_tensor(array, dtype=tl.float32).dtype == tl.float32
    with pytest.raises(ValueError, match="without a copy"):
        tl.asarray(array, dtype=tl.float32, copy=False)


# --- random numbers -----------------------------------------------------------------------------


def test_numbers_written_at_random(device) -> None:
    """Each distribution by its mean and its range, from 20,000 draws."""
    n = 20_000
    x = tl.zeros(n, device=device)
    generator = tl.Generator(3)
    for write, mean, low, high in [
        (lambda: x.normal_(2.0, 0.5, generator=generator), 2.0, -1, 5),
        (lambda: x.uniform_(-1, 3, generator=generator), 1.0, -1, 3),
        (lambda: x.uniform_(**{"from": 1, "to": 2}, generator=generator), 1.5, 1, 2),
        (lambda: x.bernoulli_(0.3, generator=generator), 0.3, 0, 1),
        (lambda: x.bernoulli_(tl.full((n,), 0.3, device=device), generator=generator), 0.3, 0, 1),
        (lambda: x.exponential_(4.0, generator=generator), 0.25, 1e-12, 10),
        (lambda: x.geometric_(0.25, generator=generator), 4.0, 1, 100),
        (lambda: x.random_(10, generator=generator), 4.5, 0, 9),
        (lambda: x.random_(-5, 6, generator=generator), 0.0, -5, 5),
        (lambda: x.log_normal_(0.0, 0.25, generator=generator), np.exp(0.03125), 0.1, 6),
    ]:
        assert write() is x
        values = x.cpu().numpy().astype(np.float64)
        assert abs(values.mean() - mean) < 5 * values.std() / np.sqrt(n)
        assert low <= values.min() and values.max() <= high
    assert abs(np.median(x.cauchy_(1.0, 0.5, generator=generator).cpu().numpy()) - 1) < 0.05


def test_writes_at_random_obey_the_tape() -> None:
    w = tl.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        w.normal_()
    with tl.no_grad():
        w.normal_()
    assert (w != 0).all()
    with pytest.raises(NotImplementedError, match="not int64"):
        tl.zeros(3, dtype=tl.int64).normal_()


def test_categories_are_drawn_as_their_weights_say(device) -> None:
    weights = tl.tensor([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]], device=device)
    drawn = tl.multinomial(weights, 8000, replacement=True, generator=tl.Generator(1)).cpu().numpy()
    assert drawn.shape == (2, 8000) and drawn.dtype == np.int64
    counts = np.stack([np.bincount(row, minlength=3) for row in drawn]) / 8000
    np.testing.assert_allclose(counts, [[0.25, 0, 0.75], [0.5, 0.5, 0]], atol=0.02)
    both = tl.multinomial(weights, 2, generator=tl.Generator(1)).cpu().numpy()
    assert {*both[0]} == {0, 2} and {*both[1]} == {0, 1}
    first = [
        tl.multinomial(weights[0], 1, generator=tl.Generator(seed)).item() for seed in range(200)
    ]
    assert 120 < sum(i == 2 for i in first) < 180


def test_normal_of_tensors(device) -> None:
    mean = tl.arange(4.0, device=device)
    drawn = tl.normal(mean, tl.full((4,), 1e-3, device=device), generator=tl.Generator(1))
    np.testing.assert_allclose(drawn.cpu().numpy(), [0, 1, 2, 3], atol=0.02)
    assert tl.normal(5.0, 1e-3, (2, 3), device=device).shape == (2, 3)
    counts = tl.poisson(tl.full((4000,), 3.0, device=device), generator=tl.Generator(1))
    assert counts.dtype == np.float32 and abs(counts.cpu().numpy().mean() - 3) < 0.15
