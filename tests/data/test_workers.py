"""Loaders with worker processes: the same batches, errors carried over, nothing left behind."""

import gc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import ml_dtypes
import numpy as np
import pytest

import tensorlite as tl
from tensorlite.tensor import tensor_of
from tensorlite.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

NUMBERS = TensorDataset(np.arange(23))


class Pictures(Dataset):
    """Samples large enough for shared memory."""

    def __init__(self, size=12, side=64):
        self.size, self.side = size, side

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return {"x": np.full((self.side, self.side), index, np.float32), "y": (index, str(index))}


class Noise(Dataset):
    """Samples that draw from every generator."""

    def __len__(self):
        return 16

    def __getitem__(self, index):
        return tl.rand(1), np.random.rand(), random.random(), index


class Broken(Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == 3:
            raise self.error
        return index


class Stream(IterableDataset):
    """The numbers below `size`, each from one worker."""

    def __init__(self, size=20):
        self.size = size

    def __iter__(self):
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        return iter(range(first, self.size, step))


class NeedsTwo(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


def processes():
    return [p for p in multiprocessing.active_children() if p.name.startswith("tensorlite-worker")]


@pytest.fixture(autouse=True)
def _nothing_is_left():
    yield
    gc.collect()
    assert not processes()


def joined(batches):
    return [number for batch in batches for number in batch]


def order(loader):
    return [batch[0].tolist() for batch in loader]


# --- the same batches -------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_those_without_workers(workers, shuffle):
    loaders = [
        DataLoader(NUMBERS, 4, shuffle, num_workers=n, generator=tl.Generator().manual_seed(5))
        for n in (0, workers)
    ]
    for _ in range(2):
        assert order(loaders[0]) == order(loaders[1])


def test_nested_batches_of_large_arrays():
    plain = list(DataLoader(Pictures(), 4))
    batches = list(DataLoader(Pictures(), 4, num_workers=2))
    assert len(batches) == 3
    for a, b in zip(plain, batches, strict=True):
        np.testing.assert_array_equal(a["x"].numpy(), b["x"].numpy())
        assert (type(b["y"]), b["y"][0].tolist(), b["y"][1]) == (
            list,
            a["y"][0].tolist(),
            a["y"][1],
        )
        b["x"].array += 1  # memory of our own, that may be written to


def test_batches_that_are_kept_stay_as_they_are():
    kept = list(DataLoader(Pictures(60), 1, num_workers=2))
    for i, batch in enumerate(kept):
        assert (batch["x"].array == i).all()


def test_memory_of_batches_that_are_dropped_is_used_again():
    places = [b["x"].array.ctypes.data for b in DataLoader(Pictures(40), 1, num_workers=1)]
    assert len(set(places)) <= 6


@pytest.mark.parametrize(
    "array",
    [
        np.arange(60000.0).reshape(200, 300).T,
        np.arange(60000).astype(ml_dtypes.bfloat16).reshape(3, 20000),
        np.arange(60000, dtype=np.float16)[::-2],
        np.zeros((0, 3)),
        np.array(2.5),
        np.arange(60000) % 2 == 0,
    ],
    ids=lambda a: str(a.dtype),
)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_arrays_of_every_kind_arrive(array, as_tensor):
    collate = tensor_of if as_tensor else lambda sample: sample
    (found,) = DataLoader([array], None, num_workers=1, collate_fn=collate)
    raw = found.array if as_tensor else found
    assert (raw.dtype, raw.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(raw, array)


def test_samplers_collate_and_single_samples():
    squares = [i * i for i in range(10)]
    loader = DataLoader(squares, sampler=[3, 1, 2], num_workers=2, collate_fn=list)
    assert list(loader) == [[9], [1], [4]]
    loader = DataLoader(squares, batch_sampler=[[3, 1], [2]], num_workers=2, collate_fn=list)
    assert list(loader) == [[9, 1], [4]]
    assert list(DataLoader(squares, None, num_workers=2)) == squares


def test_batches_as_they_are_ready():
    loader = DataLoader(NUMBERS, 4, num_workers=2, in_order=False)
    assert sorted(joined(order(loader))) == list(range(23))


# --- streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_streams(workers):
    batches = [b.tolist() for b in DataLoader(Stream(), 3, num_workers=workers)]
    assert sorted(joined(batches)) == list(range(20))
    again = [b.tolist() for b in DataLoader(Stream(), 3, num_workers=workers)]
    assert again == batches
    whole = [b.tolist() for b in DataLoader(Stream(), 3, drop_last=True, num_workers=workers)]
    assert {len(b) for b in whole} == {3}
    assert list(DataLoader(Stream(5), None, num_workers=1)) == list(range(5))


def test_a_stream_shorter_than_its_workers():
    assert [b.tolist() for b in DataLoader(Stream(1), 2, num_workers=3)] == [[0]]


# --- random numbers, and resuming -------------------------------------------------------------


def drawn(loader):
    return [tuple(part.tolist()[0] for part in batch[:3]) for batch in loader]


def test_random_numbers_differ_by_sample_and_not_by_workers():
    options = {"batch_size": 2, "generator": tl.Generator().manual_seed(1)}
    first = [drawn(DataLoader(Noise(), num_workers=1, **options)) for _ in range(2)]
    options["generator"].manual_seed(1)
    again = [drawn(DataLoader(Noise(), num_workers=3, **options)) for _ in range(2)]
    assert first == again
    assert first[0] != first[1]
    assert len({value for epoch in first for row in epoch for value in map(str, row)}) == 48


@pytest.mark.parametrize("taken", [0, 1, 3, 8])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_restored_loader_yields_exactly_the_rest(taken, persistent):
    def loader(workers, seed):
        generator = tl.Generator().manual_seed(seed)
        return DataLoader(
            Noise(),
            2,
            True,
            num_workers=workers,
            generator=generator,
            persistent_workers=persistent,
        )

    first = loader(2, 1)
    drawn(first)
    batches = iter(first)
    for _ in range(taken):
        next(batches)
    state = first.state_dict()
    rest = drawn(batches)
    following = drawn(first)
    restored = loader(3, 9)
    restored.load_state_dict(state)
    assert drawn(restored) == rest
    assert drawn(restored) == following


@pytest.mark.parametrize("workers", [0, 2])
def test_streams_and_samplers_are_resumed(workers):
    for make in (
        lambda: DataLoader(Stream(), 3, num_workers=workers),
        lambda: DataLoader(
            list(range(20)),
            3,
            sampler=WeightedRandomSampler([1.0] * 20, 20),
            num_workers=workers,
        ),
    ):
        loader = make()
        batches = iter(loader)
        next(batches), next(batches)
        state = loader.state_dict()
        rest = [b.tolist() for b in batches]
        following = [b.tolist() for b in loader]
        restored = make()
        restored.load_state_dict(state)
        assert [b.tolist() for b in restored] == rest
        assert [b.tolist() for b in restored] == following


# --- workers know what they are ---------------------------------------------------------------


def report(index):
    info = get_worker_info()
    return (info.id, info.num_workers, info.seed - info.id, os.getpid(), os.environ.get("INIT"))


def initialised(worker):
    os.environ["INIT"] = str(worker)


def test_workers_know_what_they_are():
    assert get_worker_info() is None
    loader = DataLoader([0] * 8, None, num_workers=2, collate_fn=report, worker_init_fn=initialised)
    found = set(loader)
    assert {(i, n, init) for i, n, _, _, init in found} == {(0, 2, "0"), (1, 2, "1")}
    assert len({seed for _, _, seed, _, _ in found}) == 1
    assert len({pid for *_, pid, _ in found} - {os.getpid()}) == 2


def test_workers_persist():
    loader = DataLoader([0] * 4, None, num_workers=2, collate_fn=report, persistent_workers=True)
    first, second = ({pid for *_, pid, _ in loader} for _ in range(2))
    assert first == second
    for _ in loader:  # left early: what was asked for does not come up in the next epoch
        break
    assert len(list(loader)) == 4
    old = iter(loader)
    next(old)
    assert len(list(loader)) == 4
    with pytest.raises(RuntimeError, match="newer loop"):
        list(old)
    del loader, old
    gc.collect()
    assert not processes()


def test_spawned_workers():
    loader = DataLoader(NUMBERS, 10, num_workers=1, multiprocessing_context="spawn")
    assert order(loader) == order(DataLoader(NUMBERS, 10))


# --- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ArithmeticError("sample 3 is broken"), ArithmeticError),
        (KeyError("sample 3 is broken"), KeyError),
        (NeedsTwo("sample 3", "is broken"), RuntimeError),
    ],
)
def test_exceptions_arrive_in_their_turn_with_the_traceback(error, kind):
    seen = []
    with pytest.raises(kind, match=r"(?s)worker process 1.*__getitem__.*sample 3") as caught:
        for x in DataLoader(Broken(error), 1, num_workers=2):
            seen += x.tolist()
    assert seen == [0, 1, 2]
    assert "\n  File" in str(caught.value)


def test_an_unpicklable_batch_is_an_exception():
    with pytest.raises((AttributeError, RuntimeError, TypeError), match=r"(?s)worker process 0"):
        list(DataLoader([0], num_workers=1, collate_fn=lambda s: lambda: 0))


def test_an_exception_in_worker_init_fn():
    def fail(worker):
        raise LookupError("no such file")

    with pytest.raises(LookupError, match="no such file"):
        list(DataLoader(NUMBERS, num_workers=1, worker_init_fn=fail))


def kill(samples):
    if 3 in samples:
        os.kill(os.getpid(), signal.SIGKILL)
    return samples


def leave(samples):
    if 3 in samples:
        os._exit(7)
    return samples


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize(
    ("fn", "message"), [(kill, r"pid \d+.*SIGKILL"), (leave, r"pid \d+.*exit code 7")]
)
def test_a_killed_worker_is_reported(fn, message, persistent):
    loader = DataLoader(list(range(6)), num_workers=2, collate_fn=fn, persistent_workers=persistent)
    for _ in range(2):  # the second time with new processes
        with pytest.raises(RuntimeError, match=message):
            list(loader)


def sleep(samples):
    time.sleep(60)


def test_a_worker_that_takes_too_long():
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"timed out after 0\.2 seconds"):
        list(DataLoader([0, 1], num_workers=1, collate_fn=sleep, timeout=0.2))
    assert time.monotonic() - start < 20


