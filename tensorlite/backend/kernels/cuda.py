"""The kernels on CUDA: compiled by NVRTC and launched through CuPy, checked as on the host."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend.driver import usual_allocator

from .c_types import ARRAYS, C_TYPES, FLOATS, SCALARS, scalar
from .declarations import Kernel, Parameter, families
from .entry import Entry, allowed, slots_of, steps
from .nvrtc import instance_name, module_of
from .unavailable import KernelsUnavailable

WARP = 32


class LaunchLayout(NamedTuple):
    """How kernels are laid out on the device; the compiled launch reads it in this order."""

    threads: int = 256  # of a block that runs EACH kernels,
    waves: int = 8  # how many such blocks per multiprocessor
    warp: int = WARP
    held: int = (
        16  # elements of a row in a lane, and lanes of a team: kHeldOf, kMaxLanes in kernels/
    )
    widest: int = 512  # lanes of a team: kMaxLanes
    held_double: int = 4
    widest_double: int = 256
    resident: int = 2048  # threads of a processor
    teams: int = 4  # in a block of teams of a warp: only those need no barrier


LAUNCH_LAYOUT = LaunchLayout()

_HEADS = np.dtype(
    [("data", "u8"), *((n, "i8") for n in ("batch_stride", "head_stride", "row_stride", "heads"))]
)


@cache
def _capability(device: int) -> int:
    import cupy

    return int(cupy.cuda.Device(device).compute_capability)


@cache
def _processors(device: int) -> int:
    import cupy

    return cupy.cuda.Device(device).attributes["MultiProcessorCount"]


@cache
def shared_memory(device: int) -> int:
    """Bytes of shared memory that a block may ask for."""
    import cupy

    return cupy.cuda.Device(device).attributes["MaxSharedMemoryPerBlockOptin"]


_watcher: Callable[[str, tuple], None] | None = None
_launching: list[Any] = []  # the host's extension, once it launches kernels


@contextmanager
def watched(watcher: Callable[[str, tuple], None]) -> Iterator[None]:
    """Show `watcher` the name and the arguments of each kernel before it is launched on CUDA."""
    before = _watcher
    _watch(watcher)
    try:
        yield
    finally:
        _watch(before)


def _watch(watcher: Callable[[str, tuple], None] | None) -> None:
    global _watcher
    _watcher = watcher
    for host in _launching:
        host.watch_launches(watcher)


def shape_of_each(count: int, device: int) -> tuple[int, tuple[int, ...]]:
    """The number of blocks, and their shape, of a kernel over so many elements."""
    g = LAUNCH_LAYOUT
    return min(-(-count // g.threads), g.waves * _processors(device)), (g.threads,)


def shape_of_rows(
    rows: int, columns: int, double: bool, device: int
) -> tuple[int, tuple[int, ...]]:
    """The number of blocks, and their shape, of a kernel whose teams have a row each."""
    g = LAUNCH_LAYOUT
    held, widest = (g.held_double, g.widest_double) if double else (g.held, g.widest)
    lanes = max(WARP, min(-(-columns // (held * WARP)) * WARP, widest))
    teams = g.teams if lanes == WARP else 1
    resident = g.resident // (lanes * teams) * _processors(device)
    return min(-(-rows // teams), resident), (lanes, teams)


def held_of(double: bool) -> int:
    """How long a row may be that a team holds in its registers."""
    g = LAUNCH_LAYOUT
    return g.held_double * g.widest_double if double else g.held * g.widest


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
        if _watcher is not None:
            _watcher(self.__name__, args)
        self.launch(*args)

    def launch(self, *args: Any) -> None:
        """The call, unwatched."""
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
        extents = self._extents(*values)
        grid, block = self._shape(extents, "double" in choice, device)
        if not grid:
            return
        shared = extents[2] if self._kernel.launch == "TOGETHER" else self._kernel.shared
        with self._device(device):
            self._instance(choice)((grid,), block, tuple(passed), shared_mem=shared)

    def _instance(self, choice: tuple[str, ...]) -> Any:
        """The kernel for one choice of element types, compiled when it is first wanted."""
        instance = self._instances.get(choice)
        if instance is None:
            name = instance_name(self._kernel, choice)
            instance = module_of(self._kernel.family, choice).get_function(name)
            self._instances[choice] = instance
        if self._kernel.launch == "TOGETHER":
            instance.max_dynamic_shared_size_bytes = shared_memory(self._device().id)
        elif self._kernel.shared:  # more than 48 KB must be asked for, of each device
            instance.max_dynamic_shared_size_bytes = self._kernel.shared
        return instance

    def resident(self, dtype: np.dtype, shared: int, device: int) -> int:
        """How many blocks a processor runs at once, each with so many bytes of shared memory.

        Of a kernel whose blocks run together, for arrays of one dtype.
        """
        if shared > shared_memory(device):
            return 0
        from cupy_backends.cuda.api import driver

        threads = int(self._kernel.extents[1])
        with self._device(device):
            function = self._instance((FLOATS[dtype.name],)).kernel.ptr
            return driver.occupancyMaxActiveBlocksPerMultiprocessor(function, threads, shared)

    def compiled(self, host: Any) -> Any:
        """The same call in the host's extension `host`; this one, where it cannot be made there.

        Arguments that it cannot check by itself go to the call above, which launches the kernel or
        raises the error.
        """
        names = list(self._kernel.types)
        integers = [p.name for p in self._kernel.parameters]
        try:
            parameters = tuple(_described(p, names, integers) for p in self._kernel.parameters)
            extents = tuple(steps(e, integers) for e in self._kernel.extents)
        except ValueError:
            return self
        allowed = tuple(
            sum(1 << ARRAYS.index(t) for t in types) for types in self._kernel.types.values()
        )

        def load(device: int, choice: int) -> tuple[int, int]:
            chosen = tuple(ARRAYS[choice >> 4 * i & 15] for i in range(len(names)))
            with self._device(device):
                return self._instance(chosen).kernel.ptr, _processors(device)

        made = host.cuda_kernel(
            self.__name__,
            self.__doc__,
            parameters,
            tuple(self._order),
            allowed,
            extents,
            self._kernel.launch,
            tuple(LAUNCH_LAYOUT),
            self._kernel.shared,
            load,
            self.launch,
        )
        return made or self

    def _check_array(self, p: Parameter, value: Any, types: dict[str, str]) -> Any:
        """Return what to pass for an array, after checking type, dtype and layout."""
        if value is None and p.optional:
            return np.uintp(0)
        if not isinstance(value, self._array):
            raise self._error(
                TypeError, f"{p.name} must be a CuPy array, not {type(value).__name__}"
            )
        dtype = value.dtype.name
        if p.type in C_TYPES:
            wanted = C_TYPES[p.type].dtype
        else:
            name = p.type.removeprefix("Acc<").removesuffix(">")
            chosen = types.get(name) or types.setdefault(name, FLOATS.get(dtype, "float"))
            if chosen not in self._kernel.types[name]:
                raise self._error(TypeError, f"has no version for {dtype}")
            computed = "float64" if chosen == "double" else "float32"
            stored = next(key for key, cpp in FLOATS.items() if cpp == chosen)
            wanted = computed if p.type.startswith("Acc<") else stored
        if dtype != wanted:
            raise self._error(TypeError, f"{p.name} must be {wanted}, not {dtype}")
        if p.is_heads:
            return self._heads(p, value)
        if not value.flags.c_contiguous or value.data.ptr % value.itemsize:
            raise self._error(ValueError, f"{p.name} must be C-contiguous and aligned")
        return value

    def _heads(self, p: Parameter, value: Any) -> Any:
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
            return scalar(p.type, value)
        except (TypeError, ValueError, OverflowError):
            raise self._error(TypeError, f"{p.name} must be a {p.type}, not {value!r}") from None

    def _shape(
        self, extents: tuple[int, ...], double: bool, device: int
    ) -> tuple[int, tuple[int, ...]]:
        """Return the number of blocks and their shape; kernels stride over what is beyond."""
        count, *rest = extents
        if self._kernel.launch in ("BLOCKS", "TOGETHER"):
            return max(count, 0), (rest[0],)
        if self._kernel.launch == "EACH":
            return shape_of_each(count, device)
        return shape_of_rows(count, rest[0], double, device)

    def _error(self, kind: type[Exception], message: str) -> Exception:
        return kind(f"{self._kernel.signature}: {message}")


def _described(p: Parameter, types: list[str], names: list[str]) -> tuple:
    """A parameter as `use_cuda`'s compiled launch reads it: see `kernels/host/cuda.h`."""
    if not p.is_array:
        return False, False, False, False, SCALARS.index(p.type), -1, ()
    wide = p.type.startswith("Acc<")
    name = p.type.removeprefix("Acc<").removesuffix(">")
    counts = ast.parse(f"({p.count},)", mode="eval").body
    assert isinstance(counts, ast.Tuple)
    found = tuple(steps(ast.unparse(each), names) for each in counts.elts)
    if name in types:
        return True, p.is_heads, p.optional, wide, 0, types.index(name), found
    return True, p.is_heads, p.optional, False, ARRAYS.index(p.type), -1, found


