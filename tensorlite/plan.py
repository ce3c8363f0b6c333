"""Plans: for one primitive and one set of inputs that need gradients, what to save and run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from tensorlite.backend import BACKENDS, Array
from tensorlite.tape import Node, OutputNode
from tensorlite.tensor import Tensor, tensor_of
from tensorlite.written import expression

if TYPE_CHECKING:
    from tensorlite.primitive import Primitive


class Residual(NamedTuple):
    """Where a rule's argument comes from: kind, position, and its name in the rule."""

    kind: str  # input, inputs, shape, shapes, strides, dtype, output, aux, static
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
    keeps
        Whether arrays are among the residuals: then a graph can be walked only once.
    save
        Picks the residuals from (*inputs, output, aux, *static).
    pull
        Runs the rules on a cotangent and the residuals: a gradient for each input, or None.
    keyword
        The keyword-only parameter of the rules that `pull` takes as its third argument, or None;
        "both" where a joint rule has both, in this order.
        "into": for each input an array that its gradient may be written to, or None. "last":
        whether the residuals are read for the last time.
    on_cuda
        Whether that is told on CUDA alone.
    any_float
        Whether the rules take a cotangent of another float dtype than the output's.
    """

    __slots__ = (
        "any_float",
        "differentiable",
        "joint",
        "keeps",
        "keyword",
        "name",
        "needs",
        "on_cuda",
        "primitive",
        "pull",
        "residuals",
        "rules",
        "save",
    )

    def __init__(self, primitive: Primitive, needs: tuple[bool, ...]) -> None:
        self.primitive = primitive
        self.name = primitive.name
        self.needs = needs
        self.residuals: list[Residual] = []
        self.rules: list[tuple[int, Callable, list[int]]] = []
        self.joint: list[int] | None = None
        self.keyword: str | None = None
        self.any_float = primitive.any_float
        if primitive.joint_rule is not None:
            self.joint = self._slots(primitive.joint_rule, skip=2)
        else:
            for position, needed in enumerate(needs):
                rule = primitive.rules.get(position)
                if needed and rule is not None:
                    self.rules.append((position, rule, self._slots(rule, skip=1)))
        self.differentiable = bool(self.rules) or self.joint is not None
        self.pull = self._puller()
        self.on_cuda = self.keyword == "into" and self.joint is not None
        if self.keyword is None or self.on_cuda:  # a recorder may run it twice
            self.pull.__dict__["of"] = self.name
        self.save = self._saver()
        self.keeps = any(r.kind in ("input", "inputs", "output", "aux") for r in self.residuals)

    def _slots(self, rule: Callable, skip: int) -> list[int]:
        """Positions among the residuals of what `rule` names."""
        slots = []
        for name in residual_names(rule, skip):
            residual = self.primitive.residual(name)
            if residual not in self.residuals:
                self.residuals.append(residual)
            slots.append(self.residuals.index(residual))
        return slots

    # Both run at every operation, so they too are written out as text (see `call`).

    def _saver(self) -> Callable[[tuple], tuple]:
        """Make `save`."""
        kept = "".join(self._place(r) + ", " for r in self.residuals)
        return expression(f"lambda v: ({kept})", f"what {self.name} keeps for its gradient")

    def _place(self, residual: Residual) -> str:
        """Where a residual is among (*inputs, output, aux, *static), as an expression of `v`."""
        kind, key, _ = residual
        n = len(self.needs)
        first = len(self.primitive.inputs)  # of the variadic ones
        match kind:
            case "input":
                return f"v[{key}]"
            case "inputs":
                return f"v[{first}:{n}]"
            case "shape":
                return f"getattr(v[{key}], 'shape', ())"
            case "strides":
                return f"getattr(v[{key}], 'strides', ())"
            case "shapes":
                return f"tuple([a.shape for a in v[{first}:{n}]])"
            case "dtype":
                return f"getattr(v[{key}], 'dtype', None)"
            case "output":
                return f"v[{n}]"
            case "aux":
                return f"v[{n + 1}][{key}]"
        return f"v[{n + 2 + key}]"  # static

    def _puller(self) -> Callable[[Any, tuple], Sequence]:
        """Make `pull`."""
        if self.joint is not None:
            names = {"rule": self.primitive.joint_rule, "needs": self.needs}
            several = "tuple(g) if g.__class__ is list else g"
            into = self._keyword(self.primitive.joint_rule, "into")
            last = self._keyword(self.primitive.joint_rule, "last")
            if into and last:
                self.keyword = "both"
            call = f"rule({several}, needs{_arguments(self.joint)}{into}{last})"
            taken = "into=None, last=False" if into else "last=False"
            return expression(
                f"lambda g, s, {taken}: {call}", f"the gradient of {self.name}", names
            )
        calls = ["None, "] * len(self.needs)
        names = {}
        for position, rule, slots in self.rules:
            into = self._keyword(rule, "into")
            calls[position] = f"rule{position}(g{_arguments(slots)}{into}), "
            names[f"rule{position}"] = rule
        for positions, rule in self.primitive.group_rules.items():
            if all(self.needs[position] for position in positions):
                first, slots = positions[0], self._slots(rule, skip=1)
                into = self._keyword(rule, "into")
                calls[first] = f"*rule{first}(g{_arguments(slots)}{into}), "
                calls[first + 1 : first + len(positions)] = [""] * (len(positions) - 1)
                names[f"rule{first}"] = rule
                break
        text = f"lambda g, s, into=None: ({''.join(calls)})"
        return expression(text, f"the gradient of {self.name}", names)

    def _keyword(self, rule: Callable, name: str) -> str:
        """The argument ``name=name`` as text, if the rule has such a parameter."""
        if name not in [parameter for parameter, _, _ in parameters_of(rule)]:
            return ""
        self.keyword = name
        return f", {name}={name}"

    def pull_some(self, g: Any, saved: tuple, needs: tuple[bool, ...]) -> Sequence:
        """`pull` for fewer inputs."""
        if self.joint is not None:
            g = tuple(g) if g.__class__ is list else g
            return self.primitive.joint_rule(g, needs, *[saved[i] for i in self.joint])
        found: list[Any] = [None] * len(needs)
        for position, rule, slots in self.rules:
            if needs[position]:
                found[position] = rule(g, *[saved[i] for i in slots])
        return found

    def as_tensors(self, node: Node) -> tuple:
        """The saved arrays as Tensors tied to the graph, so that rules can be differentiated."""
        result = []
        for (kind, key, _), value in zip(self.residuals, node.saved, strict=True):
            if kind == "input":
                value = _tied(value, node.parents[key])
            elif kind == "inputs":
                value = tuple(map(_tied, value, node.parents[len(self.primitive.inputs) :]))
            elif kind == "output" and isinstance(value, tuple):
                value = tuple(
                    tensor_of(v, OutputNode(node, i, v.shape, v.dtype) if is_float(v) else None)
                    for i, v in enumerate(value)
                )
            elif kind == "output":
                value = tensor_of(value, node)
            elif kind == "aux":
                value = _tied(value, None)
            result.append(value)
        return tuple(result)


def residual_names(rule: Callable, skip: int) -> list[str]:
    """Names of a rule's residuals: its parameters after the first `skip`, but keyword-only ones."""
    if is_plain_function(rule):
        code = rule.__code__
        if not code.co_flags & inspect.CO_VARARGS:
            return list(code.co_varnames[skip : code.co_argcount])
    return [name for name, kind, _ in parameters_of(rule)[skip:] if kind != KEYWORD_ONLY]


