"""A siamese network: contrastive, triplet and cosine losses on pairs."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


class Triples(Dataset):
    def __init__(self, n):
        self.rng = np.random.default_rng(15)
        self.x = self.rng.standard_normal((n, 1, 6, 6)).astype(np.float32)
        self.y = self.rng.integers(0, 2, n)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        j, k = (i * 7 + 3) % len(self), (i * 5 + 1) % len(self)
        same = int(self.y[i] == self.y[j])
        return self.x[i], torch.from_numpy(self.x[j]), self.x[k], same


class Embedder(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(1, 4, kernel_size=3),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(4),
            nn.Dropout2d(p=0.2),
            nn.AdaptiveAvgPool2d(2),
        )
        self.fc = nn.Sequential(nn.Linear(16, 12), nn.PReLU(), nn.Linear(12, 5))

    def forward_once(self, x):
        output = self.cnn(x)
        return self.fc(output.view(output.size()[0], -1))

    def forward(self, *inputs):
        return [self.forward_once(x) for x in inputs]


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=2.0):
        super().__init__()
        self.margin = margin

    def forward(self, a, b, label):
        distance = F.pairwise_distance(a, b, keepdim=True)
        apart = torch.clamp(self.margin - distance, min=0.0)
        return torch.mean((1 - label) * distance.pow(2) + label * torch.pow(apart, 2))


def build():
    return Embedder()


def train(net, device):
    loader = DataLoader(Triples(80), batch_size=4, shuffle=False)
    contrastive = ContrastiveLoss()
    triplet = nn.TripletMarginLoss(margin=1.0, p=2)
    optimizer = torch.optim.Adagrad(net.parameters(), lr=0.01)
    for batch in loader:
        a, b, c, same = (part.to(device) for part in batch)
        ea, eb, ec = net(a, b, c)
        cosine = F.cosine_embedding_loss(ea, ec, 1 - 2 * same)
        similar = F.cosine_similarity(F.normalize(ea, dim=1), eb).mean()
        loss = (
            contrastive(ea, eb, same.view(-1, 1).float()) + triplet(ea, eb, ec) + cosine - similar
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()
