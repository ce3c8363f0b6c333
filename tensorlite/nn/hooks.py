"""Hooks of modules: functions called before and after `forward`, and when gradients pass."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tensorlite.backend import Array
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor, tensor_of

if TYPE_CHECKING:
    from tensorlite.nn.module import Module


class RemovableHandle:
    """What registering a hook returns: `remove` takes the hook away again.

    As a context manager it removes the hook at the end.
    """

    _next = 0

    def __init__(self, hooks: MutableMapping[int, Any], hook: Any, prepend: bool = False) -> None:
        self.id = RemovableHandle._next
        RemovableHandle._next += 1
        self._hooks = hooks
        hooks[self.id] = hook
        if prepend:
            hooks.move_to_end(self.id, last=False)  # type: ignore[attr-defined]  # an OrderedDict, as torch's

    def remove(self) -> None:
        """Take the hook away; once more does nothing."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


class Hooks:
    """The hooks of one module, each kind by number in the order in which they run."""

    def __init__(self) -> None:
        self.before: OrderedDict[int, tuple[Callable, bool]] = OrderedDict()
        self.after: OrderedDict[int, tuple[Callable, bool, bool]] = OrderedDict()
        self.gradients_before: OrderedDict[int, Callable] = OrderedDict()
        self.gradients: OrderedDict[int, Callable] = OrderedDict()

    def call(self, module: Module, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Compute ``module.forward`` with everything around it."""
        always = [(hook, keywords) for hook, keywords, always in self.after.values() if always]
        try:
            return self._call(module, args, kwargs, always)
        except Exception:
            for hook, keywords in always:  # those that have not run
                hook(*((module, args, kwargs, None) if keywords else (module, args, None)))
            raise

    def _call(
        self, module: Module, args: tuple, kwargs: dict[str, Any], always: list[tuple]
    ) -> Any:
        for hook, keywords in tuple(self.before.values()):
            changed = hook(module, args, kwargs) if keywords else hook(module, args)
            if changed is not None and keywords:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        "a forward pre-hook with keyword arguments returns None or the pair "
                        f"(args, kwargs), not {changed!r}"
                    )
                args, kwargs = changed
            elif changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        passing = None
        if self.gradients or self.gradients_before:
            passing = _Passing(module, self)
            args = passing.into(args)
        output = module.forward(*args, **kwargs)
        for hook, keywords, _ in tuple(self.after.values()):
            if (hook, keywords) in always:
                always.remove((hook, keywords))
            changed = hook(module, args, kwargs, output) if keywords else hook(module, args, output)
            output = output if changed is None else changed
        return output if passing is None else passing.out_of(output)


class _Passing:
    """Watches gradients come into a module through its outputs, and leave through its inputs."""

    def __init__(self, module: Module, hooks: Hooks) -> None:
        self.module = module
        self.before = tuple(hooks.gradients_before.values())
        self.hooks = tuple(hooks.gradients.values())
        self.inputs = 0
        self.wants_inputs = False
        self.grad_output: tuple | None = None

    def into(self, args: tuple) -> tuple:
        """The positional inputs of the module, watched."""
        self.inputs = len(args)
        return self._watched(args, self.leave, "wants_inputs")

    def out_of(self, output: Any) -> Any:
        """The outputs of the module, watched; of nested ones those of the outermost tuple."""
        if isinstance(output, Tensor):
            return self._watched((output,), self.enter)[0]
        if isinstance(output, dict):
            return dict(zip(output, self._watched(tuple(output.values()), self.enter), strict=True))
        if not isinstance(output, (tuple, list)):
            return output
        parts = self._watched(tuple(output), self.enter)
        if hasattr(output, "_fields"):
            return type(output)(*parts)
        return type(output)(parts)

    def _watched(self, values: tuple, notify: Callable, found: str | None = None) -> tuple:
        places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
        if not places:
            return values
        if found is not None:
            setattr(self, found, True)

        def tell(cotangents: tuple) -> tuple:
            spread: list = [None] * len(values)
            for place, cotangent in zip(places, cotangents, strict=True):
                spread[place] = cotangent
            changed = notify(tuple(spread))
            return tuple(changed[place] for place in places)

        passed = iter(pass_through(*[values[place] for place in places], tell=tell))
        return tuple(next(passed) if i in places else value for i, value in enumerate(values))

    def enter(self, grad_output: tuple) -> tuple:
        """Gradients have come to all outputs."""
        for hook in self.before:
            grad_output = _replaced(grad_output, hook(self.module, grad_output), "output")
        self.grad_output = grad_output
        if not self.wants_inputs:  # nothing will leave, so this is when
            for hook in self.hooks:
                hook(self.module, (None,) * self.inputs, grad_output)
        return grad_output

    def leave(self, grad_input: tuple) -> tuple:
        """Gradients are about to leave through the inputs."""
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            grad_input = _replaced(grad_input, changed, "input")
        return grad_input


def _replaced(gradients: tuple, changed: Any, what: str) -> tuple:
    """What a hook returned, as a tuple like that which it was given."""
    if changed is None:
        return gradients
    changed = changed if isinstance(changed, tuple) else (changed,)
    if len(changed) != len(gradients):
        raise RuntimeError(
            f"a backward hook returned {len(changed)} gradients of the {what}s: there are "
            f"{len(gradients)}"
        )
    return changed


@primitive(name="module with backward hooks")
def pass_through(xp: ModuleType, *xs: Array, tell: Callable[[tuple], tuple]) -> tuple[Array, ...]:
    """The arrays unchanged; `tell` gets all their gradients at once, and may replace them."""
    return tuple(xs)


@pass_through.defvjp_joint
def _pass_through_vjp(g: tuple, needs: tuple[bool, ...], tell: Callable) -> tuple:
    on_tape = any(isinstance(part, Tensor) for part in g)
    shown = g if on_tape else tuple(None if part is None else tensor_of(part) for part in g)
    changed = tell(shown)
    if on_tape:
        return changed
    return tuple(part.array if isinstance(part, Tensor) else part for part in changed)
