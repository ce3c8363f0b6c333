"""Super-resolution by sub-pixel convolution (Shi et al. 2016)."""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.init as init


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 12, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(12, 8, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(8, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        self._initialize_weights()

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.pixel_shuffle(self.conv3(x))

    def _initialize_weights(self):
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight)


def build():
    return Net(3)


def train(model, device):
    rng = np.random.default_rng(16)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, amsgrad=True)
    for _ in range(20):
        target = torch.tensor(rng.random((2, 1, 12, 12), dtype=np.float32)).to(device)
        small = nn.functional.interpolate(target, scale_factor=1 / 3, mode="bicubic")
        optimizer.zero_grad()
        up = model(small)
        plain = nn.functional.interpolate(small, size=(12, 12), mode="nearest")
        loss = criterion(up + plain, target)
        psnr = 10 * math.log10(1 / loss.item())
        loss.backward()
        optimizer.step()
        yield psnr
