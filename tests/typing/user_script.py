"""What a user types in sixty lines; pyright and mypy find nothing wrong with it."""

from __future__ import annotations

import tensorlite as tl
import tensorlite.nn as nn
import tensorlite.nn.functional as F
from tensorlite import Tensor, optim
from tensorlite.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, 32)
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(32, classes)
        self.scale = nn.Parameter(tl.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.hidden(x))
        return self.out(self.drop(h)) * self.scale


def accuracy(scores: Tensor, labels: Tensor) -> float:
    predicted = scores.argmax(dim=-1)
    return (predicted == labels).float().mean().item()


def main() -> None:
    tl.manual_seed(0)
    device = tl.device("cuda" if tl.cuda.is_available() else "cpu")
    x = tl.randn(64, 10)
    labels = (x.sum(dim=1) > 0).long()
    loader = DataLoader(TensorDataset(x, labels), batch_size=16, shuffle=True)
    model = Net(10, 2).to(device)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    for epoch in range(3):
        total = 0.0
        for batch, target in loader:
            batch, target = batch.to(device), target.to(device)
            loss = F.cross_entropy(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        schedule.step()
        print(f"epoch {epoch}: {total / len(loader):.3f}")
    with tl.no_grad():
        scores = model(x.to(device))
        values, indices = scores.max(1)
        norm = tl.linalg.norm(scores - scores.mean(0, keepdim=True))
        mask = tl.where(scores > 0, 1.0, 0.0) + 2 * scores**2 / (1 + scores.abs())
    ordered = tl.cat([values.view(-1, 1), tl.zeros(64, 1)], dim=1).t()
    print(accuracy(scores, labels), norm.item(), mask.shape, ordered.size(0), indices[:3].tolist())
    weights: dict[str, Tensor] = model.state_dict()
    model.load_state_dict(weights)


if __name__ == "__main__":
    main()
