"""How often a GPT-2 step under autocast launches something, counted by the CUDA emulator.

    sh .../cuda-emulator .venv-emulator python benchmarks/launches.py [--kernels]

Twelve layers with dropout and a head that shares the embedding, as in GPT-2 small. Widths are
small, because launches do not depend on them.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tensorlite as tl
from tensorlite import nn
from tensorlite.bench.counts import count
from tensorlite.nn import functional as F

LAYERS, WIDTH, HEADS, LENGTH, VOCABULARY, BATCH = 12, 64, 2, 64, 512, 2
DROPOUT = 0.1


class Block(nn.Module):
    """Attention and two layers, each behind a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, x: tl.Tensor) -> tl.Tensor:  # (batch, length, width)
        heads = (BATCH, LENGTH, HEADS, WIDTH // HEADS)
        q, k, v = (
            part.reshape(heads).permute(0, 2, 1, 3) for part in self.qkv(self.norm1(x)).chunk(3, -1)
        )
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.drop(self.out(attended.permute(0, 2, 1, 3).reshape(x.shape)))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


class GPT(nn.Module):
    """A decoder with learned positions."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("places", tl.arange(LENGTH))

    def forward(self, x: tl.Tensor) -> tl.Tensor:  # (batch, length)
        y = self.tokens(x) + self.positions(self.places)
        for block in self.blocks:
            y = block(y)
        return self.head(self.norm(y))


def main() -> None:
    """Count a step and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kernels", action="store_true", help="each kernel's launches, too")
    each = parser.parse_args().kernels
    tl.manual_seed(0)
    model = GPT().to("cuda")
    optimizer = tl.optim.AdamW(model.parameters())
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (2, BATCH, LENGTH))
    x, labels = (tl.tensor(t).to("cuda") for t in tokens)

    def step() -> Any:
        optimizer.zero_grad()
        with tl.autocast("cuda", dtype=tl.bfloat16):
            logits = model(x)
            loss = F.cross_entropy(logits.reshape(-1, VOCABULARY), labels.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    step()  # the first block learns which parameters are wanted in 16 bits
    counts = count(step)
    total = counts.launches + counts.library_calls
    print(
        f"GPT-2 ({LAYERS} layers), a step under bfloat16 autocast: {total} launches "
        f"({counts.launches} kernels, {counts.library_calls} products)"
    )
    if each:
        for name, launches in sorted(counts.kernels.items(), key=lambda item: -item[1]):
            print(f"{launches:5}  {name}")


if __name__ == "__main__":
    main()
