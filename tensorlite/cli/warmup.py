"""``tensorlite warmup``: compile all kernels now, so that nothing is compiled later."""

from __future__ import annotations

import time
from argparse import Namespace

import tensorlite
from tensorlite.backend import backend_for


def run(args: Namespace) -> int:
    """Compile what the device and the dtype need, and say how long it took."""
    device = str(tensorlite.device(args.device))
    start = time.perf_counter()
    kernels = backend_for(device).kernels
    if kernels is None:
        raise RuntimeError(f"no kernels can be compiled for {device}: see `tensorlite env`")
    count = 1 if kernels.on_host else kernels.compile_all(args.dtype)
    seconds = time.perf_counter() - start
    what = "the extension" if kernels.on_host else f"{count} modules"
    print(f"{device}: {what} ready after {seconds:.1f} s; later starts load them from the cache")
    return 0
