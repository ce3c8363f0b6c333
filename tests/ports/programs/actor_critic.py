"""Actor and critic with generalised advantages and PPO's clipped loss."""

import numpy as np
import torch
import torch.nn as nn
from torch.distributions import Categorical, Independent, Normal, kl_divergence


class ActorCritic(nn.Module):
    def __init__(self, obs=3, actions=4):
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(obs, 24), nn.Tanh())
        self.actor = nn.Linear(24, actions)
        self.mean = nn.Linear(24, 2)
        self.log_std = nn.Parameter(torch.zeros(2))
        self.critic = nn.Linear(24, 1)
        nn.init.orthogonal_(self.actor.weight, gain=0.01)

    def forward(self, x):
        h = self.shared(x)
        moves = Independent(Normal(self.mean(h), self.log_std.exp().expand(len(x), 2)), 1)
        return Categorical(logits=self.actor(h)), moves, self.critic(h).squeeze(-1)


def advantages(rewards, values, gamma=0.99, lam=0.95):
    adv = torch.zeros_like(rewards)
    last = 0.0
    for t in reversed(range(len(rewards))):
        following = values[t + 1] if t + 1 < len(rewards) else 0.0
        delta = rewards[t] + gamma * following - values[t]
        adv[t] = last = delta + gamma * lam * last
    return adv


def build():
    return ActorCritic()


def train(model, device):
    rng = np.random.default_rng(11)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-5)
    for _ in range(5):
        obs = torch.tensor(rng.standard_normal((12, 3)), dtype=torch.float32, device=device)
        with torch.no_grad():
            choice, moves, values = model(obs)
            action, move = choice.sample(), moves.sample()
            old = choice.log_prob(action) + moves.log_prob(move)
            rewards = torch.where(action == 1, 1.0, -0.1) - move.pow(2).sum(-1) * 0.1
            adv = advantages(rewards, values)
            returns = adv + values
            adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        for _ in range(4):
            new, new_moves, value = model(obs)
            log_ratio = new.log_prob(action) + new_moves.log_prob(move) - old
            ratio = log_ratio.exp()
            clipped = torch.clamp(ratio, 1 - 0.2, 1 + 0.2)
            policy_loss = torch.max(-adv * ratio, -adv * clipped).mean()
            value_loss = 0.5 * ((value - returns) ** 2).mean()
            entropy = (new.entropy() + new_moves.entropy()).mean()
            drift = kl_divergence(Categorical(logits=choice.logits), new).mean()
            loss = policy_loss + 0.5 * value_loss - 0.01 * entropy + 0.01 * drift
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            yield loss.item()
