"""Files that torch reads: zip archives with a pickle of tensors and plain containers.

The pickle is written here, an instruction at a time, since it names functions of torch, which need
not be installed.
"""

from __future__ import annotations

import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from tensorlite.backend import Device, is_array
from tensorlite.io.elements import host_array
from tensorlite.io.torch_unpickler import STORAGES
from tensorlite.tensor import Size, Tensor

__all__ = ["write"]

_STORAGES = {dtype: name for name, dtype in STORAGES.items() if name != "UntypedStorage"}
_NEWER = ("uint16", "uint32", "uint64")


def write(file: IO[bytes], value: Any) -> None:
    """Write `value` as torch does.

    Raises
    ------
    TypeError
        If something in it is neither a tensor nor plain; names where.
    """
    pickled = _Pickler()
    pickled.put(value, "")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + bytes(pickled.code) + b".")
        archive.writestr("archive/byteorder", "little")
        for i, array in enumerate(pickled.storages):
            info = zipfile.ZipInfo(f"archive/data/{i}")
            with archive.open(info, "w", force_zip64=array.nbytes >= 1 << 31) as entry:
                entry.write(memoryview(array.reshape(-1).view(np.uint8)))
        archive.writestr("archive/version", "3\n")


class _Pickler:
    """Writes the instructions that make a value again (protocol 2)."""

    def __init__(self) -> None:
        self.code = bytearray()
        self.storages: list[np.ndarray] = []
        self.places: dict[tuple, int] = {}  # number of a storage, by the memory it was copied from
        self.held: list[Any] = []  # keeps that memory

    def put(self, value: Any, path: str) -> None:
        """Write one value; `path` is where it is, for messages."""
        code = self.code
        if value is None:
            code += b"N"
        elif isinstance(value, bool | np.bool_):
            code += b"\x88" if value else b"\x89"
        elif isinstance(value, Tensor) or (is_array(value) and not isinstance(value, np.generic)):
            self._tensor(value, path)
        elif isinstance(value, np.generic) and value.dtype.kind in "iuf":
            self.put(value.item(), path)
        elif isinstance(value, int):
            self._int(int(value))
        elif isinstance(value, float):
            code += b"G" + struct.pack(">d", value)
        elif isinstance(value, str):
            self._text(value)
        elif isinstance(value, Size | Device | np.dtype):
            self._named(value, path)
        elif isinstance(value, tuple):
            self._tuple(value, path)
        elif isinstance(value, list):
            code += b"](" if value else b"]"
            for i, part in enumerate(value):
                self.put(part, f"{path}.{i}")
            code += b"e" if value else b""
        elif isinstance(value, Mapping):
            self._mapping(value, path)
        elif isinstance(value, bytes):  # as protocol 2 has them
            self._call("_codecs", "encode", ((value.decode("latin1"), "latin1"), path))
        elif isinstance(value, set | frozenset):
            self._call("__builtin__", "set", ((list(value),), path))
        else:
            said = (
                f"save: {path or 'the object'} is a {type(value).__name__}, which cannot be saved"
            )
            if hasattr(value, "state_dict"):
                said += ": save what it holds, .state_dict(), and load_state_dict() that again"
            raise TypeError(said)

    def _int(self, value: int) -> None:
        if -(1 << 31) <= value < 1 << 31:
            self.code += b"J" + struct.pack("<i", value)
        else:
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            self.code += b"\x8a" + bytes([len(data)]) + data  # up to 2040 bits

    def _text(self, value: str) -> None:
        data = value.encode("utf-8", "surrogatepass")
        self.code += b"X" + struct.pack("<I", len(data)) + data

    def _tuple(self, values: tuple, path: str) -> None:
        self.code += b"("
        for i, part in enumerate(values):
            self.put(part, f"{path}.{i}")
        self.code += b"t"

    def _global(self, module: str, name: str) -> None:
        self.code += f"c{module}\n{name}\n".encode()

    def _call(self, module: str, name: str, arguments: tuple[tuple, str]) -> None:
        self._global(module, name)
        self._tuple(*arguments)
        self.code += b"R"

    def _named(self, value: Any, path: str) -> None:
        if isinstance(value, np.dtype):
            self._global("torch", value.name)
        elif isinstance(value, Device):
            index = () if value.type == "cpu" else (value.index,)
            self._call("torch", "device", ((value.type, *index), path))
        else:
            self._call("torch", "Size", ((tuple(value),), path))

    def _mapping(self, value: Mapping, path: str) -> None:
        if isinstance(value, OrderedDict):
            self._call("collections", "OrderedDict", ((), path))
        else:
            self.code += b"}"
        if value:
            self.code += b"("
            for key, part in value.items():
                self.put(key, f"a key of {path or 'the object'}")
                self.put(part, f"{path}.{key}" if path else str(key))
            self.code += b"u"

    def _tensor(self, value: Any, path: str) -> None:
        from tensorlite.nn.parameter import Parameter

        raw = value.array if isinstance(value, Tensor) else value
        requires_grad = isinstance(value, Tensor) and value.requires_grad
        array = host_array(raw)
        name = array.dtype.name
        if name not in _STORAGES and name not in _NEWER and not name.startswith("float8"):
            raise TypeError(f"save: {path or 'the object'} has the dtype {name}, which torch lacks")
        newer = name not in _STORAGES
        is_parameter = isinstance(value, Parameter)
        if is_parameter:
            self._global("torch._utils", "_rebuild_parameter")
            self.code += b"("
        self._global("torch._utils", "_rebuild_tensor_v3" if newer else "_rebuild_tensor_v2")
        self.code += b"("
        key = str(self._storage(raw, array))
        kind = ("torch.storage", "UntypedStorage") if newer else ("torch", _STORAGES[name])
        self.code += b"("
        self._text("storage")
        self._global(*kind)
        self._text(key)
        self._text("cpu")
        self._int(array.nbytes if newer else array.size)
        self.code += b"tQ"
        steps = [step // array.itemsize for step in array.strides]
        for part in (0, tuple(array.shape), tuple(steps), requires_grad and not is_parameter):
            self.put(part, path)
        self._call("collections", "OrderedDict", ((), path))
        if newer:
            self._global("torch", name)
        self.code += b"tR"
        if is_parameter:
            self.put(requires_grad, path)
            self._call("collections", "OrderedDict", ((), path))
            self.code += b"tR"

    def _storage(self, raw: Any, array: np.ndarray) -> int:
        """The number of the storage for an array: one for tensors that show the same memory."""
        if isinstance(raw, np.ndarray):
            where: tuple = ("host", raw.ctypes.data)
        else:
            where = ("device", raw.device.id, raw.data.ptr)
        place = (*where, raw.shape, raw.strides, raw.dtype.name)
        if array.size == 0 or place not in self.places:
            self.places[place] = len(self.storages)
            self.storages.append(array)
            self.held.append(raw)
        return self.places[place]
