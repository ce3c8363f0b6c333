"""Write losses.json: what the programs yield on PyTorch 2.13 (run it where torch is installed).

``python tests/ports/make_losses.py`` writes the file, ``--check`` compares it instead. PyTorch gets
its random numbers from tensorlite's generator, so that dropout and noise are the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from harness import NAMES, losses_of
from torch_oracle import share_random_numbers

FILE = Path(__file__).parent / "losses.json"


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
