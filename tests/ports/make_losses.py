"""Write losses.json: what the programs yield on PyTorch 2.13 (run it where torch is installed).

``python tests/ports/make_losses.py`` writes the file, ``--check`` compares it instead. PyTorch gets
its random numbers from tensorlite's generator, so that dropout and noise are the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import distributions

sys.path.insert(0, str(Path(__file__).parent))
from harness import NAMES, losses_of

import tensorlite as tl

FILE = Path(__file__).parent / "losses.json"


def share_random_numbers() -> None:
    """Let PyTorch draw from tensorlite's generator."""
    seed = torch.manual_seed
    torch.manual_seed = lambda number: (tl.manual_seed(number), seed(number))
    torch.randn = lambda *size, device=None: as_torch(tl.randn(*size))
    torch.rand = lambda *size, device=None: as_torch(tl.rand(*size))
    torch.randn_like = lambda x: as_torch(tl.randn(*x.shape)).to(x.dtype)
    torch.randint = lambda *args, device=None: as_torch(tl.randint(*args))
    F.dropout = dropout
    F.dropout2d = lambda x, p=0.5, training=True, inplace=False: (
        x * dropout(torch.ones(x.shape[:2]), p, training)[:, :, None, None]
    )
    F.scaled_dot_product_attention = attention
    distributions.Categorical.sample = lambda self: as_torch(
        tl.distributions.Categorical(logits=tl.tensor(self.logits.detach().numpy())).sample()
    )
    distributions.Normal.sample = lambda self, shape=(): as_torch(
        tl.distributions.Normal(
            *(tl.tensor(x.detach().numpy()) for x in (self.loc, self.scale))
        ).sample()
    )


def dropout(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout with tensorlite's mask."""
    if not training or p == 0:
        return x
    ones = tl.nn.functional.dropout(tl.ones(*x.shape), p)
    return x * as_torch(ones)


plain_attention = F.scaled_dot_product_attention


def attention(
    q: Any, k: Any, v: Any, attn_mask: Any = None, dropout_p: float = 0.0, *rest: Any
) -> Any:
    """Attention whose dropout has tensorlite's mask; as nn.MultiheadAttention calls it."""
    if dropout_p == 0:
        return plain_attention(q, k, v, attn_mask, dropout_p, *rest)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if attn_mask is None and rest and rest[0]:
        attn_mask = torch.full(scores.shape[-2:], float("-inf")).triu(1)
    scores = scores if attn_mask is None else scores + attn_mask
    return dropout(scores.softmax(-1), dropout_p) @ v


def as_torch(x: tl.Tensor) -> torch.Tensor:
    """The same values in PyTorch."""
    return torch.from_numpy(x.numpy().copy())


def main() -> None:
    """Run all programs, or those that are named, and write or compare the file."""
    torch.set_num_threads(1)
    share_random_numbers()
    wanted = [name for name in sys.argv[1:] if not name.startswith("-")] or NAMES
    losses = json.loads(FILE.read_text()) if FILE.exists() else {}
    made = {name: [float(f"{x:.9g}") for x in losses_of(name, "torch")] for name in wanted}
    if "--check" in sys.argv:
        changed = [
            name
            for name in wanted
            if any(
                abs(a - b) > 1e-6 * abs(b) for a, b in zip(made[name], losses[name], strict=True)
            )
        ]
        sys.exit(f"changed: {changed}" if changed else 0)
    rows = [f'"{name}": {json.dumps(values)}' for name, values in sorted((losses | made).items())]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
