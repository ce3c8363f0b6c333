"""How Tensors and Modules look in a notebook: tables of numbers, trees that fold."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorlite.backend import array_backend

if TYPE_CHECKING:
    from tensorlite.nn.module import Module
    from tensorlite.tensor import Tensor

EDGE = 4  # rows and columns that stand on each side of what is left out
DIGITS = 4

_TABLE = "border-collapse:collapse;font-family:monospace;text-align:right"
_NOTE = "opacity:.7;font-size:90%"


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
    head = f'<div style="{_NOTE}">Tensor, {html.escape(", ".join(said))}</div>'
    if not host.size:
        return head
    where = ""
    if numbers.ndim > 2:
        place = f"[{', '.join('0' * (numbers.ndim - 2))}, :, :]"
        where = f'<div style="{_NOTE}">{place} of it:</div>'
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


def module_html(module: Module) -> str:
    """A Module: its tree, whose parts fold, with the parameters of each."""
    return f'<div style="font-family:monospace">{_node(module, "", True)}</div>'


def _node(module: Any, label: str, is_open: bool) -> str:
    from tensorlite.nn.show import count_of

    if not getattr(module, "_is_module", False):
        return f"<div>{html.escape(f'{label}{module!r}')}</div>"
    children = list(module._modules.items())
    title = html.escape(f"{label}{module._get_name()}({module.extra_repr()})")
    count = count_of(module, " parameters")
    title += f' <span style="{_NOTE}">{count}</span>' if count else ""
    if not children:
        return f'<div style="padding-left:1.1em">{title}</div>'
    inner = "".join(_node(child, f"{name}: ", False) for name, child in children)
    state = " open" if is_open else ""
    return (
        f"<details{state}><summary>{title}</summary>"
        f'<div style="padding-left:1.2em">{inner}</div></details>'
    )
