"""Datasets made of others, samples joined into batches, and the orders they are taken in."""

from collections import Counter, OrderedDict, namedtuple

import ml_dtypes
import numpy as np
import pytest

import tensorlite as tl
from tensorlite.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)


class Own(Dataset):
    """A user's dataset: what torch asks for and no more."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]


class Together(Own):
    """Fetches several at a time, and counts how often."""

    calls = 0

    def __getitems__(self, indices):
        self.calls += 1
        return [self.values[i] for i in indices]


class Stream(IterableDataset):
    def __init__(self, *values):
        self.values = values

    def __iter__(self):
        return iter(self.values)


# --- datasets ----------------------------------------------------------------------------------


def test_one_after_another():
    whole = Own([1, 2]) + Own([]) + Own([3])
    assert isinstance(whole, ConcatDataset)
    assert (len(whole), list(whole), whole[-1], whole[-3]) == (3, [1, 2, 3], 3, 1)
    assert ConcatDataset([[1], [2, 3]]).cumulative_sizes == [1, 3]
    for wrong in (3, -4):
        with pytest.raises(IndexError, match=f"index {wrong} of 3 samples"):
            whole[wrong]
    with pytest.raises(ValueError, match="at least one dataset"):
        ConcatDataset([])
    with pytest.raises(TypeError, match="use ChainDataset"):
        ConcatDataset([Stream(1)])


def test_streams_one_after_another():
    both = Stream(1, 2) + Stream(3)
    assert isinstance(both, ChainDataset)
    assert list(both) == [1, 2, 3]
    with pytest.raises(TypeError, match="got a list"):
        list(ChainDataset([[1]]))


def test_side_by_side():
    pairs = StackDataset(Own([1, 2]), Together([3, 4]))
    assert (len(pairs), pairs[1]) == (2, (2, 4))
    assert pairs.__getitems__([1, 0]) == [(2, 4), (1, 3)]
    named = StackDataset(x=Own([1, 2]), y=[3, 4])
    assert named[0] == {"x": 1, "y": 3}
    (batch,) = DataLoader(named, batch_size=2)
    assert {name: t.tolist() for name, t in batch.items()} == {"x": [1, 2], "y": [3, 4]}
    with pytest.raises(ValueError, match=r"different lengths, \[1, 2\]"):
        StackDataset([1], [1, 2])
    with pytest.raises(ValueError, match=r"by position .* or by name"):
        StackDataset([1], y=[2])


def test_subsets_of_anything():
    letters = Subset({"a": 1, "b": 2}, ["b", "a"])
    assert [letters[0], letters[1], len(letters)] == [2, 1, 2]
    assert Subset([1, 2, 3], [-1])[0] == 3
    part = Subset(Together([10, 11, 12]), np.array([2, 0]))
    assert part.__getitems__([0, 1]) == [12, 10]
    assert [type(i) for i in Subset(Own(range(3)), range(2)).indices] == [int, int]
    with pytest.raises(IndexError, match="index -4 is outside"):
        Subset([1, 2, 3], [-4])


def test_random_split_of_a_users_dataset():
    for dataset in (Own(list(range(10))), list(range(10)), StackDataset(list(range(10)))):
        first, second = random_split(dataset, [7, 3], generator=tl.Generator().manual_seed(1))
        assert (len(first), len(second)) == (7, 3)
        seen = [s[0] if isinstance(s, tuple) else s for part in (first, second) for s in part]
        assert sorted(seen) == list(range(10))
        assert isinstance(first.indices, list)
        assert len(next(iter(DataLoader(first, batch_size=7)))) in (1, 7)
    with pytest.warns(UserWarning, match="empty part"):
        assert [len(p) for p in random_split(range(3), [1.0, 0.0])] == [3, 0]


def test_the_fast_path_is_not_taken_where_samples_are_changed():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(t * 2 for t in super().__getitem__(index))

    dataset = Doubled(tl.arange(4))
    for wrapped in (dataset, Subset(dataset, range(4)), ConcatDataset([dataset])):
        ((batch,),) = DataLoader(wrapped, batch_size=4)
        assert batch.tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_are_fetched_together_where_they_can_be(workers):
    dataset = Together(list(range(6)))
    assert [b.tolist() for b in DataLoader(dataset, 4, num_workers=workers)] == [
        [0, 1, 2, 3],
        [4, 5],
    ]
    assert dataset.calls == (0 if workers else 2)
    dataset.__class__ = type("Short", (Together,), {"__getitems__": lambda self, i: [1]})
    with pytest.raises(ValueError, match="returned 1 samples for 4 indices"):
        list(DataLoader(dataset, 4, num_workers=workers))


def test_a_dataset_without_length():
    class Endless(Dataset):
        def __getitem__(self, index):
            return index * 2

    assert [b.tolist() for b in DataLoader(Endless(), 2, sampler=[5, 1, 3])] == [[10, 2], [6]]
    assert not hasattr(Endless(), "__len__")
    assert list(Own([1, 2])) == [1, 2]


# --- batches -----------------------------------------------------------------------------------

Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("samples", "dtype", "values"),
    [
        ([1, 2], "int64", [1, 2]),
        ([1.5, 2.5], "float64", [1.5, 2.5]),
        ([1, 0.5], "float64", [1, 0.5]),
        ([0.5, 1], "float64", [0.5, 1]),
        ([True, False], "bool", [True, False]),
        ([True, 2], "int64", [1, 2]),
        ([np.float32(1), np.float32(2)], "float32", [1, 2]),
        ([np.int32(3)], "int32", [3]),
        ([np.zeros(2, np.uint8)] * 2, "uint8", [[0, 0], [0, 0]]),
        ([np.array(1.5, np.float16)] * 2, "float16", [1.5, 1.5]),
        ([np.ones(1, ml_dtypes.bfloat16)] * 2, "bfloat16", [[1], [1]]),
        # Arrays and Tensors of several dtypes have torch's dtype together.
        ([tl.tensor(1), tl.tensor(0.5)], "float32", [1, 0.5]),
        ([tl.tensor(0.5), tl.tensor(1)], "float32", [0.5, 1]),
        ([np.array([1]), np.array([0.5], np.float32)], "float32", [[1], [0.5]]),
        ([tl.ones(1).bfloat16(), tl.zeros(1)], "float32", [[1], [0]]),
        ([tl.ones(1).bfloat16(), tl.zeros(1).half()], "float32", [[1], [0]]),
        ([tl.tensor(True), tl.tensor(2)], "int64", [1, 2]),
    ],
    ids=repr,
)
def test_values_are_stacked(samples, dtype, values):
    batch = default_collate(samples)
    assert isinstance(batch, tl.Tensor)
    assert (batch.dtype.name, batch.tolist()) == (dtype, values)


def test_structure_is_kept_and_tuples_become_lists():
    a, b = default_collate([(1, [2.0, "a"]), (3, [4.0, "b"])])
    assert (a.tolist(), b[0].tolist(), b[1]) == ([1, 3], [2.0, 4.0], ["a", "b"])
    point = default_collate([Point(1, 2), Point(3, 4)])
    assert (type(point), point.x.tolist()) == (Point, [1, 3])
    ordered = default_collate([OrderedDict(b=1, a=2)])
    assert (type(ordered), list(ordered)) == (OrderedDict, ["b", "a"])
    assert default_collate([b"a", b"b"]) == [b"a", b"b"]
    w = tl.ones(2, requires_grad=True)
    assert default_collate([w, w]).requires_grad


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([np.zeros(2), np.zeros(3)], ValueError, r"shapes \[\(2,\), \(3,\)\]"),
        ([[1, 2], [1]], ValueError, r"lengths \[1, 2\]"),
        ([None], TypeError, "holds a NoneType: pass a collate_fn"),
        ([1, None], TypeError, "NoneType|object"),
        ([np.array(["a"])], TypeError, "dtype <U1"),
        ([{1}], TypeError, "holds a set"),
    ],
    ids=repr,
)
def test_what_cannot_be_joined_is_named(samples, error, message):
    with pytest.raises(error, match=message):
        default_collate(samples)


def test_samples_alone_are_converted():
    converted = default_convert({"x": np.ones(2), "y": (np.float32(1), 3, "a"), "p": Point(1, 2)})
    assert isinstance(converted["x"], tl.Tensor)
    assert [type(v) for v in converted["y"]] == [tl.Tensor, int, str]
    assert (type(converted["y"]), converted["p"]) == (list, Point(1, 2))
    assert default_convert(["a", np.array(["b"])])[1].tolist() == ["b"]


def test_a_collate_fns_own_types_stay():
    loader = DataLoader([1, 2, 3], 3, collate_fn=lambda s: (np.array(s), tuple(s)))
    ((array, values),) = loader
    assert (type(array), values) == (np.ndarray, (1, 2, 3))
    (on_device,) = DataLoader([1], collate_fn=lambda s: (np.array(s), "a"), device="cpu")
    assert (type(on_device), type(on_device[0]), on_device[1]) == (tuple, tl.Tensor, "a")


# --- samplers ----------------------------------------------------------------------------------


def test_orders():
    data = range(100)
    assert list(SequentialSampler(data)) == list(data)
    order = list(RandomSampler(data, generator=tl.Generator().manual_seed(0)))
    assert sorted(order) == list(data) != order
    assert list(RandomSampler(data, generator=tl.Generator().manual_seed(0))) == order
    tl.manual_seed(3)
    first = list(RandomSampler(data))
    assert first != list(RandomSampler(data))
    tl.manual_seed(3)
    assert list(RandomSampler(data)) == first
    assert [type(i) for i in first[:2]] == [int, int]
    more = Counter(RandomSampler(range(4), num_samples=10))
    assert sorted(more.values()) == [2, 2, 3, 3]
    drawn = list(RandomSampler(data, replacement=True, num_samples=1000))
    assert len(drawn) == 1000
    assert len(set(drawn)) > 90
    subset = SubsetRandomSampler([7, 8, 9])
    assert (sorted(subset), len(subset)) == ([7, 8, 9], 3)


def test_weights():
    weights = [0.0, 1.0, 3.0, 0.0]
    sampler = WeightedRandomSampler(weights, 20000, generator=tl.Generator().manual_seed(0))
    counts = Counter(sampler)
    assert set(counts) == {1, 2}
    assert abs(counts[2] / 20000 - 0.75) < 0.015
    firsts = Counter()
    generator = tl.Generator().manual_seed(0)
    for _ in range(2000):
        order = list(WeightedRandomSampler(weights, 2, replacement=False, generator=generator))
        assert sorted(order) == [1, 2]
        firsts[order[0]] += 1
    assert abs(firsts[2] / 2000 - 0.75) < 0.05
    for wrong, message in (
        (([1, -1], 1), "not negative"),
        (([[1.0]], 1), "one axis"),
        (([0.0, 0.0], 1), "0 weights are positive"),
        (([1.0], 0), "positive integer"),
        (([1.0, 0.0], 2, False), "too few to draw 2"),
    ):
        with pytest.raises(ValueError, match=message):
            WeightedRandomSampler(*wrong)


def test_batches_of_indices():
    sampler = BatchSampler(SequentialSampler(range(7)), 3, drop_last=False)
    assert (list(sampler), len(sampler)) == ([[0, 1, 2], [3, 4, 5], [6]], 3)
    sampler = BatchSampler(range(7), 3, True)
    assert (list(sampler), len(sampler)) == ([[0, 1, 2], [3, 4, 5]], 2)
    loader = DataLoader(list(range(7)), batch_sampler=sampler)
    assert (loader.batch_size, len(loader)) == (None, 2)
    assert [b.tolist() for b in loader] == list(sampler)
    for wrong in (0, True, 1.5):
        with pytest.raises(ValueError, match="batch_size must be a positive integer"):
            BatchSampler(range(7), wrong, False)
    with pytest.raises(TypeError, match="drop_last must be True or False"):
        BatchSampler(range(7), 3, 1)
    with pytest.raises(ValueError, match="num_samples must be a positive integer"):
        RandomSampler([])


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("samples", [10, 12, 2])
def test_shares(samples, shuffle, drop_last):
    shares = [
        DistributedSampler(range(samples), 4, r, shuffle=shuffle, drop_last=drop_last)
        for r in range(4)
    ]
    for epoch in range(2):
        for share in shares:
            share.set_epoch(epoch)
        lists = [list(share) for share in shares]
        size = samples // 4 if drop_last else -(-samples // 4)
        assert [len(s) for s in lists] == [len(s) for s in shares] == [size] * 4
        counts = Counter(i for share in lists for i in share)
        assert drop_last or set(counts) == set(range(samples))
        assert max(counts.values(), default=1) <= (1 if drop_last else -(-size * 4 // samples))
    with pytest.raises(ValueError, match=r"rank 4 is outside 0\.\.3"):
        DistributedSampler(range(10), 4, 4)
    with pytest.raises(RuntimeError, match="give num_replicas and rank"):
        DistributedSampler(range(10))


def test_a_loader_with_a_share_goes_on_in_its_epoch():
    def loader():
        sampler = DistributedSampler(range(20), 2, 1, seed=3)
        return DataLoader(list(range(20)), 3, sampler=sampler)

    first = loader()
    first.sampler.set_epoch(5)
    batches = iter(first)
    next(batches)
    state = first.state_dict()
    rest = [b.tolist() for b in batches]
    second = loader()
    second.load_state_dict(state)
    assert [b.tolist() for b in second] == rest


def test_own_samplers():
    class Backwards(Sampler):
        def __init__(self, data):
            self.data = data

        def __iter__(self):
            return iter(range(len(self.data) - 1, -1, -1))

        def __len__(self):
            return len(self.data)

    class Pairs(BatchSampler):
        def __iter__(self):
            return iter([[0, 1], [1, 0]])

    data = list(range(5))
    loader = DataLoader(data, 2, sampler=Backwards(data))
    assert ([b.tolist() for b in loader], len(loader)) == ([[4, 3], [2, 1], [0]], 3)
    pairs = DataLoader(data, batch_sampler=Pairs(SequentialSampler(data), 2, False))
    assert [b.tolist() for b in pairs] == [[0, 1], [1, 0]]


def test_torchs_rooms():
    from tensorlite.utils.data import sampler
    from tensorlite.utils.data.dataloader import default_collate as collate
    from tensorlite.utils.data.dataset import Dataset as Same
    from tensorlite.utils.data.distributed import DistributedSampler as Share

    assert (collate, Same, Share) == (default_collate, Dataset, DistributedSampler)
    assert sampler.RandomSampler is RandomSampler
    assert Dataset[int]
