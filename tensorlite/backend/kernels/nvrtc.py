"""Compiling kernels for CUDA with NVRTC: to modules that CuPy loads, or to machine code to read."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from ..machine import usable_cores
from .c_types import FLOATS
from .declarations import Kernel, families, flatten, flattened, kernels_folder

THREADS = 8  # that compile at the same time: each compilation takes a few hundred MB


def source_of(family: str) -> str:
    """Return a family's source with its headers in it: CuPy's cache knows only this text."""
    return flatten(kernels_folder() / f"{family}.cu")


def options_of(family: str) -> tuple[str, ...]:
    """Compiler options of a family; random numbers have the same bits everywhere."""
    # CuPy adds "-default-device", which NVRTC before 12.9 refuses if it is given twice.
    return ("-std=c++17", "--fmad=false") if family == "philox" else ("-std=c++17",)


def generated_module(text: str) -> Any:
    """The module of generated kernels; the text is compiled when a function is first asked for."""
    import cupy

    return cupy.RawModule(code=generated_source(text), options=("-std=c++17",))


def generated_source(text: str) -> str:
    """A generated source with its headers in it."""
    return flattened(text, kernels_folder() / "fused.cu")


def instance_name(kernel: Kernel, choice: tuple[str, ...]) -> str:
    """Name one instantiation: ``tl::softmax<float>``."""
    qualified = [name if name in ("float", "double") else f"tl::{name}" for name in choice]
    return f"tl::{kernel.name}" + (f"<{', '.join(qualified)}>" if qualified else "")


@cache
def module_of(family: str, choice: tuple[str, ...]) -> Any:
    """Compile the kernels of one family for one choice of element types."""
    import cupy

    kernels = families("cuda")[family]
    return cupy.RawModule(
        code=source_of(family),
        options=options_of(family),
        name_expressions=[
            instance_name(kernel, choice)
            for kernel in kernels
            if choice in product(*kernel.types.values())
        ],
        enable_cooperative_groups=all(kernel.launch == "TOGETHER" for kernel in kernels),
    )


def modules_of(dtypes: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Every family with each choice of element types, as far as it is for some of the dtypes."""
    wanted = {FLOATS[dtype] for dtype in dtypes}
    return [
        (family, choice)
        for family, kernels in families("cuda").items()
        for choice in sorted({c for k in kernels for c in product(*k.types.values())})
        if not choice or wanted.intersection(choice)
    ]


def compile_modules(modules: Collection[tuple[str, tuple[str, ...]]], device: int) -> None:
    """Compile modules for a device, or load them from CuPy's cache, several at a time.

    NVRTC compiles in as many threads as call it, and CuPy gives up Python's lock for it.
    """
    import cupy

    def compiled(module: tuple[str, tuple[str, ...]]) -> None:
        with cupy.cuda.Device(device):
            module_of(*module).compile()

    # What takes longest comes first, so that nothing waits for it in the end.
    longest = sorted(modules, key=lambda module: len(source_of(module[0])), reverse=True)
    with ThreadPoolExecutor(min(THREADS, usable_cores())) as pool:
        waiting = [pool.submit(compiled, module) for module in longest]
        try:
            for each in waiting:
                each.result()
        finally:  # after an error, or Ctrl-C, only what is under way is finished
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Cubin:
    """Machine code of one family's kernels for one chip."""

    image: bytes
    names: dict[str, str]
    """The kernels' names in C++, by their names in the machine code."""
    log: str
    """What the assembler reports: registers, shared memory, spills."""


def cubin_of(family: str, dtype: str | None, arch: int) -> Cubin:
    """Compile a family for one dtype and one chip; no GPU is needed.

    Parameters
    ----------
    family
        The name of a source file in ``kernels/``.
    dtype
        The element type, such as "bfloat16". Kernels without one come with any.
    arch
        The compute capability without its point, such as 90.
    """
    import cupy.cuda  # noqa: F401  (finds the libraries that came with it)
    from cupy_backends.cuda.libs import nvrtc

    wanted = FLOATS[dtype] if dtype else None
    names = [
        instance_name(kernel, choice)
        for kernel in families("cuda")[family]
        for choice in product(*kernel.types.values())
        if not choice or wanted in choice
    ]
    program = nvrtc.createProgram(source_of(family), f"{family}.cu", [], [])
    try:
        for name in names:
            nvrtc.addNameExpression(program, name)
        flags = (f"-arch=sm_{arch}", "-default-device", "-ftz=true", "--ptxas-options=-v")
        try:
            nvrtc.compileProgram(program, [*options_of(family), *flags])
        except nvrtc.NVRTCError as error:
            raise RuntimeError(f"{family}.cu: {nvrtc.getProgramLog(program)}") from error
        lowered = {nvrtc.getLoweredName(program, name): name for name in names}
        # CuPy cuts off the last byte, as if it ended a text; in these files it is 0.
        image = nvrtc.getCUBIN(program) + b"\0"
        return Cubin(image, lowered, nvrtc.getProgramLog(program))
    finally:
        nvrtc.destroyProgram(program)
