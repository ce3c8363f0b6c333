"""Parametrizations: parameters that are computed from others whenever they are read.

``register_parametrization(layer, "weight", Symmetric())`` lets ``layer.weight`` be what the module
`Symmetric` makes of the parameter that takes its place,
``layer.parametrizations.weight.original``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tensorlite.nn.containers import ModuleDict, ModuleList
from tensorlite.nn.module import Module
from tensorlite.nn.parameter import Parameter
from tensorlite.tape import no_grad
from tensorlite.tensor import Tensor
from tensorlite.unknown import answers_for

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_depth = 0  # of `cached` blocks
_cache: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Within the block compute each parametrized Tensor only once, which suits recurrent layers.

    Examples
    --------
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    >>> with nn.utils.parametrize.cached():
    ...     print(layer.weight is layer.weight)
    True
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one Tensor, the first applied first, and what they start from.

    Parameters
    ----------
    modules : sequence of Module
        The parametrizations.
    original : Tensor
        Of any shape.
    unsafe : bool
        Whether dtype or shape may change.

    Attributes
    ----------
    original : Parameter or Tensor
        What they start from; ``original0`` and so on if the first takes several Tensors.

    Raises
    ------
    ValueError
        If there are no modules.
    RuntimeError
        If what a module returns does not fit.

    Examples
    --------
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    >>> made = layer.parametrizations.weight
    >>> [x.shape for x in made.originals()]
    [(3, 1), (3, 4)]
    >>> made.right_inverse(tl.ones(3, 4))
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original.detach().clone()
        start = _inverse(modules, original)
        self.is_tensor = isinstance(start, Tensor)
        self.ntensors = 1 if self.is_tensor else len(start)
        if self.is_tensor:
            if original.dtype != start.dtype:
                raise ValueError(
                    "when right_inverse returns one Tensor, it must have the dtype "
                    f"{original.dtype}, not {start.dtype}"
                )
            if start is not original:
                original.data = start.detach()
            _register(self, "original", original)
        else:
            for i, value in enumerate(start):
                if not isinstance(value, Tensor):
                    raise ValueError(
                        "right_inverse must return a Tensor or a sequence of Tensors, not "
                        f"{type(value).__name__} in it"
                    )
                trained = isinstance(original, Parameter)
                value = value.detach()
                _register(
                    self,
                    f"original{i}",
                    Parameter(value, original.requires_grad) if trained else value,
                )
        if not unsafe:
            self._check(before)

    def _check(self, before: Tensor) -> None:
        after = self()
        if not isinstance(after, Tensor):
            raise ValueError(f"a parametrization must return a Tensor, not {type(after).__name__}")
        if after.dtype != before.dtype or after.shape != before.shape:
            raise ValueError(
                "a parametrization may not change dtype and shape unless unsafe=True: it makes "
                f"{after.dtype} {after.shape} of {before.dtype} {before.shape}"
            )

    def originals(self) -> list[Tensor]:
        """What the parametrizations start from.

        Returns
        -------
        list of Tensor
            Of any shapes.
        """
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Choose what they start from so that `value` comes out.

        Parameters
        ----------
        value : Tensor
            Of the shape of the parametrized one.

        Raises
        ------
        RuntimeError
            If a parametrization has no ``right_inverse``, or its result does not fit.
        """
        with no_grad():
            start = _inverse(list(self), value, strict=True)
            starts = [start] if isinstance(start, Tensor) else list(start)
            originals = self.originals()
            if len(starts) != len(originals):
                raise ValueError(
                    f"right_inverse must return {len(originals)} Tensors, not {len(starts)}"
                )
            for original, new in zip(originals, starts, strict=True):
                if original.shape == new.shape:
                    original.copy_(new)
                else:
                    original.data = new.detach()

    def forward(self) -> Tensor:
        """The parametrized Tensor."""
        first, *rest = self
        value = first(*self.originals())
        for parametrization in rest:
            value = parametrization(value)
        return value


def _inverse(modules: Sequence[Module], value: Any, strict: bool = False) -> Any:
    """What the parametrizations must start from for `value` to come out."""
    with no_grad():
        for module in reversed(modules):
            if hasattr(module, "right_inverse"):
                try:
                    value = module.right_inverse(value)
                except NotImplementedError:
                    if strict:
                        raise
            elif strict:
                raise RuntimeError(
                    f"parametrization {type(module).__name__} does not implement right_inverse: "
                    "the parametrized Tensor cannot be assigned"
                )
    return value


