"""A variational autoencoder that draws digits (Kingma and Welling, 2013).

An encoder turns each image into a normal distribution over a few numbers, a decoder turns a draw
from it into an image again. Both are trained together to describe the images in few bits.

    python examples/vae.py
"""

import argparse

import tensorlite as tl
from tensorlite import nn
from tensorlite.data import digits
from tensorlite.nn import functional as F
from tensorlite.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--latent", type=int, default=8)
parser.add_argument("--device", default="cuda" if tl.cuda.is_available() else "cpu")
args = parser.parse_args()
device = tl.device(args.device)
tl.manual_seed(0)


class VAE(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, 128), nn.ReLU(), nn.Linear(128, 64), nn.Unflatten(1, (1, 8, 8))
        )

    def forward(self, x):  # (B, 1, 8, 8)
        mean, log_var = self.encoder(x).chunk(2, dim=1)  # (B, latent) each
        std = tl.exp(0.5 * log_var)
        z = mean + std * tl.randn_like(std)  # a draw through which gradients pass
        return self.decoder(z), mean, log_var


def loss_of(scores, x, mean, log_var):
    """What it costs to tell the image given the draw, and the draw given the prior."""
    image = F.binary_cross_entropy_with_logits(scores, x, reduction="sum")
    draw = -0.5 * tl.sum(1 + log_var - mean.pow(2) - log_var.exp())
    return (image + draw) / len(x)


def show(images):
    """Rows of pictures in characters, two a pixel."""
    for row in images.squeeze(1).permute(1, 0, 2).flatten(1).tolist():
        print("".join(2 * " .:-=+*#%@"[int(9.99 * value)] for value in row))


splits = digits()
features = tl.from_numpy(splits.train.features)  # (1438, 1, 8, 8) in [0, 1]
loader = DataLoader(TensorDataset(features), batch_size=64)
model = VAE(args.latent).to(device)
optimizer = tl.optim.Adam(model.parameters(), lr=2e-3)

for epoch in range(1, args.epochs + 1):
    total = 0.0
    for (x,) in loader:
        x = x.to(device)
        scores, mean, log_var = model(x)
        loss = loss_of(scores, x, mean, log_var)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    if epoch % 10 == 0 or epoch == args.epochs:
        print(f"epoch {epoch:3d}  loss {total / len(features):.4f} nats an image")

with tl.no_grad():
    z = tl.randn(6, args.latent, device=device)
    show(tl.sigmoid(model.decoder(z)).cpu())
