"""DataLoader and datasets: order, batches, prefetching, and resuming in mid-epoch."""

import gc
import threading
import time
import traceback

import numpy as np
import pytest

from tensorlite.data import (
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    check_finite,
    check_labels,
    check_split,
    collate,
    random_split,
    windows,
)
from tensorlite.random import Generator, manual_seed
from tensorlite.tensor import Tensor, tensor_of

NUMBERS = TensorDataset(np.arange(23))


class Squares(Dataset):
    """Samples computed one by one, with a fault at will."""

    def __init__(self, size=10, fault=None):
        self.size = size
        self.fault = fault

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if index == self.fault:
            raise ArithmeticError(f"sample {index} is broken")
        return np.full(2, index, np.float32), index * index


def order(loader):
    return [int(i) for (batch,) in loader for i in batch.array]


def prefetch_threads():
    return [t for t in threading.enumerate() if t.name == "tensorlite-prefetch"]


# --- batches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [5, 5, 5, 5, 3]), (True, [5, 5, 5, 5])])
def test_batches_cover_the_dataset_in_order(drop_last, sizes, prefetch):
    loader = DataLoader(NUMBERS, batch_size=5, drop_last=drop_last, prefetch=prefetch)
    assert [len(batch) for (batch,) in loader] == sizes
    assert len(loader) == len(sizes)
    assert order(loader) == list(range(sum(sizes)))


def test_batches_are_tensors_of_the_data_types_given():
    features = np.random.default_rng(0).random((6, 1, 3), dtype=np.float32)
    x, y = next(iter(DataLoader(TensorDataset(features, np.arange(6)), batch_size=4)))
    assert isinstance(x, Tensor)
    assert (x.shape, x.dtype, y.dtype) == ((4, 1, 3), np.float32, np.int64)
    assert not x.requires_grad
    np.testing.assert_array_equal(x.array, features[:4])


def test_a_batch_does_not_share_memory_with_the_dataset():
    features = np.zeros((4, 2), np.float32)
    (x,) = next(iter(DataLoader(TensorDataset(features), batch_size=4)))
    x.array[:] = 1
    assert not features.any()


def test_the_fast_path_equals_sample_by_sample():
    arrays = np.arange(30).reshape(15, 2), np.arange(15, dtype=np.float32)
    dataset = TensorDataset(*arrays)
    options = {"batch_size": 4, "shuffle": True}
    fast = DataLoader(dataset, **options, generator=Generator(3))
    slow = DataLoader(
        dataset, **options, generator=Generator(3), collate_fn=lambda samples: collate(samples)
    )
    for a, b in zip(fast, slow, strict=True):
        for x, y in zip(a, b, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x.array, y.array)


def test_any_sequence_will_do():
    batches = list(DataLoader([(1.5, "a"), (2.5, "b"), (3.5, "c")], batch_size=2))
    assert batches[0][0].dtype == np.float64
    assert batches[0][0].tolist() == [1.5, 2.5]
    assert batches[1][1] == ["c"]


def test_collate_joins_nested_samples():
    sample = {"x": np.ones(3, np.float32), "pair": (1, True), "t": tensor_of(np.zeros(2))}
    batch = collate([sample, sample])
    assert batch["x"].shape == (2, 3)
    assert batch["pair"][0].tolist() == [1, 1]
    assert batch["pair"][1].dtype == bool
    assert batch["t"].shape == (2, 2)


def test_collate_names_shapes_that_differ():
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\).*collate_fn"):
        collate([np.zeros(2), np.zeros(3)])


def test_a_collate_fn_gets_the_samples():
    loader = DataLoader(Squares(), batch_size=3, collate_fn=len)
    assert list(loader) == [3, 3, 3, 1]


# --- order ------------------------------------------------------------------------------------


def test_shuffling_permutes_anew_each_epoch():
    loader = DataLoader(NUMBERS, batch_size=5, shuffle=True, generator=Generator(0))
    first, second = order(loader), order(loader)
    assert sorted(first) == sorted(second) == list(range(23))
    assert list(range(23)) != first != second


def test_the_seed_fixes_the_order():
    loaders = [
        DataLoader(NUMBERS, batch_size=5, shuffle=True, generator=Generator(s)) for s in (7, 7, 8)
    ]
    a, b, c = map(order, loaders)
    assert a == b != c


