"""What can be seen without mpiexec: the tree, and a batch cut into shards in one process."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn, ranks
from tensorlite.cli import main
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.distributed import guard, start
from tensorlite.distributed.divide import BLOCK, Bucket
from tensorlite.distributed.tree import cover, merges, total


@pytest.fixture
def four_shards():
    before = ranks.world()
    ranks.set_world(ranks.World(shards=4))
    yield
    ranks.set_world(before)


@pytest.mark.parametrize("shards", range(1, 18))
def test_parts_of_the_tree_are_added_to_the_same_sum(shards):
    def add(a, b):
        return f"({a}+{b})"

    leaves = {(i, i + 1): str(i) for i in range(shards)}
    expected = total(leaves, shards, add)
    for size in range(1, shards + 1):
        world = [ranks.World(r, size, shards) for r in range(size)]
        nodes = {}
        for one in world:
            stack = []
            done = merges(*one.span(one.rank), shards)
            for shard in one.own:
                stack.append(((shard, shard + 1), str(shard)))
                for _ in range(done[shard]):
                    (b, right), (a, left) = stack.pop(), stack.pop()
                    stack.append(((a[0], b[1]), add(left, right)))
            assert [node for node, _ in stack] == cover(*one.span(one.rank), shards)
            nodes |= dict(stack)
        assert total(nodes, shards, add) == expected


def _data(count=37):
    rng = np.random.default_rng(0)
    return TensorDataset(rng.normal(size=(count, 3)), rng.normal(size=count))


def _train(model, optimizer, loader, accumulate=1):
    for i, batch in enumerate(loader):
        if i % accumulate == 0:
            optimizer.zero_grad()
        for x, y in tl.distributed.shards(batch):
            (((model(x)[:, 0] - y) ** 2).mean() / accumulate).backward()
        if i % accumulate == accumulate - 1:
            optimizer.step()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_shards_are_weighed_as_the_whole_batch_is(four_shards, accumulate):
    results = []
    for divided in (True, False):
        tl.manual_seed(0)
        model = nn.Linear(3, 1, dtype="float64")
        optimizer = tl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        loader = DataLoader(_data(), 9)  # the last batch has one sample, and three empty shards
        if divided:
            loader = tl.distributed.cut(loader)
            optimizer = tl.distributed.Sharded(optimizer)
        for _ in range(3):
            _train(model, optimizer, loader, accumulate)
        results.append(np.append(model.weight.detach().numpy(), model.bias.detach().numpy()))
    np.testing.assert_allclose(*results, rtol=1e-12)


def test_state_goes_to_an_ordinary_optimizer_and_back(four_shards):
    tl.manual_seed(0)
    model = nn.Linear(3, 1, dtype="float64")
    optimizer = tl.distributed.Sharded(tl.optim.Adam(model.named_parameters()))
    loader = tl.distributed.cut(DataLoader(_data(), 9))
    _train(model, optimizer, loader)
    saved = optimizer.state_dict()
    plain = tl.optim.Adam(model.named_parameters())
    plain.load_state_dict(saved)
    again = plain.state_dict()["state"]
    other = tl.distributed.Sharded(tl.optim.Adam(model.named_parameters()))
    other.load_state_dict(plain.state_dict())
    for number, state in other.state_dict()["state"].items():
        for name, value in state.items():
            np.testing.assert_array_equal(value.numpy(), again[number][name].numpy())
            np.testing.assert_array_equal(value.numpy(), saved["state"][number][name].numpy())


def test_running_statistics_are_the_mean_over_shards(four_shards):
    model = nn.Sequential(nn.BatchNorm1d(3, dtype="float64"), nn.Linear(3, 1, dtype="float64"))
    optimizer = tl.distributed.Sharded(tl.optim.SGD(model.parameters(), lr=0.0))
    data = _data(16)
    _train(model, optimizer, tl.distributed.cut(DataLoader(data, 16)))
    x = data.tensors[0].numpy()
    np.testing.assert_allclose(model[0].running_mean.numpy(), 0.1 * x.mean(0))
    variance = x.reshape(4, 4, 3).var(1, ddof=1).mean(0)
    np.testing.assert_allclose(model[0].running_var.numpy(), 0.9 + 0.1 * variance)
    assert int(model[0].num_batches_tracked) == 1


def test_weights_of_the_users_own(four_shards):
    model = nn.Linear(3, 1, dtype="float64", bias=False)
    optimizer = tl.distributed.Sharded(tl.optim.SGD(model.parameters(), lr=1.0))
    data = _data(8)
    before = model.weight.detach().numpy().copy()
    (batch,) = tl.distributed.cut(DataLoader(data, 8))
    x, y = (t.numpy() for t in data.tensors)
    counts = np.where(y > 0, 1.0, 0.0)  # only these have a loss
    for part, target in tl.distributed.shards(batch, lambda x, y: (y > 0).sum()):
        seen = tl.tensor((target.numpy() > 0).astype(float))
        error = ((model(part)[:, 0] - target) ** 2 * seen).sum() / max(float(seen.sum()), 1.0)
        error.backward()
    optimizer.step()
    slope = 2 * ((x @ before[0] - y) * counts) @ x / counts.sum()
    np.testing.assert_allclose(before[0] - model.weight.detach().numpy()[0], slope)


def test_a_loop_without_shards_is_told_what_to_write(four_shards):
    loader = tl.distributed.cut(DataLoader(_data(), 9))
    with pytest.raises(TypeError, match=r"for x, y in tl\.distributed\.shards\(batch\)"):
        for x, y in loader:  # noqa: B007
            pass


def test_random_numbers_are_keyed_by_the_shard(four_shards):
    tl.manual_seed(5)
    drawn = []
    for batch in tl.distributed.cut(DataLoader(_data(16), 8)):
        drawn += [tl.rand(1).item() for _ in tl.distributed.shards(batch)]
    assert len(set(drawn)) == 8
    after = tl.random.default_generator.state_dict()["offset"]
    tl.manual_seed(5)
    for batch in tl.distributed.cut(DataLoader(_data(16), 8)):
        for _ in tl.distributed.shards(batch):
            pass
    assert tl.random.default_generator.state_dict()["offset"] == after


def test_refusals(four_shards):
    model = nn.Linear(3, 1)
    with pytest.raises(TypeError, match="LBFGS cannot be divided"):
        tl.distributed.Sharded(tl.optim.LBFGS(model.parameters()))
    optimizer = tl.distributed.Sharded(tl.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match="divided already"):
        tl.distributed.Sharded(optimizer)
    with pytest.raises(RuntimeError, match="before the optimizer is divided"):
        optimizer.add_param_group({"params": [nn.Parameter(tl.zeros(1))]})
    with pytest.raises(ValueError, match="shards=0 must be an integer of at least 1"):
        ranks.set_world(ranks.World())
        tl.distributed.init(shards=0)


def test_tasks_of_srun_without_mpi_are_refused(monkeypatch, capsys):
    for name in start._LAUNCHED + start._SIZES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(RuntimeError, match=r"srun started 2 tasks without MPI.*--mpi=pmi2"):
        tl.distributed.init()
    assert main(["train", "digits", "--epochs", "1"]) == 1
    assert "srun started 2 tasks without MPI" in capsys.readouterr().err
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert start.launched_size() == 1
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("PMIX_RANK", "1")
    assert (start.launched_size(), start.started_by()) == (2, "srun")
    monkeypatch.setenv("MPI_LOCALNRANKS", "2")  # srun has started mpiexec's helper alone
    assert start.started_by() == "mpiexec"


def test_parameters_without_a_gradient_do_not_keep_the_others_from_their_parts(four_shards):
    norms, sent = [], []
    for divided in (True, False):
        tl.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
        model[0].bias.requires_grad_(False)
        optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
        loader = DataLoader(_data(), 9)
        if divided:
            loader, optimizer = tl.distributed.cut(loader), tl.distributed.Sharded(optimizer)
            optimizer.sharing.gather_gradients = sent.append  # all of them, where a part would do
        scaler = tl.amp.GradScaler("cpu", init_scale=8.0)
        for batch in loader:
            optimizer.zero_grad()
            for x, y in tl.distributed.shards(batch):
                scaler.scale(((model(x.float())[:, 0] - y) ** 2).mean()).backward()
            scaler.unscale_(optimizer)
            norms.append(nn.utils.clip_grad_norm_(model.parameters(), 0.1).item())
            scaler.step(optimizer)
            scaler.update()
    assert not sent
    np.testing.assert_allclose(*np.split(np.array(norms), 2), rtol=1e-5)


def test_the_line_of_an_error_is_one_of_the_users_program():
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")  # raised by the standard library
    here = f"{__file__}:{caught.tb.tb_lineno}"
    assert guard.where(caught.value) == f" at {here}"
    assert not guard.is_users(str(Path(sysconfig.get_path("scripts")) / "tensorlite"))
    assert not guard.is_users("<frozen runpy>") and not guard.is_users(tl.__file__)


def test_blocks_that_are_left_over_go_to_all_in_turn():
    sizes = np.zeros(4, int)
    for number in range(4):  # ten blocks for four
        bucket = Bucket(number, 10 * number, 10 * number + 10, ranks.World(0, 4, 4), 40 * BLOCK)
        pieces = bucket.pieces
        assert [p.stop for p in pieces[:-1]] == [p.start for p in pieces[1:]]
        assert (pieces[0].start, pieces[-1].stop) == (bucket.start, bucket.stop)
        sizes += [(p.stop - p.start) // BLOCK for p in pieces]
    assert sizes.tolist() == [10] * 4
