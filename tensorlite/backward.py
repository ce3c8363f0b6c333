"""The walk down the tape that turns recorded operations into gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from sys import getrefcount
from typing import Any, NoReturn

import numpy as np

from tensorlite.arrivals import Arrivals
from tensorlite.backend import BACKENDS, HOST, array_backend
from tensorlite.backend.mixed import differ_in_width
from tensorlite.backend.numpy import LARGE
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


def fitted(d: Any, target: Any) -> Any:
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
    recorded = mode.switches.recorder is not None  # then a kernel adds: it needs no Python later
    if d1.__class__ is np.ndarray and d1.size < LARGE and not recorded:
        return d1 + d2
    return array_backend((d1,)).plus(d1, d2, small=recorded)


def _used_twice(node: Node) -> NoReturn:
    raise RuntimeError(
        f"{node.name}: backward through this graph a second time{at(node)}, but its saved arrays "
        "were freed by the first. Pass retain_graph=True to the first call"
    )


def check_saved(node: Node) -> None:
    """Refuse to go back through a node that has been used, or whose arrays were overwritten."""
    if node.saved is None:
        _used_twice(node)
    check_not_overwritten(node)


def rule_failed(node: Node, error: BaseException) -> None:
    """Say in an error that a rule raised which operation's it is, and of which inputs."""
    inputs = ", ".join([f"{p.dtype} {tuple(p.shape)}" for p in node.parents if p is not None])
    error.add_note(
        f"raised in the gradient of {node.name}{at(node)}, whose output is {node.dtype} "
        f"{tuple(node.shape)}, by inputs {inputs}"
    )


def _nowhere(parents: tuple) -> None:
    """No gradient has a place of its own."""


ONE_PER_INPUT = "a rule must return one gradient, or None, per input"


def unit_of(create_graph: bool) -> Callable:
    """How what computes with arrays is called: as a unit, if it is recorded or profiled.

    Under create_graph each primitive is a unit.
    """
    switches = mode.switches
    alone = create_graph or (switches.profile is None and switches.recorder is None)
    return _call if alone else tape_unit


