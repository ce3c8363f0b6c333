"""Count what a step on CUDA asks of the emulator: python counts.py KIND DTYPE; prints JSON."""

import ctypes
import json
import sys

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.nn import functional as F

kind, dtype = sys.argv[1], getattr(tl, sys.argv[2])
world = tl.distributed.init()
device = tl.device("cuda")
emulator = ctypes.CDLL("libcuda.so.1")
emulator.cuda_emulator_profile_json.restype = ctypes.c_char_p
tl.manual_seed(0)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 1, 8, 8)).astype(np.float32), rng.integers(0, 5, 64)
if kind != "cnn":
    layers = [nn.Flatten(), nn.Linear(64, 500), nn.GELU(), nn.Linear(500, 60), nn.Linear(60, 5)]
else:
    layers = [nn.Conv2d(1, 20, 3), nn.BatchNorm2d(20), nn.ReLU(), nn.Flatten(), nn.Linear(720, 100)]
model = nn.Sequential(*layers).to(device, dtype)
optimizer = tl.optim.AdamW(model.named_parameters(), lr=1e-3)
optimizer = tl.distributed.Sharded(optimizer, bucket_bytes=40_000)
loader = DataLoader(TensorDataset(x, y), 8, device=device)
if kind == "cnn":
    tl.distributed.cut(loader)
scaler = tl.amp.GradScaler(enabled=kind == "amp")
batches = loader if kind == "cnn" else list(loader)  # these are on the device already
found = []


def waits():
    """How often the host has waited for the device."""
    counts = json.loads(emulator.cuda_emulator_profile_json())["counts"]
    names = ("stream_synchronize", "event_synchronize", "device_synchronize", "memcpyD2H")
    numbers = [counts.get(name, 0) for name in names]
    return sum(n["count"] if isinstance(n, dict) else n for n in numbers)


for batch in batches:
    emulator.cuda_emulator_profile_reset()
    before = world.link.nccl.sent
    optimizer.zero_grad()
    for images, labels in tl.distributed.shards(batch):
        with tl.autocast("cuda", tl.float16, enabled=kind == "amp"):
            loss = F.cross_entropy(model(images.to(dtype)).float(), labels)
        scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    calls = json.loads(emulator.cuda_emulator_profile_json())["library_calls"]
    emulated = sum(int(c["bytes"]) for name, c in calls.items() if name.startswith("ncclSend"))
    # Of what all send to all each rank passes its own part to every other.
    gathers = [c["bytes"] for name, c in calls.items() if name.startswith("ncclAllGather")]
    emulated += int(sum(gathers)) * (world.size - 1)
    sent = world.link.nccl.sent - before
    found.append({"waits": waits(), "sent": sent, "emulated": emulated})
loss.item()
assert waits() > found[-1]["waits"]  # or it would count nothing
size = sum(p.numel() * p.array.itemsize for p in model.parameters())
print(json.dumps({"rank": world.rank, "parameters": size, "steps": found}) + "\n", end="")
