"""A gradient penalty: differentiate through a gradient.

A network fits a noisy step. Without more, it bends sharply between the points. Adding the squared
slope of the output, averaged over inputs, to the loss makes the fit smooth; minimising it needs
the derivative, by the weights, of a derivative by the input (``create_graph=True``). This is the
mechanism behind WGAN-GP (Gulrajani et al., 2017), physics-informed networks and Jacobian
regularisation.

    python examples/second_order.py
"""

import argparse

import tensorlite as tl
from tensorlite import nn

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=600)
parser.add_argument("--device", default="auto")
args = parser.parse_args()
device = tl.device(args.device)


def fit(penalty):
    """Train from the same seed with a given weight of the penalty; return loss and slope."""
    tl.manual_seed(0)
    x = tl.rand(64, 1, device=device) * 2 - 1  # (64, 1) in [-1, 1)
    y = (x > 0).astype("float32") + 0.1 * tl.randn(64, 1, device=device)
    grid = tl.linspace(-1, 1, 200, device=device).reshape(200, 1).requires_grad_()

    model = nn.Sequential(
        nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)
    )
    model.to(device)
    optimizer = tl.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(args.steps):
        loss = nn.functional.mse_loss(model(x), y)
        (slope,) = tl.grad(model(grid).sum(), grid, create_graph=True)  # (200, 1): d output / d x
        objective = loss + penalty * (slope**2).mean()
        optimizer.zero_grad()
        objective.backward()
        optimizer.step()
    return loss.item(), slope.abs().max().item()


print("penalty   data loss   steepest slope")
for penalty in (0.0, 1e-3, 1e-2):
    loss, steepest = fit(penalty)
    print(f"{penalty:7g}   {loss:9.4f}   {steepest:14.1f}")
