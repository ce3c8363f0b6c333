"""SyncBatchNorm on real processes: statistics, outputs and gradients of the whole batch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn, ranks

PROGRAM = Path(__file__).parent / "programs" / "sync.py"
BESIDE = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")


def values(processes: int) -> list[np.ndarray]:
    """What the program comes to on so many processes, with as many shards."""
    command = [sys.executable, str(PROGRAM), str(processes)]
    if processes > 1:
        command = [BESIDE, "-n", str(processes), *command]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"values (.*)", done.stdout)
    assert len(lines) == processes
    return [np.array([float.fromhex(word) for word in line.split()]) for line in lines]


def test_it_is_batch_norm_of_the_whole_batch():
    pytest.importorskip("mpi4py", reason='mpi4py is missing: pip install "tensorlite[mpi]"')
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