def test_manual_seed_fixes_the_order():
    orders = []
    for _ in range(2):
        manual_seed(5)
        orders.append(order(DataLoader(NUMBERS, batch_size=5, shuffle=True)))
    assert orders[0] == orders[1]


def test_an_unshuffled_loader_draws_no_random_number():
    manual_seed(5)
    expected = DataLoader(NUMBERS, shuffle=True).state_dict()["seed"]
    manual_seed(5)
    DataLoader(NUMBERS)
    assert DataLoader(NUMBERS, shuffle=True).state_dict()["seed"] == expected


def test_other_random_numbers_do_not_change_the_order():
    reference = DataLoader(NUMBERS, batch_size=5, shuffle=True, generator=Generator(0))
    loader = DataLoader(NUMBERS, batch_size=5, shuffle=True, generator=Generator(0))
    seen = []
    for (batch,) in loader:
        manual_seed(1)
        seen += batch.tolist()
    assert seen == order(reference)


# --- resuming ---------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("taken", [0, 1, 3, 5])
def test_a_restored_loader_yields_exactly_the_rest(taken, shuffle, prefetch):
    options = {"batch_size": 5, "shuffle": shuffle, "prefetch": prefetch}
    loader = DataLoader(NUMBERS, **options, generator=Generator(1))
    order(loader)  # an epoch gone by
    batches = iter(loader)
    for _ in range(taken):
        next(batches)
    state = loader.state_dict()
    rest = [batch.tolist() for (batch,) in batches]
    following = order(loader)

    restored = DataLoader(NUMBERS, **options, generator=Generator(99))
    restored.load_state_dict(state)
    assert [batch.tolist() for (batch,) in restored] == rest
    assert order(restored) == following


def test_the_state_between_epochs_is_the_next_one():
    loader = DataLoader(NUMBERS, batch_size=5, shuffle=True, generator=Generator(1))
    order(loader)
    state = loader.state_dict()
    assert (state["epoch"], state["position"]) == (1, 0)
    restored = DataLoader(NUMBERS, batch_size=5, shuffle=True)
    restored.load_state_dict(state)
    assert order(restored) == order(loader)


def test_an_epoch_left_early_is_not_continued():
    loader = DataLoader(NUMBERS, batch_size=5, shuffle=True, generator=Generator(1))
    left = next(iter(loader))[0].tolist()
    again = order(loader)
    assert sorted(again) == list(range(23))
    assert again[:5] != left


@pytest.mark.parametrize(
    ("dataset", "options", "named"),
    [
        (TensorDataset(np.arange(20)), {}, "samples=23"),
        (NUMBERS, {"batch_size": 4}, "batch_size=5"),
        (NUMBERS, {"shuffle": True}, "shuffle=0"),
        (NUMBERS, {"drop_last": True}, "drop_last=0"),
    ],
)
def test_a_state_of_other_batches_is_refused(dataset, options, named):
    saved = DataLoader(NUMBERS, batch_size=5)
    next(iter(saved))
    loader = DataLoader(dataset, **{"batch_size": 5, **options})
    before = loader.state_dict()
    with pytest.raises(ValueError, match=named):
        loader.load_state_dict(saved.state_dict())
    with pytest.raises(ValueError, match=r"lacks \['batch_size', 'drop_last', .*\]"):
        loader.load_state_dict({"step": 3})
    assert loader.state_dict() == before


# --- prefetching ------------------------------------------------------------------------------


def test_prefetching_runs_ahead_by_no_more_than_asked():
    fetched = []

    class Recorder(Squares):
        def __getitem__(self, index):
            fetched.append(index)
            return index

    batches = iter(DataLoader(Recorder(), batch_size=1, prefetch=3))
    next(batches)
    deadline = time.monotonic() + 5
    while len(fetched) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert fetched == [0, 1, 2, 3]
    batches.close()


def test_an_exception_in_the_thread_reaches_the_loop_with_its_traceback():
    seen = []
    with pytest.raises(ArithmeticError, match="sample 5 is broken") as caught:
        for x, _ in DataLoader(Squares(fault=5), batch_size=2, prefetch=2):
            seen.append(x)
    assert len(seen) == 2
    assert "__getitem__" in [f.name for f in traceback.extract_tb(caught.value.__traceback__)]
    assert not prefetch_threads()


