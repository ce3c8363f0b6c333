"""RNN, LSTM and GRU classify sequences of different lengths, packed."""

import numpy as np
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence


class Classifier(nn.Module):
    def __init__(self, kind, vocabulary=20, width=12, hidden=16, classes=3):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width, padding_idx=0)
        options = {"batch_first": True, "bidirectional": kind == "LSTM"}
        self.rnn = getattr(nn, kind)(width, hidden, num_layers=2, **options)
        self.head = nn.Linear(hidden * (2 if kind == "LSTM" else 1), classes)

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(
            self.embed(tokens), lengths, batch_first=True, enforce_sorted=False
        )
        out, _ = self.rnn(packed)
        out, lengths = pad_packed_sequence(out, batch_first=True)
        mask = torch.arange(out.size(1))[None, :] < lengths[:, None]
        mask = mask.to(out.device).unsqueeze(-1)
        pooled = (out * mask).sum(dim=1) / mask.sum(dim=1)
        return self.head(pooled)


def build():
    return [Classifier(kind) for kind in ("RNN", "LSTM", "GRU")]


def train(models, device):
    rng = np.random.default_rng(1)
    criterion = nn.CrossEntropyLoss()
    optimizers = [torch.optim.Adam(m.parameters(), lr=1e-2) for m in models]
    for step in range(20):
        lengths = torch.tensor(rng.integers(2, 9, size=6))
        tokens = pad_sequence(
            [torch.tensor(rng.integers(1, 20, size=int(n))) for n in lengths], batch_first=True
        ).to(device)
        target = torch.tensor(rng.integers(0, 3, size=6)).to(device)
        model, optimizer = models[step % 3], optimizers[step % 3]
        optimizer.zero_grad()
        loss = criterion(model(tokens, lengths), target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        yield loss.item()
