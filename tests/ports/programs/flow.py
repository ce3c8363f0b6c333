"""A normalizing flow of affine couplings (Dinh et al. 2016), trained by likelihood."""

import numpy as np
import torch
import torch.nn as nn
from torch.distributions import Independent, Normal


class Coupling(nn.Module):
    def __init__(self, dim, flip):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(
            nn.Linear(dim // 2, 16), nn.LeakyReLU(0.01), nn.Linear(16, dim), nn.Tanh()
        )

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        if self.flip:
            a, b = b, a
        s, t = self.net(a).split(x.size(1) // 2, dim=1)
        b = b * s.exp() + t
        log_det = s.sum(dim=1)
        return torch.cat([b, a] if self.flip else [a, b], dim=1), log_det

    def inverse(self, y):
        a, b = torch.tensor_split(y, 2, dim=1)
        if self.flip:
            a, b = b, a
        s, t = self.net(a).split([y.size(1) // 2] * 2, dim=1)
        b = (b - t) * torch.exp(-s)
        return torch.cat([b, a] if self.flip else [a, b], 1)


class Flow(nn.Module):
    def __init__(self, dim=4, layers=4):
        super().__init__()
        self.layers = nn.ModuleList([Coupling(dim, i % 2 == 1) for i in range(layers)])
        self.register_buffer("loc", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def log_prob(self, x):
        total = x.new_zeros(x.shape[0])
        for layer in self.layers:
            x, log_det = layer(x)
            total += log_det
        return Independent(Normal(self.loc, self.scale), 1).log_prob(x) + total, x


def build():
    return Flow()


def train(flow, device):
    rng = np.random.default_rng(14)
    optimizer = torch.optim.Adamax(flow.parameters(), lr=1e-2)
    for _ in range(20):
        x = torch.tensor(rng.standard_normal((32, 4)) * [1, 2, 0.5, 1], device=device).float()
        log_prob, z = flow.log_prob(x)
        loss = -log_prob.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()
    with torch.no_grad():
        _, z = flow.log_prob(x)
        for layer in reversed(flow.layers):
            z = layer.inverse(z)
        assert torch.allclose(z, x, atol=1e-4)
