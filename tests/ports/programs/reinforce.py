"""REINFORCE (Williams 1992) on a walk along a line, with `distributions`."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical, Normal


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 16)
        self.dropout = nn.Dropout(p=0.6)
        self.affine2 = nn.Linear(16, 2)
        self.scale = nn.Linear(16, 1)

    def forward(self, x):
        x = F.relu(self.dropout(self.affine1(x)))
        return F.softmax(self.affine2(x), dim=1), self.scale(x)


class Line:
    """A point with a place and a speed is pushed left or right; near 0 is good."""

    def reset(self):
        self.state = np.array([0.5, 0.0, 1.0, 0.1])
        return self.state

    def step(self, action, push):
        force = (2 * action - 1) * 0.1 + 0.01 * push
        self.state = np.array([self.state[0] + self.state[1], self.state[1] + force, 1.0, push])
        return self.state, 1.0 - abs(self.state[0])


def build():
    return Policy()


def train(policy, device):
    torch.manual_seed(543)
    optimizer = optim.Adam(policy.parameters(), lr=1e-2)
    eps = np.finfo(np.float32).eps.item()
    env = Line()
    for _ in range(20):
        state, saved, rewards = env.reset(), [], []
        for _ in range(8):
            observed = torch.from_numpy(state).float().unsqueeze(0).to(device)
            probs, loc = policy(observed)
            m, push = Categorical(probs), Normal(loc, 0.5)
            action, strength = m.sample(), push.sample()
            saved.append(m.log_prob(action) + push.log_prob(strength).squeeze(-1))
            state, reward = env.step(action.item(), strength.item())
            rewards.append(reward)
        R, returns = 0, []
        for r in rewards[::-1]:
            R = r + 0.99 * R
            returns.insert(0, R)
        returns = torch.tensor(returns)
        returns = ((returns - returns.mean()) / (returns.std() + eps)).to(device)
        policy_loss = [-log_prob * R for log_prob, R in zip(saved, returns)]
        optimizer.zero_grad()
        loss = torch.cat(policy_loss).sum()
        loss.backward()
        optimizer.step()
        yield loss.item()
