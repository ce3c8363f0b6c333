"""Recomputation in place of storage: `checkpoint`."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

from tensorlite import random
from tensorlite.backward import Accumulate, Walk, plus
from tensorlite.plan import Residual, is_float
from tensorlite.tape import (
    Node,
    OutputNode,
    enable_grad,
    is_grad_enabled,
    mode,
    next_index,
    no_grad,
)
from tensorlite.tensor import Tensor, source_of, tensor_of

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] | None = None,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call a function without keeping what its backward needs: it runs again there.

    Saves the memory of everything recorded inside, at the price of a second forward pass. That one
    draws the same random numbers, under the same `autocast`, with the modules it uses in training
    or evaluation as they were; batch normalisation counts only the first.

    Parameters
    ----------
    function
        Returns a Tensor, or Tensors in tuples, lists and dictionaries. It may use any Tensor: among
        the arguments, within lists and dictionaries there, parameters of modules, or variables of
        the surrounding code; gradients reach all of them.
    *args, **kwargs
        Its arguments.
    use_reentrant, determinism_check, debug, early_stop
        Accepted for torch's sake.
    context_fn
        Returns two context managers: for the first run, and for the one in the backward pass.
    preserve_rng_state
        Whether the second run draws the random numbers of the first.

    Notes
    -----
    Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost", 2016.

    Examples
    --------
    >>> h = tl.checkpoint(block, h, mask=mask)
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    contexts = (contextlib.nullcontext(), contextlib.nullcontext())
    if context_fn is not None:
        contexts = context_fn()
    call = functools.partial(function, *args, **kwargs)
    plan = _Recompute(call, function, contexts[1], preserve_rng_state)
    seen: dict[int, Tensor] = {}
    with contexts[0], no_grad(), _seeing(seen):
        outputs = call()
    inputs = list(_tensors((args, kwargs)))
    results = [t for t in _tensors(outputs) if is_float(t.array)]
    for tensor in (*inputs, *results):
        if tensor.requires_grad:
            seen.setdefault(id(tensor), tensor)
    if not (seen and results):
        return outputs
    return plan.recorded(outputs, results, list(seen.values()), inputs)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run modules one after another, the list of them cut into checkpointed segments.

    Parameters
    ----------
    functions : Sequential or sequence of callables
        Each takes what the one before returns.
    segments : int
        How many pieces; the last is not checkpointed, since it would run again at once.
    input
        Of the first.
    use_reentrant, preserve_rng_state
        As in `checkpoint`.

    Returns
    -------
    Tensor
        What the last returns.

    Raises
    ------
    ValueError
        If there are more segments than functions, or none.

    Examples
    --------
    >>> tl.utils.checkpoint.checkpoint_sequential(model, 2, x, use_reentrant=False).shape
    (24, 3)
    """
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= max(1, len(steps)):
        raise ValueError(f"checkpoint_sequential: {segments} segments of {len(steps)} functions")
    size = len(steps) // segments

    def run(first: int, last: int) -> Callable:
        return lambda x: functools.reduce(lambda y, step: step(y), steps[first:last], x)

    cut = size * (segments - 1)
    for first in range(0, cut, size):
        input = checkpoint(
            _Named(run(first, first + size), steps[first : first + size]), input, **kwargs
        )
    return run(cut, len(steps))(input)


class _Named:
    """A function that says which modules it uses."""

    def __init__(self, fn: Callable, modules: list) -> None:
        self.fn, self.modules = fn, modules

    def __call__(self, *args: Any) -> Any:
        return self.fn(*args)


