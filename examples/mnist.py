"""A convolutional network on 28×28 images: MNIST, or Fashion-MNIST, or the embedded digits.

The short way: the Trainer runs the loop, validates, stops early, and keeps checkpoints.

    python examples/mnist.py                      # the embedded 8×8 digits, offline
    python examples/mnist.py --dataset mnist      # downloads MNIST once
    python examples/mnist.py --dataset fashion-mnist --epochs 3
"""

import argparse

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset, load, random_split
from tensorlite.training import Trainer

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--dataset", default="digits", choices=["digits", "mnist", "fashion-mnist"])
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--device", default="auto")
args = parser.parse_args()

tl.manual_seed(0)
splits = load(args.dataset)
train, val = random_split(TensorDataset(*splits.train), [0.9, 0.1])
channels, side = splits.train.features.shape[1], splits.train.features.shape[-1]

model = nn.Sequential(
    nn.Conv2d(channels, 32, 3, padding=1),  # (batch, 32, side, side)
    nn.ReLU(),
    nn.MaxPool2d(2),  # (batch, 32, side/2, side/2)
    nn.Conv2d(32, 64, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),  # (batch, 64, side/4, side/4)
    nn.Flatten(),
    nn.Dropout(0.25),
    nn.Linear(64 * (side // 4) ** 2, 10),
)
print(model)

trainer = Trainer(
    model,
    tl.optim.AdamW(model.named_parameters(), lr=2e-3),
    nn.CrossEntropyLoss(),
    metrics=["accuracy"],
    patience=5,
    device=args.device,
)
trainer.fit(
    DataLoader(train, batch_size=64, shuffle=True), DataLoader(val, batch_size=256), args.epochs
)
result = trainer.evaluate(DataLoader(TensorDataset(*splits.test), batch_size=256))
print(f"test loss {result['loss']:.4f}  test accuracy {result['accuracy']:.4f}")
