"""Functions with a backward of one's own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from tensorlite.backend import array_backend
from tensorlite.plan import Residual, is_float
from tensorlite.tape import Node, OutputNode, is_grad_enabled, no_grad
from tensorlite.tensor import Tensor, source_of, tensor_of

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What `forward` leaves for `backward`: Tensors by `save_for_backward`, all else as attributes.

    Parameters
    ----------
    needs : tuple of bool
        For each argument, whether its gradient is wanted.

    Attributes
    ----------
    saved_tensors : tuple
        In `backward`: what `save_for_backward` was given.
    needs_input_grad : tuple of bool
        For each argument of `apply`, whether its gradient is wanted.

    Examples
    --------
    >>> class Floor(tl.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         ctx.save_for_forward(x)
    ...         ctx.set_materialize_grads(False)
    ...         whole = x.floor()
    ...         ctx.mark_non_differentiable(whole)
    ...         return whole
    ...
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         return grad_output * ctx.saved_tensors[0]
    >>> Floor.apply(tl.tensor([1.5], requires_grad=True)).requires_grad
    False
    """

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self.materialize_grads = True
        self._to_save: tuple = ()
        self._without_gradient: tuple = ()
        self._saved: tuple | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep Tensors for `backward`, which will refuse them if they were overwritten since.

        Parameters
        ----------
        *tensors : Tensor or None
            Of any shapes.

        Raises
        ------
        TypeError
            If one is no Tensor: keep it as an attribute.
        """
        for i, tensor in enumerate(tensors):
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_backward: argument {i} is a {type(tensor).__name__}; what is no "
                    "Tensor is kept as an attribute: ctx.name = value"
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Do nothing: tensorlite has no forward mode that would ask for them.

        Parameters
        ----------
        *tensors : Tensor or None
            Of any shapes.
        """

    @property
    def saved_tensors(self) -> tuple:
        """What `save_for_backward` was given."""
        if self._saved is None:
            raise RuntimeError(
                "ctx.saved_tensors is there while backward() runs; before, use the Tensors "
                "themselves"
            )
        return self._saved

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Say that no gradient flows through these outputs of `forward`.

        Parameters
        ----------
        *outputs : Tensor
            Of any shapes.
        """
        self._without_gradient = outputs

    def mark_dirty(self, *inputs: Tensor) -> None:
        """Refuse: a function of one's own may not change its inputs in place.

        Parameters
        ----------
        *inputs : Tensor
            Of any shapes.

        Raises
        ------
        NotImplementedError
            Always.

        Examples
        --------
        >>> try:
        ...     tl.autograd.FunctionCtx((True,)).mark_dirty(tl.zeros(2))
        ... except NotImplementedError:
        ...     print("return a new Tensor")
        return a new Tensor
        """
        raise NotImplementedError(
            "mark_dirty: tensorlite does not record changes that a Function makes to its inputs "
            "in place: return a new Tensor"
        )

    def set_materialize_grads(self, value: bool) -> None:
        """Say whether `backward` gets zeros, or None, for outputs that were not used.

        Parameters
        ----------
        value : bool
        """
        self.materialize_grads = value


class Function:
    """An operation with a rule of one's own for its gradient.

    Subclasses define static methods: ``forward(ctx, *args)``, or ``forward(*args)`` with
    ``setup_context(ctx, inputs, output)``; and ``backward(ctx, *grad_outputs)``, which returns a
    gradient, or None, for each argument. They are called by ``apply``. Where `backward` is written
    with operations of Tensors, it can be differentiated again.

    Raises
    ------
    RuntimeError
        If the class is called: call ``apply``.

    Examples
    --------
    >>> class Cube(tl.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         (x,) = ctx.saved_tensors
    ...         return grad_output * 3 * x**2
    >>> Cube.apply(tl.tensor(2.0))
    tensor(8.)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            f"{type(self).__name__} is not made an object of: call {type(self).__name__}.apply(…)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; subclasses define it."""
        raise NotImplementedError("a Function must define the static method forward")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: Any) -> None:
        """Save what `backward` wants, where `forward` takes no ``ctx``.

        Parameters
        ----------
        ctx, inputs, output
            The context, the arguments of `apply`, and what `forward` returned.

        Examples
        --------
        >>> class Square(tl.autograd.Function):
        ...     @staticmethod
        ...     def forward(x):
        ...         return x * x
        ...
        ...     @staticmethod
        ...     def setup_context(ctx, inputs, output):
        ...         ctx.save_for_backward(*inputs)
        ...
        ...     @staticmethod
        ...     def backward(ctx, grad_output):
        ...         return 2 * ctx.saved_tensors[0] * grad_output
        >>> tl.autograd.grad(Square.apply(x := tl.tensor(3.0, requires_grad=True)), x)
        (tensor(6.),)
        """
        raise NotImplementedError

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        """Compute the gradients of the arguments; subclasses define it (or `vjp`).

        Parameters
        ----------
        ctx, *grad_outputs
            The context, and the gradient of each output.
        """
        raise NotImplementedError("a Function must define the static method backward")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call `forward`, and record that `backward` gives the gradients."""
        needs = tuple([isinstance(a, Tensor) and a.requires_grad for a in args])
        ctx = FunctionCtx(needs)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                output = cls.forward(ctx, *args)
            else:
                output = cls.forward(*args)
                cls.setup_context(ctx, args, output)
        if not (is_grad_enabled() and True in needs):
            return output
        return _recorded(cls, ctx, args, output)


def _recorded(cls: type[Function], ctx: FunctionCtx, args: tuple, output: Any) -> Any:
    """Put a call on the tape; Tensors among the outputs become its results."""
    several = isinstance(output, tuple | list)
    outputs = list(output) if several else [output]
    silent = {id(tensor) for tensor in ctx._without_gradient}
    flows = [
        i
        for i, out in enumerate(outputs)
        if isinstance(out, Tensor) and id(out) not in silent and is_float(out.array)
    ]
    if not flows:
        return output
    parents = tuple(
        [
            source_of(arg) if needed else None
            for arg, needed in zip(args, ctx.needs_input_grad, strict=True)
        ]
    )
    plan = _CallPlan(cls, ctx, args, outputs, flows, several)
    saved = tuple([None if tensor is None else tensor.array for tensor in ctx._to_save])
    ctx._to_save = ctx._without_gradient = ()  # or what `forward` returned would live on
    arrays = [outputs[i].array for i in flows]
    shape, dtype = ((len(flows),), None) if several else (arrays[0].shape, arrays[0].dtype)
    node = Node(plan, parents, saved, shape, dtype)
    for place, i in enumerate(flows):
        outputs[i] = tensor_of(arrays[place], plan.node_of(node, place))
    return tuple(outputs) if several else outputs[0]


class _CallPlan:
    """What one call saved, and how to go back through it; see `plan.Plan`."""

    differentiable = True
    keyword = None
    keeps = True

    def __init__(
        self,
        cls: type[Function],
        ctx: FunctionCtx,
        args: tuple,
        outputs: list,
        flows: list[int],
        several: bool,
    ) -> None:
        self.name = f"{cls.__name__}Backward"
        self.function = cls
        self.ctx = ctx
        self.needs = ctx.needs_input_grad
        self.inputs = [arg.array.shape if isinstance(arg, Tensor) else None for arg in args]
        self.outputs = [_like(out) if isinstance(out, Tensor) else None for out in outputs]
        self.flows = flows
        self.several = several
        self.residuals: list[Residual] = []
        self.owners: list[Any] = []  # of saved Tensors: a node, a leaf, the place of an output
        for i, tensor in enumerate(ctx._to_save):
            self.residuals.append(Residual("input", i, f"saved tensor {i}"))
            place = next((p for p, o in enumerate(flows) if outputs[o] is tensor), None)
            owner = None
            if tensor is not None and tensor.requires_grad:
                owner = source_of(tensor)
            self.owners.append(owner if place is None else place)

    def node_of(self, node: Node, place: int) -> Node:
        """The node of one output that gradients flow through."""
        if not self.several:
            return node
        like: Any = self.outputs[self.flows[place]]
        return OutputNode(node, place, *like[:2])

    def as_tensors(self, node: Node) -> tuple:
        """The saved arrays as Tensors tied to the graph."""
        return tuple(
            [
                array
                if array is None
                else tensor_of(array, self.node_of(node, owner))
                if isinstance(owner, int)
                else _tied(array, owner)
                for array, owner in zip(node.saved, self.owners, strict=True)
            ]
        )

    def pull(self, g: Any, saved: tuple) -> list:
        """Gradients of all arguments that need one; see `pull_some`."""
        return self.pull_some(g, saved, self.needs)

    def pull_some(self, g: Any, saved: tuple, needs: tuple[bool, ...]) -> list:
        """Gradients of the arguments, by the user's `backward`."""
        parts = g if isinstance(g, list) else [g]
        on_tape = any(isinstance(part, Tensor) for part in parts)
        ctx = self.ctx
        ctx._saved = tuple(
            [
                part
                if part is None or isinstance(part, Tensor)
                else _tied(part, None if isinstance(owner, int) else owner)
                for part, owner in zip(saved, self.owners, strict=True)
            ]
        )
        ctx.needs_input_grad = needs
        try:
            found = self.function.backward(ctx, *self._cotangents(parts))
        finally:
            ctx._saved, ctx.needs_input_grad = None, self.needs
        found = list(found) if isinstance(found, tuple | list) else [found]
        return [d if d is None or on_tape else d.array for d in self._checked(found, needs)]

    def _cotangents(self, parts: list) -> list[Tensor | None]:
        """What `backward` is given: a Tensor for each output, or None."""
        known = dict(zip(self.flows, parts, strict=True))
        result: list[Tensor | None] = []
        for i, like in enumerate(self.outputs):
            g = known.get(i)
            if g is None and like is not None and self.ctx.materialize_grads:
                g = like.backend.xp.zeros(like.shape, like.dtype)
            result.append(g if g is None or isinstance(g, Tensor) else tensor_of(g))
        return result

    def _checked(self, found: list, needs: tuple[bool, ...]) -> list[Tensor | None]:
        count = len(self.inputs)
        if len(found) < count or any(d is not None for d in found[count:]):
            raise RuntimeError(
                f"{self.name}: backward() returned {len(found)} gradients for the {count} "
                "arguments of apply(); for what needs none, return None"
            )
        for i, (d, shape) in enumerate(zip(found, self.inputs, strict=False)):
            if d is None:
                continue
            if not isinstance(d, Tensor):
                raise TypeError(f"{self.name}: gradient {i} is a {type(d).__name__}, not a Tensor")
            if shape is None:
                raise RuntimeError(f"{self.name}: argument {i} is no Tensor, but has a gradient")
            if not _sums_to(d.array.shape, shape):
                raise RuntimeError(
                    f"{self.name}: gradient {i} has the shape {tuple(d.shape)}, its argument the "
                    f"shape {tuple(shape)}"
                )
        return [d if needed else None for d, needed in zip(found, needs, strict=False)]