def test_leaving_the_loop_ends_the_workers():
    for _ in DataLoader(Pictures(1000), num_workers=2):
        break
    gc.collect()
    assert not processes()
    with pytest.raises(KeyError):
        for _ in DataLoader(Pictures(1000), num_workers=2):
            raise KeyError
    gc.collect()
    assert not processes()


SCRIPT = """
    import os, signal, sys, time
    import tensorlite as tl
    from tensorlite.utils.data import DataLoader

    class Slow(tl.utils.data.Dataset):
        def __len__(self):
            return 1000

        def __getitem__(self, index):
            time.sleep(0.01)
            return os.getpid()

    batches = iter(DataLoader(Slow(), num_workers=2))
    print(*{int(next(batches)) for _ in range(8)}, flush=True)
    ACTION
"""


def gone(pid, within=15.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not os.path.exists("/proc"), reason="looks at /proc")
@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("list(batches)", "interrupt"),  # Ctrl-C, which the terminal sends to all of them
        ("list(batches)", "kill"),
        ("sys.exit(3)", 3),
        ("raise LookupError", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
    ],
)
def test_processes_end_with_their_parent(action, status):
    script = textwrap.dedent(SCRIPT).replace("ACTION", action)
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    workers = [int(pid) for pid in child.stdout.readline().split()]
    assert len(workers) == 2
    if status == "interrupt":
        os.killpg(child.pid, signal.SIGINT)
    elif status == "kill":
        child.kill()
    error = child.communicate(timeout=30)[1]
    assert all(gone(pid) for pid in workers)
    if status == "interrupt":
        assert error.count("Traceback") == 1
        assert "KeyboardInterrupt" in error
    elif status != "kill":
        assert child.returncode == status
        assert error.count("Traceback") == (status != 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": -1}, "num_workers must not be negative"),
        ({"timeout": -1, "num_workers": 1}, "timeout must not be negative"),
        ({"timeout": 3}, "timeout is about workers"),
        ({"prefetch_factor": 2}, "prefetch_factor is about workers"),
        ({"persistent_workers": True}, "persistent_workers is about workers"),
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor must be at least 1"),
        ({"num_workers": 1, "prefetch": 2}, "use prefetch_factor"),
        ({"shuffle": True, "sampler": [1]}, "shuffle must not be given"),
        ({"batch_sampler": [[1]], "shuffle": True}, "given: shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 3}, "given: batch_size"),
        ({"batch_size": None, "drop_last": True}, "batch_size=None"),
    ],
)
def test_options_that_exclude_one_another(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(NUMBERS, **options)


@pytest.mark.parametrize("name", ["shuffle", "sampler", "batch_sampler"])
def test_a_stream_has_an_order_of_its_own(name):
    with pytest.raises(ValueError, match=f"own order: {name}"):
        DataLoader(Stream(), **{name: True if name == "shuffle" else [[1]]})
