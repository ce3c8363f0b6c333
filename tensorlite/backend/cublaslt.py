"""cuBLASLt through ctypes: descriptors, heuristics, one product.

CuPy's own products cannot be captured in a CUDA graph, copy transposed operands, and compute half
precision through float32. `cublasLtMatmul` takes stream and workspace by the call and all the rest
by descriptor, and the library is already there: CuPy's wheels bring it.

Constants are those of ``cublasLt.h`` and ``library_types.h``; the names follow NVIDIA's
documentation, https://docs.nvidia.com/cuda/cublas/#using-the-cublaslt-api.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from ctypes import byref, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, NamedTuple

import cupy

from tensorlite.backend.matmul_plan import MatmulPlan, Matrix

SUCCESS, INVALID_VALUE, NOT_SUPPORTED = 0, 7, 15
R_32F, R_64F, R_16F, R_16BF = 0, 1, 2, 14
COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_64F = 68, 77, 70
MATRIX_TYPES = {"e": R_16F, "E": R_16BF, "f": R_32F, "d": R_64F}  # by dtype.char

# An epilogue is a sum of what happens to a result before it is stored.
DEFAULT, BIAS, BGRADB = 1, 4, 512

_DESC_TRANSA, _DESC_TRANSB, _DESC_EPILOGUE, _DESC_BIAS_POINTER = 3, 4, 7, 8
_LAYOUT_BATCH_COUNT, _LAYOUT_BATCH_OFFSET = 5, 6
_PREF_MAX_WORKSPACE, _PREF_REDUCTION_SCHEMES = 1, 3
_PREF_ALIGNMENT_A, _PREF_ALIGNMENT_B, _PREF_ALIGNMENT_C, _PREF_ALIGNMENT_D = 5, 6, 7, 8
# Split products are summed in the compute type: in the output type, half precision would lose bits.
_REDUCE_IN_COMPUTE_TYPE = 2


class CublasLtError(RuntimeError):
    """A call of cuBLASLt failed; the message names the call, the problem and the status."""


class _Heuristic(ctypes.Structure):
    _fields_ = (
        ("algorithm", c_uint64 * 8),
        ("workspace", c_size_t),
        ("state", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    )


# With the argument types known, ctypes converts plain integers at full width.
_SIGNATURES = {
    "Create": (c_void_p,),
    "MatmulDescCreate": (c_void_p, c_int, c_int),
    "MatmulDescSetAttribute": (c_void_p, c_int, c_void_p, c_size_t),
    "MatmulDescDestroy": (c_void_p,),
    "MatrixLayoutCreate": (c_void_p, c_int, c_uint64, c_uint64, c_int64),
    "MatrixLayoutSetAttribute": (c_void_p, c_int, c_void_p, c_size_t),
    "MatrixLayoutDestroy": (c_void_p,),
    "MatmulPreferenceCreate": (c_void_p,),
    "MatmulPreferenceSetAttribute": (c_void_p, c_int, c_void_p, c_size_t),
    "MatmulPreferenceDestroy": (c_void_p,),
    "MatmulAlgoGetHeuristic": (*[c_void_p] * 7, c_int, c_void_p, c_void_p),
    "Matmul": (*[c_void_p] * 14, c_size_t, c_void_p),
}


@functools.cache
def library() -> Any:
    """Load cuBLASLt, the one that CuPy would use."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    try:
        lib = ctypes.CDLL(load_nvidia_dynamic_lib("cublasLt").abs_path)
    except (OSError, RuntimeError) as error:
        raise CublasLtError(
            "cuBLASLt was not found; it comes with CuPy's CUDA libraries: "
            'pip install "cupy-cuda13x[ctk]" (or cupy-cuda12x[ctk])'
        ) from error
    lib.cublasLtGetStatusName.argtypes = (c_int,)
    lib.cublasLtGetStatusName.restype = ctypes.c_char_p
    for name, arguments in _SIGNATURES.items():
        getattr(lib, f"cublasLt{name}").argtypes = arguments
    return lib


def check(status: int, what: str) -> None:
    """Raise `CublasLtError` for a status that is not success."""
    if status != SUCCESS:
        name = library().cublasLtGetStatusName(status).decode()
        raise CublasLtError(f"{what}: {name} (status {status})")


@functools.cache
def _handle(device: int) -> c_void_p:
    """The library's handle for a device; made once, on that device, and kept."""
    handle = c_void_p()
    with cupy.cuda.Device(device):
        check(library().cublasLtCreate(byref(handle)), f"cublasLtCreate on device {device}")
    return handle


