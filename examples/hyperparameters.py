"""One plot that teaches: what the learning rate, the batch size and the optimizer do.

Trains the same small network on the embedded digits again and again, changing one thing at a time:

* the learning rate: too low crawls, too high jumps about or diverges;
* the batch size: small batches make more, noisier updates an epoch;
* the rule: gradient descent on all data at once, stochastic gradient descent, with momentum, Adam.

    python examples/hyperparameters.py            # writes hyperparameters.png
"""

import argparse
import math

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset, digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--out", default="hyperparameters.png")
parser.add_argument("--device", default="auto")
args = parser.parse_args()

device = tl.device(args.device)
train = TensorDataset(*digits().train)  # 1,438 images of 8×8


def losses(make_optimizer, batch_size):
    """Train from the same start; return the mean training loss of each epoch."""
    tl.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).to(device)
    optimizer = make_optimizer(model.parameters())
    loader = DataLoader(train, batch_size=batch_size, shuffle=True, device=device)
    history = []
    for _ in range(args.epochs):
        total = 0.0
        for x, y in loader:  # (batch, 1, 8, 8), (batch,)
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        history.append(total / len(train))
    return history


def sgd(lr, momentum=0.0):
    return lambda parameters: tl.optim.SGD(parameters, lr=lr, momentum=momentum)


def adam(lr):
    return lambda parameters: tl.optim.Adam(parameters, lr=lr)


panels = {
    "learning rate (SGD, batch 32)": {
        "0.0005: too low": (sgd(0.0005), 32),
        "0.01: slow": (sgd(0.01), 32),
        "0.2: right": (sgd(0.2), 32),
        "6: too high": (sgd(6.0), 32),
    },
    "batch size (SGD, lr 0.1)": {
        "8": (sgd(0.1), 8),
        "32": (sgd(0.1), 32),
        "128": (sgd(0.1), 128),
        "512": (sgd(0.1), 512),
    },
    "rule": {
        "gradient descent, all data": (sgd(0.2), len(train)),
        "SGD, batch 32": (sgd(0.05), 32),
        "SGD with momentum 0.9": (sgd(0.05, 0.9), 32),
        "Adam": (adam(0.003), 32),
    },
}

results = {}
for panel, runs in panels.items():
    print(panel)
    results[panel] = {}
    for label, (make_optimizer, batch_size) in runs.items():
        history = results[panel][label] = losses(make_optimizer, batch_size)
        verdict = "diverged" if not math.isfinite(history[-1]) else f"loss {history[-1]:.4f}"
        print(f"  {label:28s} {verdict}")

try:
    import matplotlib
except ImportError:
    print("no plot: pip install matplotlib")
else:
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), sharey=True, layout="constrained")
    for ax, (panel, runs) in zip(axes, results.items(), strict=True):
        for label, history in runs.items():
            ax.plot(range(1, len(history) + 1), history, marker=".", label=label)
        ax.set(title=panel, xlabel="epoch", yscale="log", ylim=(1e-3, 20))
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    axes[0].set_ylabel("training loss (cross-entropy)")
    figure.savefig(args.out, dpi=120)
    print(f"wrote {args.out}")
