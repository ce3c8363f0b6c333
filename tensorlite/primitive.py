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
a static parameter, or an auxiliary output (see `primitive`).

What no needed rule names is not saved. Rules run on raw arrays in `backward()` and on Tensors
under ``create_graph=True``, so they use operators and other primitives only. The engine
un-broadcasts, casts and accumulates; an input that needs no gradient costs nothing.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

from tensorlite.backend import BACKENDS, Array, array_backend, is_array
from tensorlite.tape import Node, OutputNode, enable_grad, grad, mode
from tensorlite.tensor import Tensor

PRIMITIVES: dict[str, Primitive] = {}


class Residual(NamedTuple):
    """Where a rule's argument comes from: kind, position, and the name it is asked for by."""

    kind: str  # input, inputs, shape, shapes, output, aux, static
    key: Any
    name: str


class Plan:
    """For one primitive and one set of inputs that need gradients: what to save, what to run.

    Attributes
    ----------
    residuals
        What is saved, in order.
    rules
        (input position, rule, positions of its arguments among the residuals).
    joint
        Positions of the joint rule's arguments, if there is one.
    only
        The rule, if there is just one and it takes all residuals: the common case, made fast.
    save
        Picks the residuals from (*inputs, output, aux, static).
    """

    def __init__(self, primitive: Primitive, needs: tuple[bool, ...]) -> None:
        self.primitive = primitive
        self.name = primitive.name
        self.needs = needs
        self.residuals: list[Residual] = []
        self.rules: list[tuple[int, Callable, list[int]]] = []
        self.joint: list[int] | None = None
        if primitive.joint_rule is not None:
            self.joint = self._slots(primitive.joint_rule, skip=2)
        else:
            for position, needed in enumerate(needs):
                rule = primitive.rules.get(position)
                if needed and rule is not None:
                    self.rules.append((position, rule, self._slots(rule, skip=1)))
        self.differentiable = bool(self.rules) or self.joint is not None
        self.save = self._saver()
        in_order = list(range(len(self.residuals)))
        self.only: Callable | None = None
        if self.joint is None and len(self.rules) == 1 and self.rules[0][2] == in_order:
            self.only = self.rules[0][1]

    def _slots(self, rule: Callable, skip: int) -> list[int]:
        """Positions among the residuals of what `rule` names."""
        slots = []
        for name in list(inspect.signature(rule).parameters)[skip:]:
            residual = self.primitive.residual(name)
            if residual not in self.residuals:
                self.residuals.append(residual)
            slots.append(self.residuals.index(residual))
        return slots

    def _saver(self) -> Callable[[tuple], tuple]:
        """One function for all residuals; C does it where only arrays are wanted."""
        n = len(self.needs)
        places = [r.key if r.kind == "input" else n for r in self.residuals]
        simple = all(r.kind in ("input", "output") for r in self.residuals)
        if not places:
            return lambda values: ()
        if simple and len(places) > 1:
            return itemgetter(*places)
        getters = [self._getter(residual) for residual in self.residuals]
        if len(getters) == 1:
            (get,) = getters
            return lambda values: (get(values),)
        return lambda values: tuple([get(values) for get in getters])

    def _getter(self, residual: Residual) -> Callable[[tuple], Any]:
        """A function of (*inputs, output, aux, static) that picks one residual."""
        kind, key, _ = residual
        n = len(self.needs)
        return {
            "input": itemgetter(key),
            "inputs": lambda values: values[:n],
            "shape": lambda values: getattr(values[key], "shape", ()),
            "shapes": lambda values: tuple([a.shape for a in values[:n]]),
            "output": itemgetter(n),
            "aux": lambda values: values[n + 1][key],
            "static": lambda values: values[n + 2].get(key, self.primitive.defaults.get(key)),
        }[kind]

    def gradients(self, g: Any, saved: tuple, parents: tuple, needed: set | None) -> list:
        """Run the rules; return (input position, gradient) where a gradient is needed."""
        if self.only is not None:
            return [(self.rules[0][0], self.only(g, *saved))]
        if self.joint is None:
            return [
                (position, rule(g, *[saved[i] for i in slots]))
                for position, rule, slots in self.rules
                if needed is None or parents[position] in needed
            ]
        needs = self.needs
        if needed is not None:
            needs = tuple([parent in needed for parent in parents])
        g = tuple(g) if g.__class__ is list else g
        results = self.primitive.joint_rule(g, needs, *[saved[i] for i in self.joint])
        return [
            (position, d)
            for position, (d, need) in enumerate(zip(results, needs, strict=True))
            if need and d is not None
        ]

    def as_tensors(self, node: Node) -> tuple:
        """The saved arrays as Tensors tied to the graph, so that rules can be differentiated."""
        result = []
        for (kind, key, _), value in zip(self.residuals, node.saved, strict=True):
            if kind == "input":
                value = _tied(value, node.parents[key])
            elif kind == "inputs":
                value = tuple(map(_tied, value, node.parents))
            elif kind == "output" and isinstance(value, tuple):
                value = tuple(
                    Tensor(v, OutputNode(node, i, v.shape, v.dtype) if is_float(v) else None)
                    for i, v in enumerate(value)
                )
            elif kind == "output":
                value = Tensor(value, node)
            elif kind == "aux":
                value = _tied(value, None)
            result.append(value)
        return tuple(result)


