"""The function behind a primitive's name, and what it does.

The function only binds arguments: its parameters are the primitive's, so it is generated as text,
once a primitive, the way `dataclasses` writes ``__init__``. The kernels' extension makes the call
in C++ (`kernels/host/call.h`); where there is none, the usual case is part of the text. What either
declines is done by one loop over the inputs, `plainly`. Names in the text begin or end with an
underscore so that a primitive's own parameters cannot shadow them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorlite.backend import BACKENDS, HOST, array_backend
from tensorlite.backend.kernels.library import ON_HOST_KERNELS
from tensorlite.decorate import named_as
from tensorlite.outside import operand
from tensorlite.plan import Plan, is_float
from tensorlite.tape import Node, OutputNode, Switches, mode, next_index
from tensorlite.tensor import Size, Tensor, Views, source_of, tensor_of
from tensorlite.views import mark
from tensorlite.written import compiled

if TYPE_CHECKING:
    from tensorlite.primitive import Primitive


# What an operand may be without a look at it, beside arrays of a device.
PLAIN = {type(None), bool, int, float}


def from_outside(name: str, x: Any) -> Any:
    """An operand as it is, or as a plain array; what is no Tensor, array or number is refused."""
    if x.__class__ in PLAIN or isinstance(x, Tensor) or is_plain(x):
        return x
    return operand(x, name)


def is_plain(x: Any) -> bool:
    """Whether kernels understand `x`: an array of a known device, in order, or a number."""
    if x.__class__ is np.ndarray:
        return x.flags.aligned and x.dtype.isnative
    return x.__class__ in BACKENDS or isinstance(x, (np.generic, int, float))


_CALL = """
def {name}({parameters}):
{also}    y_ = _compiled({all}{values})
    return _plainly(_primitive, ({all}), {static}) if y_ is _NotImplemented else y_
"""
# Where there are no kernels, what is usual is written out, as a loop over the inputs would cost as
# much as a small operation: NumPy's arrays of one float dtype, or Tensors of them, and one result.
_CALL_OF_NUMPY = """
def {name}({parameters}):
{also}    {unwrapped}
    switches_ = _mode.switches
    if switches_.special or not ({usual}):
        return _plainly(_primitive, ({all}), {static})
    try:
        y_ = _reference(_np, {raw}{by_name})
    except _ERRORS as error_:
        raise _primitive.explained(error_, ({raw}))
    if y_.__class__ is not _ndarray:
        y_ = _as_arrays(y_)
    bare_ = {bare}
    if bare_ or not switches_.grad:
        return y_ if bare_ else _wrap(y_)
    parents_ = ({parents})
    needs_ = ({needs})
    if True not in needs_:
        return _wrap(y_)
    plan_ = _primitive.plans.get(needs_) or _primitive.new_plan(needs_)
    return _record_outputs(plan_, parents_, plan_.save(({raw}y_, (), {values})), y_)
"""

# NumPy's name of a parameter is taken beside torch's.
_ALSO = """
    if {ours} is not _unset:
        {torchs} = {ours}
"""
_NEEDED = """
    if {torchs} is _unset:
        raise TypeError("{name}() needs {torchs}")
"""


def compile_call(self: Primitive) -> Callable:
    """Make the function users call; its text is written out when it is first called.

    Most programs use few primitives, and compiling all of them would be most of the import time.
    """
    namespace: dict[str, Any] = {}

    def write_out() -> Callable:
        namespace.update(_used_by(self))
        exec(compiled(_text(self), f"the call of {self.name}"), namespace)
        written = namespace.pop(self.reference.__name__)
        # Another thread may call it at any moment: the code comes last, or first in `write_again`.
        call.__defaults__, call.__kwdefaults__ = written.__defaults__, written.__kwdefaults__
        call.__code__ = written.__code__
        _compile_ahead(self)
        return call

    namespace["_write_out"] = write_out
    call = FunctionType(_not_yet_written.__code__, namespace, self.reference.__name__)
    return named_as(self.reference)(call)


def write_again(call: Any) -> None:
    """Let a primitive's function be written out anew at its next call."""
    call.__code__ = _not_yet_written.__code__


def _used_by(self: Primitive) -> dict[str, Any]:
    """The globals of the text."""
    return {
        "_NotImplemented": NotImplemented,
        "_compiled": declined,
        "_plainly": plainly,
        "_primitive": self,
        "_reference": self.reference,
        **_OF_NUMPY,
        "_unset": _UNSET,
        **{f"_default_{n}": v for n, v in (self.input_defaults | self.defaults).items()},
    }


