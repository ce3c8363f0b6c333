"""Loading state dicts, and moving Tensors to other devices and dtypes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.nn.parameter import Parameter, is_uninitialized
from tensorlite.ops.inplace import copy_
from tensorlite.tape import no_grad
from tensorlite.tensor import Tensor, tensor_of

if TYPE_CHECKING:
    from tensorlite.nn.module import Module

EXTRA = "_extra_state"  # torch's key for what `get_extra_state` returns


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` did not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


class Given(OrderedDict):
    """A state dict that is being loaded, and the steps to take once all of it is known to fit."""

    def __init__(self, values: Mapping[str, Any], assign: bool) -> None:
        super().__init__(values)
        self.assign = assign
        self.plan: list[Callable[[], None]] = []


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> Any:
    """Check a whole state dict against a module and all below it, then load it."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"a state_dict is a dictionary, not a {type(state_dict).__name__}")
    given = Given(state_dict, assign)
    missing: list[str] = []
    unexpected: list[str] = []
    problems: list[str] = []
    _visit(module, given, "", strict, missing, unexpected, problems)
    if strict:
        problems = [
            *(f"missing: {name}" for name in missing),
            *(f"unexpected: {name}" for name in unexpected),
            *problems,
        ]
    if problems:
        listed = "\n  ".join(problems)
        raise RuntimeError(
            f"load_state_dict of {type(module).__name__}, nothing was changed:\n  {listed}"
        )
    for step in given.plan:
        step()
    result = IncompatibleKeys(missing, unexpected)
    for each in module.modules():
        for hook in tuple(each.__dict__.get("_loaded_hooks", {}).values()):
            if hook(each, result) is not None:
                raise RuntimeError("a hook after load_state_dict changes the keys; it returns None")
    return result


def _visit(
    module: Module,
    given: Given,
    prefix: str,
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    problems: list[str],
) -> None:
    """Plan the loading of one module's own values, and then of its submodules'."""
    module._load_from_state_dict(given, prefix, {}, strict, missing, unexpected, problems)
    for name, child in module._modules.items():
        if child is not None:
            _visit(child, given, f"{prefix}{name}.", strict, missing, unexpected, problems)


def plan_own(
    module: Module,
    given: Mapping[str, Any],
    prefix: str,
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    problems: list[str],
) -> None:
    """Plan the loading of the values of one module, without its submodules."""
    hooks = module.__dict__.get("_loading_hooks", {})
    for hook, with_module in tuple(hooks.values()):
        whole: tuple = (given, prefix, {}, strict, missing, unexpected, problems)
        hook(*((module, *whole) if with_module else whole))
    plan = given.plan if isinstance(given, Given) else []
    own = {**module._parameters, **module._buffers}
    names = [n for n, value in own.items() if value is not None and n not in module._fleeting]
    for name in names:
        key = prefix + name
        if key not in given:
            missing.append(key)
            continue
        step = _step(module, name, own[name], key, given, problems)
        if step is not None:
            plan.append(step)
    if module._has_extra_state():
        key = prefix + EXTRA
        if key in given:
            plan.append(lambda: module.set_extra_state(given[key]))
        else:
            missing.append(key)
        names.append(EXTRA)
    known = {*names, *(n for n, child in module._modules.items() if child is not None)}
    unexpected += [
        key
        for key in given
        if key.startswith(prefix) and not _is_known(key[len(prefix) :], known, module)
    ]
    if not isinstance(given, Given):  # called by the user: nothing else is to be checked first
        for step in plan:
            step()


def _is_known(name: str, known: set[str], module: Module) -> bool:
    head, dot, _ = name.partition(".")
    return (head in known) and (not dot or head in module._modules)


def _step(
    module: Module, name: str, own: Tensor, key: str, given: Mapping, problems: list[str]
) -> Callable[[], None] | None:
    """The step that loads one value; None, with a problem noted, if the value does not fit."""
    value = given[key]
    assign = getattr(given, "assign", False)
    if not isinstance(value, Tensor):
        try:
            value = tensor_of(np.asarray(array_backend((value,)).to_host(value)))
        except (TypeError, ValueError) as error:
            problems.append(f"{key}: a {type(value).__name__} is no array: {error}")
            return None
    if value.array.dtype.kind not in "biufV":
        problems.append(f"{key}: values of dtype {value.dtype} are no numbers")
        return None
    if own.ndim == 0 and value.shape == (1,):  # counters that were once saved so
        value = tensor_of(value.array[0])
    if not is_uninitialized(own) and value.shape != own.shape:
        problems.append(f"{key}: shape {tuple(value.shape)}, but the module has {own.shape}")
        return None
    if assign:
        return lambda: _assign(module, name, own, value)

    def copy() -> None:
        if is_uninitialized(own):
            own.materialize(value.shape)  # type: ignore[attr-defined]  # an uninitialized parameter can
        with no_grad():
            copy_(own, value.detach())  # in place: an optimizer's arena may hold the values

    return copy


def _assign(module: Module, name: str, own: Tensor, value: Tensor) -> None:
    """Let a name stand for the given value itself, in its dtype and on its device."""
    if isinstance(own, Parameter) and not isinstance(value, Parameter):
        value = Parameter(value, own.requires_grad)
    elif isinstance(own, Parameter):
        value.requires_grad_(own.requires_grad)
    setattr(module, name, value)


def save_own(module: Module, found: dict, prefix: str, keep_vars: bool) -> None:
    """Put the values of one module, without its submodules, into a dictionary."""
    for name, value in {**module._parameters, **module._buffers}.items():
        if value is not None and name not in module._fleeting:
            found[prefix + name] = value if keep_vars else value.detach()
    if module._has_extra_state():
        found[prefix + EXTRA] = module.get_extra_state()


def replace(tensor: Tensor, change: Callable[[Tensor], Tensor]) -> None:
    """Give a parameter or buffer, and its gradient, what `change` makes of the values."""
    with no_grad():
        changed = change(tensor.detach())
        if changed.array is tensor.array:
            return
        tensor.array = changed.array
        tensor.grad_buffer = None
        if tensor.grad is not None:
            tensor.grad = change(tensor.grad.detach())
