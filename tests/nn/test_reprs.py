"""What layers say of themselves is what torch's say, with a count of parameters behind it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tensorlite import nn

FILE = Path(__file__).with_name("reprs.json")
TORCHS = json.loads(FILE.read_text()) if FILE.exists() else {}


def without_counts(text: str) -> str:
    return "\n".join(line.partition("  # ")[0].rstrip() for line in text.split("\n"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layer", TORCHS)
def test_repr(layer):
    found = without_counts(repr(eval(layer, dict(vars(nn)))))
    # torch has a class of its own for one layer, so that it is never quantized
    assert found == TORCHS[layer].replace("NonDynamicallyQuantizableLinear", "Linear")


def test_base_classes_are_where_torch_has_them():
    from tensorlite.nn.modules.batchnorm import _BatchNorm
    from tensorlite.nn.modules.conv import _ConvNd
    from tensorlite.nn.modules.utils import _pair

    assert isinstance(nn.BatchNorm2d(2), _BatchNorm)
    assert isinstance(nn.ConvTranspose1d(2, 2, 1), _ConvNd)
    assert not isinstance(nn.Linear(1, 1), _ConvNd)
    assert _pair(3) == (3, 3)
    assert _pair((1, 2)) == (1, 2)
    assert nn.modules.Module is nn.Module
