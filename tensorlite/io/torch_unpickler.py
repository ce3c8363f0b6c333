"""An unpickler for torch's files that knows tensors and plain containers, and runs nothing.

A pickle is a program that may call any function it names. This one finds only the names in the
tables below, all of them harmless; whatever else a file asks for is refused by name.
"""

from __future__ import annotations

import builtins
import pickle
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from tensorlite.backend import Device
from tensorlite.io.elements import dtype_of
from tensorlite.tensor import Size, Tensor, tensor_of

__all__ = ["STORAGES", "Refused", "Storage", "TorchUnpickler"]

_DTYPES = {
    **{name: name for name in ("float16", "float32", "float64", "bfloat16", "bool")},
    **{name: name for name in ("int8", "int16", "int32", "int64")},
    **{name: name for name in ("uint8", "uint16", "uint32", "uint64", "complex64", "complex128")},
    **{f"float8_{kind}": f"float8_{kind}" for kind in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz")},
    "float8_e8m0fnu": "float8_e8m0fnu",
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
}

STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}


class Refused(pickle.UnpicklingError):
    """The pickle asks for something that is not read."""


class _Kind(NamedTuple):
    """What stands for a class of torch's: a name, and what is known of it."""

    name: str
    dtype: str


class _Named(NamedTuple):
    """A dtype of torch's, until it is known whether it is only the dtype of a tensor."""

    name: str


class Storage:
    """A block of memory that tensors are views of: bytes, and what they are."""

    def __init__(self, memory: np.ndarray, dtype: str) -> None:
        self.memory = memory
        self.dtype = dtype
        self.arrays: dict[str, np.ndarray] = {}

    def array(self, dtype: str, view: Callable[[np.ndarray, str], np.ndarray]) -> np.ndarray:
        """See the bytes as elements; always the same array, so that tensors share it."""
        if dtype not in self.arrays:
            self.arrays[dtype] = view(self.memory, dtype)
        return self.arrays[dtype]