class Walk:
    """A walk down the graph. `propagate` is its specification, and that of ``kernels/host/walk.h``.

    Parameters
    ----------
    deliver
        Called with a leaf, a gradient of it, and everything that the rule read and returned: if the
        gradient is found in there a second time, the leaf must copy it before keeping it.
    retain_graph, create_graph
        As in `Tensor.backward`.
    needed, captured
        The nodes to visit, if not all; and inner nodes as keys, which get their cotangents.
    places
        Gives, for the parents of a node, arrays that a rule may write their gradients to.
    """

    __slots__ = (
        "anomaly",
        "captured",
        "cotangents",
        "create_graph",
        "deliver",
        "heap",
        "last",
        "needed",
        "overwritten",
        "places",
        "plain",
        "profile",
        "retain_graph",
        "several_devices",
        "unit",
    )

    def __init__(
        self,
        deliver: Callable[[Tensor, Any, tuple], None],
        *,
        retain_graph: bool,
        create_graph: bool,
        needed: set | None = None,
        captured: dict | None = None,
        places: Callable[[tuple], tuple | None] = _nowhere,
    ) -> None:
        switches = mode.switches
        self.deliver, self.places = deliver, places
        self.retain_graph, self.create_graph = retain_graph, create_graph
        self.needed, self.captured = needed, captured
        self.anomaly, self.several_devices = switches.anomaly, switches.devices
        self.profile = switches.profile
        self.last = not (retain_graph or create_graph)
        self.unit = unit_of(create_graph)
        watched = create_graph or self.several_devices or self.anomaly is not None
        self.plain = self.unit is _call and needed is None and not watched
        self.overwritten = last_write()
        self.cotangents: dict[Node, Any] = {}
        self.heap: list[tuple[int, Node]] = []  # the newest first: what it feeds is done

    def propagate(self, roots: Iterable[tuple[Node, Any]], stop: int = -1) -> dict[Node, Any]:
        """Send cotangents from `roots` down; return those of nodes with an index up to `stop`."""
        cotangents, heap, deliver = self.cotangents, self.heap, self.deliver
        plain, overwritten, retain_graph = self.plain, self.overwritten, self.retain_graph
        for node, g in roots:
            self.send(node, g)
        while heap and -heap[0][0] > stop:
            node = heappop(heap)[1]
            g = cotangents.pop(node)
            if not plain or node.hooks is not None:
                g = self.arrive(node, g)
                if g is None:
                    continue
            plan, saved = node.plan, node.saved
            if plan is None:
                self.collect(node, g)
                continue
            if saved is None or node.index < overwritten:
                check_saved(node)
            if self.create_graph:
                saved = plan.as_tensors(node)
            if plan.keeps and not retain_graph:
                node.saved = None
            try:
                if plain and plan.keyword is None:
                    found = plan.pull(g, saved)
                else:
                    found = self.pull(node, plan, g, saved)
            except Exception as error:
                rule_failed(node, error)
                raise
            if len(found) != len(node.parents):
                raise ValueError(ONE_PER_INPUT)
            for parent, d in zip(node.parents, found):  # noqa: B905  # strict takes a fifth longer
                if parent is None or d is None:
                    continue
                leaf = isinstance(parent, Tensor)
                target = parent.array if leaf else parent
                if not plain or d.shape != target.shape or d.dtype is not target.dtype:
                    d = self.fit(node, target, d)
                if leaf:
                    read = () if self.last and plan.keyword in ("last", "both") else saved
                    deliver(parent, d, (g, read, found))
                elif parent in cotangents:
                    cotangents[parent] = self.unit("sum of gradients", plus, cotangents[parent], d)
                else:
                    cotangents[parent] = d
                    heappush(heap, (-parent.index, parent))
        return cotangents

    def arrive(self, node: Node, g: Any) -> Any:
        """A node's cotangent after its hooks; None where no needed node is below it."""
        if self.several_devices:
            _follow(g)
        if node.hooks is not None:
            g = run_hooks(node.hooks, g, self.create_graph)
        if self.captured is not None and node in self.captured:
            self.captured[node] = g
        ends = self.needed is not None and self.needed.isdisjoint(node.parents)
        return None if ends else g

    def send(self, node: Node, d: Any) -> None:
        """Add to the cotangent of a node, which is visited once all that it feeds has been."""
        if node in self.cotangents:
            self.cotangents[node] = plus(self.cotangents[node], d)
        else:
            self.cotangents[node] = d
            heappush(self.heap, (-node.index, node))

    def collect(self, node: Any, g: Any) -> None:
        """Put the cotangent of one output, an OutputNode, beside those of the other outputs."""
        (parent,) = node.parents
        if parent not in self.cotangents:
            self.send(parent, [None] * parent.shape[0])
        slots = self.cotangents[parent]
        previous = slots[node.position]  # of another alias of this output
        total = g if previous is None else self.unit("sum of gradients", plus, previous, g)
        slots[node.position] = total

    def pull(self, node: Node, plan: Any, g: Any, saved: tuple) -> Sequence:
        """Call the rules of `node` with all that they may ask for."""
        name = plan.name if self.profile is None else self.profile.rule(node)
        if self.needed is not None:
            wanted = tuple([parent in self.needed for parent in node.parents])
            return self.unit(name, plan.pull_some, g, saved, wanted)
        if plan.keyword is None or (plan.on_cuda and _on_host(g)):
            return self.unit(name, plan.pull, g, saved)
        if plan.keyword == "last":
            return self.unit(name, plan.pull, g, saved, self.last)
        # No variable may refer to a place: references to it are counted (`own_place`).
        if plan.keyword == "both":
            return self.unit(name, plan.pull, g, saved, self.places(node.parents), self.last)
        return self.unit(name, plan.pull, g, saved, self.places(node.parents))

    def fits(self, target: Any, d: Any) -> bool:
        """Whether a gradient has its target's shape, and its dtype or one that the target takes."""
        if d.shape != target.shape or d.dtype == target.dtype:
            return d.shape == target.shape
        if d.__class__ is np.ndarray or self.create_graph or not isinstance(target, Node):
            return False
        plan = target.plan or target.parents[0].plan  # of an output: what its operation takes
        takes = getattr(plan, "any_float", False) and target.hooks is None
        seen = self.captured is not None and target in self.captured
        return takes and not seen and differ_in_width(d.dtype, target.dtype)

    def fit(self, node: Node, target: Any, d: Any) -> Any:
        """A gradient in its target's form, on its device; anomalies are looked for."""
        if self.several_devices:
            _follow(d)
        if not self.fits(target, d):
            d = self.unit("sum to shape", _in_form, d, target.shape, target.dtype)
        if self.anomaly is not None:
            array = d.array if self.create_graph else d
            self.anomaly(array, f"the gradient of {node.name}", node.source)
        return d


def _on_host(g: Any) -> bool:
    """Whether a cotangent, or those of several outputs, lie in the host's memory."""
    return any(part.__class__ is np.ndarray for part in (g if g.__class__ is list else (g,)))


def _call(name: str, function: Callable, *args: Any) -> Any:
    return function(*args)


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
        self.unit = unit_of(create_graph)
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
                self.unit("gradient", put, own_place(leaf).array, d)  # type: ignore[union-attr]  # a leaf with a buffer has a place
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
        elif grad is not None and self.unit is _call:
            grad.array += d
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
    fitted,
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
        Walk(
            accumulate if arrivals is None else _notifying(accumulate, arrivals, output.node),
            retain_graph=retain_graph,
            create_graph=create_graph,
            places=accumulate.places,
        ).propagate([(output.node, seed)])
    else:
        kernels.walk(output.node, seed, accumulate, retain_graph, last_write(), _HELPERS, arrivals)
    if accumulate.waiting:
        accumulate.finish()


def _notifying(accumulate: Accumulate, arrivals: Arrivals, root: Node) -> Callable:
    """A `deliver` for a `Walk` that accumulates, and then counts the gradient as arrived."""
    arrived = arrivals.counter(reachable([root]))

    def deliver(leaf: Tensor, d: Any, holders: tuple) -> None:
        accumulate(leaf, d, holders)
        arrived(leaf)

    return deliver
