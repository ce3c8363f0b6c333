"""Optimizers whose parameters lie in arenas: every one here but LBFGS."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from tensorlite.backend import Array, is_array
from tensorlite.backend.kernels.declarations import names_read_by
from tensorlite.optim import glances
from tensorlite.optim.arena import Arena, Moved
from tensorlite.optim.foreign import as_array, as_number, brought
from tensorlite.optim.optimizer import Optimizer
from tensorlite.optim.replay import Replay, as_numbers
from tensorlite.optim.states import ParameterState, States
from tensorlite.tape import (
    mode,
    note_write_at,
    profiles,
    recorders,
    run_on_device_of,
    span,
)
from tensorlite.tensor import Tensor

_PLAIN = (float, int)  # types of most settings
Numbers = SimpleNamespace  # of a step, by name


class _Flat:
    """The arenas of a group, and the group's parameters when they were made."""

    __slots__ = ("arenas", "group", "parameters")

    def __init__(
        self, group: dict[str, Any], parameters: list[Tensor], arenas: list[Arena]
    ) -> None:
        self.group, self.parameters, self.arenas = group, parameters, arenas

    def fits(self, group: dict[str, Any]) -> bool:
        """Whether it is still the same group of the same parameters."""
        return self.group is group and glances.same_objects(group["params"], self.parameters)


