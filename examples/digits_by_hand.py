"""Train a network on handwritten digits with nothing but Tensors.

Forward pass, loss, backward pass, update: the four steps that every training loop consists of,
written out. Everything else in tensorlite (modules, optimizers, Trainer) only saves typing.

    python examples/digits_by_hand.py
"""

import argparse

import tensorlite as tl
from tensorlite.data import digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--device", default="auto")
args = parser.parse_args()

tl.manual_seed(0)
device = tl.device(args.device)

# --- data: 8×8 images, flattened ---------------------------------------------------------------
splits = digits()
images = tl.tensor(splits.train.features, device=device).reshape(-1, 64)  # (1438, 64)
labels = tl.tensor(splits.train.targets, device=device)  # (1438,)
test_images = tl.tensor(splits.test.features, device=device).reshape(-1, 64)  # (359, 64)
test_labels = tl.tensor(splits.test.targets, device=device)  # (359,)

# --- parameters: small random weights, zero biases ---------------------------------------------
hidden, classes = 64, 10
w1 = (tl.randn(64, hidden, device=device) * (2 / 64) ** 0.5).requires_grad_()
b1 = tl.zeros(hidden, device=device, requires_grad=True)
w2 = (tl.randn(hidden, classes, device=device) * (2 / hidden) ** 0.5).requires_grad_()
b2 = tl.zeros(classes, device=device, requires_grad=True)
parameters = [w1, b1, w2, b2]


def network(x):
    h = tl.relu(x @ w1 + b1)  # (batch, hidden)
    return h @ w2 + b2  # (batch, classes): one score a class


def cross_entropy(scores, target):
    log_probabilities = scores - tl.logsumexp(scores, dim=1, keepdim=True)  # (batch, classes)
    return -log_probabilities[tl.arange(len(target), device=device), target].mean()


def accuracy(x, target):
    with tl.no_grad():
        return (network(x).argmax(dim=1) == target).float().mean().item()


# --- training ------------------------------------------------------------------------------------
batch_size, learning_rate = 32, 0.1
for epoch in range(1, args.epochs + 1):
    order = tl.randperm(len(images), device=device)
    total = tl.zeros((), device=device)
    for start in range(0, len(images), batch_size):
        batch = order[start : start + batch_size]
        loss = cross_entropy(network(images[batch]), labels[batch])  # forward pass and loss

        for p in parameters:
            p.grad = None
        loss.backward()  # backward pass: fills p.grad

        with tl.no_grad():
            for p in parameters:
                p -= learning_rate * p.grad  # update
        total += loss.detach() * len(batch)
    if epoch == 1 or epoch % 5 == 0:
        print(f"epoch {epoch:3d}  train loss {total.item() / len(images):.4f}")

print(f"test accuracy {accuracy(test_images, test_labels):.3f}")
