"""Train with statistics of the whole batch, and print what came out: python sync.py SHARDS HOW...

HOW is "each", "trainer", or "mixed": with layers that normalize each shard between those that
normalize all, and with a second backward pass of every shard.
"""

import os
import sys

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset

world = tl.distributed.init(shards=int(sys.argv[1]))
device = tl.device(os.environ.get("DEVICE", "cpu"))


def make(how):
    layers = [
        nn.Conv2d(2, 3, 2, dtype="float64"), nn.BatchNorm2d(3, dtype="float64"), nn.ReLU(),
        nn.Flatten(), nn.Linear(27, 4, dtype="float64"), nn.BatchNorm1d(4, dtype="float64"),
    ]  # fmt: skip
    model = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(*layers))
    assert type(model[1]) is type(model[5]) is nn.SyncBatchNorm
    if how == "mixed":
        model.insert(2, nn.Dropout(0.3))
        model.insert(2, nn.BatchNorm2d(3, dtype="float64", momentum=None))
    return model.to(device)


def loss_of(output, target):
    return ((output - target) ** 2).mean()


def train(how, model, loader, optimizer):
    loader, optimizer = tl.distributed.cut(loader), tl.distributed.Sharded(optimizer)

    def step(x, y):
        loss = loss_of(model(x), y)
        loss.backward()
        if how == "mixed":
            (loss_of(model(x), -y) * tl.rand(1, device=device).item()).backward()
        return loss.item()

    for _ in range(3):
        for batch in loader:
            optimizer.zero_grad()
            losses = tl.distributed.each_shard(batch, step)
            assert all(loss > 0 for loss in losses)
            optimizer.step()


for how in sys.argv[2:]:
    tl.manual_seed(0)
    model = make(how)
    rng = np.random.default_rng(0)
    data = TensorDataset(rng.normal(size=(25, 2, 4, 4)), rng.normal(size=(25, 4)))
    loader = DataLoader(data, 11, shuffle=True, device=device)  # 11, 11 and 3 samples
    optimizer = tl.optim.SGD(model.named_parameters(), lr=0.1, momentum=0.9)
    if how == "trainer":
        trainer = tl.training.Trainer(model, optimizer, loss_of, callbacks=(), device=device)
        trainer.fit(loader, epochs=3)
    else:
        train(how, model, loader, optimizer)
    values = np.concatenate([v.cpu().numpy().reshape(-1) for v in model.state_dict().values()])
    words = " ".join(value.hex() for value in values.tolist())
    print(f"rank {world.rank} {how} values {words}\n", end="")
