"""A U-Net (Ronneberger et al. 2015) with a Dice loss."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def double_conv(inp, out):
    return nn.Sequential(
        nn.Conv2d(inp, out, 3, padding=1),
        nn.GroupNorm(2, out),
        nn.ReLU(inplace=True),
        nn.Conv2d(out, out, 3, padding=1),
        nn.InstanceNorm2d(out, affine=True),
        nn.ReLU(inplace=True),
    )


class Up(nn.Module):
    def __init__(self, inp, out, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.reduce = nn.Conv2d(inp, inp // 2, 1)
        else:
            self.up = nn.ConvTranspose2d(inp, inp // 2, kernel_size=2, stride=2)
            self.reduce = nn.Identity()
        self.conv = double_conv(inp, out)

    def forward(self, x1, x2):
        x1 = self.reduce(self.up(x1))
        dy, dx = x2.size()[2] - x1.size()[2], x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inc = double_conv(1, 4)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), double_conv(4, 8))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), double_conv(8, 16))
        self.up1 = Up(16, 8, bilinear=True)
        self.up2 = Up(8, 4, bilinear=False)
        self.outc = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        return self.outc(self.up2(self.up1(x3, x2), x1))


def dice_loss(pred, target, eps=1e-6):
    inter = 2 * (pred * target).sum(dim=(-1, -2, -3))
    sets = pred.sum(dim=(-1, -2, -3)) + target.sum(dim=(-1, -2, -3))
    return 1 - ((inter + eps) / (sets + eps)).mean()


def build():
    return UNet()


def train(model, device):
    rng = np.random.default_rng(8)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-4, weight_decay=1e-8, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", patience=2)
    bce = nn.BCEWithLogitsLoss()
    for _ in range(20):
        images = torch.as_tensor(rng.random((2, 1, 14, 10)), dtype=torch.float32, device=device)
        masks = (images > 0.6).float()
        optimizer.zero_grad(set_to_none=True)
        logits = model(images)
        loss = bce(logits.squeeze(1), masks.squeeze(1)) + dice_loss(torch.sigmoid(logits), masks)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.5)
        optimizer.step()
        scheduler.step(loss.item())
        yield loss.item()