def is_plain_function(function: Any) -> bool:
    """Whether a function's own code says all of its parameters."""
    return type(function) is FunctionType and not function.__dict__


KEYWORD_ONLY, STARRED, MISSING = "keyword", "*", inspect.Parameter.empty


def parameters_of(function: Any) -> list[tuple[str, str, Any]]:
    """Name, kind and default of each parameter: of all that `inspect` tells, and in no time.

    `inspect.signature` of all primitives and rules would take a third of the time of an import.
    """
    plain = is_plain_function(function)
    while not plain and not hasattr(function, "__signature__") and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    if not plain and (hasattr(function, "__signature__") or not hasattr(function, "__code__")):
        kinds: dict[Any, str] = {
            inspect.Parameter.KEYWORD_ONLY: KEYWORD_ONLY,
            inspect.Parameter.VAR_POSITIONAL: STARRED,
        }
        found = inspect.signature(function).parameters.values()
        return [(p.name, kinds.get(p.kind, ""), p.default) for p in found]
    code, given = function.__code__, function.__defaults__ or ()
    names, n = code.co_varnames, code.co_argcount
    defaults = [MISSING] * (n - len(given)) + list(given)
    last = n + code.co_kwonlyargcount
    by_name = function.__kwdefaults__ or {}
    starred = [(names[last], STARRED, MISSING)] if code.co_flags & inspect.CO_VARARGS else []
    return [
        *[(name, "", default) for name, default in zip(names, defaults, strict=False)],
        *starred,
        *[(name, KEYWORD_ONLY, by_name.get(name, MISSING)) for name in names[n:last]],
    ]


def _arguments(slots: list[int]) -> str:
    """Residuals as further arguments in a call."""
    return "".join(f", s[{i}]" for i in slots)


def _tied(value: Any, parent: Any) -> Any:
    """A saved array as a Tensor with `parent`, the node or leaf it came from."""
    if isinstance(parent, Tensor) and parent.array.dtype == value.dtype:
        return parent  # else it is a short copy of the leaf
    return tensor_of(value, parent) if type(value) in BACKENDS else value  # not NumPy's scalars


def is_float(array: Array) -> bool:
    """Whether the elements can carry a gradient."""
    return array.dtype.kind in "fc" or array.dtype.name == "bfloat16"
