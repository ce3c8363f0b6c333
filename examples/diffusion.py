"""Denoising diffusion draws digits out of noise (Ho, Jain and Abbeel, 2020).

Images are drowned in noise step by step; a network learns to tell the noise in what it sees. Going
back from pure noise, it takes a little away at each step, and a digit appears.

    python examples/diffusion.py
"""

import argparse
import math

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import digits
from tensorlite.nn import functional as F
from tensorlite.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--width", type=int, default=32)
parser.add_argument("--device", default="cuda" if tl.cuda.is_available() else "cpu")
args = parser.parse_args()
device = tl.device(args.device)
tl.manual_seed(0)

STEPS = 100
beta = tl.linspace(1e-3, 0.08, STEPS, device=device)  # how much noise each step adds
kept = tl.cumprod(1 - beta, dim=0)  # how much of the image is left after it


class Denoiser(nn.Module):
    """Two resolutions of convolutions, told the time by sines added to the channels."""

    def __init__(self, width):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(width, width, 3, padding=1)
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.mix = nn.Conv2d(2 * width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, 1, 3, padding=1)
        self.norm1, self.norm2 = nn.GroupNorm(4, width), nn.GroupNorm(4, width)
        self.width = width

    def forward(self, x, t):  # (B, 1, 8, 8), (B,)
        half = self.width // 2
        rates = tl.exp(-math.log(1000) * tl.arange(half, device=x.device) / half)
        angles = t[:, None] * rates[None, :]  # (B, half)
        time = self.time(tl.cat([angles.sin(), angles.cos()], dim=1))[:, :, None, None]
        wide = F.silu(self.norm1(self.enter(x) + time))  # (B, C, 8, 8)
        deep = F.silu(self.norm2(self.down(wide) + time))  # (B, C, 4, 4)
        deep = F.silu(deep + self.deep(deep))
        both = tl.cat([wide, self.up(deep)], dim=1)  # (B, 2C, 8, 8)
        return self.leave(F.silu(self.mix(both)))


def noisy(x, t, noise):
    """The image `x` after `t` steps of noise."""
    share = kept[t].view(-1, 1, 1, 1)
    return share.sqrt() * x + (1 - share).sqrt() * noise


@tl.no_grad()
def draw(model, count):
    """Begin with noise, and take away what the model sees of it."""
    x = tl.randn(count, 1, 8, 8, device=device)
    for step in reversed(range(STEPS)):
        t = tl.full((count,), step, dtype=tl.long, device=device)
        x = (x - beta[step] / (1 - kept[step]).sqrt() * model(x, t)) / (1 - beta[step]).sqrt()
        if step > 0:
            x = x + beta[step].sqrt() * tl.randn_like(x)
    return x


def show(images):
    """A row of pictures in characters, two a pixel."""
    for row in images.squeeze(1).permute(1, 0, 2).flatten(1).tolist():
        print("".join(2 * " .:-=+*#%@"[int(9.99 * value)] for value in row))


splits = digits()
features = 2 * tl.from_numpy(splits.train.features) - 1  # (1438, 1, 8, 8) in [-1, 1]
loader = DataLoader(TensorDataset(features), batch_size=64)
model = Denoiser(args.width).to(device)
optimizer = tl.optim.AdamW(model.parameters(), lr=2e-3)

for epoch in range(1, args.epochs + 1):
    total = 0.0
    for (x,) in loader:
        x = x.to(device)
        t = tl.randint(0, STEPS, (len(x),), device=device)
        noise = tl.randn_like(x)
        loss = F.mse_loss(model(noisy(x, t, noise), t), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    if epoch % 10 == 0 or epoch == args.epochs:
        print(f"epoch {epoch:3d}  loss {total / len(features):.5f}")

show(((draw(model, 6) + 1) / 2).clamp(0, 1).cpu())
