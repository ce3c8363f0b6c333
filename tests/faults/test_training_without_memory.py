"""Training where memory gets scarce and is there again: the bits are the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tensorlite.backend import HOST

TRAIN = """
import re, resource, sys, tensorlite as tl
from tensorlite import nn
import tensorlite.nn.functional as F

class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(40, 64), nn.Linear(64, 40)
        self.block = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True)
    def forward(self, x):
        return self.head(self.block(self.embed(x))).flatten(0, 1)

class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(32, 256), nn.Linear(256, 40)
    def forward(self, x):
        return self.head(self.lstm(x)[0]).flatten(0, 1)

def made(kind):
    tl.manual_seed(0)
    if kind == "mlp":
        model = nn.Sequential(nn.Linear(300, 1000), nn.ReLU(), nn.Linear(1000, 40))
        return model, tl.randn(512, 300), tl.randint(0, 40, (512,))
    if kind == "cnn":
        model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                              nn.Conv2d(32, 40, 5, 2), nn.Flatten(), nn.Linear(40 * 36, 40))
        return model, tl.randn(32, 3, 32, 32), tl.randint(0, 40, (32,))
    if kind == "gpt":
        return Attends(), tl.randint(0, 40, (16, 128)), tl.randint(0, 40, (16 * 128,))
    return Remembers(), tl.randn(16, 64, 32), tl.randint(0, 40, (16 * 64,))

# How much, as in "512. KiB" of NumPy's, or which kernels.
SAID = r"\\d\\.? (bytes|[KMGT]iB)|load the kernels"

def used():
    return int(open("/proc/self/statm").read().split()[0]) * 4096

def step(model, optimizer, x, y):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()

def bits(model, optimizer):
    weights = [p.detach().numpy().tobytes() for p in model.parameters()]
    state = [v.numpy().tobytes() for s in optimizer.state_dict()["state"].values()
             for v in s.values() if isinstance(v, tl.Tensor)]
    return weights, state

def trained(kind, scarce):
    model, x, y = made(kind)
    optimizer = tl.optim.AdamW(model.parameters(), lr=1e-3)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    failed, unsaid = 0, 0
    for i in range(3):
        for extra in range(0, 400) if scarce else ():
            before = bits(model, optimizer)
            tl.empty_cache()
            resource.setrlimit(resource.RLIMIT_AS, (used() + (extra << 18), hard))
            try:
                step(model, optimizer, x, y)
                break
            except MemoryError as error:
                resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
                failed += 1
                unsaid += not re.search(SAID, str(error))
                assert bits(model, optimizer) == before, "changed by a step that failed"
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        else:
            step(model, optimizer, x, y)
    return bits(model, optimizer), failed, unsaid

kind = sys.argv[1]
made("mlp")[0](tl.randn(512, 300)).sum().backward()
found, failed, unsaid = trained(kind, True)
wanted, *_ = trained(kind, False)
assert found == wanted, "other bits"
print(failed, unsaid)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux'")
@pytest.mark.parametrize("kind", ["mlp", "cnn", "gpt", "lstm"])
def test_training_goes_on_with_the_same_bits(kind):
    if HOST.kernels is None:
        pytest.skip("what NumPy's own allocations do is NumPy's")
    command = [sys.executable, "-c", TRAIN, kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:] or done.returncode
    failed, unsaid = map(int, done.stdout.split())
    assert failed >= 3
    # Python's own objects may be what there is no room for, now and then: it says nothing.
    assert unsaid <= failed / 20
