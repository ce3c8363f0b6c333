"""Modules take the arguments that torch's take, by the same names, places and defaults."""

from __future__ import annotations

import functools

import pytest
import signatures

from tensorlite import nn

TORCHS = signatures.load()

# What torch has, and tensorlite has not: other devices, deprecated classes, rare layers.
ABSENT = {
    *("AdaptiveLogSoftmaxWithLoss", "Container", "CrossMapLRN2d"),
    *("FractionalMaxPool2d", "FractionalMaxPool3d", "LinearCrossEntropyLoss", "NLLLoss2d"),
    *("Module.ipu", "Module.mtia", "Module.xpu", "utils.parametrizations.orthogonal"),
    *("utils.convert_conv2d_weight_memory_format", "utils.convert_conv3d_weight_memory_format"),
    "utils.rnn.bind",
}
OF_OPTIM = ("utils.clip_grad", "utils.get_total_norm")  # which has tests of its own
NAMES = [name for name in TORCHS if not name.startswith(OF_OPTIM)]


def owner(name: str) -> str:
    return name.removesuffix(".forward")


def there(name: str) -> bool:
    found = nn
    for part in name.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def test_what_is_absent():
    assert {owner(name) for name in NAMES if not there(owner(name))} == ABSENT


@pytest.mark.parametrize("name", [name for name in NAMES if owner(name) not in ABSENT])
def test_arguments(name):
    found = functools.reduce(getattr, name.split("."), nn)
    wanted = TORCHS[name]
    if isinstance(found, type):
        found = found.__init__
        if wanted == "*args, **kwargs" and name != "Identity":
            wanted = ""  # torch inherits this from Module, which takes none
    assert signatures.arguments(found) == wanted
