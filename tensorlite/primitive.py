"""Primitives: array functions with gradient rules. Arrays in, arrays out; Tensors in, Tensors out.

A primitive is written once against the array namespace ``xp``, and its rule stands under it::

    @primitive
    def exp(xp, x):
        return xp.exp(x)
    exp.defvjp(x=lambda g, y: g * y)

Positional parameters are array inputs, keyword-only parameters are static. **A rule's parameter
names are its residual list**: after ``g``, the cotangent of the output, it may name

``y``            the output (a tuple of them, if there are several),
an input         to save that array,
``<input>_shape``  to save its shape only,
``<input>_dtype``  its dtype only,
``<input>_strides``  to save how it lies in memory: bytes along each axis, () if that is not known,
a static parameter, or an auxiliary output (see `primitive`).

What no needed rule names is not saved. Two keyword-only parameters are none of these:

``into``         None, or for each input None or an array. The rule may write the input's gradient
                 to that array, and returns it then. Joint rules are told on CUDA alone;
``last``         of a joint rule: whether the residuals are read for the last time. The rule may
                 then overwrite and return those that users of the operation never see.

A joint rule may have both.

Rules run on raw arrays in `backward()` and on Tensors under ``create_graph=True``, so they use
operators and other primitives only. The engine un-broadcasts, casts and accumulates; an input that
needs no gradient costs nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tensorlite.backend import CPU, Array, array_backend, is_array
from tensorlite.backend.kernels.unavailable import NotCompiled
from tensorlite.call import (
    as_arrays,
    compile_call,
    declined,
    from_outside,
    listed,
    record_outputs,
    takes_positions,
    wrap,
    write_again,
)
from tensorlite.gradients import gradients_of
from tensorlite.plan import (
    KEYWORD_ONLY,
    MISSING,
    STARRED,
    Plan,
    Residual,
    parameters_of,
    residual_names,
)
from tensorlite.tape import enable_grad, mode, on_device_of
from tensorlite.tensor import Tensor, source_of, tensor_of
from tensorlite.views import mark, refresh
from tensorlite.wording import in_words, no_tensor

MOST_DESCRIBED = 8
"""Inputs that a message lists."""
PRIMITIVES: dict[str, Primitive] = {}


class Primitive:
    """What is known of a primitive; the function that `primitive` returns carries it.

    Attributes
    ----------
    inputs, variadic, defaults
        Names of the array inputs, of ``*inputs`` if there are such, and the static parameters
        with their defaults.
    rules, group_rules, joint_rule
        One rule an input position, one for neighbouring positions, or one for all.
    operands
        Brings the inputs to one dtype before the call (see `ops.promotion`).
    view
        Whether the outputs may show the first input's memory.
    any_float
        Whether the rules take cotangents of other float dtypes than the output's: on CUDA they are
        handed down as they come, float32 to 16 bits and the other way round.
    names
        What callers name the parameters, where it is not what the rules call them.
    call
        The function users call.
    """

    def __init__(
        self,
        reference: Callable,
        aux: tuple[str, ...] = (),
        name: str | None = None,
        operands: Callable | None = None,
        view: bool = False,
        any_float: bool = False,
    ) -> None:
        self.reference = reference
        self.name = name or reference.__name__
        self.operands = operands
        self.view = view
        self.any_float = any_float
        self.names: dict[str, str] = {}
        self.aux = aux
        self.inputs: list[str] = []
        self.variadic: str | None = None
        self.defaults: dict[str, Any] = {}
        input_defaults: dict[str, Any] = {}
        for parameter, kind, default in parameters_of(reference)[1:]:
            if kind == STARRED:
                self.variadic = parameter
            elif kind == KEYWORD_ONLY:
                if not (aux and parameter == "save"):
                    self.defaults[parameter] = default
            else:
                self.inputs.append(parameter)
                if default is not MISSING:
                    input_defaults[parameter] = default
        if reserved := {"g", "y", "needs"}.intersection(self.inputs, self.defaults):
            raise TypeError(f"{self.name}: a rule gives {sorted(reserved)} another meaning; rename")
        self.rules: dict[int, Callable] = {}
        self.group_rules: dict[tuple[int, ...], Callable] = {}
        self.joint_rule: Any = None  # or a function
        self.formula: Callable | None = None  # the same, written with primitives
        self.kernel_fn: Callable | None = None
        self.entries: list[Callable] = []  # of kernels that were named
        self.kernel_from = 0
        self.exact = True
        self.host_kernel: str | None = None
        self.plans: dict[tuple[bool, ...], Plan] = {}
        self.input_defaults = input_defaults
        self.call: Any = compile_call(self)
        self.call.__wrapped__ = SeenByCallers(self)  # type: ignore[attr-defined]  # a function

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    # --- definition ---------------------------------------------------------------------------

    def defvjp(self, **rules: Callable) -> None:
        """Give one gradient rule for each differentiable input, by the input's name."""
        for name, rule in rules.items():
            if name not in self.inputs:
                raise TypeError(f"{self.name} has no input {name!r}; it has {self.inputs}")
            self._check_residuals(rule, skip=1)
            self.rules[self.inputs.index(name)] = rule

    def defvjp_group(self, *names: str) -> Callable:
        """Give one rule for neighbouring inputs, for where all of them need gradients.

        It returns a gradient for each. Where one needs none, the next such rule is tried, and in
        the end the rules of `defvjp` run.
        """
        positions = [self.inputs.index(name) for name in names]
        if positions != list(range(positions[0], positions[0] + len(names))):
            raise TypeError(f"{self.name}: {names} are not neighbours among {self.inputs}")

        def define(rule: Callable) -> Callable:
            self._check_residuals(rule, skip=1)
            self.group_rules[tuple(positions)] = rule
            return rule

        return define

    def defvjp_joint(self, rule: Callable) -> Callable:
        """Give one rule for all inputs: ``rule(g, needs, *residuals)`` -> a gradient per input."""
        self._check_residuals(rule, skip=2)
        self.joint_rule = rule
        return rule

    def defvjp_composite(self, composite: Callable) -> Callable:
        """Take the gradient from `composite`: the same function written with primitives.

        For fused operations whose derivative is wanted seldom (the backward of a backward).
        """
        self.joint_rule = _composite_rule(composite, self)
        return composite

    def kernel(
        self,
        fn: Callable | str,
        *scalars: str,
        from_size: int = 0,
        exact: bool = True,
        **only: Any,
    ) -> Any:
        """Give a compiled form: a kernel's name, or ``fn(k, *inputs, **static)``.

        A kernel whose declaration says what its outputs are makes the whole call (see
        ``kernels/README.md``). It gets the inputs and the static parameters `scalars`, in its own
        order; `only` are the values that others must have, or tests ``ok(x, value)`` of them.
        Several kernels may be named, each for values of its own.

        A function gets the device's kernel library as `k`, and returns NotImplemented where it does
        not apply; then the reference runs. On the CPU it is not called if the first input has
        fewer than `from_size` elements. A recorded call uses it even then if it is `exact`, which
        means that its results are NumPy's to the bit: a replay of a kernel needs no Python.
        """
        if isinstance(fn, str):
            if not only and list(scalars) == list(self.defaults):
                self.on_host(f"new_{fn}")
            self.entries.append(_entry(f"new_{fn}", scalars, only))
            fn = self.entries[0] if len(self.entries) == 1 else _first_of(self.entries)
        self.kernel_fn, self.kernel_from, self.exact = fn, from_size, exact
        self.call.__globals__.update(_compiled=declined)
        return fn

    def rename(self, names: dict[str, str]) -> None:
        """Let callers use other names of the parameters; see `ops.faces`."""
        self.names = {ours: other for ours, other in names.items() if ours in self.parameters}
        write_again(self.call)

    @property
    def parameters(self) -> list[str]:
        """Names of the inputs and of the static parameters."""
        return [*self.inputs, *self.defaults]

    def on_host(self, name: str) -> None:
        """Name the function of the kernel library that computes the primitive in compiled code.

        It takes the inputs and the static parameters by position, and is called before `kernel`; it
        too may return NotImplemented. A library without it has `kernel` alone.
        """
        self.host_kernel = name
        self.call.__globals__.update(_compiled=declined)

    def residual(self, name: str) -> Residual:
        """Read one name of a rule's residual list."""
        if name in self.inputs:
            return Residual("input", self.inputs.index(name), name)
        if name.endswith("_shape") and name[:-6] in self.inputs:
            return Residual("shape", self.inputs.index(name[:-6]), name)
        if name.endswith("_strides") and name[:-8] in self.inputs:
            return Residual("strides", self.inputs.index(name[:-8]), name)
        if name.endswith("_dtype") and name[:-6] in self.inputs:
            return Residual("dtype", self.inputs.index(name[:-6]), name)
        if self.variadic is not None and name == self.variadic:
            return Residual("inputs", None, name)
        if self.variadic is not None and name == f"{self.variadic}_shape":
            return Residual("shapes", None, name)
        if name in self.aux:
            return Residual("aux", self.aux.index(name), name)
        if name in self.defaults:
            return Residual("static", list(self.defaults).index(name), name)
        if name == "y":
            return Residual("output", None, name)
        raise TypeError(
            f"{self.name}: a rule asks for {name!r}, which is neither y, an input {self.inputs}, "
            f"an input's shape, a static parameter {list(self.defaults)} nor auxiliary {self.aux}"
        )

    def _check_residuals(self, rule: Callable, skip: int) -> None:
        for name in residual_names(rule, skip):
            self.residual(name)

    # --- call ---------------------------------------------------------------------------------

    def forward(self, raw: tuple, static: dict, save: bool = False) -> tuple[Any, tuple]:
        """Run the kernel, or the reference; return the output and the auxiliary arrays."""
        backend = array_backend(raw)
        aux = ()
        try:
            y = NotImplemented
            if self.aux:
                static = {**static, "save": save}
            kernels = backend.kernels
            if self.kernel_fn is not None and kernels is not None:
                large = getattr(raw[0], "size", 0) >= self.kernel_from
                recorded = mode.switches.recorder is not None and self.exact
                if large or recorded or not kernels.on_host:
                    try:
                        y = self.kernel_fn(kernels, *raw, **static)
                    except NotCompiled:  # the compiler's word has been said
                        y = NotImplemented
            if y is NotImplemented:
                y = self.reference(backend.xp, *raw, **static)
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise self.explained(error, raw)  # noqa: B904 (it may be the same one)
        if self.aux:
            y, *aux = y
        return as_arrays(y), aux

    def new_plan(self, needs: tuple[bool, ...]) -> Plan:
        """Work out, once, what a call saves when these inputs need gradients."""
        plan = self.plans[needs] = Plan(self, needs)
        return plan

    def observed(self, args: tuple, static: dict) -> Any:
        """Call under a policy: cast the inputs, choose the device, note the line, look for NaN."""
        switches = mode.switches
        if switches.profile is not None:
            return switches.profile.operation(self.name, args, self._observed, args, static)
        return self._observed(args, static)

    def _observed(self, args: tuple, static: dict) -> Any:
        switches = mode.switches
        if switches.recorder is not None and not switches.recorder.inside:
            return self._recorded(switches, args, static)
        switches.special = False
        try:
            if switches.views:
                for arg in args:
                    refresh(arg)
            call = self.call
            if switches.autocast is not None:
                call, args, static = switches.autocast(self, args, static)
            if switches.devices:
                result = self._where_inputs_are(call, args, static)
            else:
                result = call(*args, **static)
        finally:
            switches.special = True
        source = switches.trace() if switches.trace is not None else None
        for output in listed(result):
            if isinstance(output, Tensor):
                if output.node is not None:
                    output.node.set_source(source)
                if switches.anomaly is not None:
                    switches.anomaly(output.array, self.name, source)
        return result

    def _recorded(self, switches: Any, args: tuple, static: dict) -> Any:
        """The call in steps, of which a recorder takes down the one that computes."""
        if switches.views:
            for arg in args:
                refresh(arg)
        if switches.autocast is not None:
            previous = switches.set(autocast=None)
            try:
                call, args, static = previous["autocast"](self, args, static)
                if call is not self.call:  # of another operation, which the recorder takes down
                    return call(*args, **static)
            finally:
                switches.set(**previous)
        args = tuple([x if isinstance(x, Tensor) else from_outside(self.name, x) for x in args])
        if self.operands is not None:
            args = self.operands(args)
        raw = tuple([arg.array if isinstance(arg, Tensor) else arg for arg in args])
        for arg in args:
            if isinstance(arg, Tensor) and arg.node is None:
                switches.recorder.seen(arg)
        parents = tuple(
            [source_of(x) if isinstance(x, Tensor) and x.requires_grad else None for x in args]
        )
        needs = tuple([parent is not None for parent in parents])
        record = switches.grad and True in needs
        switches.recorder.sizes(self.name, raw, static)
        y, aux = switches.recorder.unit(self.name, self.computed, raw, static, record)
        if not any(isinstance(arg, Tensor) for arg in args):
            return y
        if not record:
            result = wrap(y)
        else:
            plan = self.plans.get(needs) or self.new_plan(needs)
            saved = plan.save((*raw, y, aux, *static.values()))
            result = record_outputs(plan, parents, saved, y)
        return mark(result, args[0], self, tuple(static.values())) if self.view else result

    def computed(self, raw: tuple, static: dict, save: bool) -> tuple[Any, tuple]:
        """`forward`, by the function of the CPU's extension where there is one."""
        kernels = array_backend(raw).kernels
        if self.host_kernel is not None and kernels is not None and kernels.on_host:
            try:
                y = getattr(kernels, self.host_kernel)(*raw, *static.values())
            except (ValueError, TypeError, IndexError, NotCompiled):
                y = NotImplemented  # what is wrong the other way tells
            if y is not NotImplemented:
                y, *aux = y if self.aux else (y,)
                return as_arrays(y), tuple(aux)
        return self.forward(raw, static, save)

    def _where_inputs_are(self, call: Callable, args: tuple, static: dict) -> Any:
        """Call on the CUDA device of the inputs, whichever is current."""
        arrays = [a.array if isinstance(a, Tensor) else a for a in args]
        places = {array_backend((a,)).device_of(a): a for a in arrays if is_array(a)}
        places.pop(CPU, None)  # an index in host memory may stand beside anything
        if not places:
            return call(*args, **static)
        if len(places) > 1:
            self.mixed(args)
        with on_device_of(*places.values()):
            return call(*args, **static)

    # --- what goes wrong ----------------------------------------------------------------------

    def explained(self, error: Exception, raw: tuple) -> Exception:
        """The same error, naming the operation and its inputs; an inner operation has done that."""
        if isinstance(error, AttributeError):
            missing = error.obj is None and any(a is None for a in raw)
            return no_tensor(self.name, "an input", None) if missing else error
        text = str(error)
        names = {primitive.name for primitive in PRIMITIVES.values()}
        if "; inputs: " in text or text.split(":")[0] in names:
            return error
        given = [a for a in raw if a is not None]
        inputs = ", ".join(map(_describe, given[:MOST_DESCRIBED]))
        if len(given) > MOST_DESCRIBED:
            inputs += f" and {len(given) - MOST_DESCRIBED} more"
        better = type(error)(f"{self.name}: {in_words(text)}; inputs: {inputs}")
        better.__cause__ = error
        return better

    def mixed(self, args: tuple) -> None:
        """Refuse inputs of several devices, naming each."""
        where = ", ".join(
            f"input {i} of shape {a.shape} on {a.device}"
            for i, a in enumerate(args)
            if isinstance(a, Tensor)
        )
        raise RuntimeError(
            f"{self.name}: inputs on different devices: {where}. Move one: t.to(device)"
        )


