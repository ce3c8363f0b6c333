"""Mixed precision: `autocast` chooses a dtype for each operation, `GradScaler` keeps float16 alive.

bfloat16 has float32's range and needs no scaling; float16 gradients underflow without it.
Micikevicius et al., "Mixed precision training", ICLR 2018.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.call import as_arrays
from tensorlite.ops import cast
from tensorlite.optim import Optimizer
from tensorlite.optim.arena import flat_gradients
from tensorlite.plan import is_float
from tensorlite.primitive import Primitive
from tensorlite.tape import mode, on_device_of
from tensorlite.tensor import Tensor, tensor_of

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
        *("softmax", "log_softmax", "cross_entropy", "layer_norm", "rms_norm", "batch_norm"),
    }
)


class autocast:
    """Inside this block, run matrix products in `dtype` and delicate operations in float32.

    Operations named in `LOWER` take float32 inputs as `dtype`; those in `FLOAT32` take half
    precision as float32; all others promote their inputs as always. Parameters stay as they are,
    and their gradients arrive in their own dtype. A parameter is cast once a block.

    Parameters
    ----------
    dtype
        ``"float16"`` or ``"bfloat16"`` (which needs the package ml_dtypes).
    enabled
        False makes the block do nothing.

    Examples
    --------
    >>> with tl.autocast("bfloat16"):
    ...     loss = F.cross_entropy(model(x), y)
    >>> loss.backward()
    """

    def __init__(self, dtype: Any, *, enabled: bool = True) -> None:
        self.dtype = _half(dtype)
        self.enabled = enabled
        self.leaves: dict[int, tuple[Tensor, Tensor]] = {}
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
        self.leaves.clear()

    def _cast_inputs(self, primitive: Primitive, args: tuple) -> tuple:
        if primitive.name in LOWER:
            return tuple([self._to(arg, self.dtype) for arg in args])
        if primitive.name in FLOAT32:
            return tuple([self._to(arg, np.dtype(np.float32)) for arg in args])
        return args

    def _to(self, arg: Any, dtype: np.dtype) -> Any:
        """Cast a Tensor between float32 and half precision; leave everything else alone."""
        if not isinstance(arg, Tensor) or arg.dtype == dtype or arg.dtype.itemsize > 4:
            return arg
        if not is_float(arg.array):
            return arg
        if not (arg.is_leaf and arg.requires_grad):
            return cast(arg, dtype)
        known = self.leaves.get(id(arg))
        if known is None:
            known = self.leaves[id(arg)] = (arg, cast(arg, dtype))
        return known[1]


def _half(dtype: Any) -> np.dtype:
    if str(dtype) == "bfloat16":
        try:
            from ml_dtypes import bfloat16
        except ImportError:
            raise RuntimeError(
                'bfloat16 needs the package ml_dtypes: pip install "tensorlite[bf16]"'
            ) from None
        return np.dtype(bfloat16)
    found = np.dtype(dtype)
    if found.itemsize != 2 or found.kind not in "fV":
        raise ValueError(f"autocast to {found}: choose 'float16' or 'bfloat16'")
    return found


class GradScaler:
    """Scale the loss up so that float16 gradients do not vanish, and undo it in the update.

    A step whose gradients hold NaN or infinity changes nothing, and the scale falls; after
    `growth_interval` good steps it rises. All of it happens on the device: nothing waits.

    Parameters
    ----------
    init_scale
        The first scale.
    growth_factor, backoff_factor
        What the scale is multiplied with when it rises and falls.
    growth_interval
        Good steps in a row before it rises.

    Examples
    --------
    >>> scaler = tl.amp.GradScaler()
    >>> for x, y in loader:
    ...     with tl.autocast("float16"):
    ...         loss = F.cross_entropy(model(x), y)
    ...     optimizer.zero_grad()
    ...     scaler.scale(loss).backward()
    ...     scaler.step(optimizer)
    ...     scaler.update()
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
    ) -> None:
        if not (init_scale > 0 and growth_factor > 1 and 0 < backoff_factor < 1):
            raise ValueError(
                "GradScaler needs init_scale > 0, growth_factor > 1 and backoff_factor in (0, 1), "
                f"not {init_scale}, {growth_factor}, {backoff_factor}"
            )
        self.growth_factor, self.backoff_factor = growth_factor, backoff_factor
        self.growth_interval = growth_interval
        self._start = (init_scale, 0.0)
        self._scale: Array | None = None  # float32 with no axes, like the next two
        self._good_steps: Array | None = None
        self._found_inf: Array | None = None
        self._unscaled: set[int] = set()

    def _place(self, like: Array) -> None:
        """Put the state on the device of the first loss."""
        if self._scale is None:
            backend = array_backend((like,))
            device = backend.device_of(like)
            scale, good_steps = self._start
            self._scale = backend.asarray(np.array(scale, np.float32), device=device)
            self._good_steps = backend.asarray(np.array(good_steps, np.float32), device=device)
            self._found_inf = backend.asarray(np.array(0.0, np.float32), device=device)

    def scale(self, loss: Tensor) -> Tensor:
        """`loss` times the scale: call backward on it."""
        self._place(loss.array)
        return loss * tensor_of(self._scale)

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale now, to clip or read them before `step`."""
        self._check(optimizer)
        with on_device_of(self._scale):
            self._look(optimizer)
            for grad in self._gradients(optimizer):
                grad *= (1.0 / self._scale).astype(grad.dtype)
        self._unscaled.add(id(optimizer))

    def step(self, optimizer: Optimizer) -> None:
        """Update with unscaled gradients; change nothing if some are not finite."""
        self._check(optimizer)
        with on_device_of(self._scale):
            if id(optimizer) in self._unscaled:
                inverse = array_backend((self._scale,)).xp.ones_like(self._scale)
            else:
                self._look(optimizer)
                inverse = 1.0 / self._scale
            optimizer.step(grad_scale=as_arrays(inverse), skip=self._found_inf.copy())

    def update(self) -> None:
        """Adapt the scale; call it once after all optimizers have stepped."""
        if self._scale is None:
            raise RuntimeError("GradScaler.update() before scale(loss): there is nothing to adapt")
        with on_device_of(self._scale):
            self._adapt(array_backend((self._scale,)).xp)
        self._unscaled.clear()

    def _adapt(self, xp: Any) -> None:
        bad = self._found_inf != 0
        grown = self._good_steps + 1 >= self.growth_interval
        factor = xp.where(bad, self.backoff_factor, xp.where(grown, self.growth_factor, 1.0))
        self._scale *= factor.astype(np.float32)
        self._good_steps = as_arrays(
            xp.where(bad | grown, 0.0, self._good_steps + 1).astype(np.float32)
        )
        self._found_inf[...] = 0.0

    def _check(self, optimizer: Optimizer) -> None:
        if self._scale is None:
            raise RuntimeError("call scaler.scale(loss).backward() before step() or unscale_()")
        if id(optimizer) in self._unscaled:
            return
        if not self._gradients(optimizer):
            raise RuntimeError("GradScaler: the optimizer's parameters have no gradients")

    def _gradients(self, optimizer: Optimizer) -> list[Array]:
        return flat_gradients(p for group in optimizer.param_groups for p in group["params"])

    def _look(self, optimizer: Optimizer) -> None:
        """Note on the device whether some gradient is not finite."""
        xp = array_backend((self._scale,)).xp
        for grad in self._gradients(optimizer):
            bad = ~xp.isfinite(grad).all()
            self._found_inf[...] = xp.maximum(self._found_inf, bad.astype(np.float32))

    def get_scale(self) -> float:
        """The scale as a number (waits for the device)."""
        return float(self._start[0] if self._scale is None else self._scale)

    def state_dict(self) -> dict[str, float]:
        """What `load_state_dict` needs to go on from here."""
        good_steps = self._start[1] if self._good_steps is None else self._good_steps
        return {"scale": self.get_scale(), "good_steps": float(good_steps)}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from a `state_dict`."""
        self._start = (float(state["scale"]), float(state["good_steps"]))
        self._scale = self._good_steps = self._found_inf = None
