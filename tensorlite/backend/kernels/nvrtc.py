"""Compiling kernels for CUDA with NVRTC: to modules that CuPy loads, or to machine code to read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from .c_types import FLOATS
from .declarations import Kernel, families, flatten, flattened, kernels_folder


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

    names = [
        instance_name(kernel, choice)
        for kernel in families("cuda")[family]
        if choice in product(*kernel.types.values())
    ]
    return cupy.RawModule(
        code=source_of(family), options=options_of(family), name_expressions=names
    )


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
