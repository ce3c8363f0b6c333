"""Generated kernels on CUDA: compiled, tried out beside what they replace, and queued."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from tensorlite.backend.kernels.cuda import held_of, shape_of_each, shape_of_rows
from tensorlite.backend.kernels.nvrtc import generated_module
from tensorlite.recording.kernel_text import Written, source
from tensorlite.recording.links import Link
from tensorlite.recording.views import View

_DTYPES = {"f": "f4", "d": "f8", "e": "f2", "E": "u2", "q": "i8", "B": "u1"}


def is_held(link: Link) -> bool:
    """Whether a link adds up no rows, or such as a team holds in registers."""
    return not link.reduces or link.shape[-1] <= held_of(link.inputs[0].type == "d")


class GraphKernels:
    """The kernels that a function's graph may have, by their texts.

    Attributes
    ----------
    refused : list of str
        Why kernels are not used, each with what it is made of.
    """

    def __init__(self, device: int) -> None:
        self._device = device
        self._proven: dict[str, Any] = {}  # the function; None: it has other bits
        self._modules: list[Any] = []
        self.refused: list[str] = []

    def is_proven(self, made: Written) -> bool:
        """Whether a kernel has been tried out, and gave the bits of its links."""
        return self._proven.get(made.text) is not None

    def run(self, made: Written, places: list[int] | None = None) -> None:
        """Queue a kernel; its arrays are where their views say, or at `places`."""
        self._queue(self._proven[made.text], made, places or [v.address for v in made.arrays])

    def try_out(self, made: Written, before: dict[int, Any]) -> None:
        """Compare a kernel with what its links have computed one by one.

        Parameters
        ----------
        before
            What was at an address before one of the links wrote to it.
        """
        if made.text in self._proven:
            return
        try:
            name = "_".join(["fused", *[link.name for link in made.links][:8]])  # in a profile
            module = generated_module(source([made.text]).replace("fused_0", name))
            function = module.get_function(name)
        except (cupy.cuda.compiler.CompileException, RuntimeError) as error:
            self._refuse(made, f"cannot be compiled ({str(error).strip().splitlines()[0]})")
            return
        self._modules.append(module)
        scratch = [cupy.ndarray((view.size,), _DTYPES[view.type]) for view in made.outputs]
        first = len(made.arrays) - len(made.outputs)
        places = [_moved(view.address, before) for view in made.arrays[:first]]
        self._queue(function, made, places + [x.data.ptr for x in scratch])
        same = all(_alike(x, v) for x, v in zip(scratch, made.outputs, strict=True))
        if same:
            self._proven[made.text] = function
        else:
            self._refuse(made, "gives other bits than its links one by one")

    def _refuse(self, made: Written, why: str) -> None:
        self._proven[made.text] = None
        self.refused.append(f"{label(made)} {why}")

    def _queue(self, function: Any, made: Written, places: list[int]) -> None:
        columns = made.shape[-1]
        if made.team:
            rows, double = made.shape[0], made.team == "double"
            grid, block = shape_of_rows(rows, columns, double, self._device)
        else:
            grid, block = shape_of_each(made.shape[0] * columns, self._device)
        arguments: list[np.generic] = [np.uintp(place) for place in places]
        arguments += [np.int64(size) for size in made.sizes]
        arguments += [np.float64(number) for number in made.numbers]
        function((grid,), block, (*arguments, np.uint64(0)))


def label(made: Written) -> str:
    """What a kernel is called where a recording is shown."""
    names = [link.name for link in made.links]
    shown = names if len(names) <= 8 else [*names[:4], "…", *names[-3:]]
    return f"fused[{' '.join(shown)}]" if len(names) > 1 else names[0]


def _moved(address: int, before: dict[int, Any]) -> int:
    """Where the contents are now that were at an address."""
    for start, copy in before.items():
        if start <= address < start + copy.nbytes:
            return copy.data.ptr + address - start
    return address


def array_at(view: View, device: int) -> Any:
    """The dense elements of a view as an array that does not keep their memory."""
    dtype = np.dtype(_DTYPES[view.type])
    memory = cupy.cuda.UnownedMemory(view.address, view.size * dtype.itemsize, None, device)
    return cupy.ndarray((view.size,), dtype, cupy.cuda.MemoryPointer(memory, 0))


def _alike(x: Any, view: View) -> bool:
    """The same bits, but for those of a NaN."""
    y = array_at(view, x.data.device_id)
    whole = np.dtype(f"u{x.itemsize}")
    same = x.view(whole) == y.view(whole)
    if view.type == "E":
        same |= (x & 0x7FFF > 0x7F80) & (y & 0x7FFF > 0x7F80)
    elif x.dtype.kind == "f":
        same |= cupy.isnan(x) & cupy.isnan(y)
    return bool(same.all())
