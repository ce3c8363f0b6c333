"""Several devices of one process, on the emulator or on GPUs: the same bits as on one."""

from __future__ import annotations

import re

import numpy as np
import pytest
from launching import run

import tensorlite as tl
from tensorlite import nn, ranks
from tensorlite.bench.counts import emulator
from tensorlite.cuda import device_count
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.training import Trainer

EMULATED = {
    "DEVICE": "cuda",
    "CUDA_EMULATOR_DEVICES": "4",
    "CUDA_EMULATOR_STRICT": "1",
    "CUDA_EMULATOR_TIMEOUT": "60",
}


@pytest.fixture(autouse=True)
def on_cuda(device):
    if device.type != "cuda":
        pytest.skip("with --device cuda")
    if device_count() < 2:
        pytest.skip("two devices")


def digests(program: str, *args: object, **variables: str) -> list[str]:
    done = run(0, program, *args, **EMULATED, **variables)
    assert done.returncode == 0, done.stderr
    return re.findall(r"digest (\w+)", done.stdout)


@pytest.mark.skipif(device_count() < 4 and emulator() is None, reason="four devices")
@pytest.mark.parametrize(("kind", "steps"), [("mlp", 50), ("cnn", 20), ("gpt", 8)])
def test_bits_are_those_of_one_device(kind, steps):
    found = digests("devices.py", kind, 4, steps, 2, 4)
    assert len(found) == 6
    assert set(found) == set(digests("bits.py", kind, 4, steps))


def test_nothing_depends_on_what_may_run_at_the_same_time():
    orders = [
        {"CUDA_EMULATOR_ORDER": "forward"},
        {"CUDA_EMULATOR_ASYNC": "lazy", "CUDA_EMULATOR_ORDER": "reverse"},
        {"CUDA_EMULATOR_ASYNC": "random:1", "CUDA_EMULATOR_ORDER": "random:2"},
    ]
    found = [digests("devices.py", "cnn", 2, 4, 2, **order) for order in orders]
    assert len({one for of_both in found for one in of_both}) == 1


def test_each_is_who_it_is_and_all_is_as_before_afterwards():
    before = tl.random.default_generator.state_dict()

    def work():
        world = tl.distributed.init()
        drawn = tl.rand(2).tolist()
        words = world.gather(world.rank)
        with tl.device("cuda"):
            made = tl.zeros(1)
        assert world.gather(str(made.device)) == ["cuda:1", "cuda:0"]
        return world.rank, world.size, tl.distributed.rank(), words, str(made.device), drawn

    found = tl.distributed.on_devices(work, ["cuda:1", 0])
    assert found[0][:5] == (0, 2, 0, [0, 1], "cuda:1")
    assert found[1][:5] == (1, 2, 1, [0, 1], "cuda:0")
    assert found[0][5] == found[1][5]
    assert tl.random.default_generator.state_dict() == before
    assert ranks.world().size == 1 and tl.device("cuda").index == 0


@pytest.mark.parametrize("where", ["at once", "in a step"])
def test_what_one_raises_ends_all(where):
    def work():
        rank = tl.distributed.init().rank
        if rank == 1 and where == "at once":
            raise ValueError("no further")
        model = nn.Linear(3, 2).to("cuda")
        optimizer = tl.distributed.Sharded(tl.optim.SGD(model.parameters(), lr=0.1))
        for step in range(3):
            model(tl.ones(4, 3, device="cuda")).sum().backward()
            if rank == 1 and step == 1:
                raise ValueError("no further")
            optimizer.step()

    with pytest.raises(ValueError, match="no further") as raised:
        tl.distributed.on_devices(work, 2)
    assert re.match(r"raised on rank 1 of 2 at .*test_on_devices.py:\d+", raised.value.__notes__[0])
    assert ranks.world().size == 1


def test_a_trainer(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)

    def work():
        tl.distributed.init(shards=2)
        tl.manual_seed(0)
        norm = nn.SyncBatchNorm(8)
        model = nn.Sequential(nn.Linear(3, 8), norm, nn.Dropout(0.1), nn.Linear(8, 1))
        optimizer = tl.optim.Adam(model.named_parameters(), lr=0.01)
        trainer = Trainer(
            model, optimizer, nn.functional.mse_loss, callbacks=(), device="cuda",
            clip_norm=1.0, out=tmp_path / str(tl.distributed.size()),
        )  # fmt: skip
        data = TensorDataset(x, x[:, :1] * 2)
        history = trainer.fit(DataLoader(data, 8, shuffle=True), DataLoader(data, 10), epochs=2)
        return [{**record, "seconds": 0, "samples_per_second": 0} for record in history]

    (one,), two = (tl.distributed.on_devices(work, count) for count in (1, 2))
    assert two == [one, one]
    states = [tl.load(tmp_path / n / "last.safetensors") for n in "12"]
    for name, value in states[0]["model"].items():
        np.testing.assert_array_equal(value.numpy(), states[1]["model"][name].numpy())


def test_refusals():
    with pytest.raises(ValueError, match=r"devices=99; \d+ CUDA devices are there"):
        tl.distributed.on_devices(dict, 99)
    with pytest.raises(ValueError, match="are not CUDA devices, each once"):
        tl.distributed.on_devices(dict, ["cuda:0", "cuda:0"])
    with pytest.raises(ValueError, match="are not CUDA devices, each once"):
        tl.distributed.on_devices(dict, ["cpu"])

    def on_the_cpu():
        model = nn.Linear(3, 2)
        optimizer = tl.distributed.Sharded(tl.optim.SGD(model.parameters(), lr=0.1))
        model(tl.ones(4, 3)).sum().backward()
        optimizer.step()

    with pytest.raises(RuntimeError, match="move the model there, or start processes"):
        tl.distributed.on_devices(on_the_cpu, 2)
    with pytest.raises(RuntimeError, match="is one of several already"):
        tl.distributed.on_devices(lambda: tl.distributed.on_devices(dict, 1), 1)

    def shards_differ():
        tl.distributed.init(shards=4 + tl.distributed.rank())

    with pytest.raises(RuntimeError, match="number of shards: 5 there and 4"):
        tl.distributed.on_devices(shards_differ, 2)
