"""Programs as a torch user writes them give torch's losses after their imports were changed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from harness import NAMES, losses_of, source_of

LOSSES = json.loads((Path(__file__).parent / "losses.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_losses(name, device) -> None:
    actual = losses_of(name, "tensorlite", str(device))
    np.testing.assert_allclose(actual, LOSSES[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_only_imports_change(name) -> None:
    before, after = (source_of(name, library).splitlines() for library in ("torch", "tensorlite"))
    changed = [a for a, b in zip(before, after, strict=True) if a != b]
    assert changed and all(line.startswith(("import torch", "from torch")) for line in changed)
