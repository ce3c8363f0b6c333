"""``tensorlite warmup``: compile all kernels now, so that nothing is compiled later."""

from __future__ import annotations

import contextlib
import os
import time
from argparse import Namespace
from collections.abc import Sequence

import tensorlite
from tensorlite.backend import Device, backend_for
from tensorlite.backend.kernels import cache, host, prebuilt
from tensorlite.cli import cuda_state
from tensorlite.cli.errors import UsageError
from tensorlite.cli.parser import DTYPES

NOTHING = "nothing to compile, all kernels are in the cache"


def run(args: Namespace) -> int:
    """Compile what the device needs and print how long it took, or that nothing was missing."""
    if os.environ.get("TENSORLITE_KERNELS") == "reference":
        raise UsageError("TENSORLITE_KERNELS=reference switches the kernels off")
    device = tensorlite.device(args.device)
    if args.native and device.type != "cpu":
        raise UsageError("--native is of the CPU: CUDA's kernels are made for the GPU in any case")
    if device.type == "cuda":
        with backend_for(device).on(device):
            return _cuda(device, [args.dtype] if args.dtype else DTYPES)
    if args.dtype:
        raise UsageError("--dtype is of CUDA: the CPU's kernels are one file for all dtypes")
    came = prebuilt.find()
    if came is not None and not args.native:
        print(f"cpu: nothing to compile, the package brought kernels for {prebuilt.level_of(came)}")
        return 0
    built = cache.is_built()
    cache.forget_failure()
    if not built:
        with contextlib.suppress(OSError):
            cache.build_native()  # says itself what it compiles and how long it takes
    if not (cache.is_built() if came is None else host.native()):
        raise RuntimeError(
            f"kernels were compiled, but there is no place to keep them: {cache.cache_folder()} "
            "cannot be written; set XDG_CACHE_HOME"
        )
    print(f"cpu: {NOTHING if built else 'all kernels compiled'}")
    return 0


def _cuda(device: Device, dtypes: Sequence[str]) -> int:
    """Compile all modules; CuPy keeps a file for each."""
    if backend_for(device).kernels is None:
        raise RuntimeError(f"no kernels can be compiled for {device}: see tensorlite env")
    from tensorlite.backend.kernels.nvrtc import compile_modules, modules_of

    modules, before, start = modules_of(dtypes), _files(), time.perf_counter()
    compile_modules(modules, device.index)
    compiled, seconds = _files() - before, time.perf_counter() - start
    said = f"{compiled} of {len(modules)} modules compiled in {seconds:.0f} s"
    print(f"cuda ({', '.join(dtypes)}): {said if compiled else NOTHING}")
    return 0


def _files() -> int:
    return len(list(cuda_state.cupy_cache().glob("*.cubin")))
