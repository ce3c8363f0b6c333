"""The kernels on CUDA: compiled by NVRTC and launched through CuPy, checked as on the host."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from .compiler import (
    DTYPES,
    Kernel,
    KernelsUnavailable,
    Parameter,
    families,
    flatten,
    kernels_folder,
)

THREADS = 256  # of a block that runs EACH kernels
WARP = 32

_FIXED = {"float": "float32", "double": "float64", "Index": "int64", "int": "int32"}
_FIXED |= {"bool": "bool", "uint8_t": "uint8", "uint32_t": "uint32"}
_SCALARS: dict[str, Callable[[Any], np.generic]] = {
    # NumPy scalars have the size of the C type; a Python number would be passed as eight bytes.
    "float": lambda value: np.float32(float(value)),
    "double": lambda value: np.float64(float(value)),
    "Index": lambda value: np.int64(operator.index(value)),
    "int": lambda value: np.int32(operator.index(value)),
    "uint64_t": lambda value: np.uint64(operator.index(value)),
    "bool": lambda value: np.bool_(value),
}
_HEADS = np.dtype(
    [("data", "u8"), *((n, "i8") for n in ("batch_stride", "head_stride", "row_stride", "heads"))]
)


def source_of(family: str) -> str:
    """Return a family's source with its headers in it: CuPy's cache knows only this text."""
    return flatten(kernels_folder() / f"{family}.cu")


def options_of(family: str) -> tuple[str, ...]:
    """Compiler options of a family; random numbers have the same bits everywhere."""
    # CuPy adds "-default-device", which NVRTC before 12.9 refuses to be told twice.
    return ("-std=c++17", "--fmad=false") if family == "philox" else ("-std=c++17",)


def instance_name(kernel: Kernel, choice: tuple[str, ...]) -> str:
    """Name one instantiation: ``tl::softmax<float>``."""
    qualified = [name if name in ("float", "double") else f"tl::{name}" for name in choice]
    return f"tl::{kernel.name}" + (f"<{', '.join(qualified)}>" if qualified else "")


@cache
def _module(family: str, choice: tuple[str, ...]) -> Any:
    """Compile the kernels of one family for one choice of element types."""
    import cupy

    names = [
        instance_name(kernel, choice)
        for kernel in families("cuda")[family]
        if choice in product(*kernel.types.values())
    ]
    return cupy.RawModule(
        code=source_of(family), options=options_of(family), name_expressions=names
    )


@cache
def _processors(device: int) -> int:
    import cupy

    return cupy.cuda.Device(device).attributes["MultiProcessorCount"]


class CudaKernel:
    """One kernel as a function of CuPy arrays and Python scalars."""

    def __init__(self, kernel: Kernel) -> None:
        import cupy

        self._array = cupy.ndarray
        self._device = cupy.cuda.Device
        self._kernel = kernel
        self._instances: dict[tuple[str, ...], Any] = {}
        # Arrays of type Acc<T> are checked after those of type T, which say what T is.
        self._order = sorted(
            range(len(kernel.parameters)),
            key=lambda i: kernel.parameters[i].type.startswith("Acc<"),
        )
        scalars = ", ".join(p.name for p in kernel.parameters if not p.is_array)
        # Expressions of the declaration are valid Python; they come from our own sources.
        counts = [f"({p.count})," for p in kernel.parameters if p.is_array]
        self._counts = eval(f"lambda {scalars}: ({''.join(counts)})")
        self._extents = eval(f"lambda {scalars}: ({''.join(e + ',' for e in kernel.extents)})")
        self.__name__ = kernel.name
        self.__doc__ = kernel.signature

    def __call__(self, *args: Any) -> None:
        """Check the arguments and launch on the current stream of the arrays' device."""
        parameters = self._kernel.parameters
        if len(args) != len(parameters):
            raise self._error(TypeError, f"takes {len(parameters)} arguments, not {len(args)}")
        types: dict[str, str] = {}
        passed: list[Any] = [None] * len(args)
        for i in self._order:
            check = self._check_array if parameters[i].is_array else self._check_scalar
            passed[i] = check(parameters[i], args[i], types)
        values = [passed[i].item() for i, p in enumerate(parameters) if not p.is_array]
        arrays = [(p, value) for p, value in zip(parameters, args, strict=True) if p.is_array]
        for (p, value), count in zip(arrays, self._counts(*values), strict=True):
            if p.is_heads and value.shape != count:
                raise self._error(ValueError, f"{p.name} has shape {value.shape}, not {count}")
            if not p.is_heads and value is not None and value.size != count:
                raise self._error(ValueError, f"{p.name} has {value.size} elements, not {count}")
        devices = {value.device.id for _, value in arrays if value is not None}
        if len(devices) != 1:
            raise self._error(ValueError, f"arrays are on different devices: {sorted(devices)}")
        device = devices.pop()
        choice = tuple(types.get(name, "float") for name in self._kernel.types)
        grid, block = self._shape(self._extents(*values), "double" in choice, device)
        if not grid:
            return
        instance = self._instances.get(choice)
        if instance is None:
            name = instance_name(self._kernel, choice)
            instance = _module(self._kernel.family, choice).get_function(name)
            self._instances[choice] = instance
        with self._device(device):
            instance((grid,), block, tuple(passed))

    def _check_array(self, p: Parameter, value: Any, types: dict[str, str]) -> Any:
        """Return what to pass for an array, after checking type, dtype and layout."""
        if value is None and p.optional:
            return np.uintp(0)
        if not isinstance(value, self._array):
            raise self._error(
                TypeError, f"{p.name} must be a CuPy array, not {type(value).__name__}"
            )
        dtype = value.dtype.name
        if p.type in _FIXED:
            wanted = _FIXED[p.type]
        else:
            name = p.type.removeprefix("Acc<").removesuffix(">")
            chosen = types.get(name) or types.setdefault(name, DTYPES.get(dtype, "float"))
            if chosen not in self._kernel.types[name]:
                raise self._error(TypeError, f"has no version for {dtype}")
            computed = "float64" if chosen == "double" else "float32"
            stored = next(key for key, cpp in DTYPES.items() if cpp == chosen)
            wanted = computed if p.type.startswith("Acc<") else stored
        if dtype != wanted:
            raise self._error(TypeError, f"{p.name} must be {wanted}, not {dtype}")
        if p.is_heads:
            return self._heads(p, value)
        if not value.flags.c_contiguous or value.data.ptr % value.itemsize:
            raise self._error(ValueError, f"{p.name} must be C-contiguous and aligned")
        return value

    def _heads(self, p: Parameter, value: Any) -> np.void:
        """Return `Heads` of types.h, by value."""
        size = value.itemsize
        dense = value.ndim == 4 and (
            value.strides[3] == size or value.shape[3] < 2 or not value.size
        )
        if not dense:
            raise self._error(ValueError, f"{p.name} must have 4 axes, the last without gaps")
        if any(address % size for address in (value.data.ptr, *value.strides)):
            raise self._error(ValueError, f"{p.name} must be aligned")
        strides = [stride // size for stride in value.strides[:3]]
        return np.array((value.data.ptr, *strides, value.shape[1]), _HEADS)[()]

    def _check_scalar(self, p: Parameter, value: Any, types: dict[str, str]) -> np.generic:
        """Return a scalar in the C type of its parameter."""
        try:
            return _SCALARS[p.type](value)
        except (TypeError, ValueError, OverflowError):
            raise self._error(TypeError, f"{p.name} must be a {p.type}, not {value!r}") from None

    def _shape(
        self, extents: tuple[int, ...], double: bool, device: int
    ) -> tuple[int, tuple[int, ...]]:
        """Return the number of blocks and their shape; kernels stride over what is beyond."""
        count, *rest = extents
        if self._kernel.launch == "BLOCKS":
            return max(count, 0), (rest[0],)
        if self._kernel.launch == "EACH":
            return min(-(-count // THREADS), 8 * _processors(device)), (THREADS,)
        held, widest = (4, 256) if double else (16, 512)  # kHeldOf and kMaxLanes in kernels/
        lanes = max(WARP, min(-(-rest[0] // (held * WARP)) * WARP, widest))
        teams = 4 if lanes == WARP else 1  # only a warp can share its block: it needs no barrier
        resident = 2048 // (lanes * teams) * _processors(device)
        return min(-(-count // teams), resident), (lanes, teams)

    def _error(self, kind: type[Exception], message: str) -> Exception:
        return kind(f"{self._kernel.signature}: {message}")


class CudaLibrary:
    """Every kernel as an attribute; compiled when it is first called, and cached by CuPy."""

    on_host = False

    def __init__(self) -> None:
        try:
            import cupy
        except ImportError as error:
            raise KernelsUnavailable(f"CuPy cannot be imported: {error}") from error
        if not cupy.is_available():
            raise KernelsUnavailable("no CUDA device")
        self.empty = cupy.empty
        for kernels in families("cuda").values():
            for kernel in kernels:
                setattr(self, kernel.name, CudaKernel(kernel))

    @staticmethod
    def compile_family(family: str, dtypes: Collection[str]) -> int:
        """Compile a family's modules for some dtypes, or load them; return how many there are."""
        wanted = {DTYPES[dtype] for dtype in dtypes}
        kernels = families("cuda")[family]
        every = {choice for kernel in kernels for choice in product(*kernel.types.values())}
        choices = [choice for choice in every if not choice or wanted.intersection(choice)]
        for choice in sorted(choices):
            _module(family, choice).compile()
        return len(choices)

    @staticmethod
    def matmul(a: Any, b: Any, out: Any, bias: Any, accumulate: bool) -> None:
        """``out = a @ b (+ bias)`` or ``out += a @ b``, as on the host, by cuBLASLt."""
        from tensorlite.backend.blas import matmul

        matmul(a, b, out=out, bias=bias, accumulate=accumulate)

    @staticmethod
    def parts(rows: int) -> int:
        """Into how many parts column sums over `rows` rows are cut; see the host's."""
        return max(1, min(rows, max(256, math.isqrt(rows))))
