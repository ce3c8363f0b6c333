"""The function behind a primitive's name, written out for its inputs.

A loop over the inputs would cost as much as a small operation itself, so the call is generated as
text, once a primitive, the way `dataclasses` writes ``__init__``. What it uses are globals of the
generated function, which CPython reads fastest; names begin or end with an underscore so that a
primitive's own parameters cannot shadow them.

On the CPU the compiled kernels have the same call in C++ (`kernels/host/call.h`), which is tried
first; what is out of the ordinary it leaves to the text.
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
from tensorlite.tensor import Size, Tensor, Views, tensor_of
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


_UNWRAP = """
    if isinstance({x}, _Tensor):
        {x}_raw = {x}.array
        if {x}_raw.__class__ is not kind_:
            kind_ = {x}_raw.__class__ if kind_ is None else _mixed(({all}))
        {x}_parent = ({x}.node or {x}) if {x}.requires_grad else None
    else:
        {x}_raw = {x} if {x}.__class__ in _PLAIN else _from_outside({x})
        {x}_parent = None
"""

_CALL = """
def {name}({parameters}):
{also}    y_ = _compiled({all}{values})
    if y_ is not _NotImplemented:
        return y_
    switches_ = _mode.switches
    if switches_.special:
        return _observed(({all}), {static})
{common_dtype}    kind_ = None
{unwrap}
    bare_ = kind_ is None
    if bare_:
        kind_ = {first}_raw.__class__
        if kind_ not in _BACKENDS:
            return _forward(({raw}), {static})[0]
    needs_ = ({needs})
    record_ = switches_.grad and True in needs_
    aux_ = ()
    y_ = _NotImplemented
    try:
        backend_ = _BACKENDS[kind_]
        if _kernel is not None and backend_.kernels is not None{large_enough}:
            y_ = _kernel(backend_.kernels, {arguments})
        if y_ is _NotImplemented:
            y_ = _reference(backend_.xp, {arguments})
    except _ERRORS as error:
        raise _explained(error, ({raw}))
    {split}
    if y_.__class__ is not kind_:
        y_ = _as_arrays(y_)
    if not record_:
        return y_ if bare_ else {mark}_wrap(y_){marked}
    plan_ = _plans.get(needs_) or _new_plan(needs_)
    saved_ = plan_.save(({raw}y_, aux_, {values}))
    if y_.__class__ is kind_ and plan_.differentiable:
        node_ = _Node(plan_, ({parents}), saved_, y_.shape, y_.dtype)
        return {mark}_tensor_of(y_, node_){marked}
    return {mark}_record_outputs(plan_, ({parents}), saved_, y_){marked}
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

_CALL_VARIADIC = """
def {name}({parameters}):
{also}    if _mode.switches.special:
        return _observed(args_, {static})
    kinds_ = {{x.array.__class__ for x in args_ if isinstance(x, _Tensor)}}
    if len(kinds_) > 1:
        _mixed(args_)
{common_dtype}    raw_ = tuple(
        [x.array if isinstance(x, _Tensor) else _from_outside(x) for x in args_]
    )
    if not kinds_:
        return _forward(raw_, {static})[0]
    parents_ = tuple(
        [(x.node or x) if isinstance(x, _Tensor) and x.requires_grad else None for x in args_]
    )
    needs_ = tuple([parent is not None for parent in parents_])
    record_ = _mode.switches.grad and True in needs_
    y_, aux_ = _forward(raw_, {static}, record_)
    if not record_:
        return _wrap(y_)
    plan_ = _plans.get(needs_) or _new_plan(needs_)
    return _record_outputs(plan_, parents_, plan_.save((*raw_, y_, aux_, {values})), y_)
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
        "_BACKENDS": BACKENDS,
        "_HostArray": np.ndarray,
        "_ERRORS": (ValueError, TypeError, IndexError, AttributeError),
        "_Node": Node,
        "_NotImplemented": NotImplemented,
        "_PLAIN": PLAIN,
        "_Tensor": Tensor,
        "_from_outside": functools.partial(from_outside, self.name),
        "_tensor_of": tensor_of,
        "_as_arrays": as_arrays,
        "_compiled": declined,
        "_explained": self.explained,
        "_forward": self.forward,
        "_kernel": self.kernel_fn,
        "_mark": mark,
        "_mixed": self.mixed,
        "_mode": mode,
        "_new_plan": self.new_plan,
        "_observed": self.observed,
        "_operands": self.operands,
        "_plans": self.plans,
        "_record_outputs": record_outputs,
        "_reference": self.reference,
        "_self": self,
        "_unset": _UNSET,
        "_wrap": wrap,
        **{f"_default_{n}": v for n, v in (self.input_defaults | self.defaults).items()},
    }


def _not_yet_written(*args: Any, **static: Any) -> Any:
    return _write_out()(*args, **static)  # type: ignore[name-defined]  # noqa: F821 (a global of each primitive's function)


def declined(*args: Any) -> Any:
    """Stand in for the call in C++ where there are no kernels: the text runs."""
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
    """The source of one primitive's call; see `_CALL`."""
    named = self.names.get
    xs, static = [named(x, x) for x in self.inputs], {n: named(n, n) for n in self.defaults}
    everything = "".join(f"{x}, " for x in xs)
    by_name = [f"{n}={v}" for n, v in static.items()] + ["save=record_"] * bool(self.aux)
    also = {ours: torchs for ours, torchs in self.names.items() if ours in self.defaults}
    common_dtype = ""
    if self.operands is not None:
        common_dtype = f"    {everything} = _operands([*map(_from_outside, ({everything}))])\n"
        if self.variadic:
            common_dtype = "    args_ = _operands([*map(_from_outside, args_)])\n"
    marked = (
        f", {xs[0]}, _self, ({''.join(f'{v}, ' for v in static.values())}))" if self.view else ""
    )
    large_enough = ""
    if self.kernel_from:
        large_enough = (
            f" and {xs[0]}_raw.__class__ is kind_"
            f" and (kind_ is not _HostArray or {xs[0]}_raw.size >= {self.kernel_from})"
        )
    return (_CALL_VARIADIC if self.variadic else _CALL).format(
        name=self.reference.__name__,
        parameters=", ".join(_parameters(self)),
        all=everything,
        first=xs[0] if xs else "",
        also="".join(
            _ALSO.format(ours=o, torchs=t)
            + _NEEDED.format(torchs=t, name=self.name) * (self.defaults[o] is _MISSING)
            for o, t in also.items()
        ),
        common_dtype=common_dtype,
        mark="_mark(" * self.view,
        marked=marked,
        static="{" + ", ".join(f"{n!r}: {v}" for n, v in static.items()) + "}",
        values="".join(f"{v}, " for v in static.values()),
        unwrap="".join(_UNWRAP.format(x=x, all=everything) for x in xs),
        raw="".join(f"{x}_raw, " for x in xs),
        arguments=", ".join([f"{x}_raw" for x in xs] + by_name),
        large_enough=large_enough,
        split="y_, *aux_ = y_" if self.aux else "",
        needs="".join(f"{x}_parent is not None, " for x in xs),
        parents="".join(f"{x}_parent, " for x in xs),
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
