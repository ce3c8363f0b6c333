"""Matrix factorisation by embeddings, with SGD written out and with an optimizer."""

import numpy as np
import torch
from torch import nn
from torch.autograd import Variable


class MatrixFactorization(nn.Module):
    def __init__(self, n_users, n_items, n_factors=6):
        super().__init__()
        self.user_factors = nn.Embedding(n_users, n_factors, sparse=False)
        self.item_factors = nn.Embedding(n_items, n_factors, sparse=False)
        self.user_biases = nn.Embedding(n_users, 1, sparse=False)
        self.item_biases = nn.Embedding(n_items, 1, sparse=False)

    def forward(self, user, item):
        pred = self.user_biases(user) + self.item_biases(item)
        pred += (self.user_factors(user) * self.item_factors(item)).sum(dim=1, keepdim=True)
        return pred.squeeze()


def build():
    return [MatrixFactorization(9, 7), MatrixFactorization(9, 7)]


def train(models, device):
    rng = np.random.default_rng(18)
    by_hand, model = models
    loss_func = torch.nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    for step in range(20):
        user = Variable(torch.LongTensor(rng.integers(0, 9, 8))).to(device)
        item = Variable(torch.LongTensor(rng.integers(0, 7, 8))).to(device)
        rating = Variable(torch.FloatTensor(rng.random(8) * 5)).to(device)
        if step % 2:
            loss = loss_func(by_hand(user, item), rating)
            by_hand.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in by_hand.parameters():
                    p -= 0.05 * p.grad
        else:
            loss = loss_func(model(user, item), rating)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield loss.item()
