"""Ask torch for the values and gradients of `edges` in float64, and keep them in ``edges.npz``.

    python tests/kinds/make_edges.py

Made with torch 2.13.
"""

from __future__ import annotations

import sys
from functools import reduce
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from kinds.edges import cases

WITHOUT_GRADIENT = ("floor_divide",)  # torch refuses it; ours is 0


def main() -> None:
    """Write the table."""
    table = {}
    for name, (function, before, after, keywords, numbers) in cases().items():
        leaves = [torch.tensor(x, requires_grad=True) for x in numbers]
        after = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in after]
        y = reduce(getattr, function.split("."), torch)(*before, *leaves, *after, **keywords)
        table[f"{name}: value"] = y.detach().numpy()
        if y.requires_grad and function not in WITHOUT_GRADIENT:
            found = torch.autograd.grad(y.sum(), leaves, allow_unused=True)
            for i, d in enumerate(found):
                if d is not None:
                    table[f"{name}: gradient {i}"] = d.numpy()
    np.savez_compressed(Path(__file__).with_name("edges.npz"), **table)


if __name__ == "__main__":
    main()
