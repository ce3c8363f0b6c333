"""How Tensors look in a notebook: tables of numbers."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorlite.backend import array_backend

if TYPE_CHECKING:
    from tensorlite.tensor import Tensor

EDGE = 4  # rows and columns that stand on each side of what is left out
DIGITS = 4

_TABLE = "border-collapse:collapse;font-family:monospace;text-align:right"
NOTE = "opacity:.7;font-size:90%"


def tensor_html(x: Tensor) -> str:
    """A Tensor: what it is, and its numbers; of more than two axes the first matrix."""
    host = array_backend((x.array,)).to_host(x.array)
    said = [f"shape {tuple(x.shape)}", str(x.dtype), str(x.device)]
    said += [f"op {x.node.name}"] if x.node is not None else []
    said += ["requires grad"] if x.requires_grad and x.node is None else []
    numbers = host.astype(np.float64) if host.dtype.kind in "fV" and host.size else host
    if numbers.dtype.kind == "f" and numbers.size and np.isfinite(numbers).any():
        finite = numbers[np.isfinite(numbers)]
        said.append(f"from {finite.min():.{DIGITS}g} to {finite.max():.{DIGITS}g}")
        if finite.size < numbers.size:
            said.append(f"{numbers.size - finite.size:,} not finite")
    head = f'<div style="{NOTE}">Tensor, {html.escape(", ".join(said))}</div>'
    if not host.size:
        return head
    where = ""
    if numbers.ndim > 2:
        place = f"[{', '.join('0' * (numbers.ndim - 2))}, :, :]"
        where = f'<div style="{NOTE}">{place} of it:</div>'
    matrix = numbers.reshape(-1, *numbers.shape[-2:])[0] if numbers.ndim > 2 else numbers
    return head + where + _matrix(np.atleast_2d(matrix))


def _matrix(x: np.ndarray) -> str:
    rows, columns = (_shown(n) for n in x.shape)
    text = []
    for i in rows:
        cells = [_cell("⋮" if i is None else "…" if j is None else x[i, j]) for j in columns]
        text.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table style="{_TABLE}">{"".join(text)}</table>'


def _shown(length: int) -> list[int | None]:
    """Which rows are shown; None stands for those that are not."""
    if length <= 2 * EDGE + 1:
        return list(range(length))
    return [*range(EDGE), None, *range(length - EDGE, length)]


def _cell(value: Any) -> str:
    text = f"{value:.{DIGITS}g}" if isinstance(value, (float, np.floating)) else str(value)
    return f'<td style="padding:1px 8px">{text}</td>'
