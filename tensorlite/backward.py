"""The walk down the tape that turns recorded operations into gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from operator import attrgetter
from sys import getrefcount
from typing import Any, NoReturn

import numpy as np

from tensorlite.arrivals import Arrivals
from tensorlite.backend import BACKENDS, HOST, array_backend
from tensorlite.tape import (
    Node,
    at,
    check_not_overwritten,
    last_write,
    mode,
    put,
    written,
)
from tensorlite.tape import unit as tape_unit
from tensorlite.tensor import Tensor, tensor_of

_by_index = attrgetter("index")


def reachable(roots: Iterable[Node]) -> list[Node]:
    """All nodes below `roots`, newest first."""
    seen = set(roots)
    stack = list(seen)
    while stack:
        for parent in stack.pop().parents:
            if isinstance(parent, Node) and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=_by_index, reverse=True)


def leading_to(order: list[Node], wanted: set) -> set:
    """`wanted` and the nodes of `order` that reach it: the only way gradients need to go."""
    needed = set(wanted)
    for node in reversed(order):
        if not needed.isdisjoint(node.parents):
            needed.add(node)
    return needed


def _fitted(d: Any, target: Any) -> Any:
    """A cotangent in the shape and the dtype of `target`, the node or the array that it is for."""
    return _in_form(d, target.shape, target.dtype)


def _in_form(d: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if d.shape != shape:
        d = d.sum_to_size(shape) if isinstance(d, Tensor) else array_backend((d,)).sum_to(d, shape)
    if d.dtype is not dtype and d.dtype != dtype:
        on_host = d.__class__ is np.ndarray
        d = HOST.cast(d, dtype) if on_host else d.astype(dtype)
    return d


def plus(d1: Any, d2: Any) -> Any:
    """The sum of two cotangents: arrays, or Tensors under ``create_graph``."""
    if isinstance(d1, Tensor):
        return d1 + d2
    # A kernel needs no Python at a replay.
    return array_backend((d1,)).plus(d1, d2, small=mode.switches.recorder is not None)


def _used_twice(node: Node) -> NoReturn:
    raise RuntimeError(
        f"{node.name}: backward through this graph a second time{at(node)}, but its saved arrays "
        "were freed by the first. Pass retain_graph=True to the first call"
    )


def rule_failed(node: Node, error: BaseException) -> None:
    """Say in an error that a rule raised which operation's it is, and of which inputs."""
    inputs = ", ".join([f"{p.dtype} {tuple(p.shape)}" for p in node.parents if p is not None])
    error.add_note(
        f"raised in the gradient of {node.name}{at(node)}, whose output is {node.dtype} "
        f"{tuple(node.shape)}, by inputs {inputs}"
    )


def _nowhere(parents: tuple) -> None:
    """No gradient has a place of its own."""


