"""What changes a whole module: device, dtype, mode, gradients; and the hooks it is given."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Self

from tensorlite.backend import Device
from tensorlite.backend.dtypes import as_dtype, bfloat16
from tensorlite.nn import registry, state
from tensorlite.nn.hooks import Hooks, RemovableHandle
from tensorlite.nn.registry import Kind
from tensorlite.ops.convert import to as converted
from tensorlite.ops.like import empty_like
from tensorlite.plan import is_float
from tensorlite.tensor import Tensor

if TYPE_CHECKING:
    pass


class Changes:
    """Part of `Module`: the methods that act on all of it at once."""

    if TYPE_CHECKING:  # what `Module` adds
        _hooks: Hooks | None

        def __getattr__(self, name: str) -> Any: ...

    def apply(self, fn: Callable[[Any], Any]) -> Self:
        """Call ``fn(module)`` on every module below and then on this one; return this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below to training, or with False to evaluation."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, not {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch this module and all below to evaluation."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say of every parameter whether it is trained; False freezes the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or write zeros into them."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach()
                parameter.grad.zero_()

    # --- device and dtype ---------------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Give each parameter, gradient and buffer the values of ``fn`` of it."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        for kind in (Kind.PARAMETER, Kind.BUFFER):
            for _, tensor in registry.entries(self, kind):
                if tensor is not None:
                    state.replace(tensor, fn)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move the parameters and buffers to a device, and cast those of floating point.

        ``to(device=None, dtype=None, non_blocking=False)``, ``to(dtype, non_blocking=False)`` or
        ``to(tensor, non_blocking=False)``. Make the optimizer afterwards: it works on the arrays
        that it was given.

        Raises
        ------
        TypeError
            If the dtype is not one of floating point.
        """
        device, dtype = _target(args, kwargs)
        if dtype is not None and dtype.kind != "f" and dtype.name != "bfloat16":
            raise TypeError(f"a module is cast to dtypes of floating point, not to {dtype}")

        def moved(tensor: Tensor) -> Tensor:
            targets = [] if device is None else [device]
            if dtype is not None and is_float(tensor.array):
                targets.append(dtype)
            return converted(tensor, *targets) if targets else tensor

        return self._apply(moved)

    def _cast(self, dtype: Any) -> Self:
        return self._apply(lambda t: converted(t, dtype) if is_float(t.array) else t)

    def float(self) -> Self:
        """Cast what is of floating point to float32."""
        return self._cast("float32")

    def double(self) -> Self:
        """Cast what is of floating point to float64."""
        return self._cast("float64")

    def half(self) -> Self:
        """Cast what is of floating point to float16."""
        return self._cast("float16")

    def bfloat16(self) -> Self:
        """Cast what is of floating point to bfloat16."""
        return self._cast(bfloat16())

    def type(self, dst_type: Any) -> Self:
        """Cast all parameters and buffers."""
        return self._apply(lambda t: converted(t, as_dtype(dst_type)))

    def cuda(self, device: Any = None) -> Self:
        """Move to a CUDA device, by default the first."""
        place = f"cuda:{device}" if isinstance(device, int) else device or "cuda"
        return self._apply(lambda t: converted(t, place))

    def cpu(self) -> Self:
        """Move to the CPU."""
        return self._apply(lambda t: converted(t, "cpu"))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Move to a device without the values."""
        return self._apply(lambda t: empty_like(t, device=device), recurse)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: operations are compiled already."""

    def share_memory(self) -> Self:
        """Return the module: the loader's worker processes copy what they are given."""
        return self

    # --- hooks --------------------------------------------------------------------------------

    def _own_hooks(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks

    @property
    def _forward_pre_hooks(self) -> MutableMapping:
        return self._own_hooks().before

    @property
    def _forward_hooks(self) -> MutableMapping:
        return self._own_hooks().after

    @property
    def _backward_pre_hooks(self) -> MutableMapping:
        return self._own_hooks().gradients_before

    @property
    def _backward_hooks(self) -> MutableMapping:
        return self._own_hooks().gradients

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before `forward`; it may return other positional arguments.

        Parameters
        ----------
        hook
            With `with_kwargs` it is called as ``hook(module, args, kwargs)`` and may return a pair.
        prepend
            Whether it runs before all others.

        Returns
        -------
        RemovableHandle
            Its ``remove()`` takes the hook away.
        """
        return RemovableHandle(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after `forward`; it may return another output.

        Parameters
        ----------
        hook
            With `with_kwargs` it is called as ``hook(module, args, kwargs, output)``.
        prepend
            Whether it runs before all others.
        always_call
            Whether it is called, with None, when `forward` raises.
        """
        entry = (hook, with_kwargs, always_call)
        return RemovableHandle(self._forward_hooks, entry, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when gradients leave through the inputs.

        Both are tuples with one entry for each positional input, or output; None where there is no
        gradient. The hook may return another `grad_input`.
        """
        return RemovableHandle(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Callable) -> RemovableHandle:
        """As `register_full_backward_hook`; torch's older name."""
        return self.register_full_backward_hook(hook)

    def register_full_backward_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when gradients come in; it may return another."""
        return RemovableHandle(self._backward_pre_hooks, hook, prepend)


def _target(args: tuple, kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The device and the dtype that the arguments of `to` ask for, None where they do not."""
    known = ("device", "dtype", "non_blocking", "copy", "memory_format", "tensor")
    if unknown := [name for name in kwargs if name not in known]:
        raise TypeError(f"to() has no argument {unknown[0]!r}; it has {', '.join(known)}")
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    tensor = kwargs.get("tensor")
    for value in args:
        if isinstance(value, Tensor):
            tensor = value
        elif value is None or isinstance(value, bool):  # left out; non_blocking
            continue
        elif isinstance(value, Device) or _names_device(value):
            device = value
        else:
            dtype = value
    if tensor is not None:
        device, dtype = tensor.device, tensor.dtype
    if isinstance(device, int):
        device = f"cuda:{device}"
    return device, None if dtype is None else as_dtype(dtype)


def _names_device(value: Any) -> bool:
    if isinstance(value, int):
        return True
    return isinstance(value, str) and value.split(":")[0] in ("cpu", "cuda", "auto", "mps", "xpu")
