"""A word language model: an LSTM whose state is carried from batch to batch."""

import numpy as np
import torch
import torch.nn as nn


class RNNModel(nn.Module):
    def __init__(self, ntoken=30, width=16, layers=2, dropout=0.2):
        super().__init__()
        self.ntoken, self.width, self.layers = ntoken, width, layers
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, width)
        self.rnn = nn.LSTM(width, width, layers)
        self.decoder = nn.Linear(width, ntoken)
        self.decoder.weight = self.encoder.weight

    def forward(self, tokens, hidden):
        emb = self.drop(self.encoder(tokens))
        output, hidden = self.rnn(emb, hidden)
        decoded = self.decoder(self.drop(output))
        return decoded.view(-1, self.ntoken), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return (
            weight.new_zeros(self.layers, bsz, self.width),
            weight.new_zeros(self.layers, bsz, self.width),
        )


def batchify(data, bsz):
    nbatch = data.size(0) // bsz
    data = data.narrow(0, 0, nbatch * bsz)
    return data.view(bsz, -1).t().contiguous()


def repackage_hidden(h):
    return tuple(v.detach() for v in h)


def build():
    return RNNModel()


def train(model, device, bptt=6, lr=2.0):
    ids = np.random.default_rng(4).integers(0, 30, 500)
    data = batchify(torch.from_numpy(ids), 4).to(device)
    criterion = nn.CrossEntropyLoss()
    model.train()
    hidden = model.init_hidden(4)
    for i in range(0, 20 * bptt, bptt):
        seq_len = min(bptt, len(data) - 1 - i)
        inputs, targets = data[i : i + seq_len], data[i + 1 : i + 1 + seq_len].view(-1)
        hidden = repackage_hidden(hidden)
        model.zero_grad()
        output, hidden = model(inputs, hidden)
        loss = criterion(output, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-lr)
        yield loss.item()