def propagate(
    roots: list[tuple[Node, Any]],
    deliver: Callable[[Tensor, Any, tuple], None],
    *,
    retain_graph: bool,
    create_graph: bool,
    needed: set | None = None,
    captured: dict | None = None,
    stop: int = -1,
    places: Callable[[tuple], tuple | None] = _nowhere,
) -> dict[Node, Any]:
    """Send cotangents from `roots` down the graph; hand those of leaves to `deliver`.

    `deliver` is called with a leaf, its cotangent, and everything that the rule read and returned:
    if the cotangent is found in there a second time, the leaf must copy it before keeping it.

    `captured` has inner nodes as keys, and receives their cotangents; `needed` is the set of nodes
    to visit then. Nodes with an index up to `stop` are not visited; their cotangents are returned.
    `places` gives, for the parents of a node, arrays that a rule may write their gradients to.
    """
    cotangents: dict[Node, Any] = {}
    for node, g in roots:
        cotangents[node] = plus(cotangents[node], g) if node in cotangents else g
    heap = [(-node.index, node) for node in cotangents]  # the newest first: what it feeds is done
    heapify(heap)
    switches = mode.switches
    anomaly, several_devices = switches.anomaly, switches.devices
    overwritten = last_write()
    last = not (retain_graph or create_graph)
    unit = _call if create_graph else tape_unit  # of what is recorded each primitive is a unit
    profile = switches.profile
    while heap and -heap[0][0] > stop:
        node = heappop(heap)[1]
        g = cotangents.pop(node)
        if several_devices:
            _follow(g)
        if node.hooks is not None:
            g = run_hooks(node.hooks, g, create_graph)
        parents = node.parents
        if needed is not None:
            if captured is not None and node in captured:
                captured[node] = g
            if needed.isdisjoint(parents):
                continue
        plan = node.plan
        if plan is None:
            _collect(cotangents, heap, node, g, unit)
            continue
        saved = node.saved
        if saved is None:
            _used_twice(node)
        if node.index < overwritten:
            check_not_overwritten(node)
        name = plan.name if profile is None else profile.rule(node)
        if create_graph:
            saved = plan.as_tensors(node)
        if plan.keeps and not retain_graph:
            node.saved = None
        try:
            if needed is not None:
                wanted = tuple([parent in needed for parent in parents])
                found = unit(name, plan.pull_some, g, saved, wanted)
            elif plan.keyword is None:
                found = unit(name, plan.pull, g, saved)
            elif plan.keyword == "last":
                found = unit(name, plan.pull, g, saved, last)
            else:  # no variable may refer to a place: references to it are counted (`own_place`)
                found = unit(name, plan.pull, g, saved, places(parents))
        except Exception as error:
            rule_failed(node, error)
            raise
        for parent, d in zip(parents, found, strict=True):
            if parent is None or d is None:
                continue
            leaf = isinstance(parent, Tensor)
            target = parent.array if leaf else parent
            if several_devices:
                _follow(d)
            if d.shape != target.shape or d.dtype != target.dtype:
                d = unit("sum to shape", _in_form, d, target.shape, target.dtype)
            if anomaly is not None:
                anomaly(d.array if create_graph else d, f"the gradient of {plan.name}", node.source)
            if leaf:
                read = () if last and plan.keyword == "last" else saved
                deliver(parent, d, (g, read, found))
            elif parent in cotangents:
                cotangents[parent] = unit("sum of gradients", plus, cotangents[parent], d)
            else:
                cotangents[parent] = d
                heappush(heap, (-parent.index, parent))
    return cotangents


def _call(name: str, function: Callable, *args: Any) -> Any:
    return function(*args)


def _collect(cotangents: dict, heap: list, node: Any, g: Any, unit: Callable) -> None:
    """Put the cotangent of one output, an OutputNode, beside those of the other outputs."""
    (parent,) = node.parents
    if parent not in cotangents:
        cotangents[parent] = [None] * parent.shape[0]
        heappush(heap, (-parent.index, parent))
    slots = cotangents[parent]
    previous = slots[node.position]  # of another alias of this output
    slots[node.position] = g if previous is None else unit("sum of gradients", plus, previous, g)


def _follow(g: Any) -> None:
    """Make the device of a cotangent (a list, where an operation has several) the current one."""
    for part in g if isinstance(g, list) else (g,):
        array = part.array if isinstance(part, Tensor) else part
        if array is not None:
            array_backend((array,)).follow(array)


def run_hooks(hooks: list[Callable], g: Any, create_graph: bool) -> Any:
    """Show a cotangent to the user's hooks, as a Tensor; a hook may return another."""
    # Of arrays without axes NumPy makes its own numbers, which no operation takes.
    tensor = g if create_graph else tensor_of(array_backend((g,)).asarray(g))
    for hook in tuple(hooks):
        changed = hook(tensor)
        if changed is not None:
            tensor = changed
    return tensor if create_graph else tensor.array


def _occurrences(d: Any, item: Any) -> int:
    """How often the array `d`, or a view of it, is in nested tuples and lists."""
    if isinstance(item, (tuple, list)):
        return sum([_occurrences(d, part) for part in item])
    return (item is d) + (getattr(item, "base", None) is d)