class FlatOptimizer(Optimizer):
    """Base of the optimizers on arenas.

    A subclass names its state in `state_names`, fills `hyper`, and updates a run of the arena in
    `reference`; where a compiled kernel of the name `kernel_name` is there, that runs instead.
    Floats of 16 bits are computed in float32, and their state is kept so.
    """

    state_names: tuple[str, ...] = ()
    scalar_names: tuple[str, ...] = ()  # state that is one number per parameter
    counts = True  # whether torch keeps the number of steps
    starts_with_state = False  # whether torch makes the state before the first step
    kernel_name: Any = None  # or its name

    def _set_up(self) -> None:
        self._flats: list[_Flat] = []
        self.sharing: Any = None  # see `tensorlite.distributed.Sharded`
        super()._set_up()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own; see `Optimizer.add_param_group`."""
        if self.sharing is not None:
            raise RuntimeError("add parameter groups before the optimizer is divided by Sharded()")
        super().add_param_group(param_group)
        self._flats.append(self._flat(self.param_groups[-1]))

    def _flat(self, group: dict[str, Any]) -> _Flat:
        """Arenas for a group's parameters: one per device and dtype."""
        return _Flat(group, list(group["params"]), self._housed(group["params"]))

    def _housed(self, parameters: list[Tensor]) -> list[Arena]:
        by_place: dict[Any, list[Tensor]] = {}
        for parameter in parameters:
            by_place.setdefault((parameter.device, parameter.dtype), []).append(parameter)
        return [Arena([self.label(p) for p in ps], ps) for ps in by_place.values()]

    # --- for subclasses -----------------------------------------------------------------------

    def state_of(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Names of the state that a step with these settings needs."""
        return self.state_names

    def initial(self, name: str, group: dict[str, Any]) -> float:
        """What a state is filled with before the first step."""
        return 0.0

    def counted(self, group: dict[str, Any]) -> bool:
        """Whether a step with these settings changes the state."""
        return True

    def first_scalars(self, group: dict[str, Any]) -> tuple[float, ...]:
        """The scalars before a parameter's first step."""
        return ()

    def next_scalars(self, group: dict[str, Any], step: int, *scalars: float) -> tuple[float, ...]:
        """The scalars after a step that had these."""
        return scalars

    def learning_rate(self, group: dict[str, Any], step: Any) -> Any:
        """The rate of this step: a number, or an array on the device if `step` is one."""
        return group["lr"]

    def hyper(self, group: dict[str, Any], step: Any, *scalars: float) -> dict[str, Any]:
        """The numbers of a step by the names that the kernel's ``NAMES`` and `reference` use.

        To them come "lr", "decay" (weight decay), "scale" (of gradients) and "skip" (the step, if
        not 0). `step` counts from 1; it is an array on the device where steps may have been skipped
        there.
        """
        raise NotImplementedError

    def reference(self, xp: Any, p: Array, g: Array, state: dict[str, Array], h: Numbers) -> None:
        """Update `p` and `state` in place from the gradient `g`: the formula, in array operations.

        `h` has the numbers of `hyper`. `g` is scratch space: the reference may overwrite it.
        """
        raise NotImplementedError

    # --- the step -----------------------------------------------------------------------------

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        *,
        grad_scale: Array | None = None,
        skip: Array | None = None,
    ) -> Any:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure
            Computes the loss and its gradients once more, and returns the loss.
        grad_scale, skip
            For `tensorlite.amp.GradScaler`: arrays with no axes, on the parameters' device, that
            gradients are multiplied with, and that make this step change nothing if not 0. An
            optimizer with kernels never reads them on the host.

        Returns
        -------
        What `closure` returned, or None.
        """
        recorder = mode.switches.recorder if recorders else None
        if recorder is not None and (recorder.graph or not recorder.inside):
            return self._recorded_step(recorder, closure, grad_scale, skip)
        if profiles:
            name = f"{type(self).__name__}.step"
            return span(name, self._stepped, closure, grad_scale, skip)
        return self._stepped(closure, grad_scale, skip)

    step.has_hooks = True  # type: ignore[attr-defined]  # here, not around it

    def _stepped(self, closure: Any, grad_scale: Array | None, skip: Array | None) -> Any:
        self.steps_taken += 1
        if self._before_step or self._after_step:
            return self.between_hooks(self._all_steps, closure, grad_scale=grad_scale, skip=skip)
        return self._all_steps(closure, grad_scale, skip)

    def _recorded_step(
        self, recorder: Any, closure: Any, grad_scale: Array | None, skip: Array | None
    ) -> Any:
        """Take a step that is recorded: as launches and what the host counts."""
        arenas = [arena for flat in self._present() for arena in flat.arenas]
        plain = closure is grad_scale is None and not self.scalar_names
        plain = plain and self.kernel_name is not None
        hooked = self._before_step or self._after_step
        if plain and recorder.graph:  # all of it is the device's
            plain = all(getattr(a.backend.kernels, self.kernel_name, None) for a in arenas)
        elif plain:
            plain = skip is None and not any(a.short or a.skipped is not None for a in arenas)
        if plain and not hooked:
            recorder.on_host("optimizer", self._count_step)
            recorder.mark(f"{type(self).__name__}.step")
            self.steps_taken += 1
            return self._all_steps(skip=skip)
        if recorder.graph:
            why = "hooks" if hooked else "numbers that the host computes at each step"
            recorder.refuse(f"{type(self).__name__}.step() with {why}")
            with recorder.alone():
                return self._stepped(closure, grad_scale, skip)
        loss = None if closure is None else self.loss_of(closure)
        step = functools.partial(self.step, grad_scale=grad_scale, skip=skip)
        recorder.node(f"{type(self).__name__}.step", step)
        return loss

    def _count_step(self) -> None:
        self.steps_taken += 1

    def _all_steps(
        self, closure: Any = None, grad_scale: Array | None = None, skip: Array | None = None
    ) -> Any:
        loss = None if closure is None else self.loss_of(closure)
        sharing = self.sharing
        if sharing is not None:
            if mode.switches.recorder is not None:
                raise RuntimeError(
                    "a step that processes divide cannot be captured: they exchange gradients in "
                    "it. Capture forward and backward, and call step() outside"
                )
            sharing.settle()
        if skip is not None and (self.kernel_name is None or skip.__class__ is np.ndarray):
            if float(skip) != 0:
                return loss
            skip = None
        for flat in self._present():
            group = flat.group
            for arena in [*flat.arenas]:
                try:
                    if mode.switches.devices:
                        run_on_device_of(arena.data, self._step, group, arena, grad_scale, skip)
                    else:  # one call less in every step of small models
                        self._step(group, arena, grad_scale, skip)
                except Moved:
                    for other in self._rehoused(flat, arena):
                        run_on_device_of(other.data, self._step, group, other, grad_scale, skip)
        if sharing is not None:
            sharing.spread()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; see `Optimizer.zero_grad`."""
        if self.sharing is not None:
            self.sharing.forget()
        if not set_to_none:
            super().zero_grad(False)
            return
        for group in self.param_groups:
            glances.forget_gradients(group["params"])

    def gather(self) -> None:
        """Follow parameters that moved to another device or dtype; the next step would, too."""
        for flat in self._present():
            for arena in tuple(flat.arenas):
                try:
                    arena.gather()
                except Moved:
                    self._rehoused(flat, arena)

    def _present(self) -> list[_Flat]:
        """The arenas of the groups as they are now, made anew where users have changed them."""
        flats, groups = self._flats, self.param_groups
        if len(flats) != len(groups) or not all(map(_Flat.fits, flats, groups)):
            kept = [(key, dict(value)) for key, value in self.state.items()]
            self._flats = [self._flat(group) for group in groups]
            self.state = dict(kept)
        return self._flats

    def _rehoused(self, flat: _Flat, arena: Arena) -> list[Arena]:
        """Put other arenas in the place of one whose parameters moved; return them."""
        if self.sharing is not None:
            raise RuntimeError("parameters moved after Sharded(): move the model before")
        arena.settle()
        parameters = [place.parameter for place in arena.places]
        kept = [dict(ParameterState(self, flat.group, arena, i)) for i in range(len(parameters))]
        arenas = self._housed(parameters)
        flat.arenas[:] = [a for a in flat.arenas if a is not arena] + arenas
        states = self.state
        for parameter, state in zip(parameters, kept, strict=True):
            states[parameter].update(state)
        return arenas

    def _step(
        self, group: dict, arena: Arena, grad_scale: Array | None, skip: Array | None
    ) -> None:
        recorder: Any = mode.switches.recorder if recorders else None
        on_graph = recorder is not None and recorder.graph and recorder.reason is None
        recorded = on_graph or (recorder is not None and not recorder.inside)
        ordinary = grad_scale is None and skip is None and not recorded
        if arena.launch is not None and ordinary and self._again(group, arena):
            return
        names = self.state_of(group)
        for name in names:
            if name not in arena.state:
                arena.need(name, self.initial(name, group))
        if grad_scale is not None:
            grad_scale = brought(grad_scale, arena.data)
        if skip is not None:
            skip = brought(skip, arena.data)
        scaled = grad_scale is not None or skip is not None or arena.skipped is not None
        first = self.first_scalars(group) if self.scalar_names else ()
        runs: list[Any] = []
        for start, stop, history in arena.advance(self.counted(group), first):
            step, scalars = (history[0], history[1:]) if first else (history, ())
            where = None  # the kernel reads the count
            if on_graph and arena.skipped is not None:
                step, where = recorder.number(step)
            count = step if arena.skipped is None else step - arena.skipped
            values = self._values(group, count, grad_scale, skip, scalars)
            if recorded:  # an array of its own, which replays write to
                arena.hyper = None
            for own_start, own_stop in arena.own_parts(start, stop):
                self._update(arena, own_start, own_stop, names, values, scaled)
            if recorded:
                assert arena.hyper is not None  # made just now, in `_update`
                runs.append((start, stop, recorder.live(arena.hyper[1]), where))
                arena.hyper = None
            if first:
                self._note_scalars(arena, start, stop, self.next_scalars(group, step, *scalars))
        if skip is not None and arena.skipped is not None:
            arena.skipped += skip  # in place: a recording reads it where it is
        elif skip is not None:
            arena.skipped = skip
        if recorded:
            replay = Replay(self, group, arena, names, runs)
            recorder.guards.append(replay.fits)
            recorder.on_host("optimizer", replay)
        note_write_at(arena.bounds)  # in place

    def _again(self, group: dict[str, Any], arena: Arena) -> bool:
        """Take an ordinary step by the launch of the last one; False if this one is not."""
        names, kernels, launch = arena.launch or ()
        if (
            self.state_of(group) != names
            or arena.backend.kernels is not kernels
            or arena.skipped is not None
            or not arena.is_whole()
        ):
            return False
        step = arena.steps[0]
        if self.counted(group):
            step += 1
            arena.steps = [step] * len(arena.steps)
        values, last = self._values(group, step), arena.hyper
        if last is not None and last[0] == values:
            hyper = last[1]  # nothing changed since the last step
        else:
            hyper = self._hyper_array(arena, values, False)
        launch(hyper, arena.places[-1].stop)
        note_write_at(arena.bounds)
        return True

    def _values(
        self,
        group: dict[str, Any],
        count: Any,
        scale: Any = None,
        skip: Any = None,
        scalars: tuple[float, ...] = (),
    ) -> dict[str, Any]:
        """The numbers of a step by name: see `hyper`."""
        lr = self.learning_rate(group, count)
        if type(lr) not in _PLAIN and not is_array(lr):
            lr = as_number(lr)
        decay = group.get("weight_decay", 0.0)
        if type(decay) not in _PLAIN:
            decay = as_number(decay)
        if group.get("maximize"):
            scale = -1.0 if scale is None else -scale
        hyper = self.hyper(group, count, *scalars) if scalars else self.hyper(group, count)
        return {"lr": lr, "decay": decay, "scale": scale, "skip": skip, **hyper}

    def _note_scalars(
        self, arena: Arena, start: int, stop: int, scalars: tuple[float, ...]
    ) -> None:
        """Keep the scalars after the step of a run."""
        for i, place in enumerate(arena.places):
            if start <= place.start and place.stop <= stop and place.parameter.grad is not None:
                arena.scalars[i] = scalars

    def _update(
        self,
        arena: Arena,
        start: int,
        stop: int,
        names: tuple[str, ...],
        values: dict[str, Any],
        scaled: bool,
    ) -> None:
        p, g, state = arena.part(start, stop, names)
        kernel = self.kernel_name and getattr(arena.backend.kernels, self.kernel_name, None)
        if arena.short:
            p, g = (arena.backend.cast(x, np.dtype(np.float32)) for x in (p, g))
        if kernel is None:
            g = g if arena.short else g.copy()
            self._reference_update(arena.backend.xp, p, g, state, values)
        else:
            arrays = (p, g, *map(state.get, self.state_names))  # None: what this group lacks
            kernel(*arrays, self._hyper_array(arena, values, scaled), stop - start)
            whole = arena.own is None and stop - start == arena.places[-1].stop
            if whole and not arena.short and not self.scalar_names:
                again = functools.partial(kernel, *arrays)
                arena.launch = (names, arena.backend.kernels, again)
        if arena.short:
            arena.data[start:stop] = arena.backend.cast(p, arena.dtype)

    def names_of_numbers(self, arena: Arena) -> tuple[str, ...]:
        """The names of what the kernel reads, in its order: its declaration says them."""
        return names_read_by(getattr(arena.backend.kernels, self.kernel_name))

    def _hyper_array(self, arena: Arena, values: dict[str, Any], scaled: bool) -> Array:
        """The numbers of `_values` as an array on the arena's device, in the kernel's order.

        If `scaled`, some come from a gradient scaler, and only the device knows their values.
        """
        last = arena.hyper
        if not scaled and last is not None and last[0] == values:
            return last[1]
        names = self.names_of_numbers(arena)
        on_device = {name for name in names if is_array(values[name])} if scaled else set()
        known = {**values, **dict.fromkeys(on_device, 0.0)}
        hyper = arena.backend.asarray(np.array(as_numbers(names, known)), device=arena.device)
        for name in on_device:
            hyper[names.index(name)] = values[name]
        recorder = mode.switches.recorder
        graph = recorder is not None and recorder.graph
        arena.hyper = None if scaled and not graph else (values, hyper)
        return hyper

    def _reference_update(
        self, xp: Any, p: Array, g: Array, state: dict[str, Array], values: dict[str, Any]
    ) -> None:
        """Run the reference; where the step is to be skipped, put everything back."""
        grad_scale, skip = values["scale"], values["skip"]
        if grad_scale is not None:
            g *= grad_scale.astype(g.dtype) if is_array(grad_scale) else grad_scale
        changing = [p, *state.values()]
        before = []
        if skip is not None:
            before = [array.copy() for array in changing]
            xp.copyto(g, 0, where=skip != 0)  # what is not finite would only raise warnings
        self.reference(xp, p, g, state, Numbers(**values))
        for array, old in zip(changing, before, strict=False):
            xp.copyto(array, old, where=skip != 0)

    # --- state --------------------------------------------------------------------------------

    @property
    def state(self) -> States:
        """What is kept about each parameter: dictionaries of Tensors in the arenas' memory."""
        return States(self)

    @state.setter
    def state(self, values: Any) -> None:
        for flat in self._flats:
            for arena in flat.arenas:
                arena.skipped = None
                arena.steps = [0] * len(arena.places)
                arena.scalars = [()] * len(arena.places)
                arena.extra.clear()
                for name, array in arena.state.items():
                    array[...] = self.initial(name, flat.group)
        self._foreign: dict[Any, Any] = {}
        states = States(self)
        for key, value in values.items():
            states[key] = value

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here; see `Optimizer.state_dict`.

        Where the state is divided among processes, all must call it; each gets all of it.
        """
        if self.sharing is None:
            return super().state_dict()
        with self.sharing.whole(read=True):
            return super().state_dict()

    def _take(self, state: dict[Any, Any]) -> None:
        if self.sharing is None:
            self._present()
            self.state = state
            return
        with self.sharing.whole(read=False):
            self.state = state

    def _not_copied(self) -> set[str]:
        return super()._not_copied() | {"_flats", "_foreign", "sharing"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({k: v for k, v in state.items() if k != "state"})
        self._set_up()
        self._flats = [self._flat(group) for group in self.param_groups]
        self.state = dict(state["state"])

    def _unfit(
        self, parameter: Tensor, saved: dict[str, Any], settings: dict[str, Any]
    ) -> list[str]:
        problems = []
        label = self.label(parameter)
        if saved and self.counts:
            needed = ("step", *self.scalar_names, *self.state_of(settings))
            problems += [f"{label}: {n} is not saved" for n in needed if saved.get(n) is None]
        for name in self.state_names:
            value = saved.get(name)
            if value is not None and np.shape(as_array(value)) != parameter.shape:
                shape = np.shape(as_array(value))
                problems.append(f"{label}: {name} has shape {shape}, not {tuple(parameter.shape)}")
        return problems