class TorchUnpickler(pickle.Unpickler):
    """Reads the pickle in a file of torch's.

    Parameters
    ----------
    file
        Where the pickle is.
    storage : callable
        ``storage(kind, key, location, numel, view)`` returns the `Storage` of that key.
    view : callable
        ``view(memory, dtype)`` sees bytes as elements of a dtype.
    """

    def __init__(
        self, file: IO[bytes], storage: Callable, view: Callable[[np.ndarray, str], np.ndarray]
    ) -> None:
        super().__init__(file, encoding="utf-8")
        self.storage = storage
        self.view = view
        self.locations: dict[int, str] = {}  # of tensors, by id
        self.tensors: list[Tensor] = []  # keeps the ids
        self.known: dict[tuple[str, str], Any] = {
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v3"): self._tensor_v3,
            ("torch._utils", "_rebuild_parameter"): self._parameter,
            ("torch._utils", "_rebuild_parameter_with_state"): self._parameter,
            ("torch._tensor", "_rebuild_from_type_v2"): self._of_type,
            ("torch", "Size"): self._size,
            ("torch", "device"): self._device,
            ("collections", "Counter"): self._counter,
            ("_codecs", "encode"): self._bytes_of_text,
            ("numpy", "dtype"): self._numpy_dtype,
            **{(module, "scalar"): self._numpy_scalar for module in _MULTIARRAY},
            **{(module, "_reconstruct"): self._numpy_array for module in _MULTIARRAY},
            **_PLAIN,
        }

    def persistent_load(self, pid: Any) -> tuple[Storage, str]:
        """Find a storage; return it and the device it was on."""
        if not isinstance(pid, tuple) or pid[0] != "storage" or len(pid) not in (5, 6):
            raise Refused(f"it refers to {pid!r}, which is no storage")
        _, kind, key, location, numel, *view = pid
        if not isinstance(kind, _Kind):
            raise Refused(f"the storage {key!r} is of type {kind!r}")
        return self.storage(kind.dtype, str(key), numel, view[0] if view else None), str(location)

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name in the pickle, if it is known and harmless."""
        found = self.known.get((module, name))
        if found is not None:
            return found
        if module in ("torch", "torch.storage", "torch.cuda") and name in STORAGES:
            return _Kind(name, STORAGES[name])
        if module == "torch" and name in _DTYPES:
            return _Named(_DTYPES[name])
        raise Refused(
            f"it holds {module}.{name}, which is neither a tensor nor a plain container: reading "
            "it would run that code, so it is refused. In torch, save tensors and numbers only, "
            "such as model.state_dict()"
        )

    def _tensor(
        self,
        storage: tuple[Storage, str],
        offset: int,
        size: tuple,
        stride: tuple,
        requires_grad: bool = False,
        hooks: Any = None,
        metadata: Any = None,
    ) -> Tensor:
        return self._made(storage, storage[0].dtype, offset, size, stride, requires_grad, metadata)

    def _tensor_v3(
        self,
        storage: tuple[Storage, str],
        offset: int,
        size: tuple,
        stride: tuple,
        requires_grad: bool,
        hooks: Any,
        dtype: _Named,
        metadata: Any = None,
    ) -> Tensor:
        return self._made(storage, dtype.name, offset, size, stride, requires_grad, metadata)

    def _made(
        self,
        found: tuple[Storage, str],
        dtype: str,
        offset: int,
        size: tuple,
        stride: tuple,
        requires_grad: bool,
        metadata: Any,
    ) -> Tensor:
        storage, location = found
        flat = storage.array(dtype, self.view)
        size, stride = tuple(size), tuple(stride)
        reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
        if min((offset, *size, *stride)) < 0 or (0 not in size and reach > flat.size):
            raise Refused(
                f"a tensor of shape {size} and strides {stride} does not fit its storage of "
                f"{flat.size} elements"
            )
        if 0 in size:
            array = np.empty(size, flat.dtype)
        elif stride == _steps(size):
            array = flat[offset:reach].reshape(size)
        else:
            bytes_apart = [step * flat.itemsize for step in stride]
            array = np.lib.stride_tricks.as_strided(flat[offset:], size, bytes_apart)
        marks = metadata if isinstance(metadata, dict) else {}
        if marks.get("conj"):
            array = array.conj()
        if marks.get("neg"):
            array = -array
        tensor = tensor_of(array, requires_grad=bool(requires_grad))
        self.locations[id(tensor)] = location
        self.tensors.append(tensor)
        return tensor

    def _parameter(self, data: Tensor, requires_grad: bool, *rest: Any) -> Tensor:
        from tensorlite.nn.parameter import Parameter

        made = Parameter(data, bool(requires_grad))
        self.locations[id(made)] = self.locations[id(data)]
        self.tensors.append(made)
        return made

    # Methods, all of them: a pickle can set attributes of a function or of a class, not of these.

    def _of_type(self, function: Callable, kind: Any, arguments: tuple, state: Any) -> Any:
        """A tensor that had attributes of its own, without them."""
        return function(*arguments)

    def _size(self, lengths: Any) -> Size:
        return Size(int(n) for n in lengths)

    def _device(self, kind: str, index: int | None = None) -> Device:
        return Device(str(kind), index or 0)

    def _counter(self, counts: Any = ()) -> Counter:
        return Counter(counts)

    def _bytes_of_text(self, text: str, encoding: str = "latin1") -> bytes:
        """What protocol 2 writes for bytes."""
        return str(text).encode("latin1" if encoding == "latin1" else "utf-8")

    def _numpy_dtype(self, name: Any, align: Any = False, copy: Any = False) -> _Dtype:
        return _Dtype(name)

    def _numpy_scalar(self, kind: _Dtype, data: Any) -> Any:
        return np.frombuffer(_bytes(data), kind.dtype)[0].item()

    def _numpy_array(self, kind: Any, shape: Any, typecode: Any) -> _Array:
        return _Array()


def _steps(size: tuple) -> tuple:
    """Strides, in elements, of an array without gaps."""
    steps, step = [], 1
    for n in reversed(size):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))


class _Dtype:
    """A dtype of NumPy's that is being read."""

    def __init__(self, name: Any) -> None:
        self.dtype = np.dtype(str(name))
        if self.dtype.kind not in "biufcSU":
            raise Refused(f"it holds NumPy's dtype {self.dtype}")

    def __setstate__(self, state: tuple) -> None:
        order = state[1] if len(state) > 1 else "="
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder("<" if order == "<" else ">")


class _Array:
    """An array of NumPy's that is being read."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, data = state
        order: Literal["C", "F"] = "F" if fortran else "C"
        self.value = np.frombuffer(_bytes(data), kind.dtype).reshape(shape, order=order).copy()


def _bytes(data: Any) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else data


_CLASSES = ("set", "frozenset", "list", "dict", "tuple", "int", "float", "bool", "complex", "slice")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_PLAIN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    **{
        (module, name): getattr(builtins, name)
        for module in ("builtins", "__builtin__")
        for name in _CLASSES
    },
    ("torch", "Tensor"): _Kind("Tensor", ""),
    ("torch.nn.parameter", "Parameter"): _Kind("Parameter", ""),
    ("torch.nn.parameter", "Buffer"): _Kind("Buffer", ""),
    ("torch.torch_version", "TorchVersion"): str,
    ("numpy", "ndarray"): _Kind("ndarray", ""),
}


def finished(value: Any, known: dict[int, Any] | None = None) -> Any:
    """Put dtypes and arrays of NumPy's in the place of what was read for them."""
    known = {} if known is None else known
    if id(value) in known:
        return known[id(value)]
    result = value
    if isinstance(value, _Named):
        result = dtype_of(value.name)
    elif isinstance(value, _Kind):
        result = value.name
    elif isinstance(value, _Dtype):
        result = value.dtype
    elif isinstance(value, _Array):
        result = value.value
    elif isinstance(value, list):
        known[id(value)] = value
        value[:] = [finished(v, known) for v in value]
    elif isinstance(value, dict):
        known[id(value)] = value
        for key in list(value):
            value[key] = finished(value[key], known)
    elif type(value) is tuple:
        result = tuple([finished(v, known) for v in value])
    known[id(value)] = result
    return result