def _is_ours(d: Any, holders: tuple) -> bool:
    """Whether a leaf can keep `d` without a copy: nothing else refers to its memory.

    `holders` is what the rule read and returned; `d` itself occurs there once. The answer is no
    for CuPy's arrays, whose strided views do not say whose memory they show.
    """
    return d.__class__ is np.ndarray and d.base is None and _occurrences(d, holders) <= 1


def holders(leaf: Any) -> tuple[int, int]:
    """Reference counts of the Tensor at a leaf's place in the arena, and of its array."""
    return getrefcount(leaf.grad_buffer), getrefcount(leaf.grad_buffer.array)


def _held_by_the_arena() -> tuple[int, int]:
    """What `holders` returns where only the arena refers to the place."""
    leaf, buffer = tensor_of(np.empty(0)), tensor_of(np.empty(0))
    buffer.home, leaf.grad_buffer = buffer.array, buffer
    arena = [buffer.array, buffer.array]
    del buffer
    return holders(leaf) if arena else (0, 0)


_ARENA = _held_by_the_arena()


def is_held(leaf: Tensor) -> bool:
    """Whether anything but the arena refers to a leaf's place in it, or to a view of that."""
    return holders(leaf) != _ARENA


def own_place(leaf: Tensor) -> Tensor | None:
    """A leaf's place in the optimizer's arena, free for a new gradient; None if it has no place.

    If the last gradient, or a view of it, is still referred to, the arena takes new memory first.
    """
    buffer = leaf.grad_buffer
    if buffer is None:
        return None
    strange = buffer.array is not buffer.home
    del buffer
    if strange or is_held(leaf):
        leaf.grad_buffer.renew()  # type: ignore[union-attr]  # it has one: see above
    return leaf.grad_buffer


def _places(parents: tuple) -> tuple:
    """For each parent: the array in the arena to write its gradient to, or None.

    Only leaves without a gradient have one. A leaf that is a parent twice has none: its two
    gradients must not share memory.
    """
    found: list[Any] = []
    for parent in parents:
        leaf = isinstance(parent, Tensor) and parent.grad is None and parent.hooks is None
        once = leaf and sum([other is parent for other in parents]) == 1
        place = own_place(parent) if once else None
        found.append(None if place is None else place.array)
    return tuple(found)


def _add_to(x: Any, d: Any) -> None:
    kernels = array_backend((x,)).kernels
    alike = x.shape == d.shape and x.dtype == d.dtype and d.size and d.__class__ is np.ndarray
    dense = alike and x.flags.c_contiguous and d.flags.c_contiguous and x.dtype.char in "fd"
    if dense and mode.switches.recorder is not None and not np.may_share_memory(x, d):
        before = np.empty_like(x)
        kernels.copy(before, x)
        kernels.axpy(d, before, x, x.size, 1.0)
    else:
        x += d


class Accumulate:
    """Adds what arrives at a leaf to its `.grad`; leaves with hooks wait for their total."""

    __slots__ = ("create_graph", "unit", "waiting")

    def __init__(self, create_graph: bool) -> None:
        self.create_graph = create_graph
        self.unit = _call if create_graph else tape_unit
        self.waiting: dict[Tensor, Any] = {}

    def __call__(self, leaf: Tensor, d: Any, holders: tuple) -> None:
        """Take a gradient that arrived at `leaf`; for `holders` see `_is_ours`."""
        if mode.switches.recorder is not None:
            mode.switches.recorder.arrives(leaf)
        if leaf.hooks is not None:
            previous = self.waiting.get(leaf)
            total = d if previous is None else self.unit("sum of gradients", plus, previous, d)
            self.waiting[leaf] = total
        elif leaf.grad is None and leaf.grad_buffer is not None and not self.create_graph:
            if d is not leaf.grad_buffer.array:  # else it was put into the optimizer's arena
                # It has a place, as it has a buffer.
                self.unit("gradient", put, own_place(leaf).array, d)  # type: ignore[union-attr]
            leaf.grad = leaf.grad_buffer
        elif leaf.grad is None and not self.create_graph and _is_ours(d, holders):
            leaf.grad = tensor_of(d)
        else:
            self.add(leaf, d)

    def places(self, parents: tuple) -> tuple | None:
        """The places in the optimizer's arena of those parents that have no gradient yet."""
        if self.create_graph:
            return None
        return _places(parents)

    def add(self, leaf: Tensor, d: Any) -> None:
        """Add `d` to ``leaf.grad``."""
        grad = leaf.grad
        if self.create_graph:
            leaf.grad = d if grad is None else grad + d
        elif grad is not None:
            self.unit("sum of gradients", _add_to, grad.array, d)
        else:  # a copy: others may hold it, or write to what it is a view of
            backend = array_backend((leaf.array,))
            leaf.grad = tensor_of(backend.asarray(self.unit("gradient", backend.copy, d)))

    def finish(self) -> None:
        """Run the hooks of the leaves that have some."""
        for leaf, d in self.waiting.items():
            _follow(d)
            assert leaf.hooks is not None  # else it would not have waited
            self.add(leaf, run_hooks(leaf.hooks, d, self.create_graph))
            for hook in tuple(leaf.after_grad or ()):
                hook(leaf)


