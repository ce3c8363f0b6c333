"""`autocast`: the dtype that each operation computes in."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from tensorlite.backend import Device, parse_device
from tensorlite.backend.driver import is_available
from tensorlite.ops import cast
from tensorlite.ops.sixteen_bits import instead_of
from tensorlite.optim.short import ShortCopies
from tensorlite.plan import is_float
from tensorlite.primitive import Primitive
from tensorlite.short_copies import keep_short, short_copy
from tensorlite.tape import mode
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
        self.device = device_type_of(device_type)
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


def device_type_of(name: str | Device) -> str:
    """The type of device that a name is of, "cuda" or "cpu"."""
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
    return owner is not None and owner.device == device_type_of(device_type)


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
    found: Any = _half(device_type_of(device_type), None, True)
    return found
