"""A Trainer with everything: python trainer.py [OUT]; prints a digest of what came of it."""

import hashlib
import sys

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.nn import functional as F
from tensorlite.training import Metric, Trainer

PAD = 7
world = tl.distributed.init(shards=4)
tl.manual_seed(1)
rng = np.random.default_rng(2)
tokens = rng.integers(0, 7, (58, 7))
tokens[rng.random((58, 7)) < 0.3] = PAD
tokens[:, :2] = 3  # some that count, in every sample
train, val = TensorDataset(tokens[:45], tokens[:45]), TensorDataset(tokens[45:], tokens[45:])
model = nn.Sequential(nn.Embedding(8, 6), nn.Dropout(0.1), nn.Linear(6, 8))
model[2].bias.requires_grad_(False)  # one without a gradient is scaled and clipped with the others


class Sum(Metric):  # one that knows nothing of several processes
    name = "sum"

    def reset(self):
        self.total = np.float32(0)

    def update(self, output, target):
        self.total = self.total + output.sum()

    def compute(self):
        return float(self.total)


def loss(output, target):  # a mean over tokens
    return 50 * F.cross_entropy(output.reshape(-1, 8), target.reshape(-1), ignore_index=PAD)


class StopsOnRank1(tl.training.Callback):
    def on_epoch_end(self, trainer, record):
        if record["epoch"] == 6 and tl.distributed.rank() == tl.distributed.size() - 1:
            trainer.stop("the last rank has had enough")


optimizer = tl.optim.Adam(model.named_parameters(), lr=0.02)
trainer = Trainer(
    model,
    optimizer,
    loss,
    schedule=tl.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.5),
    metrics=["accuracy", Sum()],
    weight=lambda x, y: (y != PAD).sum(),
    clip_norm=0.5,
    accumulate=2,  # batches of 10, 10, 10, 10 and 5
    scaler=tl.amp.GradScaler("cpu", init_scale=3e38, growth_interval=3),
    out=sys.argv[1] if len(sys.argv) > 1 else None,
    callbacks=[StopsOnRank1()],
    device="cpu",
)
assert trainer.not_captured is not None
history = trainer.fit(DataLoader(train, 10, shuffle=True), DataLoader(val, 3), epochs=9)
assert trainer.stopped_by == "the last rank has had enough" and len(history) == 6
assert len({record["lr"] for record in history}) > 1  # the plateau was agreed on
assert trainer.scaler.get_scale() < 1e38  # it fell, everywhere
digest = hashlib.sha256()
for value in model.state_dict().values():
    digest.update(value.numpy().tobytes())
for record in history:
    kept = {k: v for k, v in record.items() if k not in ("seconds", "samples_per_second")}
    digest.update(repr(kept).encode())
print(f"rank {world.rank} digest {digest.hexdigest()} {history[-1]['val_loss']:.3f}")
