"""What to say about a name that is not here: whether torch has it, and what to write instead."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

TORCH = "2.13"  # the release that torch_names.txt lists

_DENSE = "Tensors are dense: keep indices and values, and use index_add or scatter_add"
_REAL = "Tensors are real: keep the real and the imaginary part apart"
INSTEAD = {
    "jit": "there is no scripting: a module is Python, and its kernels are compiled already",
    "onnx": "there is no export",
    "fx": "there is no tracing of modules into graphs",
    "export": "there is no export of modules",
    "sparse": "Tensors are dense",
    "sparse_coo_tensor": _DENSE,
    "to_sparse": _DENSE,
    "quantization": "there are no quantized Tensors",
    "quantize_per_tensor": "there are no quantized Tensors",
    "complex": _REAL,
    "complex64": _REAL,
    "complex128": _REAL,
    "view_as_complex": _REAL,
    "view_as_real": _REAL,
    "stft": "Tensors are real: the transform's values would be complex",
    "istft": "Tensors are real: the transform's values would be complex",
    "multiprocessing": "use Python's multiprocessing; loaders have num_workers",
    "storage": "use t.array, the raw array of NumPy or CuPy",
    "untyped_storage": "use t.array, the raw array of NumPy or CuPy",
    "share_memory_": "Tensors are pickled by value; loaders share memory by themselves",
    "MixtureSameFamily": "its log_prob is torch.logsumexp(mixture.logits + "
    "components.log_prob(x.unsqueeze(-1)), -1)",
    "RelaxedOneHotCategorical": "use nn.functional.gumbel_softmax",
    "LowRankMultivariateNormal": "use MultivariateNormal",
    "set_default_tensor_type": "use set_default_dtype and set_default_device",
    "get_device_properties": "get_device_name(), get_device_capability() and mem_get_info() say it",
    **dict.fromkeys(("pca_lowrank", "svd_lowrank"), "use linalg.svd(x, full_matrices=False)"),
    **dict.fromkeys(("lobpcg", "eig"), "use linalg.eigh for symmetric matrices"),
    **{
        f"{name}_window": f"use signal.windows.{name}(n, sym=False)"
        for name in ("bartlett", "blackman", "hamming", "hann", "kaiser")
    },
    "vander": "use linalg.vander",
    "range": "use arange, which leaves the end out",
    **dict.fromkeys(("real", "imag", "conj", "angle"), "Tensors are real"),
    "version": "use __version__, and cuda.get_device_name() for the device",
    "orthogonal": "register_parametrization with a module that makes the weight orthogonal",
    "hub": "load a state dictionary: torch.load reads .pt files and safetensors",
    "SparseAdam": "gradients are dense: use Adam",
    "max_memory_allocated": "memory_allocated() and memory_stats() say what is held now",
    "reset_peak_memory_stats": "memory_allocated() and memory_stats() say what is held now",
    "names": "there are no named axes",
    "rename": "there are no named axes",
    "align_to": "there are no named axes",
}


@functools.cache
def torch_names() -> dict[str, frozenset[str]]:
    """The public names of torch's modules and of its Tensor, by the module without "torch."."""
    with open(f"{os.path.dirname(__file__)}/torch_names.txt") as file:
        rows = [line.split(": ") for line in file.read().splitlines()]
    return {where: frozenset(names.split()) for where, names in rows}


def unknown(where: str, name: str, owner: Any) -> AttributeError:
    """The error for a name that `owner` does not have; Python adds what may have been meant.

    Parameters
    ----------
    where
        A key of `torch_names`: "" is the package itself, "Tensor" its class.
    name
        What was asked for.
    owner
        The module or the Tensor.
    """
    place = "a Tensor" if where == "Tensor" else f"module {owner.__name__!r}"
    said = f"{place} has no attribute {name!r}"
    if name[0] != "_" and name in torch_names().get(where, ()):
        instead = INSTEAD.get(name, "docs/from-torch.md says what differs")
        said += f". PyTorch {TORCH} has it, tensorlite does not: {instead}"
        if _imported():  # else Python says that it cannot be imported, and no more
            raise ImportError(said, name=where)
    return AttributeError(said, name=name, obj=owner)


def _imported() -> bool:
    """Whether `from module import name` asks the `__getattr__` that asked for the message."""
    import dis  # for this alone

    frame = sys._getframe(3)
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] == "IMPORT_FROM"


class Missing:
    """Stands in Tensor for a name that only torch's has; reading it raises an explanation."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, tensor: Any, owner: type) -> Any:
        raise unknown("Tensor", self.name, owner if tensor is None else tensor)


def note_missing(owner: type) -> None:
    """Let `owner`, which has all its methods, answer for the names that only torch's Tensor has."""
    for name in torch_names()["Tensor"] - {*dir(owner)}:
        if name[0] != "_":
            setattr(owner, name, Missing(name))


def answers_for(module: str) -> Callable[[str], Any]:
    """A ``__getattr__`` for a module that has a counterpart in torch."""

    def __getattr__(name: str) -> Any:
        raise unknown(module.partition(".")[2], name, sys.modules[module])

    return __getattr__
