"""A physics-informed network of sines: u'' = -u, with second derivatives by autograd."""

import torch
from torch import nn


class Sine(nn.Module):
    def __init__(self, w0=1.0):
        super().__init__()
        self.w0 = w0

    def forward(self, x):
        return torch.sin(self.w0 * x)


def build():
    return nn.Sequential(
        nn.Linear(1, 16), Sine(3.0), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
    )


def derivative(y, x):
    return torch.autograd.grad(
        y, x, grad_outputs=torch.ones_like(y), create_graph=True, retain_graph=True
    )[0]


def train(model, device):
    optimizer = torch.optim.NAdam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95)
    t = torch.linspace(0, 3, 20, device=device).view(-1, 1).requires_grad_(True)
    start = torch.tensor([[0.0]], device=device, requires_grad=True)
    for _ in range(20):
        optimizer.zero_grad()
        u = model(t)
        du = derivative(u, t)
        d2u = derivative(du, t)
        physics = torch.mean((d2u + u) ** 2)
        u0 = model(start)
        boundary = (u0 - 0.0).square().sum() + (derivative(u0, start) - 1.0).square().sum()
        loss = physics + boundary
        loss.backward()
        optimizer.step()
        scheduler.step()
        yield loss.item()
