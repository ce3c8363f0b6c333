"""Train for a while and print a digest of everything.

python bits.py KIND SHARDS STEPS [FILE [KILL]]: goes on from FILE if that is there, writes it every
7 steps, and is killed on rank 1 in step KILL. On the device that the variable DEVICE names, in the
dtype of DTYPE.
"""

import hashlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.distributed.windows import Put
from tensorlite.nn import functional as F

kind, shards, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
file = Path(sys.argv[4]) if len(sys.argv) > 4 else None
kill = int(sys.argv[5]) if len(sys.argv) > 5 else None
world = tl.distributed.init(shards=shards)
tl.manual_seed(3)
rng = np.random.default_rng(5)


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 16)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, 11, bias=False)
        self.head.weight = self.embed.weight  # a parameter that is used twice

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], x.device)
        return self.head(self.block(self.embed(x), src_mask=mask))


class Crossed(nn.Module):
    """Used in another order than made."""

    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Linear(150, 5), nn.Linear(12, 150)
        self.middle = nn.Linear(150, 150)

    def forward(self, x):
        return self.last(self.middle(self.first(x).tanh()).tanh())


if kind == "crossed":
    model = Crossed()
    data = (rng.normal(size=(109, 12)).astype(np.float32), rng.integers(0, 5, 109))
elif kind in ("mlp", "held"):
    model = nn.Sequential(nn.Linear(12, 150), nn.ReLU(), nn.Dropout(0.2), nn.Linear(150, 5))
    data = (rng.normal(size=(109, 12)).astype(np.float32), rng.integers(0, 5, 109))
elif kind == "cnn":
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(),
        nn.Linear(6 * 36, 5),
    )  # fmt: skip
    data = (rng.normal(size=(109, 1, 8, 8)).astype(np.float32), rng.integers(0, 5, 109))
else:
    model = GPT()
    tokens = rng.integers(0, 11, (109, 9))
    data = (tokens[:, :-1], tokens[:, 1:])


def loss_of(output, target):
    return F.cross_entropy(output.reshape(-1, output.shape[-1]), target.reshape(-1))


device = tl.device(os.environ.get("DEVICE", "cpu"))
if device.type == "cuda":
    assert device.index == world.local_rank
model.to(device, getattr(tl, os.environ.get("DTYPE", "float32")))
optimizer = tl.optim.AdamW(model.named_parameters(), lr=1e-2)
schedule = tl.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
loader = tl.distributed.cut(DataLoader(TensorDataset(*data), 16, shuffle=True, device=device))
optimizer = tl.distributed.Sharded(optimizer, bucket_bytes=8192)
holders = {"model": model, "optimizer": optimizer, "schedule": schedule, "loader": loader}
holders["rng"] = tl.random.default_generator
done, held = 0, []
if file is not None and file.exists():
    saved = tl.load(file)
    done = saved.pop("done")
    for name, state in saved.items():
        holders[name].load_state_dict(state)
if kind == "held" and world.rank == world.size - 1:  # it is slow in copying
    wait = Put.wait
    Put.wait = lambda put: (time.sleep(0.01), wait(put))
while done < steps:
    for batch in loader:
        optimizer.zero_grad()
        for x, y in tl.distributed.shards(batch):
            if done == kill and world.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if x.dtype.kind == "f":
                x = x.to(next(model.parameters()).dtype)
            loss_of(model(x).float(), y).backward()
        if kind == "held":
            nn.utils.clip_grad_value_(model.parameters(), 0.02)
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.7)
        optimizer.step()
        if kind == "held":  # parameters that others may be copying are changed
            with tl.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(0.99)
        if kind == "held" and world.rank == world.size - 1:  # one alone keeps gradients
            held += [(p.grad, p.grad.numpy().copy()) for p in model.parameters() if done % 3 == 1]
        schedule.step()
        done += 1
        if file is not None and done % 7 == 0:
            state = {name: holder.state_dict() for name, holder in holders.items()}
            state["done"] = done
            tl.distributed.on_main(lambda state=state: tl.save(state, file))
        if done == steps:
            break

assert all(np.array_equal(kept.numpy(), copy) for kept, copy in held)
digest = hashlib.sha256(norm.cpu().numpy().tobytes())
for value in model.state_dict().values():
    digest.update(value.cpu().numpy().tobytes())
state = optimizer.state_dict()["state"]
for number in sorted(state):
    for name in sorted(state[number]):
        digest.update(tl.as_tensor(state[number][name]).cpu().numpy().tobytes())
kept = sum(a.state["exp_avg"].size for f in optimizer._flats for a in f.arenas)
whole = sum(a.data.size for f in optimizer._flats for a in f.arenas)
sent = 0 if world.link is None else world.link.sent
line = f"rank {world.rank} digest {digest.hexdigest()} kept {kept} of {whole} sent {sent}"
queue = " ".join(map(str, optimizer.sharing.queue))
parts = optimizer.sharing.parts
window = "windows" if all(part.shared for part in parts) else "messages"
local = f"{world.local_rank} of {world.local_size}"
print(f"{line} local {local} {window} queue {queue}\n", end="")
