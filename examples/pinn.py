"""A network that knows physics: it solves a differential equation (Raissi et al., 2019).

A damped spring, u'' + 2 d u' + w² u = 0 with u(0) = 1 and u'(0) = 0. The loss is how far the
network is from the equation, whose first and second derivatives come from `autograd` (so training
it takes third ones), and from the conditions at the start. The exact answer only judges.

    python examples/pinn.py
"""

import argparse
import math

import tensorlite as tl
from tensorlite import nn

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--device", default="cuda" if tl.cuda.is_available() else "cpu")
args = parser.parse_args()
device = tl.device(args.device)
tl.manual_seed(0)

DAMPING, FREQUENCY = 1.0, 5.0


def exact(t):
    w = math.sqrt(FREQUENCY**2 - DAMPING**2)
    return tl.exp(-DAMPING * t) * (tl.cos(w * t) + DAMPING / w * tl.sin(w * t))


def derivative(y, x):
    """dy/dx at each point, recorded, so that it can be differentiated again."""
    return tl.autograd.grad(y, x, grad_outputs=tl.ones_like(y), create_graph=True)[0]


model = nn.Sequential(
    nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
).to(device)
optimizer = tl.optim.Adam(model.parameters(), lr=2e-3)
schedule = tl.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.steps)
t = tl.linspace(0, 2, 64, device=device).view(-1, 1).requires_grad_()  # (64, 1)

for step in range(1, args.steps + 1):
    u = model(t)  # (64, 1)
    du = derivative(u, t)
    ddu = derivative(du, t)
    equation = (ddu + 2 * DAMPING * du + FREQUENCY**2 * u).square().mean()
    start = (u[0] - 1).square() + du[0].square()  # u(0) = 1, u'(0) = 0
    loss = 1e-2 * equation + start.sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % max(args.steps // 5, 1) == 0:
        error = (u - exact(t)).abs().max().item()
        print(f"step {step:5d}  loss {loss.item():.6f}  largest error {error:.4f}")