def launching(host: Any) -> Any:
    """The host's extension, once it can launch CuPy's kernels; None where it cannot."""
    import cupy
    from cupy_backends.cuda import stream
    from cupy_backends.cuda.api.driver import CUDADriverError

    if host is None or host in _launching:
        return host
    usable = host.use_cuda(
        cupy.ndarray,
        cupy.cuda.MemoryPointer,
        getattr(stream, "__pyx_capi__", {}).get("get_current_stream_ptr"),
        cupy.cuda.get_current_stream,
        CUDADriverError,
        getattr(cupy.cuda.memory, "__pyx_capi__", {}).get("get_allocator"),
        usual_allocator(),
        tuple(_samples(cupy)),
    )
    if not usable:
        return None
    host.watch_launches(_watcher)
    _launching.append(host)
    return host


def _samples(cupy: Any) -> Iterator[Any]:
    """Arrays by which the extension looks whether it knows how CuPy's lie in memory."""
    memory = cupy.cuda.UnownedMemory(1 << 20, 1 << 33, None, 0)  # nobody reads it
    for shape, dtype in (
        ((3, 5), "f"),
        ((), "d"),
        ((1, 7, 1), "e"),
        ((2, 1, 4), "?"),
        ((1 << 31, 2), "B"),
    ):
        yield cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(memory, 512))


