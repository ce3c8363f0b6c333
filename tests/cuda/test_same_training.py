"""Training on CUDA is training on the CPU: the same random bits, and losses that agree."""

from __future__ import annotations

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.cli.models import build
from tensorlite.cli.problem import Problem
from tensorlite.data import DataLoader, TensorDataset, digits

STEPS = 50


def test_models_start_with_the_same_bits():
    problem = Problem.of(digits(), 64)
    for name in ("mlp", "cnn"):
        tl.manual_seed(7)
        here = build(name, problem).state_dict()
        tl.manual_seed(7)
        there = build(name, problem).to("cuda").state_dict()
        for key, value in here.items():
            np.testing.assert_array_equal(value.numpy(), there[key].to("cpu").numpy(), key)


def test_random_numbers_and_dropout_masks_are_the_same_bits():
    def draw(device: str) -> list[np.ndarray]:
        tl.manual_seed(3)
        x = tl.ones(33, 1001, device=device)
        drawn = [
            nn.functional.dropout(x, 0.3),
            tl.rand(77, device=device),
            tl.randn(1000, device=device),
            tl.bernoulli(tl.full((501,), 0.4, device=device)),
            nn.functional.dropout(x[:, 5:900], 0.7),
        ]
        return [value.to("cpu").numpy() for value in drawn]

    for here, there in zip(draw("cpu"), draw("cuda"), strict=True):
        np.testing.assert_array_equal(here, there)


def test_losses_agree_over_the_first_steps():
    def losses(device: str) -> np.ndarray:
        tl.manual_seed(0)
        splits = digits()
        loader = DataLoader(TensorDataset(*splits.train), 32, shuffle=True)
        layers = [nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 10)]
        model = nn.Sequential(*layers).to(device)
        optimizer = tl.optim.AdamW(model.parameters(), lr=3e-3)
        found: list[float] = []
        while len(found) < STEPS:
            for x, y in loader:
                loss = nn.functional.cross_entropy(model(x.to(device)), y.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                found.append(loss.item())
        return np.array(found[:STEPS])

    here = losses("cpu")
    assert here[-1] < 0.7 * here[0]
    np.testing.assert_allclose(losses("cuda"), here, rtol=1e-4)
