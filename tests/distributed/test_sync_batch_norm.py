"""SyncBatchNorm on real processes: statistics, outputs and gradients of the whole batch."""

from __future__ import annotations

import re

import numpy as np
import pytest
from launching import HAS_MPI, WITHOUT, run

import tensorlite as tl
from tensorlite import nn, ranks


def values(processes: int) -> list[np.ndarray]:
    """What the program comes to on so many processes, with as many shards."""
    done = run(processes if processes > 1 else 0, "sync.py", processes)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("values ")[1:]  # mpiexec may leave out the ends of lines
    assert len(lines) == processes
    words = [re.findall(r"-?0x[0-9a-f.]+p[+-]\d+", line) for line in lines]
    return [np.array(list(map(float.fromhex, line))) for line in words]


@pytest.mark.skipif(not HAS_MPI, reason=WITHOUT)
def test_it_is_batch_norm_of_the_whole_batch():
    (alone,) = values(1)
    for processes in (2, 4):  # four: the last batch, of three samples, leaves one of them none
        found = values(processes)
        for other in found[1:]:
            np.testing.assert_array_equal(found[0], other)
        np.testing.assert_allclose(found[0], alone, rtol=1e-11, atol=1e-13)


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


def test_several_shards_in_one_process_are_refused():
    before = ranks.world()
    ranks.set_world(ranks.World(shards=2))
    try:
        with pytest.raises(RuntimeError, match=r"as many processes as there are shards \(2 and 1"):
            nn.SyncBatchNorm(3)(tl.randn(4, 3))
    finally:
        ranks.set_world(before)
