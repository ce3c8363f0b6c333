"""Tools around modules: packed sequences, parametrizations, clipping, vectors of parameters."""

import sys
from typing import Any

from tensorlite.nn.utils import parametrizations, parametrize, rnn
from tensorlite.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from tensorlite.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)
from tensorlite.nn.utils.init import skip_init
from tensorlite.nn.utils.reparametrized import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)
from tensorlite.unknown import unknown

# Clipping is part of `optim`, which is on the same floor: it is imported when it is used.
_CLIPPING = ("clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm")

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "skip_init",
    "spectral_norm",
    "vector_to_parameters",
    "weight_norm",
]


def __getattr__(name: str) -> Any:
    if name in _CLIPPING:
        from tensorlite.optim import clip

        return getattr(clip, name)
    raise unknown("nn.utils", name, sys.modules[__name__])
