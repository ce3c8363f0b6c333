"""Train with statistics of the whole batch, and print what came out: python sync.py [SHARDS]."""

import sys

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset

world = tl.distributed.init(shards=int(sys.argv[1]))
tl.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(2, 3, 2, dtype="float64"), nn.BatchNorm2d(3, dtype="float64"), nn.ReLU(),
    nn.Flatten(), nn.Linear(27, 4, dtype="float64"), nn.BatchNorm1d(4, dtype="float64"),
)  # fmt: skip
model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
assert type(model[1]) is type(model[5]) is nn.SyncBatchNorm
rng = np.random.default_rng(0)
data = TensorDataset(rng.normal(size=(25, 2, 4, 4)), rng.normal(size=(25, 4)))
loader = tl.distributed.cut(DataLoader(data, 11, shuffle=True))  # 11, 11 and 3 samples
optimizer = tl.distributed.Sharded(tl.optim.SGD(model.named_parameters(), lr=0.1))
for _ in range(3):
    for batch in loader:
        optimizer.zero_grad()
        for x, y in tl.distributed.shards(batch):
            ((model(x) - y) ** 2).mean().backward()
        optimizer.step()
values = np.concatenate([v.numpy().reshape(-1) for v in model.state_dict().values()])
print(f"rank {world.rank} values {' '.join(value.hex() for value in values.tolist())}")
