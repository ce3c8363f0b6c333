"""Which Tensors show one memory, so that a write through one is seen by the others.

A view remembers the Tensor it was made from and how: its ``view_of`` is
``(source, primitive, static values, position among the outputs, Views)``. The Tensor at the end of
that way, the base, keeps the `Views` alone, and every Tensor that shows its memory holds them too:
counting the references tells how many there are. An alias that has no history to follow
(`detach`, ``.data``) holds ``(None, Views)``.

A recorded write gives the base a new node. Views that were made before then take their nodes from
it anew when they are next used (`refresh`); until there is such a write nobody looks.
"""

from __future__ import annotations

import sys
from typing import Any

from tensorlite.tape import enable_grad, next_index, show_views
from tensorlite.tensor import Tensor, views_of


def is_view(x: Tensor) -> bool:
    """Whether `x` was made from another Tensor, which a write through it must reach."""
    return x.view_of.__class__ is tuple and x.view_of[0] is not None


def mark(result: Any, source: Any, primitive: Any, values: tuple) -> Any:
    """Remember that outputs of a view primitive show the memory of `source`; returns `result`."""
    if isinstance(source, Tensor):
        for position, y in enumerate(result if result.__class__ is tuple else (result,)):
            if shares(y.array, source.array):
                at = position if result.__class__ is tuple else None
                y.view_of = (source, primitive, values, at, views_of(source))
    return result


def shares(y: Any, x: Any) -> bool:
    """Whether `y`, made from the array `x`, shows its memory."""
    base = y.base
    while base is not None and base.__class__ is not y.__class__:
        base = getattr(base, "base", None)  # what NumPy's `as_strided` puts between
    return base is not None and (base is x or base is getattr(x, "base", None))


def way_to(x: Tensor) -> tuple[Tensor, list[tuple]]:
    """The base of `x`, and the steps from there to `x`: (primitive, static values, position)."""
    steps = []
    while is_view(x):
        x, *step, _ = x.view_of
        steps.append(tuple(step))
    return x, steps[::-1]


def follow(steps: list[tuple], x: Any) -> Any:
    """The part of `x` that `steps` lead to: of a Tensor recorded, of an array as it is."""
    for primitive, values, position in steps:
        y = primitive.call(x, **dict(zip(primitive.defaults, values, strict=True)))
        x = y if position is None else y[position]
    return x


def others(x: Tensor) -> int:
    """How many other Tensors show the memory of `x`, its base not counted."""
    if x.view_of is None:
        return 0
    views = views_of(x)
    # The base holds them, and this function twice; a view holds them itself.
    return sys.getrefcount(views) - 3 - is_view(x)


def rewrite(base: Tensor, written: Tensor) -> None:
    """Give `base`, whose memory holds what was written, the history of `written`."""
    base.node, base.requires_grad = written.node, written.requires_grad
    views_of(base).rewritten = next_index()
    show_views()


def refresh(x: Any) -> None:
    """Give a view a node of its own again, if its base was rewritten since."""
    if not isinstance(x, Tensor) or not is_view(x):
        return
    source, primitive, values, position, views = x.view_of
    if views.rewritten > (-1 if x.node is None else x.node.index):
        refresh(source)
        with enable_grad():
            again = follow([(primitive, values, position)], source)
        x.node, x.requires_grad = again.node, again.requires_grad
