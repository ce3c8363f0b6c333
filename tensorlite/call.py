"""The function behind a primitive's name, and what it does.

The function only binds arguments: its parameters are the primitive's, so it is generated as text,
once a primitive, the way `dataclasses` writes ``__init__``. The kernels' extension makes the call
in C++ (`kernels/host/call.h`); what that declines, and everything where there is no compiler, is
done by one loop over the inputs, `plainly`. Names in the text begin or end with an underscore so
that a primitive's own parameters cannot shadow them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorlite.backend import BACKENDS, array_backend
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
    return _plainly(({all}), {static}) if y_ is _NotImplemented else y_
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
        call.__code__ = written.__code__
        call.__defaults__, call.__kwdefaults__ = written.__defaults__, written.__kwdefaults__
        _compile_ahead(self)
        return call

    namespace["_write_out"] = write_out
    call = FunctionType(_not_yet_written.__code__, namespace, self.reference.__name__)
    return named_as(self.reference)(call)


def write_again(call: Any) -> None:
    """Let a primitive's function be written out anew at its next call."""
    call.__code__, call.__defaults__, call.__kwdefaults__ = _not_yet_written.__code__, None, None


def _used_by(self: Primitive) -> dict[str, Any]:
    """The globals of the text."""
    return {
        "_NotImplemented": NotImplemented,
        "_compiled": declined,
        "_plainly": functools.partial(plainly, self),
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
        _compile_ahead(each)
    _written.clear()


def _text(self: Primitive) -> str:
    """The source of one primitive's function; see `_CALL`."""
    named = self.names.get
    static = {n: named(n, n) for n in self.defaults}
    also = {ours: torchs for ours, torchs in self.names.items() if ours in self.defaults}
    return _CALL.format(
        name=self.reference.__name__,
        parameters=", ".join(_parameters(self)),
        all="*args_, " if self.variadic else "".join(f"{named(x, x)}, " for x in self.inputs),
        also="".join(
            _ALSO.format(ours=o, torchs=t)
            + _NEEDED.format(torchs=t, name=self.name) * (self.defaults[o] is _MISSING)
            for o, t in also.items()
        ),
        static="{" + ", ".join(f"{n!r}: {v}" for n, v in static.items()) + "}",
        values="".join(f"{v}, " for v in static.values()),
    )


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


def listed(value: Any) -> list:
    """A single output as a list of one."""
    return list(value) if isinstance(value, (tuple, list)) else [value]
