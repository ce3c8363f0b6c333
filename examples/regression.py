"""Predict the progression of diabetes from ten measurements, by the mean squared error.

Shows a hand-written loop with a module and an optimizer, and why unseen data decide: the network
is judged on patients it was not fitted to, beside ridge regression in closed form.

    python examples/regression.py
"""

import argparse

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset, diabetes

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--device", default="auto")
args = parser.parse_args()

tl.manual_seed(0)
device = tl.device(args.device)
splits = diabetes()  # features and target standardised by the training part
loader = DataLoader(TensorDataset(*splits.train), batch_size=32, shuffle=True, device=device)
x_test = tl.tensor(splits.test.features, device=device)  # (88, 10)
y_test = tl.tensor(splits.test.targets, device=device)  # (88,)

model = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 1)).to(device)
optimizer = tl.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
print(model)


def r2(prediction, target):
    """Share of the variance explained: 1 is perfect, 0 is as good as the mean."""
    residual = ((target - prediction) ** 2).sum()
    return 1 - (residual / ((target - target.mean()) ** 2).sum()).item()


for epoch in range(1, args.epochs + 1):
    model.train()
    for x, y in loader:  # (32, 10), (32,)
        loss = nn.functional.mse_loss(model(x).squeeze(1), y)  # squeeze: (32, 1) → (32,)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 10 == 0:
        model.eval()
        with tl.no_grad():
            print(f"epoch {epoch:3d}  test R² {r2(model(x_test).squeeze(1), y_test):.3f}")

x, y = splits.train
w = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ (y - y.mean()))
ridge = tl.tensor(splits.test.features @ w + y.mean(), device=device)
print(f"ridge regression  R² {r2(ridge, y_test):.3f}")
