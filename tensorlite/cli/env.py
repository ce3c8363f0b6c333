"""``tensorlite env``: what to paste into a bug report, in under a second."""

from __future__ import annotations

import os
import platform
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

import tensorlite
from tensorlite.backend.kernels import cache, host, prebuilt
from tensorlite.backend.kernels.unavailable import KernelsUnavailable
from tensorlite.backend.machine import usable_cores
from tensorlite.cli import cuda_state, processes
from tensorlite.data import cache_dir
from tensorlite.distributed.start import (
    check_tasks,
    launched_rank,
    launched_size,
    started_by,
)

OPTIONAL = {"ml_dtypes": "bf16", "matplotlib": "plot"}  # and the extra that brings them
MPIS = ("mpich", "openmpi", "impi-rt")  # packages that contain an MPI
NCCL = ("nvidia-nccl-cu13", "nvidia-nccl-cu12")
VARIABLES = (
    *("TENSORLITE_", "CUPY_", "CUDA_", "NCCL_", "OMP_NUM", "OPENBLAS_", "MKL_NUM"),
    "XDG_CACHE",
)


def run(args: Namespace) -> int:
    """Print the state of the installation and what is wrong with it."""
    if launched_rank():
        return 0  # one of several, of which the first prints
    wrong: list[str] = []
    rows = [*_software(), *_kernels(wrong), *_cuda(wrong), *_processes(wrong)]
    rows += [*_caches(wrong), *_variables()]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")
    for problem in wrong:
        print(f"problem: {problem}")
    return 0


def _software() -> list[tuple[str, str]]:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    rows = [
        ("tensorlite", f"{tensorlite.__version__}  {Path(tensorlite.__file__).parent}"),
        ("Python", f"{platform.python_version()}  {sys.executable}"),
        ("system", f"{platform.platform()}, {usable_cores()} CPUs usable"),
        ("NumPy", f"{np.__version__}, BLAS {blas['name']} {blas['version']}"),
    ]
    for package, extra in OPTIONAL.items():
        missing = f'not installed (pip install "tensorlite[{extra}]")'
        rows.append((package, cuda_state.installed(package) or missing))
    return rows


def _kernels(wrong: list[str]) -> list[tuple[str, str]]:
    """The CPU's kernels; nothing is compiled here."""
    threads = ("threads", f"{usable_cores()} (tensorlite.set_num_threads)")
    off = os.environ.get("TENSORLITE_KERNELS") == "reference"
    if (came := prebuilt.find()) is not None:
        state = f"built for {prebuilt.level_of(came)}, from the package"
        if (native := host.native()) is not None:
            state, came = "compiled for this CPU", native
        state = "switched off by TENSORLITE_KERNELS=reference" if off else state
        return [("kernels", f"{state}  {came}"), threads]
    try:
        compiler, library = cache.place()
    except KernelsUnavailable as missing:
        wrong.append(f"compiled kernels are off, NumPy runs in their place: {missing}")
        return [("kernels", "NumPy only")]
    state = "compiled" if cache.is_built() else "will be compiled at first use"
    if (failed := cache.failure()) is not None:
        state = "NumPy only" if not cache.compiled() else "compiled in part"
        wrong.append(f"kernels did not compile: {failed} (tensorlite warmup tries again)")
    if off:
        state = "switched off by TENSORLITE_KERNELS=reference"
    return [("kernels", f"{state}  {library}"), ("compiler", " ".join(compiler)), threads]


def _cuda(wrong: list[str]) -> list[tuple[str, str]]:
    packages, driver = cuda_state.cupy_packages(), cuda_state.driver()
    wrong += cuda_state.problems(packages, driver)
    names = ", ".join(f"{version} ({name})" for name, version in packages.items())
    rows = [("CuPy", names or 'not installed (pip install "tensorlite[cuda13]")')]
    if driver is None:
        return [*rows, ("CUDA driver", "none")]
    devices = [(f"cuda:{i}", name) for i, name in enumerate(driver.devices)]
    return [*rows, ("CUDA driver", "for CUDA {}.{}".format(*driver.version)), *devices]


def _processes(wrong: list[str]) -> list[tuple[str, str]]:
    """What several processes need; of those that mpiexec has started the first one prints."""
    mpi4py, launcher = cuda_state.installed("mpi4py"), processes.mpiexec()
    mpis = [f"{name} {v}" for name in MPIS if (v := cuda_state.installed(name))]
    if mpi4py is None:
        rows = [("MPI", 'mpi4py is not installed (pip install "tensorlite[mpi]")')]
    else:
        found = f"mpi4py {mpi4py}, {mpis[0] if mpis else 'the system’s MPI'}"
        rows = [("MPI", f"{found}, {launcher or 'no mpiexec'}")]
        if launcher is None:
            wrong.append('there is no mpiexec: pip install "tensorlite[mpi]", or install an MPI')
    if cuda_state.cupy_packages():
        nccl = [f"{version} ({name})" for name in NCCL if (version := cuda_state.installed(name))]
        missing = "no package of it (pip install nvidia-nccl-cu13)"
        rows.append(("NCCL", ", ".join(nccl) or missing))
    try:
        check_tasks()
    except RuntimeError as error:
        wrong.append(str(error))
    size = launched_size()
    return [*rows, ("ranks", "1" if size == 1 else f"{size}, started by {started_by()}")]


def _caches(wrong: list[str]) -> list[tuple[str, str]]:
    folders = {
        "data cache": cache_dir(),
        "kernel cache": cache.cache_folder(),
        "CuPy cache": cuda_state.cupy_cache(),
    }
    for name, folder in folders.items():
        nearest = next(place for place in (folder, *folder.parents) if place.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
            wrong.append(f"the {name} cannot be written: {nearest}")
    return [(name, str(folder)) for name, folder in folders.items()]


def _variables() -> list[tuple[str, str]]:
    return [(n, v) for n, v in sorted(os.environ.items()) if n.startswith(VARIABLES)]