class SeenByCallers:
    """The signature that a primitive's function shows, made when it is first read.

    `inspect` follows ``__wrapped__`` to it, and on to the source of the reference.
    """

    def __init__(self, primitive: Primitive) -> None:
        self.primitive = primitive

    @property
    def __wrapped__(self) -> Callable:
        return self.primitive.reference

    @property
    def __signature__(self) -> inspect.Signature:
        """Without `xp`, under the callers' names, static parameters by position, too."""
        signature = inspect.signature(self.primitive.reference)
        names = self.primitive.names
        moved = inspect.Parameter.KEYWORD_ONLY if takes_positions(self.primitive) else None
        anyhow = inspect.Parameter.POSITIONAL_OR_KEYWORD
        seen = [
            p.replace(name=names.get(p.name, p.name), kind=anyhow if p.kind is moved else p.kind)
            for p in list(signature.parameters.values())[1:]
            if not (p.name == "save" and self.primitive.aux)
        ]
        return signature.replace(parameters=seen)


def is_last_axis(x: Array, axis: int) -> bool:
    """Whether `axis` is the last of `x`, as kernels of rows need it."""
    return axis in (-1, x.ndim - 1)


def _entry(name: str, scalars: tuple[str, ...], only: dict[str, Any]) -> Callable:
    """A kernel's whole call as a kernel function."""
    tests = [
        (key, value if callable(value) else lambda x, given, wanted=value: given == wanted)
        for key, value in only.items()
    ]

    def run(k: Any, x: Array, *others: Array, **static: Any) -> Any:
        for key, fits in tests:
            if not is_array(x) or not fits(x, static[key]):
                return NotImplemented
        return getattr(k, name)(x, *others, *[static[key] for key in scalars])

    return run


