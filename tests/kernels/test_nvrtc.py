"""Every kernel compiles for every architecture, and keeps its rows in registers."""

from __future__ import annotations

import re
import subprocess
from itertools import product

import numpy as np
import pytest

from tensorlite.backend.kernels import declarations
from tensorlite.backend.kernels.declarations import families

ARCHITECTURES = [75, 80, 86, 89, 90, 100, 120]
MODULES = [
    (family, choice)
    for family, kernels in families("cuda").items()
    for choice in sorted({c for k in kernels for c in product(*k.types.values())})
]


@pytest.fixture
def nvrtc(device):
    if device.type != "cuda":
        pytest.skip("NVRTC comes with CuPy (--device cuda)")
    from tensorlite.backend.kernels import nvrtc

    return nvrtc


def _id(part):
    return part if isinstance(part, str) else "-".join(part) or "plain"


@pytest.mark.parametrize(("family", "choice"), MODULES, ids=_id)
def test_no_kernel_spills(nvrtc, family, choice):
    """The assembler's report names no stack frame and no spilled register."""
    from cupy_backends.cuda.libs import nvrtc as library

    kernels = [k for k in families("cuda")[family] if choice in product(*k.types.values())]
    for architecture in ARCHITECTURES:
        program = library.createProgram(nvrtc.source_of(family), f"{family}.cu", [], [])
        for kernel in kernels:
            library.addNameExpression(program, nvrtc.instance_name(kernel, choice))
        flags = [f"-arch=sm_{architecture}", "-ftz=true", "--ptxas-options=-v"]
        library.compileProgram(program, [*nvrtc.options_of(family), "-default-device", *flags])
        log = library.getProgramLog(program)
        library.destroyProgram(program)
        reports = re.findall(r"Function properties for (\w+)\n(.*)", log)
        assert len(reports) >= len(kernels), log
        clean = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"
        spills = [f"{name}: {text}" for name, text in reports if not text.strip().endswith(clean)]
        assert not [s for s in spills if clean not in " ".join(s.split())], architecture


@pytest.mark.parametrize("family", ["activation", "pooling", "resample", "rnn"])
def test_elements_are_not_divided(nvrtc, family):
    """Neither by sizes (in 64 bits: a call; in 32: 20 instructions) nor with IEEE's care."""
    from cupy_backends.cuda.libs import nvrtc as library

    program = library.createProgram(nvrtc.source_of(family), f"{family}.cu", [], [])
    for kernel in families("cuda")[family]:
        library.addNameExpression(program, nvrtc.instance_name(kernel, ("float",)))
    flags = ["-arch=compute_90", "-ftz=true", "-default-device"]
    library.compileProgram(program, [*nvrtc.options_of(family), *flags])
    code = library.getPTX(program)
    code = code.decode() if isinstance(code, bytes) else code
    library.destroyProgram(program)
    assert "ld.global" in code
    divisions = set(re.findall(r"\b(?:div|rem)\.\S+", code))
    once_a_row = {"div.s64", "rem.s64", "rem.u32"} if family == "activation" else set()  # prelu
    assert divisions <= {"div.approx.ftz.f32", "div.u32"} | once_a_row


def _array(backend, *shape, dtype=np.float32):
    return backend.asarray(np.ones(shape, dtype))


def test_misuse_is_refused(nvrtc, backend, kernels):
    x, y = _array(backend, 4, 4), _array(backend, 4, 4)
    cases = [
        ((x, y), TypeError, "takes 3 arguments, not 2"),
        ((x, y, 15), ValueError, "x has 16 elements, not 15"),
        ((x, _array(backend, 4, 4, dtype=np.float64), 16), TypeError, "y must be float32"),
        ((_array(backend, 16, dtype=np.int64), y, 16), TypeError, "x must be"),
        ((x[:, ::2], y, 8), ValueError, "x must be C-contiguous"),
        ((np.ones(16, np.float32), y, 16), TypeError, "x must be a CuPy array, not ndarray"),
        ((x, y, 16.0), TypeError, "n must be a Index"),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            kernels.relu(*arguments)


def test_arrays_on_two_devices_are_refused(nvrtc, kernels):
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one CUDA device")
    x = cupy.ones(4, np.float32)
    with cupy.cuda.Device(1):
        y = cupy.ones(4, np.float32)
        kernels.relu(y, y, 4)  # the launch follows the arrays
    with pytest.raises(ValueError, match="different devices"):
        kernels.relu(x, y, 4)


def test_a_header_counts_in_the_branch_that_is_compiled(tmp_path, monkeypatch):
    """Two headers that an #if chooses between may include the same third."""
    monkeypatch.setattr(declarations, "kernels_folder", lambda: tmp_path)
    (tmp_path / "third.h").write_text("#pragma once\nint third;\n")
    for name in ("first", "second"):
        (tmp_path / f"{name}.h").write_text(f'#pragma once\n#include "third.h"\nint {name};\n')
    source = tmp_path / "all.cu"
    source.write_text('#if 0\n#include "first.h"\n#else\n#include "second.h"\n#endif\n')
    command = ["c++", "-E", "-P", "-x", "c++", "-"]
    found = subprocess.run(
        command, input=declarations.flatten(source), capture_output=True, text=True, check=True
    )
    assert found.stdout.split("\n")[:2] == ["int third;", "int second;"]