def seed_of(output: Tensor, g: Any, create_graph: bool, what: str) -> Any:
    """The cotangent to start from, checked against the output, on whose device we are."""
    if g is None:
        if output.array.size != 1:
            raise RuntimeError(
                f"{what} of a Tensor of shape {output.shape}: a gradient can be made up only for "
                "a single number. Reduce it (loss.mean()), or pass a gradient of its shape"
            )
        array = output.array
        one = BACKENDS.get(array.__class__, HOST).xp.empty(array.shape, array.dtype)
        one.fill(1)
        return tensor_of(one) if create_graph else one
    if not isinstance(g, Tensor):
        backend = array_backend((output.array,))
        g = tensor_of(backend.asarray(g, dtype=output.dtype, device=output.device))
    if g.shape != output.shape:
        raise ValueError(
            f"{what}: the gradient's shape {g.shape} is not the output's, {output.shape}"
        )
    if create_graph:
        return g
    return g.array if g.dtype == output.dtype else g.array.astype(output.dtype)


#: Called with the root of every backward pass. It returns None, or whom to notify when the
#: gradients of leaves are complete (see `tensorlite.distributed`).
listener: Callable[[Node], Arrivals | None] | None = None

_HELPERS = (
    plus,
    _fitted,
    run_hooks,
    _used_twice,
    check_not_overwritten,
    last_write,
    written,
    own_place,
    rule_failed,
)


def backward_of(output: Tensor, gradient: Any, retain_graph: bool, create_graph: bool) -> None:
    """`Tensor.backward` on the current device; in the ordinary case the walk is compiled."""
    accumulate = Accumulate(create_graph)
    seed = seed_of(output, gradient, create_graph, "backward()")
    kernels = BACKENDS.get(output.array.__class__, HOST).kernels
    arrivals = None if listener is None or output.node is None else listener(output.node)
    if output.node is None:
        accumulate(output, seed, (seed, seed))  # the caller's, so it is copied
    elif not hasattr(kernels, "walk") or create_graph or mode.switches.special:
        propagate(
            [(output.node, seed)],
            accumulate if arrivals is None else _notifying(accumulate, arrivals, output.node),
            retain_graph=retain_graph,
            create_graph=create_graph,
            places=accumulate.places,
        )
    else:
        kernels.walk(output.node, seed, accumulate, retain_graph, last_write(), _HELPERS, arrivals)
    if accumulate.waiting:
        accumulate.finish()


def _notifying(accumulate: Accumulate, arrivals: Arrivals, root: Node) -> Callable:
    """A `deliver` for `propagate` that accumulates, and then counts the gradient as arrived."""
    arrived = arrivals.counter(reachable([root]))

    def deliver(leaf: Tensor, d: Any, holders: tuple) -> None:
        accumulate(leaf, d, holders)
        arrived(leaf)

    return deliver