def _first_of(entries: list[Callable]) -> Callable:
    """The kernel function that is the first of `entries` that applies."""

    def run(k: Any, *inputs: Array, **static: Any) -> Any:
        for entry in entries:
            y = entry(k, *inputs, **static)
            if y is not NotImplemented:
                return y
        return NotImplemented

    return run


def _describe(value: Any) -> str:
    if is_array(value):
        return f"{value.dtype} {tuple(value.shape)}"
    return repr(value) if isinstance(value, (bool, int, float)) else type(value).__name__


def _composite_rule(composite: Callable, owner: Primitive) -> Callable:
    """A joint rule that differentiates `composite` at the saved inputs."""

    def rule(g: Any, needs: tuple[bool, ...], *residuals: Any) -> tuple:
        inputs = residuals[: len(owner.inputs)]
        static = dict(zip(owner.defaults, residuals[len(owner.inputs) :], strict=True))
        on_tape = any(isinstance(value, Tensor) for value in (g, *inputs))
        with enable_grad():
            # Under an alias each: an input may depend on another, and only the direct way counts.
            leaves = [
                alias(_leaf(value)) if needed else value
                for value, needed in zip(inputs, needs, strict=True)
            ]
            wrapped = [tensor_of(v) if is_array(v) else v for v in leaves]
            y = composite(*wrapped, **static)
            pairs = [
                (out, cotangent)
                for out, cotangent in zip(listed(y), listed(g), strict=True)
                if cotangent is not None and out.requires_grad
            ]
            if not pairs:
                return (None,) * len(needs)
            wanted = [leaf for leaf, needed in zip(leaves, needs, strict=True) if needed]
            found = iter(
                gradients_of(
                    [out for out, _ in pairs],
                    wanted,
                    [cotangent for _, cotangent in pairs],
                    retain=on_tape,
                    create_graph=on_tape,
                )
            )
        results = [next(found) if needed else None for needed in needs]
        return tuple(d if d is None or on_tape else d.array for d in results)

    names = ["g", "needs", *owner.inputs, *owner.defaults]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signed: Any = rule
    signed.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    return rule


