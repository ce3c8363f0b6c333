"""Tensor: an array with a place on the tape.

The class holds data and nothing of the operations: `ops` attaches its operators and methods, so
that importing goes one way only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorlite.backend import Array, Device, array_backend
from tensorlite.tape import mode

if TYPE_CHECKING:
    from tensorlite.tape import Node


class Size(tuple):
    """The shape of a Tensor: a tuple that knows its number of elements.

    Parameters
    ----------
    iterable : iterable of int
        The lengths.

    Examples
    --------
    >>> tl.zeros(2, 3).shape.numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        """Return the product of the lengths."""
        return math.prod(self)

    def __getitem__(self, index: Any) -> Any:
        part = [*self][index]  # a list's own way costs less than asking the tuple below
        return Size(part) if type(part) is list else part


class Tensor:
    """A multi-dimensional array that remembers how it was computed.

    Make one with `tensorlite.tensor`. The constructor is torch's: ``Tensor([1, 2])`` copies values
    as the default dtype, ``Tensor(2, 3)`` is memory of that shape that is not set.

    Parameters
    ----------
    *values : object
        Nested sequences of numbers, an array, or the lengths of the axes.

    Attributes
    ----------
    array : numpy.ndarray or cupy.ndarray
        The values, as the array library has them.
    data : Tensor
        The same values without history, in the same memory. Assigning replaces the values.
    requires_grad : bool
        Whether operations on it are recorded.
    grad : Tensor or None
        Of a leaf: the gradient that `backward` accumulated, of the same shape and dtype.
    node : Node or None
        The recorded operation that made it; None for a leaf.
    view_of : tuple, Views or None
        What other Tensors show its memory (see `views`).

    Examples
    --------
    >>> x = tl.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    # What few Tensors have is kept in a dictionary that the others never make. The rest a backward
    # pass reads and writes where it lies.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "array",
        "grad",
        "grad_buffer",
        "hooks",
        "node",
        "requires_grad",
        "view_of",
    )
    __array_ufunc__ = None  # so that `ndarray + Tensor` asks the Tensor

    grad: Tensor | None
    grad_buffer: Tensor | None  # what `grad` will be: a place in an optimizer's arena
    hooks: list[Callable] | None
    after_grad: list[Callable] | None = None  # hooks that `backward` calls when it is through

    # --- what it is ---------------------------------------------------------------------------

    @property
    def data(self) -> Tensor:
        """The same values without history, in the same memory; assigning replaces them.

        Examples
        --------
        >>> tl.tensor([1.0, 2.0], requires_grad=True).data
        tensor([1., 2.])
        """
        return self.detach()

    @data.setter
    def data(self, values: Tensor) -> None:
        if not isinstance(values, Tensor):
            raise TypeError(f"t.data is set to a Tensor, not to a {type(values).__name__}")
        self.array = values.array

    @property
    def shape(self) -> Size:
        """Lengths of the axes.

        Examples
        --------
        >>> tl.zeros(2, 3).shape
        (2, 3)
        """
        return Size(self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        """Element type.

        Examples
        --------
        >>> tl.zeros(2).dtype
        dtype('float32')
        """
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes.

        Examples
        --------
        >>> tl.zeros(2, 3).ndim
        2
        """
        return self.array.ndim

    def dim(self) -> int:
        """Number of axes.

        Examples
        --------
        >>> tl.zeros(2, 3).dim()
        2
        """
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        """Lengths of the axes, or of one of them.

        Parameters
        ----------
        dim : int, optional
            Which axis.

        Examples
        --------
        >>> tl.zeros(2, 3).size(), tl.zeros(2, 3).size(0)
        ((2, 3), 2)
        """
        return Size(self.array.shape) if dim is None else self.array.shape[dim]

    def numel(self) -> int:
        """Number of elements.

        Examples
        --------
        >>> tl.zeros(2, 3).numel()
        6
        """
        return self.array.size

    def element_size(self) -> int:
        """Bytes of one element.

        Examples
        --------
        >>> tl.zeros(2).element_size()
        4
        """
        return self.array.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the elements.

        Examples
        --------
        >>> tl.zeros(2, 3).nbytes
        24
        """
        return self.array.nbytes

    @property
    def device(self) -> Device:
        """Where the data lives.

        Examples
        --------
        >>> tl.zeros(2).device
        device('cpu')
        """
        return array_backend((self.array,)).device_of(self.array)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it.

        Examples
        --------
        >>> x = tl.zeros(2, requires_grad=True)
        >>> x.is_leaf, (x + 1).is_leaf
        (True, False)
        """
        return self.node is None

    # No __getattr__ for names that are missing: with one, every attribute that is read costs more.
    # Names of torch's are answered by `unknown.Missing`, others by Python.

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if hasattr(self, name)]

    def __len__(self) -> int:
        if self.array.ndim == 0:
            raise TypeError("len() of a Tensor with no axes")
        return len(self.array)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        if mode.switches.recorder is not None:
            mode.switches.recorder.refuse("printing a Tensor")
        from tensorlite.printing import shown  # printing is rare, importing this class is not

        values = shown(array_backend((self.array,)).to_host(self.array), "tensor(")
        notes = (
            [f"dtype={self.dtype}"] if self.dtype not in (np.float32, np.int64, np.bool_) else []
        )
        if self.device.type != "cpu":
            notes.append(f"device='{self.device}'")
        if self.array.size == 0:
            notes.insert(0, f"shape={self.shape}")
        if self.node is not None:
            notes.append(f"op={self.node.name}")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return ", ".join([f"tensor({values}", *notes]) + ")"

    def _repr_html_(self) -> str:
        """How notebooks show it: a table of numbers."""
        if mode.switches.recorder is not None:
            mode.switches.recorder.refuse("showing a Tensor")
        from tensorlite.notebook import tensor_html  # which only notebooks need

        return tensor_html(self)

    # --- out of the tensor world --------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array; on the CPU it shares the Tensor's memory.

        Raises
        ------
        RuntimeError
            If the Tensor requires grad: use ``t.detach().numpy()``.

        Examples
        --------
        >>> tl.tensor([1, 2]).numpy()
        array([1, 2])
        """
        if self.requires_grad:
            raise RuntimeError("numpy() of a Tensor that requires grad: use t.detach().numpy()")
        if mode.switches.recorder is not None:
            mode.switches.recorder.refuse("numpy() of a Tensor")
        return array_backend((self.array,)).to_host(self.array)

    def item(self) -> bool | int | float:
        """The value of a Tensor with one element, as a Python number.

        Raises
        ------
        ValueError
            If there is not one element.

        Examples
        --------
        >>> tl.tensor([1.5]).item()
        1.5
        """
        if self.array.size != 1:
            raise ValueError(f"item() of a Tensor of shape {self.shape}: it has not one element")
        if mode.switches.recorder is not None:
            mode.switches.recorder.refuse("the value of a Tensor (item, float, bool)")
        return self.array.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers.

        Examples
        --------
        >>> tl.tensor([[1, 2], [3, 4]]).tolist()
        [[1, 2], [3, 4]]
        """
        if mode.switches.recorder is not None:
            mode.switches.recorder.refuse("tolist() of a Tensor")
        return self.array.tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iub":
            raise TypeError(f"a Tensor of dtype {self.dtype} is not an index")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        """One number as a number, ``f"{loss:.3f}"``; more only without a specification."""
        if not self.array.ndim or (self.array.size == 1 and spec):
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise ValueError(
                f"the truth of a Tensor of shape {self.shape} is ambiguous: use .any() or .all()"
            )
        return bool(self.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.device.type != "cpu":
            raise TypeError(
                f"a Tensor on {self.device} is not turned into a NumPy array silently: "
                "use t.to('cpu').numpy()"
            )
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.requires_grad:
            raise BufferError("__dlpack__ of a Tensor that requires grad: use t.detach()")
        if mode.switches.recorder is not None:
            mode.switches.recorder.refuse("__dlpack__ of a Tensor")
        if isinstance(self.array, np.ndarray):
            from tensorlite.backend import dlpack  # with ctypes

            return dlpack.export(self.array, **kwargs)
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __getstate__(self) -> dict[str, Any]:
        if self.node is not None:
            raise RuntimeError("cannot pickle a Tensor with a history: pickle t.detach()")
        host = array_backend((self.array,)).to_host(self.array)
        return {"data": host, "device": tuple(self.device), "requires_grad": self.requires_grad}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from tensorlite.backend import backend_for

        device = Device(*state["device"])
        data = backend_for(device).asarray(state["data"], device=device)
        fill(self, data, state["requires_grad"])

    # --- the tape -----------------------------------------------------------------------------

    def detach(self) -> Tensor:
        """The same values without history, in the same memory.

        Returns
        -------
        Tensor
            Of the same shape and dtype.

        Examples
        --------
        >>> (tl.zeros(2, requires_grad=True) + 1).detach().requires_grad
        False
        """
        if mode.switches.recorder is not None and self.node is None:
            mode.switches.recorder.seen(self)
        made = tensor_of(self.array)
        made.view_of = (None, views_of(self))
        return made

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Say whether gradients are wanted for this leaf; returns it.

        True changes nothing for the result of a recorded operation; False raises an error there.

        Parameters
        ----------
        requires_grad : bool

        Returns
        -------
        Tensor
            The Tensor itself, of any shape.

        Raises
        ------
        RuntimeError
            If it is False for the result of a recorded operation.
        TypeError
            If the dtype holds no fractions.

        Examples
        --------
        >>> tl.zeros(2).requires_grad_()
        tensor([0., 0.], requires_grad=True)
        """
        if self.node is not None:
            if requires_grad:
                return self
            raise RuntimeError(
                f"requires_grad_(False) of the result of {self.node.name}: only leaves can be "
                "changed; use t.detach() for one without history"
            )
        if requires_grad and self.dtype.kind not in "fV":
            raise TypeError(f"a Tensor of dtype {self.dtype} cannot require grad: cast it to float")
        self.requires_grad = requires_grad
        return self

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
        """Call ``hook(gradient)`` when this Tensor's gradient is known; it may return another.

        Parameters
        ----------
        hook : callable
            It gets a Tensor of this one's shape, and returns one or None.

        Returns
        -------
        HookHandle
            Its ``remove()`` removes the hook.

        Raises
        ------
        RuntimeError
            If the Tensor does not require grad.

        Examples
        --------
        >>> x = tl.tensor(3.0, requires_grad=True)
        >>> handle = x.register_hook(lambda gradient: gradient * 2)
        >>> (x * x).backward()
        >>> x.grad
        tensor(12.)
        """
        if not self.requires_grad:
            raise RuntimeError("register_hook() of a Tensor that does not require grad")
        owner = self.node if self.node is not None else self
        if owner.hooks is None:
            owner.hooks = []
        return HookHandle(owner.hooks, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> HookHandle:
        """Call ``hook(self)`` at the end of every `backward` that added to this leaf's ``grad``.

        Parameters
        ----------
        hook : callable
            It gets the leaf, of any shape.

        Returns
        -------
        HookHandle
            Its ``remove()`` removes the hook.

        Raises
        ------
        RuntimeError
            If the Tensor is no leaf that requires grad.

        Examples
        --------
        >>> x = tl.tensor(3.0, requires_grad=True)
        >>> handle = x.register_post_accumulate_grad_hook(lambda leaf: print(leaf.grad))
        >>> (x * x).backward()
        tensor(6.)
        """
        if self.node is not None or not self.requires_grad:
            raise RuntimeError("post accumulate grad hooks are for leaves that require grad")
        if self.after_grad is None:
            self.after_grad = []
        if self.hooks is None:
            self.hooks = []  # so that `backward` waits for this leaf's total
        return HookHandle(self.after_grad, hook)


class HookHandle:
    """What registering a hook returns; as a context manager it removes the hook at the end."""

    def __init__(self, hooks: list[Callable], hook: Callable) -> None:
        self._hooks = hooks
        self._entry = functools.partial(hook)  # of its own: a hook may be registered twice
        hooks.append(self._entry)

    def remove(self) -> None:
        """Take the hook away; once more does nothing."""
        self._hooks[:] = [entry for entry in self._hooks if entry is not self._entry]

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


def tensor_of(array: Array, node: Node | None = None, requires_grad: bool = False) -> Tensor:
    """Wrap a raw array as it is, in the same memory; `node` says how it was computed."""
    made = Tensor.__new__(Tensor)
    made.array = array
    made.node = node
    made.requires_grad = requires_grad or node is not None
    made.view_of = made.grad = made.grad_buffer = made.hooks = None
    return made


def source_of(x: Tensor) -> Any:
    """What a gradient of `x` flows to: the node that made it, or `x` itself if it is a leaf.

    A short copy of a leaf has that leaf for a node (see `amp`).
    """
    return x if x.node is None else x.node


def fill(tensor: Tensor, array: Array, requires_grad: bool = False) -> None:
    """Make a new leaf of an array."""
    tensor.array, tensor.requires_grad = array, requires_grad
    tensor.node = tensor.view_of = tensor.grad = tensor.grad_buffer = tensor.hooks = None


class Views:
    """What the Tensors that show one memory have in common."""

    __slots__ = ("rewritten",)

    def __init__(self) -> None:
        self.rewritten = -1  # when a write last gave the base a new node


def views_of(x: Tensor) -> Views:
    """What `x` shares with the Tensors that show its memory."""
    kept = x.view_of
    if kept is None:
        kept = x.view_of = Views()
    return kept[-1] if kept.__class__ is tuple else kept
