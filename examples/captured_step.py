"""Classify digits with a captured step: recorded twice, then run without Python.

Shows `tl.capture` on a whole training step, with dropout, clipping and a schedule of the learning
rate; that its losses are those of the same step uncaptured, bit for bit; and what a recording is.

    python examples/captured_step.py
"""

import argparse
import time

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import DataLoader, TensorDataset, digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--device", default="auto")
args = parser.parse_args()

device = tl.device(args.device)
splits = digits()
train = TensorDataset(*splits.train)


def run(captured: bool) -> tuple[list[float], float, nn.Module, object]:
    """Train; return the losses, the seconds, the model and the step."""
    tl.manual_seed(0)
    model = nn.Sequential(
        *(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1)), nn.Linear(64, 10)
    ).to(device)
    optimizer = tl.optim.AdamW(model.parameters(), lr=3e-3)
    loader = DataLoader(
        train, batch_size=32, shuffle=True, generator=tl.Generator(1), device=device
    )
    schedule = tl.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * len(loader))

    def step(x: tl.Tensor, y: tl.Tensor) -> tl.Tensor:
        loss = nn.functional.cross_entropy(model(x), y)  # x: (32, 64), y: (32,)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        return loss

    if captured:
        step = tl.capture(step)
    losses = []
    start = time.perf_counter()
    for _ in range(args.epochs):
        losses += [step(x, y) for x, y in loader]
    seconds = time.perf_counter() - start
    return [loss.item() for loss in losses], seconds, model, step


eager, eager_seconds, _, _ = run(captured=False)
losses, seconds, model, step = run(captured=True)

print(f"uncaptured {eager_seconds:.2f} s, captured {seconds:.2f} s")
print("the same losses, bit for bit:", losses == eager)
step.wait()  # for the compiler, which joins operations into kernels while the steps run
for recording in step.recordings:  # one a size of batch; print(recording) lists the calls
    print(repr(recording))

model.eval()
with tl.no_grad():
    guesses = model(tl.tensor(splits.test.features, device=device)).argmax(1)  # (N,)
labels = tl.tensor(splits.test.targets, device=device)
print(f"test accuracy {(guesses == labels).float().mean().item():.3f}")