def plainly(self: Primitive, args: tuple, static: dict[str, Any]) -> Any:
    """Call a primitive: unwrap, compute, put the call on the tape, wrap."""
    switches = mode.switches
    if switches.special:
        return self.observed(args, static)
    if self.operands is not None:
        args = self.operands([from_outside(self.name, x) for x in args])
    kind, raw, parents = None, [], []
    for x in args:
        parent = None
        if isinstance(x, Tensor):
            array = x.array
            if kind is None:
                kind = array.__class__
            elif array.__class__ is not kind:
                self.mixed(args)
            if x.requires_grad:
                parent = source_of(x)
        else:
            array = x if x.__class__ in PLAIN else from_outside(self.name, x)
        raw.append(array)
        parents.append(parent)
    needs = tuple([parent is not None for parent in parents])
    record = switches.grad and True in needs
    y, aux = self.forward(tuple(raw), static, record)
    if not record:
        if kind is None:
            return y
        result = wrap(y)
    else:
        plan = self.plans.get(needs) or self.new_plan(needs)
        saved = plan.save((*raw, y, aux, *static.values()))
        result = record_outputs(plan, tuple(parents), saved, y)
    return mark(result, args[0], self, tuple(static.values())) if self.view else result


def _not_yet_written(*args: Any, **static: Any) -> Any:
    return _write_out()(*args, **static)  # type: ignore[name-defined]  # noqa: F821 (a global of each primitive's function)


def declined(*args: Any) -> Any:
    """Stand in for the call in C++ where there are no kernels."""
    return NotImplemented


_UNSET = object()
_MISSING = inspect.Parameter.empty
_host_kernels: Any = None
_written: list[Primitive] = []


def _compile_ahead(self: Primitive) -> None:
    """Compile the call of a primitive with the host's extension, now or when that is loaded."""
    if self.variadic:
        return
    if _host_kernels is None:
        _written.append(self)
        return
    names = (*self.defaults, *["save"] * bool(self.aux))
    description = (
        self.host_kernel and getattr(_host_kernels, self.host_kernel, None),
        self.host_kernel,
        *_by_position(self.kernel_fn, names),
        _host_kernels,
        *_by_position(self.reference, names),
        np,
        names,
        lambda needs: self.plans.get(needs) or self.new_plan(needs),
        as_arrays,
        wrap,
        record_outputs,
        self,
    )
    rule: Any = self.operands
    made = _host_kernels.compiled_call(
        description,
        len(self.inputs),
        self.kernel_from,
        bool(self.aux),
        -1 if rule is None else rule.first,
        rule is not None and rule.floats,
        self.view,
    )
    self.call.__globals__["_compiled"] = made or declined


def _by_position(function: Callable | None, names: tuple[str, ...]) -> tuple[Any, bool]:
    """`function` made to take its keyword-only `names` by position; and whether that worked.

    Passing a name with each value would take longer than a small operation's arithmetic.
    """
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return function, False
    count = code.co_argcount + code.co_kwonlyargcount
    if code.co_varnames[code.co_argcount : count] != names:
        return function, False
    code = code.replace(co_argcount=count, co_kwonlyargcount=0)
    plain: Any = function
    made = FunctionType(code, plain.__globals__, code.co_name, None, plain.__closure__)
    return made, True


@ON_HOST_KERNELS.append
def _compile_written(kernels: Any) -> None:
    """Use the kernels for what was called before they were loaded, too."""
    global _host_kernels
    _host_kernels = kernels
    kernels.use_tape(*(Tensor, Node, OutputNode, next_index, Views, Plan, Size, mode, Switches))
    for each in _written:
        write_again(each.call)
    _written.clear()


def _text(self: Primitive) -> str:
    """The source of one primitive's function; see `_CALL`."""
    named = self.names.get
    static = {n: named(n, n) for n in self.defaults}
    also = {ours: torchs for ours, torchs in self.names.items() if ours in self.defaults}
    inputs = [named(x, x) for x in self.inputs]
    operands: Any = self.operands
    several = self.variadic or self.aux or self.view or (operands and operands.first)
    alone = _host_kernels is None and inputs and not several
    return (_CALL_OF_NUMPY if alone else _CALL).format(
        name=self.reference.__name__,
        parameters=", ".join(_parameters(self)),
        all="*args_, " if self.variadic else "".join(f"{x}, " for x in inputs),
        by_name="".join(f"{n}={v}, " for n, v in static.items()),
        **(_of_numpy(self, inputs) if alone else {}),
        also="".join(
            _ALSO.format(ours=o, torchs=t)
            + _NEEDED.format(torchs=t, name=self.name) * (self.defaults[o] is _MISSING)
            for o, t in also.items()
        ),
        static="{" + ", ".join(f"{n!r}: {v}" for n, v in static.items()) + "}",
        values="".join(f"{v}, " for v in static.values()),
    )


