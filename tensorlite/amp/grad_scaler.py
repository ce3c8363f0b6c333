"""`GradScaler`: the loss scaled up, so that float16 gradients do not vanish."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from tensorlite.amp.autocast_mode import device_type_of
from tensorlite.backend import Array, array_backend
from tensorlite.backend.driver import is_available
from tensorlite.optim import Optimizer
from tensorlite.optim.arena import divided, flat_gradients
from tensorlite.optim.flat import FlatOptimizer
from tensorlite.optim.foreign import as_number, brought
from tensorlite.tape import mode, on_device_of
from tensorlite.tensor import Tensor, tensor_of


class _Unscaled:
    """What a scaler knows about an optimizer's gradients between two updates."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer  # kept, so that its id is nobody else's
        self.found_inf: Any = None
        self.unscaled = self.stepped = False


class GradScaler:
    """Scale the loss up so that float16 gradients do not vanish, and undo it before the update.

    A step whose gradients hold NaN or infinity changes nothing, and the scale falls; after
    `growth_interval` good steps it rises, as long as it stays finite. With optimizers of this
    library all of it happens on the device: nothing waits.

    Parameters
    ----------
    device
        Where it works; without a CUDA device, "cuda" warns and disables it.
    init_scale
        The first scale.
    growth_factor, backoff_factor
        What the scale is multiplied with when it rises and falls.
    growth_interval
        Good steps in a row before it rises.
    enabled
        False makes `scale` return what it is given, and `step` the optimizer's own step.

    Raises
    ------
    ValueError
        If a factor or the interval is out of range, or there is no such device type.

    Examples
    --------
    >>> scaler = tl.amp.GradScaler("cuda")
    >>> for x, y in loader:
    ...     with tl.autocast("cuda", dtype=tl.float16):
    ...         loss = F.cross_entropy(model(x), y)
    ...     optimizer.zero_grad()
    ...     scaler.scale(loss).backward()
    ...     scaler.step(optimizer)
    ...     scaler.update()

    >>> scaler = tl.amp.GradScaler("cpu")
    >>> optimizer.zero_grad()
    >>> scaler.scale(F.cross_entropy(model(tl.rand(8, 4)), y)).backward()
    >>> scaler.unscale_(optimizer)
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> scaler.is_enabled(), scaler.get_scale(), scaler.get_growth_interval()
    (True, 65536.0, 2000)
    >>> scaler.set_growth_factor(scaler.get_growth_factor())
    >>> scaler.set_backoff_factor(scaler.get_backoff_factor())
    >>> scaler.set_growth_interval(1000)
    >>> scaler.load_state_dict(scaler.state_dict())
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self.device = device_type_of(device)
        if enabled and self.device == "cuda" and not is_available():
            warnings.warn("GradScaler: there is no CUDA device, it is disabled", stacklevel=2)
            enabled = False
        self._enabled = enabled
        self._start = (float(init_scale), 0)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._scale: Any = None  # float32 with no axes, like the next
        self._good_steps: Any = None
        self._seen: dict[int, _Unscaled] = {}
        if enabled and not (init_scale > 0 and growth_factor > 1 and 0 < backoff_factor < 1):
            raise ValueError(
                "GradScaler needs init_scale > 0, growth_factor > 1 and backoff_factor in (0, 1), "
                f"not {init_scale}, {growth_factor}, {backoff_factor}"
            )

    def _place(self, like: Array) -> None:
        """Put the state on the device of the first loss."""
        if self._scale is None:
            backend = array_backend((like,))
            device = backend.device_of(like)
            scale, good_steps = self._start
            self._scale = backend.asarray(np.array(scale, np.float32), device=device)
            self._good_steps = backend.asarray(np.array(good_steps, np.float32), device=device)

    def scale(self, outputs: Any) -> Any:
        """A loss times the scale: call backward on it. Lists and tuples of them are scaled, too.

        Parameters
        ----------
        outputs : Tensor, of any shape, or list or tuple of them

        Raises
        ------
        ValueError
            If it is something else.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            self._place(outputs.array)
            recorder, scale = mode.switches.recorder, self._scale
            if recorder is not None:
                settings = self._settings()
                fits = lambda: self._scale is scale and self._settings() == settings  # noqa: E731
                recorder.guards.append(fits)
            return outputs * tensor_of(brought(scale, outputs.array))
        if isinstance(outputs, (list, tuple)):
            return type(outputs)([self.scale(output) for output in outputs])
        raise ValueError(f"scale() takes Tensors, and lists of them, not {type(outputs).__name__}")

    def _settings(self) -> tuple[float, ...]:
        return self._growth_factor, self._backoff_factor, self._growth_interval

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale now, to clip or read them before `step`.

        Parameters
        ----------
        optimizer : Optimizer

        Raises
        ------
        RuntimeError
            If it was called before since the last `update`, or after `step`.
        """
        if not self._enabled:
            return
        recorder = mode.switches.recorder
        if recorder is not None and not recorder.inside:
            recorder.node("GradScaler.unscale_", self.unscale_, optimizer)
            return
        self._check_scale("unscale_")
        seen = self._seen.setdefault(id(optimizer), _Unscaled(optimizer))
        if seen.unscaled:
            raise RuntimeError("unscale_() was called on this optimizer since the last update()")
        if seen.stepped:
            raise RuntimeError("unscale_() is called after step(): call update() first")
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        shared = divided(parameters)
        grads = flat_gradients(parameters)
        if not grads:
            raise RuntimeError("GradScaler: the optimizer's parameters have no gradients")
        for sharing, arenas in shared.items():
            if not sharing.has_all(parameters):
                raise RuntimeError("GradScaler: Sharded() divides other parameters than these")
            grads = sharing.own_gradients(arenas)
        if any(grad.dtype == np.float16 for grad in grads):
            raise ValueError(
                "GradScaler: a gradient is float16, and would vanish again when it is unscaled; "
                "keep parameters in float32 and compute inside tl.autocast"
            )
        bad = []
        for grad in grads:
            xp = array_backend((grad,)).xp
            with on_device_of(grad), np.errstate(all="ignore"):
                bad.append(xp.asarray(~xp.isfinite(grad).all()).astype(np.float32))
                grad /= brought(self._scale, grad).astype(grad.dtype)  # 1 / scale may vanish
        with on_device_of(self._scale):
            backend = array_backend((self._scale,))
            flags = [brought(flag, self._scale).reshape(1) for flag in bad]
            flag = backend.xp.concatenate(flags).max()
            for sharing in shared:  # one decision for all processes
                flag = sharing.greatest(flag)
            seen.found_inf = backend.asarray(flag)
        seen.unscaled = True

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Update with unscaled gradients; change nothing if some are not finite.

        Returns
        -------
        What the optimizer's step returns, or None if it was left out.

        Raises
        ------
        RuntimeError
            If it was called before since the last `update`, or with a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        recorder = mode.switches.recorder
        if recorder is not None and not recorder.inside:
            step = functools.partial(self.step, optimizer, *args, **kwargs)
            return recorder.node("GradScaler.step", step)
        if "closure" in kwargs or args:
            raise RuntimeError("a GradScaler cannot step with a closure: its loss is not scaled")
        self._check_scale("step")
        seen = self._seen.setdefault(id(optimizer), _Unscaled(optimizer))
        if seen.stepped:
            raise RuntimeError("step() was called on this optimizer since the last update()")
        if not seen.unscaled:
            self.unscale_(optimizer)
        seen.stepped = True
        if type(optimizer).step is FlatOptimizer.step:
            with on_device_of(self._scale):
                skip = array_backend((self._scale,)).asarray(seen.found_inf.astype(np.float64))
            return optimizer.step(skip=skip)  # type: ignore[call-arg]  # a FlatOptimizer takes it
        return optimizer.step(**kwargs) if float(seen.found_inf) == 0 else None

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the scale; call it once after all optimizers have stepped.

        Parameters
        ----------
        new_scale
            The scale from now on (a Tensor of shape () or a number), instead of an adapted one.
        """
        if not self._enabled:
            return
        recorder = mode.switches.recorder
        if recorder is not None and not recorder.inside:
            recorder.node("GradScaler.update", self.update, new_scale)
            return
        self._check_scale("update")
        with on_device_of(self._scale):
            if new_scale is not None:
                self._scale[...] = float(as_number(new_scale))
            else:
                self._adapt(array_backend((self._scale,)))
        self._seen.clear()

    def _adapt(self, backend: Any) -> None:
        flags = [seen.found_inf for seen in self._seen.values() if seen.found_inf is not None]
        if not flags:
            raise RuntimeError("GradScaler.update() before step(optimizer): nothing to adapt to")
        xp, scale = backend.xp, self._scale
        bad = xp.concatenate([flag.reshape(1) for flag in flags]).max() != 0
        full = self._good_steps + 1 >= self._growth_interval
        with np.errstate(over="ignore"):
            grown = scale * np.float32(self._growth_factor)
        grown = xp.where(full & xp.isfinite(grown), grown, scale)
        # In place: a recording reads them where they are.
        self._scale[...] = xp.where(bad, scale * np.float32(self._backoff_factor), grown)
        self._good_steps[...] = xp.where(bad | full, 0.0, self._good_steps + 1)

    def _check_scale(self, what: str) -> None:
        if self._scale is None:
            raise RuntimeError(
                f"GradScaler.{what}(): call scaler.scale(loss).backward() first: there is nothing "
                "to unscale, and nothing to adapt"
            )

    # --- what is set --------------------------------------------------------------------------

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale as a number (waits for the device); 1 if disabled."""
        if not self._enabled:
            return 1.0
        return float(self._start[0] if self._scale is None else self._scale)

    def get_growth_factor(self) -> float:
        """What the scale is multiplied with when it rises."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Change the growth factor.

        Parameters
        ----------
        new_factor : float
        """
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied with when it falls."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Change the backoff factor.

        Parameters
        ----------
        new_factor : float
        """
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Good steps in a row before the scale rises."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Change the growth interval.

        Parameters
        ----------
        new_interval : int
        """
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here; empty if disabled."""
        if not self._enabled:
            return {}
        good_steps = self._start[1] if self._good_steps is None else self._good_steps
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": int(good_steps),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`.

        Raises
        ------
        RuntimeError
            If `state` is of a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("this state dictionary is of a disabled GradScaler: it is empty")
        self._start = (float(state_dict["scale"]), int(state_dict["_growth_tracker"]))
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._scale = self._good_steps = None