class _Like(NamedTuple):
    """What is known of an output without keeping it."""

    shape: tuple
    dtype: Any
    backend: Any


def _like(tensor: Tensor) -> _Like:
    array = tensor.array
    return _Like(array.shape, array.dtype, array_backend((array,)))


def _tied(array: Any, owner: Any) -> Tensor:
    """A saved array as a Tensor with the node, or as the leaf, that it came from."""
    return owner if isinstance(owner, Tensor) else tensor_of(array, owner)


def _sums_to(shape: tuple, target: tuple) -> bool:
    """Whether `target` can be broadcast to `shape`."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) >= len(target) and all(n == m or m == 1 for n, m in pairs)


class _Refusal:
    """The plan of gradients that must not be differentiated again."""

    differentiable = True
    keyword = None
    keeps = False
    residuals = ()
    name = "once_differentiable"

    def as_tensors(self, node: Node) -> tuple:
        """Nothing was saved."""
        return ()

    def pull(self, g: Any, saved: tuple) -> list:
        """Refuse."""
        raise RuntimeError(
            "this gradient came from a backward() marked with @once_differentiable: it cannot be "
            "differentiated again"
        )

    def pull_some(self, g: Any, saved: tuple, needs: tuple[bool, ...]) -> list:
        """Refuse."""
        return self.pull(g, saved)


def once_differentiable(fn: Callable) -> Callable:
    """Mark a `backward` that does not work with Tensors throughout, and so has no derivative.

    Parameters
    ----------
    fn : callable
        The static method.

    Examples
    --------
    >>> class Cube(tl.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     @tl.autograd.once_differentiable
    ...     def backward(ctx, grad_output):
    ...         return grad_output * 3 * ctx.saved_tensors[0] ** 2
    >>> Cube.apply(tl.tensor(2.0))
    tensor(8.)
    """

    @functools.wraps(fn)
    def wrapped(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        with no_grad():
            found = fn(ctx, *grad_outputs)
        parents = tuple(
            [source_of(g) for g in grad_outputs if isinstance(g, Tensor) and g.requires_grad]
        )
        if not (is_grad_enabled() and parents):
            return found

        def refusing(d: Any) -> Any:
            if not isinstance(d, Tensor):
                return d
            return tensor_of(d.array, Node(_Refusal(), parents, (), d.array.shape, d.array.dtype))

        return tuple(map(refusing, found)) if isinstance(found, tuple | list) else refusing(found)

    return wrapped
