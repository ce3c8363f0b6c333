"""A language model by nn.TransformerEncoder, and a translator by nn.Transformer."""

import math

import numpy as np
import torch
import torch.nn as nn


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=50):
        super().__init__()
        pe = torch.zeros(max_len, d_model)
        position = torch.arange(0, max_len, dtype=torch.float).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe.unsqueeze(0).transpose(0, 1))

    def forward(self, x):
        return x + self.pe[: x.size(0), :]


class LanguageModel(nn.Module):
    def __init__(self, ntoken=24, width=16, heads=2):
        super().__init__()
        self.pos = PositionalEncoding(width)
        layer = nn.TransformerEncoderLayer(width, heads, 32, dropout=0.1)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.embed = nn.Embedding(ntoken, width)
        self.width = width
        self.decoder = nn.Linear(width, ntoken)

    def forward(self, src):
        mask = nn.Transformer.generate_square_subsequent_mask(len(src)).to(src.device)
        x = self.pos(self.embed(src) * math.sqrt(self.width))
        return self.decoder(self.encoder(x, mask=mask))


class Translator(nn.Module):
    def __init__(self, ntoken=24, width=16):
        super().__init__()
        self.embed = nn.Embedding(ntoken, width)
        self.transformer = nn.Transformer(
            width, 2, 1, 1, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.out = nn.Linear(width, ntoken)

    def forward(self, src, tgt, padding):
        causal = self.transformer.generate_square_subsequent_mask(tgt.size(1)).to(src.device)
        h = self.transformer(
            self.embed(src), self.embed(tgt), tgt_mask=causal, src_key_padding_mask=padding
        )
        return self.out(h)


def build():
    return [LanguageModel(), Translator()]


def train(models, device):
    language, translator = models
    rng = np.random.default_rng(5)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(language.parameters(), lr=0.5)
    adam = torch.optim.AdamW(translator.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, gamma=0.95)
    for step in range(20):
        ids = torch.from_numpy(rng.integers(0, 24, (9, 5))).to(device)
        if step % 2 == 0:
            optimizer.zero_grad()
            output = language(ids[:-1])
            loss = criterion(output.view(-1, 24), ids[1:].reshape(-1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(language.parameters(), 0.5)
            optimizer.step()
            scheduler.step()
        else:
            src, tgt = ids.t(), ids.t().flip(dims=(1,))
            padding = torch.zeros(5, 9, dtype=torch.bool, device=device)
            padding[1, 6:] = True
            adam.zero_grad(set_to_none=True)
            output = translator(src, tgt[:, :-1], padding)
            loss = criterion(output.transpose(1, 2), tgt[:, 1:])
            loss.backward()
            adam.step()
        yield loss.item()