class _Recompute:
    """The plan of a checkpointed call: run it again, recording, and go back through that."""

    differentiable = True
    keyword = None
    keeps = True

    def __init__(self, call: Callable, function: Callable, context: Any, random_too: bool) -> None:
        self.name = f"checkpoint({getattr(function, '__name__', type(function).__name__)})"
        self.call = call
        self.context = context
        self.generators = random.states() if random_too else []
        self.training = [(m, m.training) for m in _modules(call)]
        self.policy = mode.switches.autocast
        self.residuals: list[Residual] = []
        self.parents: tuple = ()
        self.places: list[int] = []  # of the results that gradients flow through

    def recorded(
        self, outputs: Any, results: list[Tensor], seen: list[Tensor], inputs: list[Tensor]
    ) -> Any:
        """Put the call on the tape: its parents are all Tensors that it used and did not make."""
        self.parents = tuple([source_of(t) for t in seen])
        # Kept for the second run; and so that writing to them in between is noticed.
        kept = list({id(t.array): t.array for t in (*seen, *inputs)}.values())
        self.residuals = [Residual("input", i, f"input {i}") for i in range(len(kept))]
        node = Node(self, self.parents, tuple(kept), (len(results),), None)
        made = {
            id(t): tensor_of(t.array, OutputNode(node, i, t.array.shape, t.array.dtype))
            for i, t in enumerate(results)
        }
        return _replaced(outputs, made)

    def as_tensors(self, node: Node) -> tuple:
        """What is kept are the inputs, which the call holds as Tensors already."""
        return ()

    def pull(self, g: Any, saved: tuple) -> list:
        """Gradients of all parents; see `pull_some`."""
        return self.pull_some(g, saved, (True,) * len(self.parents))

    def pull_some(self, g: list, saved: tuple, needs: tuple[bool, ...]) -> list:
        """Run the call again and go back to the parents."""
        create_graph = any(isinstance(part, Tensor) for part in g)
        start = next_index()
        with self._as_before(), enable_grad():
            outputs = self.call()
        results = [t for t in _tensors(outputs) if is_float(t.array)]
        if len(results) != len(g):
            raise RuntimeError(
                f"{self.name}: the second run returned {len(results)} Tensors, the first {len(g)}: "
                "it must do the same twice"
            )
        found: dict[Any, Any] = {}
        others = Accumulate(create_graph)

        def deliver(leaf: Tensor, d: Any, holders: tuple) -> None:
            if leaf in parents:
                found[leaf] = plus(found[leaf], d) if leaf in found else d
            else:
                others(leaf, d, holders)

        parents = set(self.parents)
        roots = []
        for output, part in zip(results, g, strict=True):
            if part is not None and output.node is not None:
                roots.append((output.node, part))
            elif part is not None and output.requires_grad:
                deliver(output, part, (part, part))
        walk = Walk(deliver, retain_graph=create_graph, create_graph=create_graph)
        left = walk.propagate(roots, stop=start)
        others.finish()
        if strange := next((node for node in left if node not in parents), None):
            raise RuntimeError(
                f"{self.name}: the second run used the result of {strange.name}, which the first "
                "did not: it must do the same twice"
            )
        found.update(left)
        return [found.get(p) if need else None for p, need in zip(self.parents, needs, strict=True)]

    @contextlib.contextmanager
    def _as_before(self) -> Iterator[None]:
        """The random numbers, the autocast and the modes of the first run."""
        now = random.states() if self.generators else []
        modes = [(module, module.training) for module, _ in self.training]
        switches = mode.switches.set(autocast=_anew(self.policy), recomputes=True)
        try:
            random.restore(self.generators)
            _set_modes(self.training)
            with self.context:
                yield
        finally:
            mode.switches.set(**switches)
            _set_modes(modes)
            random.restore(now)


def _set_modes(modes: list) -> None:
    for module, training in modes:
        if module.training != training:
            module.training = training


@contextlib.contextmanager
def _seeing(seen: dict[int, Tensor]) -> Iterator[None]:
    """Note every Tensor that requires grad and goes into an operation.

    While nothing is recorded, what operations make requires none: these come from outside.
    """
    policy = _anew(mode.switches.autocast)

    def look(primitive: Any, args: tuple, static: dict) -> tuple:
        for arg in args:
            if isinstance(arg, Tensor) and arg.requires_grad:
                seen[id(arg)] = arg
        if policy is None:
            return primitive.call, args, static
        return policy(primitive, args, static)

    switches = mode.switches.set(autocast=look)
    try:
        yield
    finally:
        mode.switches.set(**switches)


def _anew(policy: Any) -> Any:
    """The same autocast with no parameter cast yet, which is what copies of one are."""
    owner = getattr(policy, "__self__", None)
    return policy if owner is None else getattr(copy.copy(owner), policy.__name__)


def _tensors(value: Any) -> Iterator[Tensor]:
    """All Tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


def _replaced(value: Any, made: dict[int, Tensor]) -> Any:
    """The nested value with other Tensors in the place of some."""
    if isinstance(value, Tensor):
        return made.get(id(value), value)
    if isinstance(value, dict):
        return type(value)((k, _replaced(v, made)) for k, v in value.items())
    if isinstance(value, tuple | list):
        parts = [_replaced(v, made) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _modules(call: Any) -> list:
    """The modules that a function is known to use: its own, its arguments', its variables'."""
    found: dict[int, Any] = {}
    looked: set[int] = set()

    def look(value: Any, depth: int) -> None:
        if id(value) in looked or depth > 4:
            return
        looked.add(id(value))
        if getattr(value, "_is_module", False):
            for module in value.modules():
                found[id(module)] = module
        elif isinstance(value, functools.partial):
            look((value.func, value.args, value.keywords), depth)
        elif isinstance(value, tuple | list):
            for part in value:
                look(part, depth + 1)
        elif isinstance(value, dict):
            look(tuple(value.values()), depth)
        elif isinstance(value, _Named):
            look(value.modules, depth)
        elif hasattr(value, "__self__"):
            look(value.__self__, depth + 1)
        elif hasattr(value, "__code__"):
            for cell in value.__closure__ or ():
                with contextlib.suppress(ValueError):  # not yet filled
                    look(cell.cell_contents, depth + 1)
            look(value.__defaults__ or (), depth)
            names = value.__globals__
            look(tuple([names[n] for n in value.__code__.co_names if n in names]), depth + 1)

    look(call, 0)
    return list(found.values())
