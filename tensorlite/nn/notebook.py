"""How Modules look in a notebook: trees that fold."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from tensorlite.nn.show import count_of
from tensorlite.notebook import NOTE

if TYPE_CHECKING:
    from tensorlite.nn.module import Module


def module_html(module: Module) -> str:
    """A Module: its tree, whose parts fold, with the parameters of each."""
    return f'<div style="font-family:monospace">{_node(module, "", True)}</div>'


def _node(module: Any, label: str, is_open: bool) -> str:
    if not getattr(module, "_is_module", False):
        return f"<div>{html.escape(f'{label}{module!r}')}</div>"
    children = list(module._modules.items())
    title = html.escape(f"{label}{module._get_name()}({module.extra_repr()})")
    count = count_of(module, " parameters")
    title += f' <span style="{NOTE}">{count}</span>' if count else ""
    if not children:
        return f'<div style="padding-left:1.1em">{title}</div>'
    inner = "".join(_node(child, f"{name}: ", False) for name, child in children)
    state = " open" if is_open else ""
    return (
        f"<details{state}><summary>{title}</summary>"
        f'<div style="padding-left:1.2em">{inner}</div></details>'
    )
