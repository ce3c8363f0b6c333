"""What all optimizers share: parameter groups, state, hooks, and the state dictionary of torch."""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.optim import glances
from tensorlite.optim.foreign import as_array, copied, is_tensor
from tensorlite.tape import enable_grad, unit
from tensorlite.tensor import Tensor, tensor_of


def _clear(array: Any) -> None:
    array[...] = 0


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


#: As a default: every group must give this setting itself.
required = _Required()


class Hook:
    """What registering a hook returns."""

    def __init__(self, hooks: dict[int, Callable], number: int) -> None:
        self._hooks, self._number = hooks, number

    def remove(self) -> None:
        """Call the hook no more."""
        self._hooks.pop(self._number, None)


def _with_hooks(step: Callable) -> Callable:
    """A class's `step`, which runs the hooks around itself."""

    @functools.wraps(step)
    def wrapped(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self.steps_taken += 1
        return self.between_hooks(functools.partial(step, self), *args, **kwargs)

    wrapped.has_hooks = True  # type: ignore[attr-defined]  # functions take attributes
    return wrapped


class Optimizer:
    """Base of the optimizers, and of your own: give it a `step`.

    Parameters
    ----------
    params
        Tensors; or (name, Tensor) pairs, as from ``model.named_parameters()``; or a list of
        dictionaries, each with "params" and the settings in which that group differs.
    defaults
        Settings of the groups that give none of their own.

    Attributes
    ----------
    param_groups : list of dict
        Settings, with the parameters under "params". They may be changed at any time, and have
        keys of your own.
    state : dict
        By parameter, a dictionary of what the optimizer keeps about it.
    defaults : dict
        As given.

    Raises
    ------
    TypeError
        If `params` is one Tensor.
    ValueError
        If there are no parameters.

    Examples
    --------
    >>> class SignDescent(tl.optim.Optimizer):
    ...     def __init__(self, params, lr=1e-3):
    ...         super().__init__(params, {"lr": lr})
    ...
    ...     @tl.no_grad()
    ...     def step(self, closure=None):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 if p.grad is not None:
    ...                     p -= group["lr"] * p.grad.sign()

    >>> optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
    >>> handle = optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: None)
    >>> handle = optimizer.register_step_post_hook(lambda optimizer, args, kwargs: None)
    >>> loss.backward()
    >>> optimizer.step()
    >>> optimizer.zero_grad()
    >>> optimizer.load_state_dict(optimizer.state_dict())
    >>> optimizer.add_param_group({"params": [nn.Parameter(tl.zeros(2))], "lr": 0.01})
    """

    steps_taken = 0  # by which schedules see that they are not stepped first

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if callable(step) and not hasattr(step, "has_hooks"):
            cls.step = _with_hooks(step)  # type: ignore[method-assign]  # of a subclass in the making

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                f"{type(self).__name__}: params is one Tensor; give an iterable of Tensors, "
                "(name, Tensor) pairs or dictionaries: [parameter]"
            )
        groups = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: no parameters to optimize")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self._set_up()
        for group in groups:
            self.add_param_group(group)

    def _set_up(self) -> None:
        """Make what is neither a setting nor saved."""
        self.state: Any = defaultdict(dict)
        self._before_step: dict[int, Callable] = {}
        self._after_step: dict[int, Callable] = {}
        self._before_load: dict[int, Callable] = {}
        self._after_load: dict[int, Callable] = {}
        self._before_save: dict[int, Callable] = {}
        self._after_save: dict[int, Callable] = {}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own.

        Parameters
        ----------
        param_group : dict
            With "params", and settings.

        Raises
        ------
        TypeError, ValueError
            For a missing setting, a parameter that is no leaf Tensor of a float type, one that
            is given twice, or a setting out of its range.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"a parameter group is a dictionary, not a {type(param_group)}")
        names, parameters = self._named(param_group["params"], param_group.get("param_names"))
        settings = {**self.defaults, **param_group}
        for name, value in settings.items():
            if value is required:
                raise ValueError(f"this parameter group needs a value for {name!r}")
        self.check(settings)
        param_group["params"] = parameters
        if names is not None:
            param_group["param_names"] = names
        for name, value in self.defaults.items():
            param_group.setdefault(name, value)
        self.param_groups.append(param_group)

    def _named(self, params: Any, names: Any) -> tuple[list[str] | None, list[Tensor]]:
        """Check the parameters of a new group; return their names, if they have some, and them.

        `names` are those of a group that another optimizer has had.
        """
        if isinstance(params, set):
            raise TypeError("parameters need an order, or a state could not be loaded: not a set")
        given: list[Any] = [params] if isinstance(params, Tensor) else list(params)
        if names is not None and not any(isinstance(p, tuple) for p in given):
            given = list(zip(names, given, strict=True))
        pairs = [isinstance(p, tuple) for p in given]
        if any(pairs) != all(pairs):
            raise ValueError("give all parameters of a group with names, or none")
        named_before = {"param_names" in group for group in self.param_groups}
        if named_before - {any(pairs)}:
            raise ValueError("give the parameters of all groups with names, or of none")
        seen = {id(p): self.label(p) for group in self.param_groups for p in group["params"]}
        for i, item in enumerate(given):
            name, parameter = item if pairs[i] else (str(len(seen)), item)
            if not isinstance(parameter, Tensor):
                raise TypeError(f"parameter {name!r} is a {type(parameter).__name__}, not a Tensor")
            if parameter.node is not None or parameter.dtype.kind not in "fV":
                raise ValueError(
                    f"parameter {name!r} cannot be optimized: it must be a leaf of a float type"
                )
            if id(parameter) in seen:
                raise ValueError(f"parameter {name!r} is given twice")
            seen[id(parameter)] = str(name)
        if any(pairs):
            return [name for name, _ in given], [parameter for _, parameter in given]
        return None, given

    def label(self, parameter: Tensor) -> str:
        """A parameter as messages name it: by its name, or by its number.

        Parameters
        ----------
        parameter : Tensor
            Of any shape.

        Examples
        --------
        >>> tl.optim.SGD(nn.Linear(2, 1).named_parameters()).label(nn.Parameter(tl.zeros(2)))
        '?'
        """
        number = 0
        for group in self.param_groups:
            names = group.get("param_names")
            for i, other in enumerate(group["params"]):
                if other is parameter:
                    return names[i] if names else str(number)
                number += 1
        return "?"

    def check(self, settings: dict[str, Any]) -> None:
        """Refuse settings out of range.

        Parameters
        ----------
        settings : dict

        Raises
        ------
        ValueError, RuntimeError
            If one is out of range, or not supported.

        Examples
        --------
        >>> optimizer.check(optimizer.defaults)
        """
        for name, value in settings.items():
            if name in ("lr", "eps", "weight_decay", "momentum", "lr_decay"):
                if isinstance(value, Tensor) and value.numel() != 1:
                    raise ValueError(f"{name} must be one number, not of shape {value.shape}")
                if not (np.isfinite(float(value)) and float(value) >= 0):
                    raise ValueError(f"{name} must be a number of at least 0, not {value}")
            if name == "betas" and not all(0 <= float(beta) < 1 for beta in value):
                raise ValueError(f"betas must lie in [0, 1), not {value}")
        if settings.get("fused") and settings.get("foreach"):
            raise RuntimeError("fused=True and foreach=True: choose one (here neither matters)")
        if settings.get("differentiable"):
            raise RuntimeError(
                "differentiable=True is not supported: steps are not recorded. Write the update "
                "with tensorlite.grad(..., create_graph=True) instead"
            )

    # --- for users ----------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; the next backward writes them anew.

        Parameters
        ----------
        set_to_none
            False fills the gradients that are there with zeros instead.
        """
        for group in self.param_groups:
            if set_to_none:
                glances.forget_gradients(group["params"])
                continue
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.detach()
                    unit("zero_grad", _clear, parameter.grad.array)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters.

        Parameters
        ----------
        closure
            Computes the loss and its gradients once more, and returns the loss.

        Returns
        -------
        What `closure` returned, or None.
        """
        raise NotImplementedError

    def gather(self) -> None:
        """Follow parameters that moved to another device or dtype: nothing to do here.

        Examples
        --------
        >>> optimizer.gather()
        """

    def between_hooks(self, step: Callable, *args: Any, **kwargs: Any) -> Any:
        """Call `step` with the hooks around it.

        Parameters
        ----------
        step, *args, **kwargs
            The function, and what it is called with.

        Examples
        --------
        >>> optimizer.between_hooks(print, "a step")
        a step
        """
        for hook in list(self._before_step.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        result = step(*args, **kwargs)
        for hook in list(self._after_step.values()):
            hook(self, args, kwargs)
        return result

    def loss_of(self, closure: Callable[[], Any] | None) -> Any:
        """What the closure returns, with operations recorded.

        Parameters
        ----------
        closure : callable or None

        Examples
        --------
        >>> optimizer.loss_of(lambda: 3.0)
        3.0
        """
        if closure is None:
            return None
        with enable_grad():
            return closure()

    def state_dict(self) -> dict[str, Any]:
        """State by parameter number, and the groups' settings, as torch has them.

        Returns
        -------
        dict
            ``{"state": {0: {"step": …, "exp_avg": Tensor, …}}, "param_groups": [{settings,
            "params": [0, …], "param_names": […]}]}``, the names only where parameters were given
            with names. The Tensors are copies.
        """
        return self._described(copied)

    def _described(self, taken: Callable[[Any], Any]) -> dict[str, Any]:
        """See `state_dict`; `taken` says what becomes of a value, a copy or not."""
        for hook in list(self._before_save.values()):
            hook(self)
        number = itertools.count()
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            own = [next(number) for _ in group["params"]]
            numbers.update(zip(map(id, group["params"]), own, strict=True))
            groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": own})
        state = {
            numbers.get(id(key), key): taken(value)
            for key, value in sorted(
                self.state.items(), key=lambda item: numbers.get(id(item[0]), len(numbers))
            )
        }
        result = {"state": state, "param_groups": groups}
        for hook in list(self._after_save.values()):
            result = hook(self, result) or result
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict`, torch's as well. All is checked before anything changes.

        Where both have names, parameters of a group are matched by name, else by their order.

        Raises
        ------
        ValueError
            If groups, names or shapes differ; all differences are listed.
        """
        for hook in list(self._before_load.values()):
            state_dict = hook(self, state_dict) or state_dict
        problems, owners = self._matched(state_dict["param_groups"])
        state: dict[Any, Any] = {}
        for key, value in () if problems else state_dict["state"].items():
            parameter, settings = owners.get(key) or owners.get(str(key)) or (None, {})
            if parameter is None:
                state[key] = value
                continue
            problems += self._unfit(parameter, value, settings)
            state[parameter] = value
        if problems:
            raise ValueError(f"{type(self).__name__}.load_state_dict: " + "; ".join(problems))
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            for key, value in saved.items():
                if key not in ("params", "param_names"):
                    was_tuple = isinstance(self.defaults.get(key), tuple)
                    group[key] = tuple(value) if was_tuple else copied(value)
        self._take(state)
        for hook in list(self._after_load.values()):
            hook(self)

    def _take(self, state: dict[Any, Any]) -> None:
        """Make a checked state, by parameter, this optimizer's own."""
        self.state = defaultdict(dict)
        for key, value in state.items():
            like = key if isinstance(key, Tensor) else None
            self.state[key] = _converted(value, like)

    def _matched(self, saved_groups: list[dict]) -> tuple[list[str], dict[Any, tuple]]:
        """What does not fit; and by number in the saved groups whose it is, and the settings."""
        if len(saved_groups) != len(self.param_groups):
            count = len(self.param_groups)
            return [f"{len(saved_groups)} parameter groups saved, {count} here"], {}
        problems: list[str] = []
        owners: dict[Any, tuple] = {}
        for i, (group, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            own, keys = group["params"], saved["params"]
            names, saved_names = group.get("param_names"), saved.get("param_names")
            if names and saved_names:
                missing = [n for n in names if n not in saved_names]
                foreign = [n for n in saved_names if n not in names]
                if missing or foreign:
                    problems.append(f"group {i}: not saved {missing}, not here {foreign}")
                by_name = dict(zip(names, own, strict=True))
                own = [by_name.get(name) for name in saved_names]
            if len(own) != len(keys):
                problems.append(f"group {i}: {len(keys)} parameters saved, {len(own)} here")
            settings = {**group, **saved}
            owners.update({key: (p, settings) for key, p in zip(keys, own, strict=False)})
        return problems, owners

    def _unfit(
        self, parameter: Tensor, saved: dict[str, Any], settings: dict[str, Any]
    ) -> list[str]:
        """Why a saved state cannot be this parameter's; other optimizers may have any."""
        return []

    # --- hooks --------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Callable) -> Hook:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return new ones."""
        return _registered(self._before_step, hook)

    def register_step_post_hook(self, hook: Callable) -> Hook:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return _registered(self._after_step, hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> Hook:
        """Call ``hook(optimizer)`` before `state_dict`.

        Examples
        --------
        >>> handle = optimizer.register_state_dict_pre_hook(lambda *args: None)
        """
        return _registered(self._before_save, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> Hook:
        """Call ``hook(optimizer, state_dict)`` after `state_dict`; it may return another.

        Examples
        --------
        >>> handle = optimizer.register_state_dict_post_hook(lambda *args: None)
        """
        return _registered(self._after_save, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> Hook:
        """Call ``hook(optimizer, state_dict)`` before loading; it may return another.

        Examples
        --------
        >>> handle = optimizer.register_load_state_dict_pre_hook(lambda *args: None)
        """
        return _registered(self._before_load, hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> Hook:
        """Call ``hook(optimizer)`` after loading.

        Examples
        --------
        >>> handle = optimizer.register_load_state_dict_post_hook(lambda *args: None)
        """
        return _registered(self._after_load, hook)

    # --- copies -------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        own = {k: v for k, v in self.__dict__.items() if k not in self._not_copied()}
        return {**own, "state": [(key, dict(value)) for key, value in self.state.items()]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({k: v for k, v in state.items() if k != "state"})
        self._set_up()
        for key, value in state["state"]:
            self.state[key] = value

    def _not_copied(self) -> set[str]:
        """Attributes that a copy makes anew."""
        return {"state", "_before_step", "_after_step", "_before_load", "_after_load"} | {
            "_before_save",
            "_after_save",
        }

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}("]
        for i, group in enumerate(self.param_groups):
            count = sum(parameter.numel() for parameter in group["params"])
            settings = ", ".join(f"{k}={group[k]}" for k in self.defaults if k in group)
            lines.append(f"  group {i}: {len(group['params'])} parameters ({count:,}), {settings}")
        return "\n".join([*lines, ")"])


def _registered(hooks: dict[int, Callable], hook: Callable) -> Hook:
    number = max(hooks, default=-1) + 1
    hooks[number] = hook
    return Hook(hooks, number)


def _converted(value: Any, like: Tensor | None, key: str = "") -> Any:
    """A saved state with its Tensors where the parameter is, in its dtype; `step` stays a count."""
    if is_tensor(value):
        array = as_array(value)
        if like is None or key == "step":
            return tensor_of(np.array(array))
        dtype = like.dtype if array.dtype.kind in "fV" else array.dtype
        return tensor_of(
            array_backend((like.array,)).asarray(array.astype(dtype), device=like.device)
        )
    if isinstance(value, (dict, MutableMapping)):
        return {k: _converted(v, like, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_converted(v, like) for v in value])
    return value