class _Descriptor:
    """One opaque object of the library, destroyed with this one."""

    def __init__(self, kind: str, *arguments: int) -> None:
        self.kind = kind
        self.handle = c_void_p()
        lib = library()
        self._set_attribute = getattr(lib, f"cublasLt{kind}SetAttribute")
        self._destroy = getattr(lib, f"cublasLt{kind}Destroy")
        create = getattr(lib, f"cublasLt{kind}Create")
        check(create(byref(self.handle), *arguments), f"cublasLt{kind}Create")

    def set(self, attribute: int, value: Any) -> None:
        """Set an attribute; the ctypes value carries its size."""
        status = self._set_attribute(self.handle, attribute, byref(value), ctypes.sizeof(value))
        check(status, f"cublasLt{self.kind}SetAttribute({attribute})")

    def __del__(self) -> None:
        if self.handle:
            self._destroy(self.handle)


class Problem(NamedTuple):
    """What distinguishes one product from another: the key under which an algorithm is kept.

    Equal plans are one object, so it is compared by identity. Alignments are those of
    a, b and out in bytes.
    """

    device: int
    char: str
    out_char: str
    tf32: bool
    plan: MatmulPlan
    align_a: int
    align_b: int
    align_out: int
    epilogue: int

    def __str__(self) -> str:
        g = self.plan
        batch = f"{g.batch} x " if g.batch > 1 else ""
        return (
            f"{batch}({g.m}, {g.k}) @ ({g.k}, {g.n}) of {cupy.dtype(self.char)} "
            f"to {cupy.dtype(self.out_char)} "
            f"with epilogue {self.epilogue} on cuda:{self.device}"
        )


