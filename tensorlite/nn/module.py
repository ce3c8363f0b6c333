"""Module: what all layers and models are.

A module's attributes *are* its registry: parameters, buffers and submodules are ordinary
attributes, found by their type. Nothing has to be declared twice, and reading one costs no more
than reading any attribute.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tensorlite.nn import state
from tensorlite.nn.parameter import Parameter
from tensorlite.tensor import Tensor

_WHERE = "raised in "
_SHOWN = (bool, int, float, str, tuple, type(None))  # what arguments a repr shows


class Module:
    """Base of all layers and models: holds parameters, buffers and submodules; computes `forward`.

    Assign `Parameter` and `Module` attributes in ``__init__``, write `forward`, and call the
    module itself.

    Attributes
    ----------
    training : bool
        Whether layers like dropout behave as in training; see `train` and `eval`.

    Examples
    --------
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         self.hidden = nn.Linear(64, 32)
    ...         self.out = nn.Linear(32, 10)
    ...
    ...     def forward(self, x):
    ...         return self.out(F.relu(self.hidden(x)))
    """

    training: bool = True
    # Shared by all modules until an instance registers something of its own.
    _buffers: Mapping[str, bool] = MappingProxyType({})  # name -> whether state_dict() has it
    _pre_hooks: tuple[Callable, ...] = ()
    _hooks: tuple[Callable, ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; to be written by every subclass that is called."""
        raise NotImplementedError(f"{type(self).__name__} has no forward() method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute `forward`, with the hooks before and after it."""
        try:
            if self._pre_hooks or self._hooks:
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as error:
            note_where(error, self)
            raise

    def _call_with_hooks(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        for hook in self._pre_hooks:
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        for hook in self._hooks:
            changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return output

    # --- registration -------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        kind = Tensor if name in self._buffers else _kind(old)
        if kind is not None and value is not None and not isinstance(value, kind):
            raise TypeError(
                f"{type(self).__name__}.{name} is a {kind.__name__} and cannot become a "
                f"{type(value).__name__}: assign a {kind.__name__} or None, or delete it first"
            )
        super().__setattr__(name, value)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Add a parameter under a name; None keeps the name without a parameter."""
        self._check_new(name, parameter, Parameter)
        setattr(self, name, parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a Tensor that belongs to the module's state but is not trained.

        Parameters
        ----------
        name
            Name of the attribute.
        tensor
            Its value; None keeps the name without a value.
        persistent
            Whether `state_dict` contains it.
        """
        self._check_new(name, tensor, Tensor)
        setattr(self, name, tensor)
        self._buffers = {**self._buffers, name: persistent}

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name."""
        self._check_new(name, module, Module)
        setattr(self, name, module)

    def _check_new(self, name: str, value: Any, kind: type) -> None:
        owner = type(self).__name__
        if not name or "." in name:
            raise ValueError(f"{owner}: {name!r} is no name for a {kind.__name__}: no dots, not ''")
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{owner}.{name}: a {type(value).__name__} is no {kind.__name__}")
        if hasattr(self, name) and self.__dict__.get(name, self) is not None:
            raise ValueError(f"{owner} already has an attribute {name!r}")

    # --- what it holds ------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct submodules with their names, each once."""
        seen = set()
        for name, value in self.__dict__.items():
            if isinstance(value, Module) and value not in seen:
                seen.add(value)
                yield name, value

    def children(self) -> Iterator[Module]:
        """Yield the direct submodules, each once."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, prefix: str = "", seen: set[Module] | None = None
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module (named `prefix`) and all below it with dotted names, each once."""
        seen = set() if seen is None else seen
        if self in seen:
            return
        seen.add(self)
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        return ((n, v) for n, v in self.__dict__.items() if isinstance(v, Parameter))

    def _own_buffers(self) -> Iterator[tuple[str, Tensor]]:
        values = ((name, self.__dict__.get(name)) for name in self._buffers)
        return ((name, value) for name, value in values if value is not None)

    def _collect(
        self, own: Callable[[Module], Iterator], prefix: str, recurse: bool
    ) -> Iterator[tuple[str, Any]]:
        """What `own` finds in each module, with dotted names, each object once."""
        seen = set()
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, value in own(module):
                if value not in seen:
                    seen.add(value)
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their dotted names; one that is shared comes once."""
        return self._collect(Module._own_parameters, prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, as an optimizer wants them; one that is shared comes once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Yield the buffers with their dotted names."""
        return self._collect(Module._own_buffers, prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    # --- state --------------------------------------------------------------------------------

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, in torch's order.

        The Tensors share memory with the module: training goes on changing them.
        """
        found = {prefix + name: value.detach() for name, value in self._own_parameters()}
        for name, value in self._own_buffers():
            if self._buffers[name]:
                found[prefix + name] = value.detach()
        for name, value in self.__dict__.items():
            if isinstance(value, Module):
                found |= value.state_dict(f"{prefix}{name}.")
        return found

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> state.IncompatibleKeys:
        """Copy values into the parameters and buffers.

        Parameters
        ----------
        state_dict
            Values by dotted name: Tensors, NumPy arrays, torch tensors, or whatever else
            `numpy.asarray` takes.
        strict
            Whether missing and unexpected names are errors.

        Returns
        -------
        IncompatibleKeys
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        ValueError
            If anything does not fit; the message lists all of it, and nothing is changed.
        """
        return state.load(type(self).__name__, self.state_dict(), state_dict, strict)

    # --- changing all of it -------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call ``fn(module)`` on every module below and then on this one; return this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all below to training, or with False to evaluation."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch this module and all below to evaluation."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Say of every parameter whether it is trained; False freezes the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, *targets: Any) -> Module:
        """Move the parameters and buffers to a device, and cast those of floating point.

        Make the optimizer afterwards: it works on the arrays that it was given.

        Parameters
        ----------
        *targets
            A device ("cuda:0"), a dtype of floating point, or both.
        """
        for tensor in (*self.parameters(), *self.buffers()):
            state.move(tensor, targets)
        return self

    def float(self) -> Module:
        """Cast to float32."""
        return self.to("float32")

    def double(self) -> Module:
        """Cast to float64."""
        return self.to("float64")

    def half(self) -> Module:
        """Cast to float16."""
        return self.to("float16")

    # --- hooks --------------------------------------------------------------------------------

    def register_forward_pre_hook(self, hook: Callable) -> Callable[[], None]:
        """Call ``hook(module, args)`` before `forward`; it may return other positional arguments.

        Returns
        -------
        callable
            Call it to remove the hook.
        """
        self._pre_hooks = (*self._pre_hooks, hook)

        def remove() -> None:
            self._pre_hooks = tuple(h for h in self._pre_hooks if h is not hook)

        return remove

    def register_forward_hook(self, hook: Callable) -> Callable[[], None]:
        """Call ``hook(module, args, output)`` after `forward`; it may return another output.

        Returns
        -------
        callable
            Call it to remove the hook.
        """
        self._hooks = (*self._hooks, hook)

        def remove() -> None:
            self._hooks = tuple(h for h in self._hooks if h is not hook)

        return remove

    # --- how it looks -------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses in the repr.

        By default the constructor's arguments that are attributes too; optional ones only where
        they differ from their default.
        """
        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = self.__dict__.get(name, parameter.default)
            if isinstance(parameter.default, bool):  # bias=True is kept as a Parameter
                value = value is not None and value is not False
            if isinstance(value, _SHOWN) and value != parameter.default:
                shown.append(f"{name}={value!r}")
        return ", ".join(shown)

    def __repr__(self) -> str:
        lines = list(_tree(self, "", 0))
        width = max(len(text) for text, _ in lines)
        return "\n".join(f"{text:<{width}}  # {count}" if count else text for text, count in lines)


def _kind(value: Any) -> type | None:
    """What an attribute of a module must stay."""
    return next((kind for kind in (Parameter, Module) if isinstance(value, kind)), None)


def _tree(module: Module, label: str, depth: int) -> Iterator[tuple[str, str]]:
    """Lines of the repr, each with a parameter count or nothing."""
    opening = f"{'  ' * depth}{label}{type(module).__name__}({module.extra_repr()}"
    children = list(module.named_children())
    yield opening + ("" if children else ")"), _count(module, "" if depth else " parameters")
    for name, child in children:
        yield from _tree(child, f"({name}): ", depth + 1)
    if children:
        yield "  " * depth + ")", ""


def _count(module: Module, unit: str) -> str:
    """Number of parameters; frozen ones are mentioned."""
    total = sum(p.numel() for p in module.parameters())
    frozen = sum(p.numel() for p in module.parameters() if not p.requires_grad)
    if total == 0:
        return ""
    return f"{total:,}{unit}" + (f" ({frozen:,} frozen)" if frozen else "")


def note_where(error: Exception, module: Module) -> None:
    """Note in which module an error arose; its path grows as the error passes outward."""
    origin = vars(error).setdefault("module", module)
    for name, child in module.named_modules():
        if child is origin:
            path = ".".join(part for part in (type(module).__name__, name) if part)
            notes = [n for n in getattr(error, "__notes__", []) if not n.startswith(_WHERE)]
            details = f": {type(origin).__name__}({origin.extra_repr()})" if name else ""
            error.__notes__ = [*notes, f"{_WHERE}{path}{details}"]
            return