class CudaLibrary:
    """Every kernel as an attribute; compiled when it is first called, and cached by CuPy."""

    on_host = False
    column_total: Any

    def __init__(self, host: Any) -> None:
        """Make the kernels; `host` is the library of the CPU, or None."""
        try:
            import cupy
        except ImportError as error:
            raise KernelsUnavailable(f"CuPy cannot be imported: {error}") from error
        if not cupy.is_available():
            raise KernelsUnavailable("no CUDA device")
        self._resident: dict[str, Callable] = {}
        self.empty = cupy.ndarray  # not initialised, as `cupy.empty`, which takes longer
        host = launching(host)
        if host is not None:
            from tensorlite.backend import blas
            from tensorlite.backend.cupy_functions import cupy_functions

            blas.use_host(host)
            host.use_cuda_library(self, cupy_functions())
            self.empty = host.cuda_empty
            self.walk = host.walk
            for name in ("matmul", "linear", "weight_gradient", "affine_gradients"):
                setattr(self, f"new_{name}", getattr(host, f"cuda_{name}"))
            self._product = host.cuda_product
        for kernels in families("cuda").values():
            for kernel in kernels:
                launch = CudaKernel(kernel)
                if kernel.launch == "TOGETHER":
                    self._resident[kernel.name] = cache(launch.resident)
                setattr(self, kernel.name, launch.compiled(host) if host else launch)
        for kernels in families("cuda").values():
            for kernel in kernels:
                if slots_of(kernel):
                    setattr(self, f"new_{kernel.name}", self._entry(kernel, host))

    def _entry(self, kernel: Kernel, host: Any) -> Any:
        """The kernel with its outputs, compiled where that can be."""
        import cupy

        if host is None:
            return Entry(kernel, self, cupy.ndarray)
        slots = tuple(tuple(slot) for slot in slots_of(kernel) or ())
        launch = getattr(self, kernel.name)
        return host.cuda_entry(kernel.name, launch, self.column_total, allowed(kernel), slots)

    _product: Any = None  # in compiled code, where that can be

    def matmul(self, a: Any, b: Any, out: Any, bias: Any, accumulate: bool) -> None:
        """``out = a @ b (+ bias)`` or ``out += a @ b``, as on the host, by cuBLASLt."""
        known = self._product
        if known is None or known(0, a, b, bias, out, accumulate) is NotImplemented:
            from tensorlite.backend.blas import matmul

            matmul(a, b, out=out, bias=bias, accumulate=accumulate)

    @staticmethod
    def has_tiles(x: Any) -> bool:
        """Whether kernels of 16-bit tiles run where an array is: from compute capability 8.0 on."""
        return _capability(x.device.id) >= 80

    def resident(self, kernel: str, x: Any, shared: int) -> int:
        """How many blocks of a kernel that is declared TOGETHER run at once where `x` is."""
        return self._resident[kernel](x.dtype, shared, x.device.id) * self.processors(x)

    @staticmethod
    def processors(x: Any) -> int:
        """Multiprocessors of the GPU that an array is on."""
        return _processors(x.device.id)

    @staticmethod
    def parts(rows: int) -> int:
        """Into how many parts column sums over `rows` rows are cut; see the host's."""
        return max(1, min(rows, max(256, math.isqrt(rows))))