def _of_numpy(self: Primitive, inputs: list[str]) -> dict[str, str]:
    """What the text for NumPy's arrays says of the inputs."""
    array = "{x}_ = {x}.array if isinstance({x}, _Tensor) else {x}"
    parent = (
        "None if {x}_ is {x} or not {x}.requires_grad else {x} if {x}.node is None else {x}.node"
    )
    first, *others = inputs
    usual = [f"{x}_.__class__ is _ndarray" for x in inputs]
    usual.append(f"{first}_.dtype.kind == 'f' and {first}_.dtype.isnative")
    if self.operands is not None:
        alike = (
            "({x}_.__class__ in _REAL or {x}_.__class__ is _ndarray and {x}_.dtype is {y}_.dtype)"
        )
        usual[1:-1] = [alike.format(x=x, y=first) for x in others]
    if self.kernel_fn is not None:
        usual.append("_host.kernels is None")
    return {
        "raw": "".join(f"{x}_, " for x in inputs),
        "unwrapped": "; ".join(array.format(x=x) for x in inputs),
        "usual": " and ".join(usual),
        "bare": " and ".join(f"{x}_ is {x}" for x in inputs),
        "parents": "".join(f"{parent.format(x=x)}, " for x in inputs),
        "needs": "".join(f"parents_[{i}] is not None, " for i in range(len(inputs))),
    }


def takes_positions(self: Primitive) -> bool:
    """Whether static parameters may be given by position: none is needed after one that is not."""
    given = [*(dict.fromkeys(self.inputs, _MISSING) | self.input_defaults).values()]
    needed = [default is _MISSING for default in [*given, *self.defaults.values()]]
    return self.variadic is None and needed == sorted(needed, reverse=True)


def _parameters(self: Primitive) -> list[str]:
    """Parameters of the generated call; static ones may be given by position where that can be."""
    missing = _MISSING
    if self.variadic:
        names = {"*args_": missing, **self.defaults}
    else:
        inputs = dict.fromkeys(self.inputs, missing) | self.input_defaults
        names = {**inputs, **({} if takes_positions(self) else {"*": missing}), **self.defaults}
    also = [f"{ours}=_unset" for ours in self.names if ours in self.defaults]
    given = {n: "" if d is missing else f"=_default_{n}" for n, d in names.items()}
    given |= {n: "=_unset" for n in self.names if names.get(n) is missing and n in self.defaults}
    listed = [self.names.get(n, n) + default for n, default in given.items()]
    return [*listed, *["*"] * (bool(also) and not {"*", "*args_"} & {*names}), *also]


def as_arrays(y: Any) -> Any:
    """Several outputs as a tuple of arrays, and NumPy's scalars as arrays with no axes."""
    if y.__class__ in BACKENDS:
        return y
    if not isinstance(y, (tuple, list)):
        return array_backend((y,)).asarray(y)
    for v in y:
        if v.__class__ not in BACKENDS:
            break
    else:
        return tuple(y)
    return tuple([as_arrays(v) for v in y])


def wrap(y: Any) -> Any:
    """Arrays as Tensors without history."""
    return tuple([tensor_of(v) for v in y]) if y.__class__ is tuple else tensor_of(y)


def record_outputs(plan: Plan, parents: tuple, saved: tuple, y: Any) -> Any:
    """Put a call on the tape and wrap what it returned: one array or several."""
    if not plan.differentiable:
        return wrap(y)
    if y.__class__ is not tuple:
        return tensor_of(y, Node(plan, parents, saved, y.shape, y.dtype))
    node = Node(plan, parents, saved, (len(y),), None)
    return tuple(
        [
            tensor_of(v, OutputNode(node, i, v.shape, v.dtype)) if is_float(v) else tensor_of(v)
            for i, v in enumerate(y)
        ]
    )


_OF_NUMPY = {
    "_REAL": frozenset({float, int}),
    "_ERRORS": (ValueError, TypeError, IndexError, AttributeError),
    "_Tensor": Tensor,
    "_as_arrays": as_arrays,
    "_host": HOST,
    "_mode": mode,
    "_ndarray": np.ndarray,
    "_np": HOST.xp,
    "_record_outputs": record_outputs,
    "_wrap": wrap,
}


def listed(value: Any) -> list:
    """A single output as a list of one."""
    return list(value) if isinstance(value, (tuple, list)) else [value]
