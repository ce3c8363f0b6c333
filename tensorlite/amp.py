"""Mixed precision: `autocast` chooses a dtype for each operation, `GradScaler` keeps float16 alive.

bfloat16 has float32's range and needs no scaling; float16 gradients underflow without it.
Micikevicius et al., "Mixed precision training", ICLR 2018.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from tensorlite.backend import Array, Device, array_backend, parse_device
from tensorlite.backend.driver import is_available
from tensorlite.ops import cast
from tensorlite.ops.sixteen_bits import instead_of
from tensorlite.optim import Optimizer
from tensorlite.optim.arena import divided, flat_gradients
from tensorlite.optim.flat import FlatOptimizer
from tensorlite.optim.foreign import as_number, brought
from tensorlite.optim.short import ShortCopies
from tensorlite.plan import is_float
from tensorlite.primitive import Primitive
from tensorlite.short_copies import keep_short, short_copy
from tensorlite.tape import mode, on_device_of
from tensorlite.tensor import Tensor, tensor_of
from tensorlite.unknown import answers_for

#: Primitives that autocast runs in the lower precision: those that are matrix products inside.
LOWER = frozenset(
    {
        *("matmul", "linear", "linear_relu", "convolution", "convolution_transpose", "attention"),
        *("lstm", "gru", "rnn"),
    }
)

#: Primitives that autocast runs in float32: exponentials, logarithms, powers, sums, statistics.
FLOAT32 = frozenset(
    {
        *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "pow", "rsqrt", "reciprocal"),
        *("sinh", "cosh", "tan", "acos", "asin", "softplus", "logaddexp", "erf", "erfc"),
        *("sum", "mean", "prod", "var", "norm", "logsumexp", "cumsum", "cumprod"),
        *("softmax", "log_softmax", "cross_entropy", "layer_norm", "rms_norm"),
    }
)


class autocast:
    """Inside this block, run matrix products in `dtype` and delicate operations in float32.

    Operations named in `LOWER` take float32 inputs as `dtype`; those in `FLOAT32` take half
    precision as float32; all others promote their inputs as always. Parameters stay as they are,
    and their gradients arrive in their own dtype. A parameter is cast once a block. It is a
    decorator, too.

    Parameters
    ----------
    device_type
        "cuda" or "cpu": where Tensors are cast. Without a CUDA device, "cuda" warns and does
        nothing.
    dtype
        float16 or bfloat16 (which needs the package ml_dtypes); by default float16 on CUDA and
        bfloat16 on the CPU. Another dtype warns, and nothing is cast.
    enabled
        False makes the block do nothing, and ends an outer one inside it.
    cache_enabled
        False casts a parameter at each use.

    Raises
    ------
    ValueError
        If `device_type` is a dtype or no device.
    RuntimeError
        If bfloat16 is asked for without ml_dtypes.

    Examples
    --------
    >>> with tl.autocast("cuda", dtype=tl.bfloat16):
    ...     loss = F.cross_entropy(model(x), y)
    >>> loss.backward()
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        self.device = _device_type(device_type)
        self.fast_dtype = _half(self.device, dtype, enabled)
        if enabled and self.device == "cuda" and not is_available():
            warnings.warn("autocast: there is no CUDA device, nothing is cast", stacklevel=2)
            enabled = False
        self.enabled = enabled and self.fast_dtype is not None
        self.cache_enabled = cache_enabled is None or cache_enabled
        self._start_anew()
        self.previous: list[dict[str, Any]] = []

    def __enter__(self) -> autocast:
        policy = self._cast_inputs if self.enabled else None
        self.previous.append(mode.switches.set(autocast=policy))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        mode.switches.set(**self.previous.pop())
        if not self.previous:
            self._start_anew()

    def __copy__(self) -> autocast:
        """The same with no parameter cast yet: what is cast belongs to one graph."""
        fresh = object.__new__(type(self))
        fresh.__dict__.update(self.__dict__)
        fresh._start_anew()
        return fresh

    def _start_anew(self) -> None:
        """Forget the parameters that were cast."""
        self.leaves: dict[int, tuple[Tensor, Tensor, Any]] = {}
        self.copies = ShortCopies(self.fast_dtype)

    def __call__(self, function: Callable) -> Callable:
        """Decorate `function`."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return wrapped

    def _cast_inputs(self, primitive: Primitive, args: tuple, static: dict) -> tuple:
        """What to call in the place of a primitive, and of what."""
        if primitive.name in LOWER:
            args = tuple([self._to(arg, self.fast_dtype) for arg in args])
        elif primitive.name in FLOAT32:
            found = instead_of(primitive, args, static, self.fast_dtype)
            if found is not None:
                return found
            args = tuple([self._to(arg, np.dtype(np.float32)) for arg in args])
        return primitive.call, args, static

    def _to(self, arg: Any, dtype: Any) -> Any:
        """Cast a Tensor between float32 and half precision; leave everything else alone."""
        if not isinstance(arg, Tensor) or arg.dtype == dtype or arg.dtype.itemsize > 4:
            return arg
        on_host = arg.array.__class__ is np.ndarray
        if not is_float(arg.array) or on_host != (self.device == "cpu"):
            return arg
        if not (arg.is_leaf and arg.requires_grad and self.cache_enabled and mode.switches.grad):
            return self._short(arg, dtype)
        known, recorder = self.leaves.get(id(arg)), mode.switches.recorder
        if known is not None and known[2] is not recorder:
            known = None  # what was cast outside of a recording, a replay would not cast again
            self._start_anew()
        if known is None or known[1].dtype != dtype:
            known = self.leaves[id(arg)] = (arg, self._short_leaf(arg, dtype), recorder)
        return known[1]

    def _short(self, arg: Tensor, dtype: Any) -> Tensor:
        """A Tensor that is no parameter in another dtype. Of input data nothing is kept."""
        if self.device == "cpu" or dtype != self.fast_dtype:
            return cast(arg, dtype)
        found = short_copy(arg, dtype)
        if found is None:
            found = cast(arg, dtype)
            if arg.node is not None and self.cache_enabled:
                keep_short(arg, found)
        return found

    def _short_leaf(self, leaf: Tensor, dtype: Any) -> Tensor:
        """A leaf in another dtype.

        On CUDA it is no operation on the tape: gradients flow to the leaf itself, so that a rule
        can put them into its arena, unrounded.
        """
        if self.device == "cpu" or dtype != self.fast_dtype:
            return cast(leaf, dtype)
        source: Any = leaf  # in the place of a node
        return tensor_of(self.copies.of(leaf), source)


def _device_type(name: str | Device) -> str:
    try:
        return parse_device(name).type
    except (ValueError, TypeError, RuntimeError):
        raise ValueError(
            f"autocast({name!r}): the first argument is the type of the device, 'cuda' or 'cpu'; "
            "the dtype follows: autocast('cuda', dtype=tl.float16)"
        ) from None


def _half(device: str, dtype: Any, wanted: bool) -> np.dtype | None:
    """The short dtype to compute in; None, with a warning, for another one."""
    if dtype is None:
        dtype = "float16" if device == "cuda" else "bfloat16"
    if str(dtype) == "bfloat16":
        try:
            from ml_dtypes import bfloat16
        except ImportError:
            if not wanted:
                return None
            raise RuntimeError(
                'bfloat16 needs the package ml_dtypes: pip install "tensorlite[bf16]"'
            ) from None
        return np.dtype(bfloat16)
    if np.dtype(dtype) == np.float16:
        return np.dtype(np.float16)
    if wanted:
        message = f"autocast to {np.dtype(dtype)}: only float16 and bfloat16, nothing is cast"
        warnings.warn(message, stacklevel=3)
    return None


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether operations on a type of device are being cast.

    Parameters
    ----------
    device_type : {"cuda", "cpu"}

    Raises
    ------
    ValueError
        If there is no such type.

    Examples
    --------
    >>> tl.amp.is_autocast_enabled("cpu")
    False
    """
    policy = mode.switches.autocast
    owner: Any = getattr(policy, "__self__", None)
    return owner is not None and owner.device == _device_type(device_type)


def get_autocast_dtype(device_type: str) -> np.dtype:
    """What `autocast` casts to on a type of device.

    Parameters
    ----------
    device_type : {"cuda", "cpu"}

    Raises
    ------
    ValueError
        If there is no such type.
    RuntimeError
        If that dtype needs ml_dtypes, and it is not installed.

    Examples
    --------
    >>> str(tl.amp.get_autocast_dtype("cpu"))
    'bfloat16'
    """
    if is_autocast_enabled(device_type):
        policy: Any = mode.switches.autocast
        return policy.__self__.fast_dtype
    found: Any = _half(_device_type(device_type), None, True)
    return found


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
        self.device = _device_type(device)
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


__getattr__ = answers_for(__name__)