def test_leaving_the_loop_leaves_no_thread():
    loader = DataLoader(Squares(1000), batch_size=1, prefetch=2)
    for _ in loader:
        break
    assert not prefetch_threads()
    with pytest.raises(KeyError):
        for _ in loader:
            raise KeyError
    gc.collect()
    assert not prefetch_threads()
    list(loader)
    assert not prefetch_threads()


def test_a_dropped_iterator_ends_its_thread():
    batches = iter(DataLoader(Squares(1000), batch_size=1, prefetch=2))
    next(batches)
    assert len(prefetch_threads()) == 1
    del batches
    assert not prefetch_threads()


# --- splitting --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "sizes"), [((13, 10), [13, 10]), ((0.8, 0.2), [19, 4]), ((1 / 3,) * 3, [8, 8, 7])]
)
def test_random_split_partitions(lengths, sizes):
    parts = random_split(NUMBERS, lengths, Generator(0))
    assert [len(part) for part in parts] == sizes
    assert sorted(int(x) for part in parts for (x,) in part) == list(range(23))
    again = random_split(NUMBERS, lengths, Generator(0))
    assert [part.indices for part in parts] == [part.indices for part in again]


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((10, 10), "sum to 20, the dataset has 23"),
        ((0.5, 0.4), "sum to 1"),
        ((1.5, -0.5), "fractions must lie"),
        ((24, -1), "negative"),
    ],
)
def test_random_split_refuses_what_does_not_add_up(lengths, message):
    with pytest.raises(ValueError, match=message):
        random_split(NUMBERS, lengths)


def test_subsets_nest():
    inner = Subset(Subset(NUMBERS, range(10, 20)), [9, 0])
    assert [int(x) for (x,) in inner] == [19, 10]
    assert order(DataLoader(inner, batch_size=2)) == [19, 10]
    with pytest.raises(IndexError, match="index 23 is outside the dataset of 23"):
        Subset(NUMBERS, [0, 23])


def test_windows():
    values = np.arange(10)
    assert windows(values, 3).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert windows(values, 9, stride=1).tolist() == [list(range(9)), list(range(1, 10))]
    assert windows(np.zeros((10, 4)), 3).shape == (3, 3, 4)
    assert np.shares_memory(windows(values, 3), values)
    with pytest.raises(ValueError, match="length 11 every 11 elements from a sequence of 10"):
        windows(values, 11)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"prefetch": -1}, "prefetch=-1"),
        ({"batch_size": 24, "drop_last": True}, r"batch_size=24 is larger than .* \(23 samples\)"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_loader_refuses_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(NUMBERS, **options)


def test_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="the dataset is empty"):
        DataLoader(TensorDataset(np.zeros((0, 3))))


@pytest.mark.parametrize(
    "arrays", [(), (np.zeros(3), np.zeros(4)), (np.float32(1),), (np.zeros(3), np.float32(1))]
)
def test_tensor_dataset_needs_arrays_of_one_length(arrays):
    with pytest.raises(ValueError, match="TensorDataset needs"):
        TensorDataset(*arrays)


def test_check_finite_names_the_first():
    values = np.zeros((3, 4), np.float32)
    check_finite(values)
    check_finite(np.arange(3))
    values[1, 2], values[2, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"images holds 2 NaN .* among 12.*\(1, 2\) \(nan\)"):
        check_finite(values, "images")


def test_check_labels_names_the_first():
    check_labels(np.array([0, 9]), 10)
    with pytest.raises(ValueError, match=r"label 10 at index 1 is outside 0\.\.9"):
        check_labels(np.array([0, 10, 11]), 10)
    with pytest.raises(ValueError, match="label -1 at index 0"):
        check_labels(np.array([-1]), 10)
    with pytest.raises(TypeError, match="float32"):
        check_labels(np.zeros(3, np.float32), 10)


def test_check_split():
    x, y = np.zeros((4, 2), np.float32), np.arange(4)
    check_split(x, y, classes=4)
    with pytest.raises(ValueError, match=r"\(4, 2\), \(3,\)"):
        check_split(x, y[:3])
    with pytest.raises(ValueError, match="training data is empty"):
        check_split(x[:0], y[:0], name="training data")
    with pytest.raises(ValueError, match="label 3 at index 3"):
        check_split(x, y, classes=3)
    with pytest.raises(ValueError, match="targets holds 1 NaN"):
        check_split(x, np.array([0, 1, 2, np.nan]))
