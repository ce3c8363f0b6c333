"""SyncBatchNorm on real processes: statistics, outputs and gradients of the whole batch."""

from __future__ import annotations

import re

import numpy as np
import pytest
from launching import HAS_MPI, WITHOUT, run

import tensorlite as tl
from tensorlite import nn, ranks
from tensorlite.data import DataLoader, TensorDataset


def values(processes: int, shards: int, *hows: str, **variables: str) -> dict[str, np.ndarray]:
    """What the program comes to on so many processes, in each way that is asked for."""
    done = run(processes if processes > 1 else 0, "sync.py", shards, *hows, **variables)
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("rank ")[1:]  # mpiexec may leave out the ends of lines
    assert len(parts) == processes * len(hows)
    found: dict[str, list[np.ndarray]] = {how: [] for how in hows}
    for part in parts:
        words = re.findall(r"-?0x[0-9a-f.]+p[+-]\d+", part)
        found[part.split()[1]].append(np.array(list(map(float.fromhex, words))))
    for first, *others in found.values():
        for other in others:
            np.testing.assert_array_equal(first, other)
    return {how: rows[0] for how, rows in found.items()}


def test_several_shards_of_one_process_are_batch_norm_of_the_whole_batch():
    alone, eight = values(1, 1, "each"), values(1, 8, "each")
    # The last batch has three samples, which leaves some shards none.
    np.testing.assert_allclose(eight["each"], alone["each"], rtol=1e-11, atol=1e-13)


@pytest.mark.skipif(not HAS_MPI, reason=WITHOUT)
def test_bits_do_not_depend_on_the_number_of_processes():
    hows = ("each", "trainer", "mixed")
    alone, two, four = (values(processes, 4, *hows) for processes in (1, 2, 4))
    for how in hows:
        np.testing.assert_array_equal(two[how], alone[how])
        np.testing.assert_array_equal(four[how], alone[how])


@pytest.fixture
def batch(device):
    """One batch in four shards of two samples, all computed here."""
    before = ranks.world()
    ranks.set_world(ranks.World(shards=4))
    data = TensorDataset(np.arange(24, dtype=np.float32).reshape(8, 3))
    (found,) = tl.distributed.cut(DataLoader(data, 8, device=device))
    yield found
    ranks.set_world(before)


def test_shards_take_turns_where_they_wait(batch, device):
    norm, order = nn.SyncBatchNorm(3, device=device), []

    def step(x):
        order.append(float(x.min()))
        y = norm(x)
        order.append(float(x.min()))
        return y.detach()

    (rows,) = (tl.cat(tl.distributed.each_shard(batch, step)).cpu().numpy(),)
    assert order == [0, 6, 12, 18] * 2
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(rows.std(0), 1, rtol=1e-4)


def test_what_a_thread_has_set_holds_for_its_shards(batch, device):
    def step(x):
        return tl.is_grad_enabled(), tl.rand(1, device=x.device).item()

    with tl.no_grad():
        found = tl.distributed.each_shard(batch, step)
    assert {enabled for enabled, _ in found} == {False}
    assert len({number for _, number in found}) == 4


def test_a_shard_that_raises_ends_the_others(batch, device):
    norm, left = nn.SyncBatchNorm(3, device=device), []

    def step(x):
        try:
            norm(x)
            if x.min() > 5:
                raise ValueError("no further")
            norm(x)
        finally:
            left.append(float(x.min()))

    with pytest.raises(ValueError, match="no further"):
        tl.distributed.each_shard(batch, step)
    assert sorted(left) == [0, 6, 12, 18]


def test_shards_must_meet_in_the_same_layers(batch, device):
    norm = nn.SyncBatchNorm(3, device=device)

    def step(x):
        if x.min() > 5:
            norm(x)

    with pytest.raises(RuntimeError, match=r"shard 1 of a batch waits .* shard 0 has come to its"):
        tl.distributed.each_shard(batch, step)


def test_a_loop_over_shards_is_told_what_to_write(batch, device):
    norm = nn.SyncBatchNorm(3, device=device)
    with pytest.raises(RuntimeError, match=r"has 4 of 4: .*each_shard\(batch, step\)"):
        for (x,) in tl.distributed.shards(batch):
            norm(x)


def test_conversion_keeps_parameters_and_statistics():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4, momentum=None)))
    model(tl.randn(5, 3))
    before, state = model[1][0], model.state_dict()
    x = tl.randn(6, 3)
    expected = model(x).detach().numpy()
    made = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert made is model and type(model[1][0]) is nn.SyncBatchNorm
    assert model[1][0].weight is before.weight and model[1][0].momentum is None
    assert list(model.state_dict()) == list(state)
    np.testing.assert_array_equal(made(x).detach().numpy(), expected)
    alone = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(2, affine=False).eval())
    assert type(alone) is nn.SyncBatchNorm and alone.weight is None and not alone.training