def _tied(value: Any, parent: Any) -> Any:
    """A saved array as a Tensor with `parent`, the node or leaf it came from."""
    if isinstance(parent, Tensor):
        return parent
    return Tensor(value, parent) if is_array(value) else value


def is_float(array: Array) -> bool:
    """Whether the elements can carry a gradient."""
    return array.dtype.kind in "fc" or array.dtype.name == "bfloat16"


class Primitive:
    """What is known of a primitive; the function that `primitive` returns carries it.

    Attributes
    ----------
    inputs, variadic, defaults
        Names of the array inputs, of ``*inputs`` if there are such, and the static parameters
        with their defaults.
    rules, joint_rule
        One rule an input position, or one for all.
    call
        The function users call.
    """

    def __init__(self, reference: Callable, aux: tuple[str, ...]) -> None:
        self.reference = reference
        self.name = reference.__name__.rstrip("_")
        self.aux = aux
        self.inputs: list[str] = []
        self.variadic: str | None = None
        self.defaults: dict[str, Any] = {}
        input_defaults: dict[str, Any] = {}
        for parameter in list(inspect.signature(reference).parameters.values())[1:]:
            if parameter.kind is parameter.VAR_POSITIONAL:
                self.variadic = parameter.name
            elif parameter.kind is parameter.KEYWORD_ONLY:
                if not (aux and parameter.name == "save"):
                    self.defaults[parameter.name] = parameter.default
            else:
                self.inputs.append(parameter.name)
                if parameter.default is not parameter.empty:
                    input_defaults[parameter.name] = parameter.default
        if reserved := {"g", "y", "needs"}.intersection(self.inputs, self.defaults):
            raise TypeError(f"{self.name}: a rule gives {sorted(reserved)} another meaning; rename")
        self.rules: dict[int, Callable] = {}
        self.joint_rule: Callable | None = None
        self.kernel_fn: Callable | None = None
        self.plans: dict[tuple[bool, ...], Plan] = {}
        self.call = _compile(self, input_defaults)

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

    def defvjp_joint(self, rule: Callable) -> Callable:
        """Give one rule for all inputs: ``rule(g, needs, *residuals) -> a gradient an input``."""
        self._check_residuals(rule, skip=2)
        self.joint_rule = rule
        return rule

    def defvjp_composite(self, composite: Callable) -> Callable:
        """Take the gradient from `composite`: the same function written with primitives.

        For fused operations whose derivative is wanted seldom (the backward of a backward).
        """
        self.joint_rule = _composite_rule(composite, self)
        return composite

    def kernel(self, fn: Callable) -> Callable:
        """Give a compiled form: ``fn(k, *inputs, **static)``, `k` the device's kernel library.

        It returns NotImplemented where it does not apply, and then the reference runs.
        """
        self.kernel_fn = fn
        self.call.__globals__["_plain"] = False
        return fn

    def residual(self, name: str) -> Residual:
        """Read one name of a rule's residual list."""
        if name in self.inputs:
            return Residual("input", self.inputs.index(name), name)
        if name.endswith("_shape") and name[:-6] in self.inputs:
            return Residual("shape", self.inputs.index(name[:-6]), name)
        if self.variadic is not None and name == self.variadic:
            return Residual("inputs", None, name)
        if self.variadic is not None and name == f"{self.variadic}_shape":
            return Residual("shapes", None, name)
        if name in self.aux:
            return Residual("aux", self.aux.index(name), name)
        if name in self.defaults:
            return Residual("static", name, name)
        if name == "y":
            return Residual("output", None, name)
        raise TypeError(
            f"{self.name}: a rule asks for {name!r}, which is neither y, an input {self.inputs}, "
            f"an input's shape, a static parameter {list(self.defaults)} nor auxiliary {self.aux}"
        )

    def _check_residuals(self, rule: Callable, skip: int) -> None:
        for name in list(inspect.signature(rule).parameters)[skip:]:
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
            if self.kernel_fn is not None and backend.kernels is not None:
                y = self.kernel_fn(backend.kernels, *raw, **static)
            if y is NotImplemented:
                y = self.reference(backend.xp, *raw, **static)
        except (ValueError, TypeError, IndexError) as error:
            raise self.explained(error, raw) from error
        if self.aux:
            y, *aux = y
        return as_arrays(y), aux

    def new_plan(self, needs: tuple[bool, ...]) -> Plan:
        """Work out, once, what a call saves when these inputs need gradients."""
        plan = self.plans[needs] = Plan(self, needs)
        return plan

    def observed(self, args: tuple, static: dict) -> Any:
        """Call under a policy: cast the inputs, note the source line, look for NaN."""
        switches = mode.switches
        switches.special = False
        try:
            if switches.autocast is not None:
                args = switches.autocast(self, args)
            result = self.call(*args, **static)
        finally:
            switches.special = True
        source = switches.trace() if switches.trace is not None else None
        for output in listed(result):
            if isinstance(output, Tensor):
                if output.node is not None:
                    output.node.set_source(source)
                if switches.anomaly is not None:
                    switches.anomaly(output.data, self.name, source)
        return result

    # --- what goes wrong ----------------------------------------------------------------------

    def explained(self, error: Exception, raw: tuple) -> Exception:
        """The same error, naming the operation and its inputs."""
        text = str(error)
        if text.startswith(f"{self.name}: ") or "; inputs: " in text:
            return error
        inputs = ", ".join(_describe(a) for a in raw if a is not None)
        return type(error)(f"{self.name}: {text}; inputs: {inputs}")

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


