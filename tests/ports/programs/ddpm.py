"""Denoising diffusion (Ho et al. 2020) on points of the plane, with an average of the weights."""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class SinusoidalEmbedding(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, t):
        half = self.dim // 2
        emb = torch.exp(torch.arange(half, device=t.device) * -(math.log(10000) / (half - 1)))
        emb = t[:, None] * emb[None, :]
        return torch.cat((emb.sin(), emb.cos()), dim=-1)


class Denoiser(nn.Module):
    def __init__(self, steps=50, width=24):
        super().__init__()
        self.time = nn.Sequential(
            SinusoidalEmbedding(8), nn.Linear(8, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.inp = nn.Linear(2, width)
        self.mid = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.out = nn.Linear(width, 2)
        beta = torch.linspace(1e-4, 0.02, steps)
        alpha_bar = torch.cumprod(1 - beta, dim=0)
        self.register_buffer("alpha_bar", alpha_bar)
        self.register_buffer("beta", beta)

    def forward(self, x, t):
        h = self.inp(x)
        for layer in self.mid:
            h = h + F.silu(layer(h + self.time(t)))
        return self.out(h)


def build():
    return Denoiser()


@torch.no_grad()
def sample(model, n, device):
    x = torch.randn(n, 2, device=device)
    for i in reversed(range(0, 50, 10)):
        t = torch.full((n,), i, dtype=torch.long, device=device)
        ab, beta = model.alpha_bar[i], model.beta[i]
        x = (x - beta / (1 - ab).sqrt() * model(x, t)) / torch.sqrt(1 - beta)
        if i > 0:
            x = x + beta.sqrt() * torch.randn_like(x)
    return x


def train(model, device):
    rng = np.random.default_rng(13)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    average = {k: v.clone().detach() for k, v in model.state_dict().items()}
    for _ in range(20):
        x0 = torch.from_numpy(rng.standard_normal((16, 2)).astype("float32")).to(device)
        t = torch.randint(0, 50, (16,), device=device).long()
        noise = torch.randn_like(x0)
        ab = model.alpha_bar.gather(-1, t).reshape(-1, 1)
        noisy = ab.sqrt() * x0 + (1 - ab).sqrt() * noise
        loss = F.smooth_l1_loss(model(noisy, t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for name, value in model.state_dict().items():
                average[name].mul_(0.9).add_(value, alpha=0.1)
        yield loss.item()
    model.load_state_dict(average)
    yield sample(model, 8, device).abs().mean().item()