def _leaf(value: Any) -> Tensor:
    """A raw array as a leaf; a Tensor of an outer graph as it is."""
    if isinstance(value, Tensor) and value.requires_grad:
        return value
    return tensor_of(value.array if isinstance(value, Tensor) else value, requires_grad=True)


def primitive(fn: Callable | None = None, **options: Any) -> Any:
    """Make a primitive of ``fn(xp, *arrays, **static)``; public, for operations of your own too.

    Parameters
    ----------
    fn
        Computes raw arrays from raw arrays with the array namespace ``xp`` (NumPy or CuPy). It
        returns an array, or a tuple of arrays for an operation with several outputs.
    **options
        ``aux``: names of extra arrays that only the rules want; `fn` then takes ``save: bool`` and
        returns ``(y, *aux)``; callers see ``y`` alone. ``name``: what messages call it, where a
        function of another name is what users type. ``operands``: how the inputs are brought to one
        dtype (`ops.promotion`). ``view=True``: outputs may show the first input's memory.
        ``any_float=True``: the rules take cotangents of other float dtypes.

    Examples
    --------
    >>> @tl.primitive
    ... def cube(xp, x):
    ...     return x * x * x
    >>> cube.defvjp(x=lambda g, x: g * 3 * x * x)
    >>> x = tl.tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad.item()
    12.0
    """
    if fn is None:
        return lambda function: primitive(function, **options)
    made = Primitive(fn, **options)
    PRIMITIVES[f"{fn.__module__}.{fn.__name__}"] = made
    call: Any = made.call
    call.primitive = made
    call.defvjp = made.defvjp
    call.defvjp_group = made.defvjp_group
    call.defvjp_joint = made.defvjp_joint
    call.defvjp_composite = made.defvjp_composite
    call.kernel = made.kernel
    call.on_host = made.on_host
    return call


@primitive
def alias(xp: Any, x: Array) -> Array:
    """The same array under a node of its own."""
    return x


alias.defvjp(x=lambda g: g)