def _describe(value: Any) -> str:
    if is_array(value):
        return f"{value.dtype} {tuple(value.shape)}"
    return repr(value) if isinstance(value, (bool, int, float)) else type(value).__name__


def as_arrays(y: Any) -> Any:
    """Several outputs as a tuple of arrays, and NumPy's scalars as arrays with no axes."""
    if y.__class__ in BACKENDS:
        return y
    if isinstance(y, (tuple, list)):
        return tuple([as_arrays(v) for v in y])
    return array_backend((y,)).asarray(y)


def wrap(y: Any) -> Any:
    """Arrays as Tensors without history."""
    return tuple([Tensor(v) for v in y]) if y.__class__ is tuple else Tensor(y)


def record_outputs(plan: Plan, parents: tuple, saved: tuple, y: Any) -> Any:
    """Put a call on the tape and wrap what it returned: one array or several."""
    if not plan.differentiable:
        return wrap(y)
    if y.__class__ is not tuple:
        return Tensor(y, Node(plan, parents, saved, y.shape, y.dtype))
    node = Node(plan, parents, saved, [v.shape for v in y], None)
    return tuple(
        [
            Tensor(v, OutputNode(node, i, v.shape, v.dtype)) if is_float(v) else Tensor(v)
            for i, v in enumerate(y)
        ]
    )


