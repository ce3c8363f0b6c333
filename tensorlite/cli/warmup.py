"""``tensorlite warmup``: compile all kernels now, so that nothing is compiled later."""

from __future__ import annotations

import contextlib
import os
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import tensorlite
from tensorlite.backend import Device, backend_for
from tensorlite.backend.kernels import cache, host, prebuilt
from tensorlite.backend.kernels.declarations import families
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
            return _cuda(_kernels(device), [args.dtype] if args.dtype else DTYPES)
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


def _kernels(device: Device) -> Any:
    kernels = backend_for(device).kernels
    if kernels is None:
        raise RuntimeError(f"no kernels can be compiled for {device}: see tensorlite env")
    return kernels


def _cuda(kernels: Any, dtypes: Sequence[str]) -> int:
    """Compile family by family; CuPy keeps a file for each module."""
    total = 0
    for family in families("cuda"):
        before, start = _files(), time.perf_counter()
        modules = kernels.compile_family(family, dtypes)
        compiled, seconds = _files() - before, time.perf_counter() - start
        if compiled:
            print(
                f"{family}: {compiled} of {modules} modules compiled in {seconds:.1f} s", flush=True
            )
        total += compiled
    print(f"cuda ({', '.join(dtypes)}): {f'{total} modules compiled' if total else NOTHING}")
    return 0


def _files() -> int:
    return len(list(cuda_state.cupy_cache().glob("*.cubin")))
