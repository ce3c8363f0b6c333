"""Train on several processes, with the same bits on any number of them.

python examples/parallel.py                  # one process, four shards
mpiexec -n 2 python examples/parallel.py     # pip install "tensorlite[mpi]"
mpiexec -n 4 python examples/parallel.py     # the same last line, to the last digit
"""

import argparse

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset, digits
from tensorlite.nn import functional as F

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--device", default="cpu")  # with "cuda" each process has one, and NCCL
args = parser.parse_args()

# A batch is cut into four shards: four processes compute one each, two compute two, one all four.
world = tl.distributed.init(shards=4)
device = tl.device(args.device)
tl.manual_seed(0)

splits = digits()
model = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.1),
    nn.Linear(128, 10),
).to(device)  # fmt: skip
data = DataLoader(TensorDataset(*splits.train), 64, shuffle=True, device=device)
loader = tl.distributed.cut(data)
optimizer = tl.distributed.Sharded(tl.optim.AdamW(model.named_parameters(), lr=3e-3))

for epoch in range(args.epochs):
    for batch in loader:
        optimizer.zero_grad()
        for images, labels in tl.distributed.shards(batch):  # (16, 1, 8, 8), (16,)
            F.cross_entropy(model(images), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    if tl.distributed.is_main():
        print(f"epoch {epoch + 1}: {world.size} processes, {world.shards} shards", flush=True)

model.eval()
with tl.no_grad():
    scores = model(tl.tensor(splits.test.features, device=device)).cpu().numpy()
accuracy = np.mean(scores.argmax(-1) == np.asarray(splits.test.targets))
if tl.distributed.is_main():
    print(f"test accuracy {accuracy:.4f}, sum of scores {scores.astype(np.float64).sum():.9f}")