def listed(value: Any) -> list:
    """A single output as a list of one."""
    return list(value) if isinstance(value, (tuple, list)) else [value]


# --- the function users call ------------------------------------------------------------------
#
# A loop over the inputs would cost as much as a small operation itself, so the call is written
# out for each primitive's inputs, once, the way `dataclasses` writes `__init__`. The names of the
# text are globals of the generated function, which CPython reads fastest.

# Names end or begin with an underscore so that a primitive's parameters cannot shadow them.

_UNWRAP = """
    if isinstance({x}, _Tensor):
        {x}_raw = {x}.data
        if {x}_raw.__class__ is not kind_:
            kind_ = {x}_raw.__class__ if kind_ is None else _mixed(({all}))
        {x}_parent = ({x}.node or {x}) if {x}.requires_grad else None
    else:
        {x}_raw = {x}
        {x}_parent = None
"""

_CALL = """
def {name}({parameters}):
    static_ = {static}
    switches_ = _mode.switches
    if switches_.special:
        return _observed(({all}), static_)
    kind_ = None
{unwrap}
    if kind_ is None:
        return _forward(({raw}), static_)[0]
    needs_ = ({needs})
    record_ = switches_.grad and True in needs_
    if _plain:
        aux_ = ()
        try:
            y_ = _reference(_BACKENDS[kind_].xp, {raw_arguments})
        except _ERRORS as error:
            raise _explained(error, ({raw})) from error
        if y_.__class__ is not kind_:
            y_ = _as_arrays(y_)
    else:
        y_, aux_ = _forward(({raw}), static_, record_)
    if not record_:
        return _wrap(y_)
    plan_ = _plans.get(needs_) or _new_plan(needs_)
    saved_ = plan_.save(({raw}y_, aux_, static_))
    if y_.__class__ is kind_ and plan_.differentiable:
        return _Tensor(y_, _Node(plan_, ({parents}), saved_, y_.shape, y_.dtype))
    return _record_outputs(plan_, ({parents}), saved_, y_)
"""

_CALL_VARIADIC = """
def {name}(*args, **static):
    if _mode.switches.special:
        return _observed(args, static)
    kinds = {{x.data.__class__ for x in args if isinstance(x, _Tensor)}}
    if len(kinds) > 1:
        _mixed(args)
    raw = tuple([x.data if isinstance(x, _Tensor) else x for x in args])
    if not kinds:
        return _forward(raw, static)[0]
    parents = tuple(
        [(x.node or x) if isinstance(x, _Tensor) and x.requires_grad else None for x in args]
    )
    needs = tuple([parent is not None for parent in parents])
    record = _mode.switches.grad and True in needs
    y, aux = _forward(raw, static, record)
    if not record:
        return _wrap(y)
    plan = _plans.get(needs) or _new_plan(needs)
    return _record_outputs(plan, parents, plan.save((*raw, y, aux, static)), y)
"""


def _compile(self: Primitive, input_defaults: dict[str, Any]) -> Callable:
    """Write out the call of one primitive; see `_CALL`."""
    xs = self.inputs
    has_static = bool(self.defaults)
    everything = "".join(f"{x}, " for x in xs)
    parameters = _parameters(dict.fromkeys(xs, inspect.Parameter.empty) | input_defaults)
    text = (_CALL_VARIADIC if self.variadic else _CALL).format(
        name=self.name,
        parameters=", ".join(parameters + _parameters(self.defaults)),
        all=everything,
        static="{" + ", ".join(f"{n!r}: {n}" for n in self.defaults) + "}" if has_static else "_NONE",
        unwrap="".join(_UNWRAP.format(x=x, all=everything) for x in xs),
        raw="".join(f"{x}_raw, " for x in xs),
        raw_arguments=", ".join([f"{x}_raw" for x in xs] + ["**static_"] * has_static),
        needs="".join(f"{x}_parent is not None, " for x in xs),
        parents="".join(f"{x}_parent, " for x in xs),
    )
    namespace = {
        "_BACKENDS": BACKENDS,
        "_ERRORS": (ValueError, TypeError, IndexError),
        "_NONE": {},
        "_Node": Node,
        "_Tensor": Tensor,
        "_as_arrays": as_arrays,
        "_explained": self.explained,
        "_forward": self.forward,
        "_mixed": self.mixed,
        "_mode": mode,
        "_new_plan": self.new_plan,
        "_observed": self.observed,
        "_plain": not self.aux,
        "_plans": self.plans,
        "_record_outputs": record_outputs,
        "_reference": self.reference,
        "_wrap": wrap,
        **{f"_{n}": v for n, v in (input_defaults | self.defaults).items()},
    }
    exec(text, namespace)
    return functools.update_wrapper(namespace[self.name], self.reference)


