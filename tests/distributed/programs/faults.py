"""Something is wrong on rank 1: python faults.py WHAT FILE; the model is saved there."""

import os
import signal
import sys
import time

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, Dataset
from tensorlite.distributed import agreement

what = sys.argv[1]
wrong = tl.distributed.init(timeout=4).rank == 1
if os.path.exists("/proc/self/maps"):
    with open("/proc/self/maps") as maps:
        print(*{word for word in maps.read().split() if word.startswith("/dev/shm/mpich")})
tl.manual_seed(1 if wrong and what == "seed" else 0)
if wrong and what == "code":
    agreement._package = lambda: "another"
width = 5 if wrong and what == "model" else 4
length = 30 if wrong and what == "length" else 32


class Samples(Dataset):
    def __len__(self):
        return length

    def __getitem__(self, i):
        if wrong and what == "loader":
            raise OSError("the disk is gone")
        return np.ones(3, np.float32), np.float32(1)


class Unlucky(tl.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, grad):
        raise ArithmeticError("no backward here")


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, width, dtype="float64" if wrong and what == "dtype" else None)

    def forward(self, x):
        if wrong and what == "forward":
            raise ValueError("no forward here")
        y = self.linear(x)
        return Unlucky.apply(y) if wrong and what == "backward" else y


model = Model()
loader = tl.distributed.cut(DataLoader(Samples(), 8))
lr = 0.2 if wrong and what == "settings" else 0.1
optimizer = tl.distributed.Sharded(tl.optim.SGD(model.named_parameters(), lr=lr))
for step, (x, y) in enumerate(loader):
    loss = ((model(x).mean(-1) - y) ** 2).mean()
    optimizer.zero_grad()
    if wrong and step == 2:
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if what == "leave":
            sys.exit(0)
        if what == "hang":
            time.sleep(60)
    loss.backward()
    optimizer.step()
    state = model.state_dict()
    tl.distributed.on_main(lambda state=state: tl.save(state, sys.argv[2]))
print("came to the end")