class Product:
    """A `Problem` with its descriptors and the algorithm that the heuristic chose for it.

    cuBLASLt thinks in columns: a row-major array is the transpose of a column-major matrix with
    the same leading dimension. So it computes ``outᵀ = bᵀ aᵀ``: operands swapped, nothing copied,
    and the bias, which runs along its rows, runs along our features.

    Attributes
    ----------
    supported
        Whether the library has an algorithm. It supports some epilogues only for some dtypes and
        chips, so callers keep an unfused way.
    """

    def __init__(self, problem: Problem) -> None:
        p, g = problem, problem.plan
        self.problem = problem
        double = p.char == "d"
        compute = COMPUTE_32F_FAST_TF32 if p.tf32 and p.char == "f" else COMPUTE_32F
        scale, number = (R_64F, ctypes.c_double) if double else (R_32F, c_float)
        self._one, self._zero = number(1.0), number(0.0)
        self._desc = _Descriptor("MatmulDesc", COMPUTE_64F if double else compute, scale)
        self._desc.set(_DESC_TRANSA, c_int32(g.b.transposed))
        self._desc.set(_DESC_TRANSB, c_int32(g.a.transposed))
        self._desc.set(_DESC_EPILOGUE, c_uint32(p.epilogue))
        self._left = self._layout(p.char, g.b, g.k, g.n)
        self._right = self._layout(p.char, g.a, g.m, g.k)
        self._out = self._layout(p.out_char, g.out, g.m, g.n)
        self._lock = threading.Lock()
        self._heuristic = _Heuristic()
        self.supported = self._choose()

    def _layout(self, char: str, matrix: Matrix, rows: int, columns: int) -> _Descriptor:
        """Describe a row-major ``(rows, columns)`` operand as the column-major one it also is."""
        dense, others = (rows, columns) if matrix.transposed else (columns, rows)
        layout = _Descriptor("MatrixLayout", MATRIX_TYPES[char], dense, others, matrix.ld)
        layout.set(_LAYOUT_BATCH_COUNT, c_int32(self.problem.plan.batch))
        layout.set(_LAYOUT_BATCH_OFFSET, c_int64(matrix.stride))
        return layout

    def _choose(self) -> bool:
        """Ask the heuristic for an algorithm; False where there is none."""
        p = self.problem
        preference = _Descriptor("MatmulPreference")
        preference.set(_PREF_MAX_WORKSPACE, c_uint64(workspace_size(p.device)))
        preference.set(_PREF_REDUCTION_SCHEMES, c_uint32(_REDUCE_IN_COMPUTE_TYPE))
        preference.set(_PREF_ALIGNMENT_A, c_uint32(p.align_b))
        preference.set(_PREF_ALIGNMENT_B, c_uint32(p.align_a))
        preference.set(_PREF_ALIGNMENT_C, c_uint32(p.align_out))
        preference.set(_PREF_ALIGNMENT_D, c_uint32(p.align_out))
        layouts = [d.handle for d in (self._left, self._right, self._out, self._out)]
        found = c_int(0)
        status = library().cublasLtMatmulAlgoGetHeuristic(
            _handle(p.device),
            self._desc.handle,
            *layouts,
            preference.handle,
            1,
            byref(self._heuristic),
            byref(found),
        )
        if status not in (SUCCESS, INVALID_VALUE, NOT_SUPPORTED):
            check(status, f"cublasLtMatmulAlgoGetHeuristic for {p}")
        return status == SUCCESS and found.value > 0 and self._heuristic.state == SUCCESS

    def addresses(self) -> tuple[Any, ...]:
        """What a call needs, as numbers, while this object lives: see `Product` in products.cpp."""
        lib = library()
        functions = [lib.cublasLtMatmul, lib.cublasLtMatmulDescSetAttribute]
        descriptors = [self._desc, self._left, self._right, self._out]
        return (
            *[ctypes.cast(function, c_void_p).value for function in functions],
            _handle(self.problem.device).value,
            *[descriptor.handle.value for descriptor in descriptors],
            ctypes.addressof(self._heuristic),  # the algorithm is its first field
            self._heuristic.workspace,
            self.problem.char == "d",
        )

    def run(self, a: int, b: int, out: int, accumulate: bool, stream: int, vector: int = 0) -> bool:
        """Queue the product on `stream`; all operands are device addresses.

        `vector` is what the epilogue reads (BIAS) or writes (BGRADB).
        False, and nothing queued, where the library cannot after all, whatever its heuristic said;
        the product is then not `supported` any more.
        """
        size = self._heuristic.workspace
        scratch = workspace(self.problem.device, stream) if size else 0
        with self._lock:  # the descriptor holds the pointers until the call has read them
            if vector:
                self._desc.set(_DESC_BIAS_POINTER, c_void_p(vector))
            status = library().cublasLtMatmul(
                _handle(self.problem.device),
                self._desc.handle,
                byref(self._one),
                b,
                self._left.handle,
                a,
                self._right.handle,
                byref(self._one if accumulate else self._zero),
                out,
                self._out.handle,
                out,
                self._out.handle,
                byref(self._heuristic),  # the algorithm is its first field
                scratch,
                size,
                stream,
            )
        if status in (NOT_SUPPORTED, INVALID_VALUE):
            self.supported = False
        elif status != SUCCESS:
            check(status, f"cublasLtMatmul for {self.problem}")
        return self.supported


product = functools.lru_cache(maxsize=4096)(Product)

_workspaces: dict[tuple[int, int, int], Any] = {}
ON_RELEASE: list[Callable[[], None]] = []
"""Called before the workspaces are given back, for those who know their addresses."""
_PER_THREAD = 2  # the address that every thread has for its own default stream


@functools.cache
def workspace_size(device: int) -> int:
    """Most bytes of scratch memory for an algorithm: NVIDIA's advice for the GPU generation."""
    hopper_or_later = int(cupy.cuda.Device(device).compute_capability[:-1]) >= 9
    return (32 if hopper_or_later else 4) << 20


def workspace(device: int, stream: int) -> int:
    """Address of the stream's scratch memory: what runs at the same time must not share it."""
    key = (device, stream, threading.get_ident() if stream == _PER_THREAD else 0)
    memory = _workspaces.get(key)
    if memory is None:
        # From the common pool even during a capture: it serves every later call on this stream.
        memory = cupy.get_default_memory_pool().malloc(workspace_size(device))
        _workspaces[key] = memory
    return memory.ptr


def workspace_of(device: int, stream: int) -> Any:
    """The array behind `workspace`, for callers that must keep it alive; or None."""
    return _workspaces.get((device, stream, 0))


def stream_made(device: int, stream: int) -> None:
    """Let a new stream have its address's scratch memory for itself.

    A stream that was destroyed may have had the address, and its last product may still run.
    """
    if (device, stream, 0) in _workspaces:
        cupy.cuda.Device(device).synchronize()


def release_workspaces() -> None:
    """Give the scratch memory back to the pool; call when no product is running or captured."""
    for listener in ON_RELEASE:
        listener()
    _workspaces.clear()
