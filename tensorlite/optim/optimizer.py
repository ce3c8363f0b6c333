"""What all optimizers share: parameter groups, arenas, and their state dictionary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tensorlite.backend import Array, is_array
from tensorlite.optim.arena import Arena
from tensorlite.tape import note_write_at, on_device_of, run_on_device_of
from tensorlite.tensor import Tensor


class Optimizer:
    """Base of the optimizers.

    A subclass names its state in `state_names`, fills `hyper`, and updates a run of the arena in
    `reference`; where a compiled kernel of the name `kernel_name` is there, that runs instead.

    Parameters
    ----------
    params
        Tensors; or (name, Tensor) pairs, as from ``model.named_parameters()``; or a list of
        dictionaries, each with "params" and the settings in which that group differs. State is
        kept by parameter name ("0", "1", … where none is given).
    defaults
        Settings of the groups that give none of their own.
    """

    state_names: tuple[str, ...] = ()
    kernel_name: str

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        groups = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: no parameters to optimize")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self._arenas: list[list[Arena]] = []
        self._seen: set[int] = set()
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with settings of their own.

        Raises
        ------
        TypeError, ValueError
            For an unknown setting, a parameter that is no leaf Tensor of a float type, one that
            is given twice, or a setting out of its range.
        """
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise TypeError(
                f"{type(self).__name__}: unknown settings {sorted(unknown)}; "
                f"known are {sorted(self.defaults)}"
            )
        named = self._named(group["params"])
        settings = {**self.defaults, **{k: v for k, v in group.items() if k != "params"}}
        self.check(settings)
        by_place: dict[Any, list[tuple[str, Tensor]]] = {}
        for name, parameter in named:
            by_place.setdefault((parameter.device, parameter.dtype), []).append((name, parameter))
        self._arenas.append([Arena(part, self.state_of(settings)) for part in by_place.values()])
        self._seen.update(id(parameter) for _, parameter in named)
        self.param_groups.append(
            {
                "params": [parameter for _, parameter in named],
                "names": [name for name, _ in named],
                **settings,
            }
        )

    def _named(self, params: Any) -> list[tuple[str, Tensor]]:
        params = [params] if isinstance(params, Tensor) else list(params)
        first = len(self._seen)
        named = [p if isinstance(p, tuple) else (str(first + i), p) for i, p in enumerate(params)]
        seen = set(self._seen)
        for name, parameter in named:
            if not isinstance(parameter, Tensor):
                raise TypeError(f"parameter {name!r} is a {type(parameter).__name__}, not a Tensor")
            if parameter.node is not None or parameter.dtype.kind not in "fV":
                raise ValueError(
                    f"parameter {name!r} cannot be optimized: it must be a leaf of a float type"
                )
            if id(parameter) in seen:
                raise ValueError(f"parameter {name!r} is given twice")
            seen.add(id(parameter))
        return named

    # --- for subclasses -----------------------------------------------------------------------

    def check(self, settings: dict[str, Any]) -> None:
        """Refuse settings out of range."""
        for name, value in settings.items():
            wanted = name in ("lr", "eps", "weight_decay", "momentum", "lr_decay")
            if wanted and not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a number of at least 0, not {value}")
            if name == "betas" and not all(0 <= beta < 1 for beta in value):
                raise ValueError(f"betas must lie in [0, 1), not {value}")

    def state_of(self, settings: dict[str, Any]) -> tuple[str, ...]:
        """Names of the state that a group with these settings needs."""
        return self.state_names

    def learning_rate(self, group: dict[str, Any], step: Any) -> Any:
        """The rate of this step: a number, or an array on the device if `step` is one."""
        return group["lr"]

    def hyper(self, group: dict[str, Any], step: Any) -> list:
        """What the update needs beyond the arrays, from position 4 of the kernel's `hyper`.

        Positions 0 to 3 are lr, weight decay, gradient scale and the skip flag. `step` counts
        from 1; it is an array on the device where steps may have been skipped there.
        """
        raise NotImplementedError

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: list) -> None:
        """Update `p` and `state` in place from the gradient `g`: the formula, in array operations.

        `g` is scratch space: the reference may overwrite it.
        """
        raise NotImplementedError

    # --- for users ----------------------------------------------------------------------------

    def zero_grad(self) -> None:
        """Forget all gradients; the next backward writes them anew."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def step(self, *, grad_scale: Array | None = None, skip: Array | None = None) -> None:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        grad_scale, skip
            For `tensorlite.amp.GradScaler`: arrays with no axes, on the parameters' device, that
            gradients are multiplied with, and that make this step change nothing if not 0. They
            are never read on the host.
        """
        for group, arenas in zip(self.param_groups, self._arenas, strict=True):
            for arena in arenas:
                run_on_device_of(arena.data, self._step, group, arena, grad_scale, skip)

    def _step(
        self, group: dict, arena: Arena, grad_scale: Array | None, skip: Array | None
    ) -> None:
        for start, stop, step in arena.advance():
            count = step if arena.skipped is None else step - arena.skipped
            lr = self.learning_rate(group, count)
            common = [lr, group["weight_decay"], grad_scale, skip]
            self._update(arena, start, stop, common + self.hyper(group, count))
        if skip is not None:
            arena.skipped = skip if arena.skipped is None else arena.skipped + skip
        note_write_at(arena.bounds)  # in place

    def _update(self, arena: Arena, start: int, stop: int, values: list) -> None:
        p, g, state = arena.part(start, stop)
        if arena.backend.kernels is None or p.dtype.kind != "f":
            self._reference_update(arena.backend.xp, p, g.copy(), state, values)
            return
        slots = map(state.get, self.state_names)  # None: what this group lacks
        kernel = getattr(arena.backend.kernels, self.kernel_name)
        kernel(p, g, *slots, self._hyper_array(arena, values), stop - start)

    def _hyper_array(self, arena: Arena, values: list) -> Array:
        """What a kernel is told, on its device: the array of the last step if nothing changed."""
        # A gradient scaler tells numbers that only the device knows.
        unscaled = values[2] is None and values[3] is None and arena.skipped is None
        if unscaled and arena.hyper is not None and arena.hyper[0] == values:
            return arena.hyper[1]
        on_device = {} if unscaled else {i: v for i, v in enumerate(values) if is_array(v)}
        numbers = [0.0 if i in on_device else float(v or 0) for i, v in enumerate(values)]
        numbers[2] = 1.0 if values[2] is None else numbers[2]
        device = arena.backend.device_of(arena.data)
        hyper = arena.backend.asarray(np.array(numbers), device=device)
        for i, value in on_device.items():
            hyper[i] = value
        arena.hyper = (values, hyper) if unscaled else None
        return hyper

    def _reference_update(
        self, xp: Any, p: Array, g: Array, state: dict[str, Array], values: list
    ) -> None:
        """Run the reference; where the step is to be skipped, put everything back."""
        grad_scale, skip = values[2:4]
        if grad_scale is not None:
            g *= grad_scale.astype(g.dtype)
        changing = [p, *state.values()]
        before = []
        if skip is not None:
            before = [array.copy() for array in changing]
            xp.copyto(g, 0, where=skip != 0)  # what is not finite would only raise warnings
        self.reference(xp, p, g, state, values)
        for array, old in zip(changing, before, strict=False):
            xp.copyto(array, old, where=skip != 0)

    def state_dict(self) -> dict[str, Any]:
        """State by parameter name, and the groups' settings.

        Returns
        -------
        dict
            ``{"state": {name: {"step": int, "exp_avg": ndarray, …}}, "param_groups": [{settings,
            "params": [names]}]}``; the arrays are copies on the host.
        """
        state = {}
        for arenas in self._arenas:
            for arena in arenas:
                to_host = arena.backend.to_host
                for i, place in enumerate(arena.places):
                    state[place.name] = {
                        key: value if key == "step" else np.array(to_host(value))
                        for key, value in arena.state_of(i).items()
                    }
        groups = [
            {
                **{k: v for k, v in group.items() if k not in ("params", "names")},
                "params": group["names"],
            }
            for group in self.param_groups
        ]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict`. Everything is checked before anything changes.

        Raises
        ------
        ValueError
            If groups, names or shapes differ; all differences are listed.
        """
        problems = self._differences(state_dict)
        if problems:
            raise ValueError(f"{type(self).__name__}.load_state_dict: " + "; ".join(problems))
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({k: v for k, v in saved.items() if k != "params"})
        for arenas in self._arenas:
            for arena in arenas:
                device = arena.backend.device_of(arena.data)
                arena.skipped = None
                for i, place in enumerate(arena.places):
                    saved = state_dict["state"].get(place.name, {"step": 0})
                    arena.steps[i] = int(saved["step"])
                    for key, view in arena.state_of(i).items():
                        if key == "step":
                            continue
                        with on_device_of(view):
                            view[...] = arena.backend.asarray(saved[key], device=device)

    def _differences(self, state_dict: dict[str, Any]) -> list[str]:
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            return [f"{len(groups)} parameter groups saved, {len(self.param_groups)} here"]
        problems = []
        for i, (group, saved) in enumerate(zip(self.param_groups, groups, strict=True)):
            missing = [n for n in group["names"] if n not in saved["params"]]
            foreign = [n for n in saved["params"] if n not in group["names"]]
            if missing or foreign:
                problems.append(f"group {i}: not saved {missing}, not here {foreign}")
        for arenas in self._arenas:
            for arena in arenas:
                for i, place in enumerate(arena.places):
                    saved = state_dict["state"].get(place.name)
                    if saved is None:
                        continue
                    for key, view in arena.state_of(i).items():
                        if key not in saved:
                            problems.append(f"{place.name}: {key} is not saved")
                        elif key != "step" and np.shape(saved[key]) != view.shape:
                            problems.append(
                                f"{place.name}: {key} has shape {np.shape(saved[key])}, "
                                f"not {view.shape}"
                            )
        return problems

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}("]
        for i, group in enumerate(self.param_groups):
            count = sum(parameter.numel() for parameter in group["params"])
            settings = ", ".join(f"{k}={group[k]}" for k in self.defaults)
            lines.append(f"  group {i}: {len(group['params'])} parameters ({count:,}), {settings}")
        return "\n".join([*lines, ")"])
