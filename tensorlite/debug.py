"""Looking into the tape: the first NaN, and what is kept for backward."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from tensorlite.backend import Array, array_backend
from tensorlite.backward import reachable
from tensorlite.plan import is_float
from tensorlite.tape import mode, saved_arrays
from tensorlite.tensor import Tensor
from tensorlite.written import FILES

_OURS = (str(Path(__file__).parent), FILES)


def users_line() -> str:
    """File and line of the innermost frame outside this package.

    Examples
    --------
    >>> ":" in tl.debug.users_line()
    True
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "?"


def _refuse_non_finite(array: Array, what: str, source: str | None) -> None:
    """Raise if `array` holds NaN or infinity."""
    if not is_float(array):
        return
    xp = array_backend((array,)).xp
    if xp.isfinite(array).all():
        return
    kind = "NaN" if xp.isnan(array).any() else "infinity"
    where = f" at {source}" if source else ""
    raise FloatingPointError(f"{what}{where}: the first {kind}, in an array of shape {array.shape}")


@contextmanager
def _switched(**values: Any) -> Iterator[None]:
    previous = mode.switches.set(**values)
    try:
        yield
    finally:
        mode.switches.set(**previous)


def detect_anomaly() -> Any:
    """Stop at the first NaN or infinity, forward or backward, and say where it comes from.

    The error names the operation and the line of your code that called it. Every operation is
    checked, so this is slow.

    Raises
    ------
    FloatingPointError
        From inside the block.

    Examples
    --------
    >>> with tl.debug.detect_anomaly():
    ...     loss = (x / x.sum()).log().mean()
    ...     loss.backward()
    """
    return _switched(anomaly=_refuse_non_finite, trace=users_line)


def trace_lines() -> Any:
    """Inside this block, nodes remember the line of your code that made them.

    Examples
    --------
    >>> with tl.debug.trace_lines():
    ...     y = model(x)
    """
    return _switched(trace=users_line)


class SavedArrays(NamedTuple):
    """What one operation at one line keeps for backward.

    Attributes
    ----------
    op, source : str
        The operation, and the line that called it.
    nbytes, arrays : int
        How many bytes, and arrays.

    Examples
    --------
    >>> rows = tl.debug.saved_memory(model(x).sum())
    >>> rows[0].nbytes >= rows[-1].nbytes
    True
    """

    op: str
    source: str | None
    nbytes: int
    arrays: int


class SavedMemory(list):
    """Rows of `saved_memory`, most bytes first; prints as a table.

    Parameters
    ----------
    iterable : iterable of SavedArrays

    Examples
    --------
    >>> len(tl.debug.saved_memory(model(x).sum())) > 0
    True

    >>> tl.debug.saved_memory(model(x).sum()).nbytes > 0
    True
    """

    @property
    def nbytes(self) -> int:
        """Bytes in all."""
        return sum(row.nbytes for row in self)

    def __repr__(self) -> str:
        lines = [f"{self.nbytes:>14,} bytes kept for backward"]
        for row in self:
            lines.append(
                f"{row.nbytes:>14,}  {row.op:<20} {row.arrays:>4} arrays  {row.source or ''}"
            )
        return "\n".join(lines)


def saved_memory(loss: Tensor) -> SavedMemory:
    """List the bytes that the tape below `loss` keeps, by operation and source line.

    An array that several operations save is counted once, for the first of them. Parameters and
    inputs count too: the graph keeps them alive. Source lines are known for what ran inside
    `trace_lines`.

    Parameters
    ----------
    loss
        The result of a forward pass, of any shape.

    Examples
    --------
    >>> x = tl.zeros(1000, requires_grad=True)
    >>> tl.debug.saved_memory(x.exp().sum())[0].nbytes
    4000
    """
    seen: set[int] = set()
    rows: dict[tuple[str, str | None], list[int]] = {}
    nodes = reachable([loss.node]) if loss.node is not None else []
    for node in reversed(nodes):
        if node.plan is None:
            continue
        for _, array in saved_arrays(node):
            owner = array if array.base is None else array.base
            if id(owner) in seen:
                continue
            seen.add(id(owner))
            row = rows.setdefault((node.name, node.source), [0, 0])
            row[0] += array.nbytes
            row[1] += 1
    found = [SavedArrays(op, source, *counts) for (op, source), counts in rows.items()]
    return SavedMemory(sorted(found, key=lambda row: -row.nbytes))