def _parameters(defaults: dict[str, Any]) -> list[str]:
    """Parameters of the generated call; a static one may be given by position too."""
    return [n if d is inspect.Parameter.empty else f"{n}=_{n}" for n, d in defaults.items()]


def _composite_rule(composite: Callable, owner: Primitive) -> Callable:
    """A joint rule that differentiates `composite` at the saved inputs."""

    def rule(g: Any, needs: tuple[bool, ...], *residuals: Any) -> tuple:
        inputs = residuals[: len(owner.inputs)]
        static = dict(zip(owner.defaults, residuals[len(owner.inputs) :], strict=True))
        on_tape = any(isinstance(value, Tensor) for value in (g, *inputs))
        with enable_grad():
            # An alias of each input: an input may depend on another, and only the direct way counts.
            leaves = [
                alias(_leaf(value)) if needed else value
                for value, needed in zip(inputs, needs, strict=True)
            ]
            wrapped = [Tensor(v) if is_array(v) else v for v in leaves]
            y = composite(*wrapped, **static)
            pairs = [
                (out, cotangent)
                for out, cotangent in zip(listed(y), listed(g), strict=True)
                if cotangent is not None and out.requires_grad
            ]
            wanted = [leaf for leaf, needed in zip(leaves, needs, strict=True) if needed]
            found = iter(
                grad(
                    [out for out, _ in pairs],
                    wanted,
                    [cotangent for _, cotangent in pairs],
                    create_graph=on_tape,
                    allow_unused=True,
                )
            )
        results = [next(found) if needed else None for needed in needs]
        return tuple(d if d is None or on_tape else d.data for d in results)

    names = ["g", "needs", *owner.inputs, *owner.defaults]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    rule.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    return rule


def _leaf(value: Any) -> Tensor:
    """A raw array as a leaf; a Tensor of an outer graph as it is."""
    if isinstance(value, Tensor) and value.requires_grad:
        return value
    return Tensor(value.data if isinstance(value, Tensor) else value, requires_grad=True)


def primitive(fn: Callable | None = None, *, aux: tuple[str, ...] = ()) -> Any:
    """Make a primitive of ``fn(xp, *arrays, **static)``; public, for operations of your own too.

    Parameters
    ----------
    fn
        Computes raw arrays from raw arrays with the array namespace ``xp`` (NumPy or CuPy). It
        returns an array, or a tuple of arrays for an operation with several outputs.
    aux
        Names of extra arrays that only the rules want. `fn` then takes ``save: bool`` and returns
        ``(y, *aux)``; callers see ``y`` alone.

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
        return lambda function: primitive(function, aux=aux)
    made = Primitive(fn, aux)
    PRIMITIVES[f"{fn.__module__}.{made.name}"] = made
    call = made.call
    call.primitive = made
    call.defvjp = made.defvjp
    call.defvjp_joint = made.defvjp_joint
    call.defvjp_composite = made.defvjp_composite
    call.kernel = made.kernel
    return call


@primitive
def alias(xp: Any, x: Array) -> Array:
    """The same array under a node of its own."""
    return x


alias.defvjp(x=lambda g: g)
