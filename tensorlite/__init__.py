"""tensorlite: tensors with automatic differentiation, on NumPy and CuPy.

Importing it imports NumPy and nothing heavier: the rest is loaded when first named.
"""
# ruff: noqa: F401

import sys

if sys.argv[:1] == ["-m"] and {"tensorlite", "-mtensorlite"} & set(sys.orig_argv):
    import _signal  # python -m tensorlite: the rest takes a while, and Ctrl-C may come

    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # without a traceback
        import tensorlite_command

        tensorlite_command.ready()

import importlib
import math
from typing import Any

from numpy import dtype

from tensorlite import ops
from tensorlite.backend import dtypes
from tensorlite.backend.base import Device as device
from tensorlite.backend.base import default_device as get_default_device
from tensorlite.backend.base import set_default_device
from tensorlite.backend.dtypes import (
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    result_type,
    set_default_dtype,
    uint8,
)
from tensorlite.backend.precision import (
    get_float32_matmul_precision,
    set_float32_matmul_precision,
)
from tensorlite.backend.threads import empty_cache, get_num_threads, set_num_threads
from tensorlite.differentiate import grad
from tensorlite.ops import faces, methods
from tensorlite.primitive import primitive
from tensorlite.random import (
    Generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from tensorlite.tape import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from tensorlite.tensor import Size, Tensor

__version__ = "0.1.0"

if not getattr(sys, "_is_gil_enabled", lambda: True)():  # a free-threaded build of Python
    raise ImportError(
        "tensorlite needs Python's global lock: start it with -X gil=1, or set PYTHON_GIL=1"
    )

methods.attach()
_OPERATIONS = frozenset(ops.__all__)  # each gets its face when it is first named
tensor = faces.naming_wrong_types(ops.complete("tensor"))  # now, since a module has the same name

_MODULES = (
    *(
        "accelerator",
        "amp",
        "autograd",
        "backends",
        "cuda",
        "data",
        "debug",
        "distributed",
        "distributions",
        "fft",
        "func",
        "io",
        "linalg",
        "nn",
        "onnx",
        "optim",
        "profiler",
        "signal",
        "special",
        "testing",
    ),
    *("training", "utils"),
)
# Torch's other names of the dtypes; they must not hide Python's inside this module.
_DTYPES = {
    "half": float16,
    "float": float32,
    "double": float64,
    "short": int16,
    "int": int32,
    "long": int64,
    "bool": dtypes.bool_,
}
# Numbers that torch names, and how it calls the order of elements in memory: here it is always
# that of the axes, and `memory_format=` is taken where torch takes it.
_VALUES = {
    "e": math.e,
    "inf": math.inf,
    "nan": math.nan,
    "newaxis": None,
    "pi": math.pi,
    "channels_last": "channels_last",
    "channels_last_3d": "channels_last_3d",
    "contiguous_format": "contiguous_format",
    "preserve_format": "preserve_format",
}
# What torch has in its first room, too, and the module each is in here.
_NAMES = {
    "autocast": "amp",
    "capture": "recording",
    "checkpoint": "recompute",
    "load": "io",
    "save": "io",
    "set_printoptions": "printing",
    "vmap": "func",
    **dict.fromkeys(("hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"), "autograd"),
    **dict.fromkeys(
        ("are_deterministic_algorithms_enabled", "compile", "use_deterministic_algorithms"),
        "backends",
    ),
    **dict.fromkeys(
        (
            *("adaptive_avg_pool1d", "adaptive_max_pool1d", "alpha_dropout", "avg_pool1d"),
            *("batch_norm", "bilinear", "binary_cross_entropy_with_logits", "channel_shuffle"),
            *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"),
            *("conv_transpose3d", "cosine_embedding_loss", "ctc_loss", "dropout", "embedding"),
            *("embedding_bag", "feature_alpha_dropout", "group_norm", "hardshrink"),
            *("hinge_embedding_loss", "instance_norm", "kl_div", "layer_norm"),
            *("margin_ranking_loss", "max_pool1d", "max_pool2d", "max_pool3d", "pixel_shuffle"),
            *("pixel_unshuffle", "poisson_nll_loss", "prelu", "rms_norm", "rrelu", "threshold"),
            "triplet_margin_loss",
        ),
        "nn.functional",
    ),
}


def _array_namespace(self: Tensor, *, api_version: str | None = None) -> Any:
    """The array API standard's functions for Tensors; see `tensorlite.array_api`."""
    return importlib.import_module("tensorlite.array_api").namespace(self, api_version=api_version)


Tensor.__array_namespace__ = _array_namespace  # type: ignore[attr-defined]  # of the array API standard, which comes later


def __getattr__(name: str) -> Any:
    if name in _OPERATIONS:
        value = globals()[name] = faces.naming_wrong_types(ops.complete(name))
        return value
    if name in _MODULES:
        return importlib.import_module(f"tensorlite.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"tensorlite.{_NAMES[name]}"), name)
    if name in _DTYPES:
        return _DTYPES[name]
    if name in _VALUES:
        return _VALUES[name]
    if name == "bfloat16":
        return dtypes.bfloat16()
    if name[-1] == "_" != name[0] and hasattr(Tensor, name):  # torch.relu_(x) is x.relu_()
        return getattr(Tensor, name)
    from tensorlite.unknown import unknown  # for this message alone

    raise unknown("", name, sys.modules[__name__])


def __dir__() -> list[str]:
    later = {*_OPERATIONS, *_MODULES, *_NAMES, *_DTYPES, *_VALUES, "bfloat16"}
    return sorted({*globals(), *later})
