"""Forward and backward captured, the exchange not: python captured.py; on two processes.

Prints a digest, which is the same eagerly and captured, by a Trainer and in a loop of one's own.
"""

import hashlib

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset
from tensorlite.nn import functional as F

world = tl.distributed.init()
rng = np.random.default_rng(0)
data = TensorDataset(rng.normal(size=(75, 1, 6, 6)).astype(np.float32), rng.integers(0, 5, 75))


def train(how):
    tl.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(),
        nn.Linear(64, 5),
    )  # fmt: skip
    optimizer = tl.optim.AdamW(model.named_parameters(), lr=1e-2)
    loader = DataLoader(data, 16, shuffle=True)  # the last batch has 11 samples: shards of 6 and 5
    if how.startswith("trainer"):
        trainer = tl.training.Trainer(
            model, optimizer, F.cross_entropy, clip_norm=1.0, callbacks=(), device="cpu",
            capture="on" if how == "trainer" else "off",
        )  # fmt: skip
        trainer.fit(loader, epochs=6)
        if how == "trainer":
            assert trainer.not_captured is None
            assert sum(r.replays for r in trainer.update.captured.recordings) > 20
        return model
    loader = tl.distributed.cut(loader)
    optimizer = tl.distributed.Sharded(optimizer, bucket_bytes=4096)

    def gradients(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    call = tl.capture(gradients) if how == "loop" else gradients
    for _ in range(6):
        for x, y in loader:
            call(x, y)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return model


for how in ("trainer eager", "trainer", "loop", "loop eager"):
    digest = hashlib.sha256()
    for value in train(how).state_dict().values():
        digest.update(value.numpy().tobytes())
    print(f"rank {world.rank} {how} digest {digest.hexdigest()}\n", end="")
