"""PyTorch with tensorlite's random numbers: an oracle also for dropout, noise and first weights.

``python tests/ports/torch_oracle.py EXAMPLE.py ARGUMENTS`` runs an example on PyTorch, its imports
changed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import distributions

import tensorlite as tl


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
    for name in ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_"):
        setattr(torch.nn.init, name, initialiser(name))
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
    q: Any, k: Any, v: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False
) -> Any:
    """Attention whose dropout has tensorlite's mask; as nn.MultiheadAttention calls it."""
    if dropout_p == 0:
        return plain_attention(q, k, v, attn_mask, dropout_p, is_causal)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if attn_mask is None and is_causal:
        attn_mask = torch.full(scores.shape[-2:], float("-inf")).triu(1)
    scores = scores if attn_mask is None else scores + attn_mask
    return dropout(scores.softmax(-1), dropout_p) @ v


def initialiser(name: str) -> Any:
    """An initialiser of torch.nn.init that draws tensorlite's numbers."""
    ours = getattr(tl.nn.init, name)

    def initialise(tensor: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        drawn = ours(tl.empty(*tensor.shape), *args, **options)
        tensor.data.copy_(as_torch(drawn))
        return tensor

    return initialise


def as_torch(x: tl.Tensor) -> torch.Tensor:
    """The same values in PyTorch."""
    return torch.from_numpy(x.numpy().copy())


def run_example(path: Path) -> None:
    """Run an example of this repository on PyTorch."""
    text = path.read_text().replace("import tensorlite as tl", "import torch as tl")
    text = re.sub(r"^from tensorlite(?!\.data\b)", "from torch", text, flags=re.M)
    exec(compile(text, path.name, "exec"), {"__name__": "__main__", "__doc__": "on PyTorch"})


if __name__ == "__main__":
    torch.set_num_threads(1)
    share_random_numbers()
    sys.argv = sys.argv[1:]
    run_example(Path(sys.argv[0]))
