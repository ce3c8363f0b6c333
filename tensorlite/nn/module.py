"""Module: what all layers and models are.

Parameters, buffers and submodules are ordinary attributes, found by their type when they are
assigned; `registry` keeps their kinds and order. Nothing has to be declared twice, and
``super().__init__()`` need not be called first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tensorlite.nn import registry, state
from tensorlite.nn.changes import Changes
from tensorlite.nn.hooks import Hooks, RemovableHandle
from tensorlite.nn.parameter import Buffer, Parameter
from tensorlite.nn.registry import Held, Kind
from tensorlite.nn.show import explained, note_where, text_of
from tensorlite.tape import mode, recorders
from tensorlite.tensor import Tensor


class _Made:
    """A dictionary that an instance gets when the attribute is first read."""

    def __init__(self, make: Callable) -> None:
        self.make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Module | None, owner: type) -> Any:
        if module is None:
            return self
        return module.__dict__.setdefault(self.name, self.make())


def _made(make: Callable) -> Any:
    """`_Made`, of the type that the attribute has."""
    return _Made(make)


class Module(Changes):
    """Base of all layers and models: holds parameters, buffers and submodules; computes `forward`.

    Assign `Parameter`, `Buffer` and `Module` attributes in ``__init__``, write `forward`, and call
    the module itself.

    Inputs and outputs may have any shapes.

    Attributes
    ----------
    training : bool
        Whether layers like dropout behave as in training; see `train` and `eval`.

    Raises
    ------
    NotImplementedError
        If it is called and has no `forward`.

    Examples
    --------
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(64, 32)
    ...         self.out = nn.Linear(32, 10)
    ...
    ...     def forward(self, x):
    ...         return self.out(F.relu(self.hidden(x)))

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    >>> [name for name, _ in net.named_parameters()]
    ['0.weight', '0.bias', '1.weight', '1.bias']
    >>> [name for name, _ in net.named_buffers()]
    ['1.running_mean', '1.running_var', '1.num_batches_tracked']
    >>> [name for name, _ in net.named_children()], [name for name, _ in net.named_modules()]
    (['0', '1'], ['', '0', '1'])
    >>> len(list(net.parameters())), len(list(net.buffers())), len(list(net.children()))
    (4, 3, 2)
    >>> len(list(net.modules())), net.get_submodule("0").extra_repr()
    (3, 'in_features=2, out_features=3, bias=True')
    >>> net.get_parameter("0.bias").shape, net.get_buffer("1.running_mean").shape
    ((3,), (3,))
    >>> net.set_submodule("1", nn.Identity())
    >>> net.add_module("last", nn.ReLU())
    >>> net.register_parameter("scale", nn.Parameter(tl.ones(3)))
    >>> net.register_buffer("mean", tl.zeros(3))
    >>> list(net.state_dict())
    ['scale', 'mean', '0.weight', '0.bias']
    >>> net.load_state_dict(net.state_dict())
    <All keys matched successfully>
    >>> net.forward(tl.zeros(1, 2)).shape
    (1, 3)
    >>> class Counter(nn.Module):
    ...     count = 3
    ...
    ...     def get_extra_state(self):
    ...         return self.count
    ...
    ...     def set_extra_state(self, state):
    ...         self.count = state
    >>> counter = Counter()
    >>> handle = counter.register_state_dict_pre_hook(lambda module, *_: print("about to save"))
    >>> handle = counter.register_state_dict_post_hook(lambda module, state, *_: print(state))
    >>> handle = counter.register_load_state_dict_pre_hook(lambda module, state, *_: print("load"))
    >>> handle = counter.register_load_state_dict_post_hook(lambda module, keys: print(keys))
    >>> state = counter.state_dict()
    about to save
    OrderedDict([('_extra_state', 3)])
    >>> counter.load_state_dict(state)
    load
    <All keys matched successfully>
    <All keys matched successfully>
    """

    training: bool = True
    _is_module = True
    _kinds: dict[str, Kind] = _made(dict)  # of each registered name, in order
    _fleeting: frozenset[str] = frozenset()  # names of buffers that state_dict() leaves out
    _hooks: Hooks | None = None
    _loading_hooks: OrderedDict = _made(OrderedDict)
    _loaded_hooks: OrderedDict = _made(OrderedDict)
    _saving_hooks: OrderedDict = _made(OrderedDict)
    _saved_hooks: OrderedDict = _made(OrderedDict)

    if TYPE_CHECKING:  # what is registered, and what subclasses set

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self) -> None:
        pass

    def _forward_is_missing(self, *input: Any) -> Any:
        """Compute the output; to be written by every subclass that is called.

        `input` is what the module is called with.

        Raises
        ------
        NotImplementedError
            If a subclass has none.
        """
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # To type checkers any function may stand for it: subclasses choose their own parameters.
    forward: Callable[..., Any] = _forward_is_missing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute `forward`, with the hooks before and after it."""
        if recorders and mode.switches.recorder is not None:
            mode.switches.recorder.module(self)
        try:
            if self._hooks is not None:
                return self._hooks.call(self, args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as error:
            said = explained(error, self, args)
            note_where(said, self)
            try:
                if said is error:
                    raise
                raise said from error
            finally:
                del said  # else the error and this frame would hold each other

    # --- registration -------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            if registry.is_behind(type(self), name):
                raise KeyError(f"{type(self).__name__} already has an attribute {name!r}")
            registry.place(self, name, value, Kind.PARAMETER)
            return
        if isinstance(value, Module):
            registry.place(self, name, value, Kind.MODULE)
            return
        kind = self._kinds.get(name)
        if kind is None:
            if isinstance(value, Buffer):
                self.register_buffer(name, value, value.persistent)
            else:
                if mode.switches.recorder is not None:
                    mode.switches.recorder.refuse(f"{type(self).__name__}.{name} is set")
                super().__setattr__(name, value)
        elif value is None or (kind is Kind.BUFFER and isinstance(value, Tensor)):
            if mode.switches.recorder is not None:
                mode.switches.recorder.refuse(f"{type(self).__name__}.{name} is set")
            registry.place(self, name, value, kind)
            if isinstance(value, Buffer):
                self.register_buffer(name, value, value.persistent)
        else:
            wanted = {Kind.PARAMETER: "Parameter", Kind.BUFFER: "Tensor", Kind.MODULE: "Module"}
            raise TypeError(
                f"{type(self).__name__}.{name} is a {kind.value} and cannot become a "
                f"{type(value).__name__}: assign a {wanted[kind]} or None, or delete it first"
            )

    # No __getattr__: with one, every attribute that is read costs more. Where a subclass calls
    # super().__getattr__(name) the answer is AttributeError, as it should be.

    def __delattr__(self, name: str) -> None:
        if name in self._kinds:
            registry.remove(self, name)
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__, *self._kinds}
        return sorted(name for name in names if not name[0].isdigit())

    @property
    def _parameters(self) -> Held:
        return Held(self, Kind.PARAMETER)

    @property
    def _buffers(self) -> Held:
        return Held(self, Kind.BUFFER)

    @property
    def _modules(self) -> Held:
        return Held(self, Kind.MODULE)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add the parameter `param` under a name; None keeps the name without a parameter."""
        self._check_new(name, param, Kind.PARAMETER)
        registry.place(self, name, param, Kind.PARAMETER)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a Tensor that belongs to the module's state but is not trained.

        Parameters
        ----------
        name
            Name of the attribute.
        tensor
            Its value, of any shape; None keeps the name without a value.
        persistent
            Whether `state_dict` contains it.
        """
        self._check_new(name, tensor, Kind.BUFFER)
        registry.place(self, name, tensor, Kind.BUFFER)
        self._fleeting = self._fleeting - {name} if persistent else self._fleeting | {name}

    def add_module(self, name: str, module: Module | None) -> None:
        """Add the submodule `module` under a name; one of that name is replaced."""
        self._check_new(name, module, Kind.MODULE)
        registry.place(self, name, module, Kind.MODULE)

    register_module = add_module

    def _check_new(self, name: str, value: Any, kind: Kind) -> None:
        owner = type(self).__name__
        if not isinstance(name, str):
            raise TypeError(f"{owner}: the name of a {kind.value} is a str, not {name!r}")
        if value is not None and not kind.fits(value):
            raise TypeError(f"{owner}.{name}: a {type(value).__name__} is no {kind.value}")
        if self._kinds.get(name) is not kind and hasattr(self, name):
            raise KeyError(f"{owner} already has an attribute {name!r}")

    # --- what it holds ------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct submodules with their names, each once."""
        seen = set()
        for name, value in registry.entries(self, Kind.MODULE):
            if value is not None and value not in seen:
                seen.add(value)
                yield name, value

    def children(self) -> Iterator[Module]:
        """Yield the direct submodules, each once."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module (named `prefix`) and all below it with dotted names.

        Those in `memo` are left out. Each comes once, under its first name; with
        ``remove_duplicate=False`` under all.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in registry.entries(self, Kind.MODULE):
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yield this module and all below it, each once unless ``remove_duplicate=False``."""
        found = self.named_modules(remove_duplicate=remove_duplicate)
        return (module for _, module in found)

    def _collect(
        self, kind: Kind, prefix: str, recurse: bool, once: bool
    ) -> Iterator[tuple[str, Any]]:
        """What is of one kind in each module, with dotted names."""
        seen = set()
        places = (
            self.named_modules(None, prefix, remove_duplicate=once) if recurse else [(prefix, self)]
        )
        for path, module in places:
            for name, value in registry.entries(module, kind):
                if value is None or value in seen:
                    continue
                if once:
                    seen.add(value)
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their dotted names; by default one that is shared comes once.

        With ``recurse=False`` only those of this module itself.

        Names begin with `prefix`; with ``remove_duplicate=False`` one that is shared comes again.
        """
        return self._collect(Kind.PARAMETER, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once; with ``recurse=False`` none of submodules."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the buffers, of any shape, with their dotted names; it returns an iterator.

        `prefix`, `recurse` and `remove_duplicate` are those of `named_parameters`.
        """
        return self._collect(Kind.BUFFER, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, of any shape; with ``recurse=False`` none of submodules.

        It returns an iterator.
        """
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """Find a submodule by its dotted name `target`; "" is the module itself.

        Raises
        ------
        AttributeError
            If there is none of that name, or it is no module.
        """
        module = self
        for name in target.split(".") if target else ():
            if name not in module._modules and not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute {name!r}")
            held = module._modules
            module = held[name] if name in held else getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"{name!r} in {target!r} is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module in the place of a dotted name, whose owner must be there.

        Parameters
        ----------
        target
            Where to.
        module
            What stands there from now on.
        strict
            Whether there must be a module of that name already.

        Raises
        ------
        ValueError
            If `target` is empty or `module` no Module.
        AttributeError
            If the owner, or with `strict` the name, is not there, or no module.
        """
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"{module!r} is not an nn.Module: it is a {type(module).__name__}")
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        present = getattr(owner, name, None)
        if strict and not hasattr(owner, name):
            raise AttributeError(f"{owner._get_name()} has no attribute {name!r}")
        if present is not None and not isinstance(present, Module):
            raise AttributeError(f"{name!r} in {target!r} is not an nn.Module")
        setattr(owner, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Find a parameter by its dotted name `target`."""
        return self._found(target, Kind.PARAMETER, "an nn.Parameter")

    def get_buffer(self, target: str) -> Tensor:
        """Find a buffer by its dotted name `target`; returns a Tensor of any shape."""
        return self._found(target, Kind.BUFFER, "a buffer")

    def _found(self, target: str, kind: Kind, what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name in module._kinds and module._kinds[name] is kind:
            return registry.value_of(module, name)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute {name!r}")
        raise AttributeError(f"{name!r} is not {what}")

    # --- state --------------------------------------------------------------------------------

    def state_dict(
        self,
        *args: Any,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted name, in torch's order.

        The Tensors share memory with the module: training goes on changing them.

        Parameters
        ----------
        destination
            A dictionary to add to, and to return.
        prefix
            What all names begin with.
        keep_vars
            Whether to give the parameters themselves, not Tensors without history.
        """
        if args:  # in this order, which torch still takes
            destination, prefix, keep_vars = args + (destination, prefix, keep_vars)[len(args) :]
        found = OrderedDict() if destination is None else destination
        for hook in tuple(self.__dict__.get("_saving_hooks", {}).values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(found, prefix, keep_vars)
        for name, child in registry.entries(self, Kind.MODULE):
            if child is not None:
                child.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in tuple(self.__dict__.get("_saved_hooks", {}).values()):
            changed = hook(self, found, prefix, {})
            found = found if changed is None else changed
        return found

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        state.save_own(self, destination, prefix, keep_vars)

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not Module.get_extra_state

    def get_extra_state(self) -> Any:
        """More values for `state_dict`; subclasses override it together with `set_extra_state`.

        Raises
        ------
        RuntimeError
            If a subclass has none.
        """
        raise RuntimeError(f"{type(self).__name__} has no get_extra_state()")

    def set_extra_state(self, state: Any) -> None:
        """Take back the `state` that `get_extra_state` returned.

        Raises
        ------
        RuntimeError
            If a subclass has none.
        """
        raise RuntimeError(f"{type(self).__name__} has no set_extra_state()")

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copy values into the parameters and buffers, cast to their dtypes.

        Parameters
        ----------
        state_dict
            Values by dotted name: Tensors, NumPy arrays, torch tensors, or whatever else
            `numpy.asarray` takes.
        strict
            Whether missing and unexpected names are errors.
        assign
            Whether the given Tensors take the place of the module's, with their dtypes and
            devices, instead of being copied. Make the optimizer afterwards.

        Returns
        -------
        IncompatibleKeys
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        RuntimeError
            If anything does not fit; the message lists all of it, and nothing is changed.
        """
        return state.load(self, state_dict, strict, assign)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        state.plan_own(self, state_dict, prefix, strict, missing_keys, unexpected_keys, error_msgs)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call a hook before this module's values are read; it may change the dictionary.

        It is called as ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)``.
        """
        return RemovableHandle(self._loading_hooks, (hook, True))

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        return RemovableHandle(self._loading_hooks, (hook, with_module))

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after everything was loaded."""
        return RemovableHandle(self._loaded_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before this module's values are collected."""
        return RemovableHandle(self._saving_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after they were."""
        return RemovableHandle(self._saved_hooks, hook)

    _register_state_dict_hook = register_state_dict_post_hook

    # --- how it looks -------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The text between the parentheses in the repr; subclasses override it."""
        return ""

    def _repr_html_(self) -> str:
        """How notebooks show it: a tree that folds."""
        from tensorlite.nn.notebook import module_html  # which only notebooks need

        return module_html(self)

    def __repr__(self) -> str:
        return text_of(self)