def _register(module: Module, name: str, value: Tensor) -> None:
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations, or one of a certain name.

    Parameters
    ----------
    module : Module
    tensor_name : str, optional
        Of the Tensor.

    Examples
    --------
    >>> nn.utils.parametrize.is_parametrized(nn.Linear(4, 3))
    False
    """
    found = module._kinds.get("parametrizations") is not None
    if not found or not isinstance(module.parametrizations, ModuleDict):
        return False
    if tensor_name is None:
        return len(module.parametrizations) > 0
    return tensor_name in module.parametrizations


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let a parameter or buffer be computed by a module whenever it is read.

    Parameters
    ----------
    module
        The owner. Its class becomes one of its own, with a property for the Tensor.
    tensor_name
        Name of the parameter or buffer; several parametrizations of one are applied in turn.
    parametrization
        Its `forward` makes the value of what it starts from. If it has ``right_inverse``, that is
        chosen so that the present value stays, and the Tensor can be assigned.
    unsafe
        Whether it may change the dtype or shape.

    Returns
    -------
    Module
        The owner.

    Raises
    ------
    ValueError
        If there is no such Tensor, or dtype or shape change.

    Examples
    --------
    >>> class Positive(nn.Module):
    ...     def forward(self, x):
    ...         return x.exp()
    >>> layer = nn.Linear(4, 3)
    >>> layer = nn.utils.parametrize.register_parametrization(layer, "weight", Positive())
    >>> (layer.weight > 0).all()
    tensor(True)
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        found = module.parametrizations[tensor_name]
        if not unsafe:
            value = getattr(module, tensor_name)
            after = parametrization(value)
            if after.dtype != value.dtype or after.shape != value.shape:
                raise ValueError(
                    "a parametrization may not change dtype and shape unless unsafe=True: it "
                    f"makes {after.dtype} {after.shape} of {value.dtype} {value.shape}"
                )
            if hasattr(parametrization, "right_inverse"):
                found.right_inverse(_inverse([parametrization], value.detach()))
        found.append(parametrization)
        found.unsafe = found.unsafe or unsafe
        return module
    if module._parameters.get(tensor_name) is None and module._buffers.get(tensor_name) is None:
        raise ValueError(
            f"Module '{type(module).__name__}' does not have a parameter, a buffer, or a "
            f"parametrized element with name '{tensor_name}'"
        )
    original = getattr(module, tensor_name)
    held = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _give_class(module)
        module.parametrizations = ModuleDict()
    setattr(type(module), tensor_name, _property(tensor_name))
    module.parametrizations[tensor_name] = held
    return module


def _give_class(module: Module) -> None:
    """Make the module's class one of its own, for properties of this module alone."""
    before = type(module)

    def refuse(self: Module) -> Any:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict()"
        )

    def duplicate(self: Module, memo: dict) -> Module:
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__dict__ = copy.deepcopy(self.__dict__, memo)
        own = type(made)  # a class of its own: what is removed from one stays in the other
        made.__class__ = type(own.__name__, own.__bases__, dict(_own_names(own)))
        return made

    names = {"__getstate__": refuse, "__deepcopy__": duplicate}
    module.__class__ = type(f"Parametrized{before.__name__}", (before,), names)


def _own_names(cls: type) -> dict[str, Any]:
    return {n: v for n, v in vars(cls).items() if n not in ("__dict__", "__weakref__")}


def _property(name: str) -> property:
    def get(self: Module) -> Tensor:
        held = self.parametrizations[name]
        if not _depth:
            return held()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = held()
        return _cache[key]

    def set_(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, set_)


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a parametrized Tensor an ordinary parameter or buffer again.

    Parameters
    ----------
    module, tensor_name
        The owner and the name.
    leave_parametrized
        Whether it keeps the value that was computed; otherwise that which it was computed from.

    Returns
    -------
    Module
        The owner.

    Raises
    ------
    ValueError
        If there are none of that name, or what it is made from cannot stay.

    Examples
    --------
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    >>> nn.utils.parametrize.remove_parametrizations(layer, "weight")
    Linear(in_features=4, out_features=3, bias=True)  # 15 parameters
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    held = module.parametrizations[tensor_name]
    originals = held.originals()
    original = originals[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach().clone()
        if held.is_tensor:
            original.data = value
        elif any(isinstance(each, Parameter) for each in originals):
            original = Parameter(value, any(each.requires_grad for each in originals))
        else:
            original = value
    elif not held.is_tensor:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if len(module.parametrizations) == 0:
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before it was parametrized.

    Parameters
    ----------
    module : Module

    Examples
    --------
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    >>> nn.utils.parametrize.type_before_parametrizations(layer).__name__
    'Linear'
    """
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give another module copies of the parametrizations of one, and what they start from.

    Parameters
    ----------
    from_module, to_module : Module
        The one and the other.
    tensor_name : str, optional
        Of one Tensor; by default all.

    Returns
    -------
    Module
        `to_module`.

    Examples
    --------
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    >>> other = nn.utils.parametrize.transfer_parametrizations_and_params(layer, nn.Linear(4, 3))
    >>> tl.equal(layer.weight, other.weight)
    True
    """
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
        held = from_module.parametrizations[name]
        for parametrization in held:
            register_parametrization(to_module, name, copy.deepcopy(parametrization), unsafe=True)
        with no_grad():
            others = to_module.parametrizations[name].originals()
            for new, old in zip(others, held.originals(), strict=True):
                new.copy_(old)
    return to_module


__getattr__ = answers_for(__name__)
