"""torch's side of the parity table: what is typed, what it answers, how both are written down."""

from __future__ import annotations

import inspect
import random
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from parity.values import (
    DTYPES,
    KEPT_BITS,
    Store,
    call,
    cotangent,
    decoded,
    leaves,
    plain,
    read_through,
    rounded,
    sign_free,
)

LARGEST = 250  # elements of all arguments of a call, or of its results
INPUT_BITS = 18  # of an argument's mantissa
# Operations that read one triangle of an argument, a symmetric one, or one that sums to 1.
READ = {
    "cholesky": (0, "symmetric"),
    "cholesky_inverse": (0, "triangle"),
    "cholesky_solve": (1, "triangle"),
    "linalg.cholesky": (0, "symmetric"),
    "linalg.eigh": (0, "symmetric"),
    "linalg.eigvalsh": (0, "symmetric"),
    "linalg.pinv.hermitian": (0, "symmetric"),
    "nn.functional.ctc_loss": (0, "log_softmax"),
}
TIED = ("kthvalue", "topk")  # of equal elements any may be named: they get unequal ones
EXACT = ("linalg.pinv.singular",)  # rounding would change the rank
REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)


class Unfit(Exception):
    """A value that a table does not hold: a function, a complex or sparse Tensor."""


class Large(Unfit):
    """More numbers than a table should hold."""


class Names:
    """What arguments are called in torch."""

    device = "cpu"
    size = torch.Size

    @staticmethod
    def dtype(name: str) -> torch.dtype:
        return getattr(torch, name)


# --- writing values down ------------------------------------------------------------------------


def dtype_name(dtype: torch.dtype) -> str:
    name = str(dtype)[6:]
    if name not in DTYPES:
        raise Unfit(name)
    return name


def as_array(x: torch.Tensor) -> np.ndarray:
    if x.layout != torch.strided or x.is_complex() or x.dim() > 32:
        raise Unfit("a Tensor of another kind")
    x = x.detach().resolve_neg()
    return (x.float() if x.dtype == torch.bfloat16 else x).contiguous().numpy()


def encoded(value: Any, store: Store, bits: int) -> Any:
    """Write a value down; Tensors go to the store."""
    if isinstance(value, torch.Tensor):
        text = store.put(rounded(as_array(value), bits), dtype_name(value.dtype))
        return text + (":g" if value.requires_grad and value.is_leaf else "")
    if value is None or isinstance(value, (bool, int, float)):
        return plain(value)
    if isinstance(value, str):
        if value.startswith("@"):
            raise Unfit(value)
        return {"device": "cpu"} if value == "cpu" else value
    if isinstance(value, torch.Size):
        return {"Size": list(value)}
    if hasattr(value, "n_sequence_fields") or type(value).__module__ == "torch.return_types":
        fields = type(value).__match_args__
        return {"named": {f: encoded(getattr(value, f), store, bits) for f in fields}}
    if isinstance(value, tuple):
        return {"tuple": [encoded(v, store, bits) for v in value]}
    if isinstance(value, list):
        return [encoded(v, store, bits) for v in value]
    if isinstance(value, torch.dtype):
        return {"dtype": dtype_name(value)}
    if isinstance(value, slice):
        return {"slice": [encoded(v, store, bits) for v in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": 1}
    if isinstance(value, torch.device):
        return {"device": "cpu"}
    if isinstance(value, np.generic):
        return plain(value.item())
    raise Unfit(type(value).__name__)


class Reader:
    """Reads arguments back as torch has them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def tensor(self, text: str) -> torch.Tensor:
        array, dtype, wants = self.store.get(text)
        x = torch.from_numpy(array.copy()).to(getattr(torch, dtype))
        return x.requires_grad_() if wants else x


# --- what is called -----------------------------------------------------------------------------


class Noted(TorchFunctionMode):
    """Notes the public calls that run inside."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result


def public_names() -> dict[Any, str]:
    found: dict[Any, str] = {}
    for name in dir(torch.Tensor):
        value = getattr(torch.Tensor, name)
        if hasattr(type(value), "__get__") and not callable(value):
            found[value.__get__] = f"property {name}"
        elif callable(value) and name not in ("__getattribute__", "__class__"):
            found.setdefault(value, f"Tensor.{name}")
    for path, module in (
        ("torch.special", torch.special),
        ("torch", torch),
        ("torch.nn.functional", torch.nn.functional),
        ("torch.linalg", torch.linalg),
    ):
        for name in dir(module):
            value = getattr(module, name)
            if callable(value) and not name.startswith("_"):
                try:
                    found[value] = f"{path}.{name}"
                except TypeError:
                    continue
    return found


PUBLIC = public_names()


def resolve(path: str) -> Any:
    found: Any = torch
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def as_typed(op: Any, sample: Any) -> tuple[list[str], list, dict]:
    """The forms of a call, its arguments and keywords."""
    args, kwargs = [sample.input, *sample.args], dict(sample.kwargs)
    if op.op is resolve(op.name):
        forms = [f"torch.{op.name}"]
        method = getattr(torch.Tensor, op.name.removeprefix("linalg."), None)
        if isinstance(args[0], torch.Tensor) and method is not None and "." not in op.name:
            forms.append(f"Tensor.{op.name}")
        return forms, args, kwargs
    with Noted() as noted:
        out = op.op(*args, **kwargs)
    for func, args, kwargs, result in noted.calls:
        if func in PUBLIC and (result is out or len(noted.calls) == 1):
            args = [
                a.detach().requires_grad_(a.requires_grad) if isinstance(a, torch.Tensor) else a
                for a in args
            ]
            return [PUBLIC[func]], args, kwargs
    raise Unfit(f"{op.name} calls {[str(c[0]) for c in noted.calls]}")


def keyword_names(form: str, n: int) -> list[list[str]]:
    """What the first `n` arguments may be called as keywords."""
    function = resolve(form.removeprefix("torch."))
    try:
        parameters = list(inspect.signature(function).parameters.values())
        return [[p.name for p in parameters[:n] if p.kind is p.POSITIONAL_OR_KEYWORD]]
    except ValueError:
        name = form.removeprefix("torch.").replace("nn.functional.", "").replace(".", "_")
        schemas = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    found = []
    for schema in schemas:
        names = [a.name for a in schema.arguments][:n]
        if len(names) == n:
            found.append(["input" if a == "self" else a for a in names])
    return found


def by_keyword(form: str, entry: dict, out: Any, reader: Reader) -> list[str] | None:
    """Names with which torch gives the same."""
    n = len(entry["args"])
    for names in keyword_names(form, n):
        if len(names) == n and not set(names) & set(entry.get("kwargs", {})):
            try:
                again, _ = run(form, {**entry, "names": names}, reader)
            except REFUSALS:
                continue
            if equal(out, again):
                return names
    return None


def in_place(forms: list[str], entry: dict, out: Any, reader: Reader) -> str | None:
    """The method that leaves the result in the first argument, if there is one."""
    method = forms[0].rpartition(".")[2] + "_"
    if not isinstance(out, torch.Tensor) or not hasattr(torch.Tensor, method):
        return None
    args = [decoded(a, reader.tensor, Names) for a in entry["args"]]
    kwargs = {k: decoded(v, reader.tensor, Names) for k, v in entry.get("kwargs", {}).items()}
    if not isinstance(args[0], torch.Tensor):
        return None
    try:
        got = getattr(args[0].clone(), method)(*args[1:], **kwargs)
    except REFUSALS:
        return None
    same = got.dtype == out.dtype and got.shape == out.shape and equal(out, got)
    same = same and args[0].numel() == out.numel()  # torch lets addbmm_ grow, and means not to
    return method if same else None


def aliases(op: Any) -> list[str]:
    """Other names of a function, as forms of its call."""
    if op.op is not resolve(op.name):
        return []
    found = []
    for other in op.aliases:
        name = other.name.removeprefix("torch.")
        if callable(resolve(name)):
            found.append(f"torch.{name}")
        if "." not in name and hasattr(torch.Tensor, name):
            found.append(f"Tensor.{name}")
    return found


def elements(*values: Any) -> int:
    return sum(x.numel() for x in leaves(values, torch.Tensor))


def with_seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


# --- one call -----------------------------------------------------------------------------------


def run(form: str, entry: dict, reader: Reader) -> tuple[Any, list]:
    args = [decoded(a, reader.tensor, Names) for a in entry["args"]]
    kwargs = {k: decoded(v, reader.tensor, Names) for k, v in entry.get("kwargs", {}).items()}
    wanted = [x for x in leaves([args, kwargs], torch.Tensor) if x.requires_grad]
    read_through(entry, args)
    if "names" in entry:
        args, kwargs = [], {**dict(zip(entry["names"], args, strict=True)), **kwargs}
    return call(torch, torch.Tensor, form, args, kwargs), wanted


def gradients(name: str, out: Any, wanted: list, second: bool) -> tuple[list, list | None]:
    outputs = sign_free(name, list(leaves(out, torch.Tensor)), torch.abs)
    pairs = [(i, x) for i, x in enumerate(outputs) if x.requires_grad]
    if not pairs or not wanted:
        return [], None
    loss = sum((x * torch.from_numpy(cotangent(x.shape, i)).to(x.dtype)).sum() for i, x in pairs)
    first = torch.autograd.grad(loss, wanted, create_graph=second, allow_unused=True)
    if not second:
        return list(first), None
    again = [(i, x) for i, x in enumerate(first) if x is not None and x.requires_grad]
    if not again:
        return list(first), None
    loss = sum((x * torch.from_numpy(cotangent(x.shape, i)).to(x.dtype)).sum() for i, x in again)
    try:
        return list(first), list(torch.autograd.grad(loss, wanted, allow_unused=True))
    except RuntimeError:  # a formula that torch lacks
        return list(first), None


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.allclose(a.double(), b.double(), equal_nan=True, rtol=1e-5)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def entry_for(name: str, op: Any, sample: Any, store: Store) -> dict:
    """Call as torch types it and write down what it answers."""
    forms, args, kwargs = as_typed(op, sample)
    return recorded(name, forms, args, kwargs, op.supports_gradgrad, store)


def recorded(
    name: str,
    forms: list[str],
    args: list,
    kwargs: dict,
    second_order: bool,
    kept: Store,
) -> dict:
    """Write down what torch answers to a call; it is made anew for each of its forms."""
    store = Store()  # of this call alone: it may turn out not to fit
    reader = Reader(store)
    drop = ("device", "layout", "requires_grad", "pin_memory", "memory_format")
    kwargs = {k: v for k, v in kwargs.items() if k not in drop or v is None}
    if elements(args, kwargs) > LARGEST:
        raise Large
    if name in TIED and args[0].dtype not in (torch.float64, torch.float32):
        if args[0].numel() > 250 or args[0].dtype == torch.bool:
            raise Unfit("no so many numbers")
        args[0] = torch.randperm(args[0].numel()).reshape(args[0].shape).to(args[0].dtype)
    bits = 52 if name in EXACT else INPUT_BITS
    entry: dict[str, Any] = {"args": [encoded(a, store, bits) for a in args]}
    if kwargs:
        entry["kwargs"] = {k: encoded(v, store, bits) for k, v in kwargs.items()}
    if name in READ:
        i, part = READ[name]
        if part == "triangle":
            part = "triu" if kwargs.get("upper") else "tril"
        entry["through"] = [i, part]
    with_seed(1)
    out, wanted = run(forms[0], entry, reader)
    if elements(out) > LARGEST:
        raise Large
    if any(x.dtype == torch.bfloat16 and x.isnan().any() for x in leaves(out, torch.Tensor)):
        raise Unfit("overflow on the way")
    with_seed(2)
    for form in forms[:1] + forms:
        if not equal(out, run(form, entry, reader)[0]):
            raise Unfit("random")
    entry["forms"] = forms
    if forms[0].startswith("torch.") and (names := by_keyword(forms[0], entry, out, reader)):
        entry["names"] = names
    if method := in_place(forms, entry, out, reader):
        entry["in place"] = method
    float64 = [x for x in leaves(out, torch.Tensor) if x.dtype == torch.float64]
    small = all(x.dtype == torch.float64 for x in wanted)
    if wanted and float64 and small:
        first, second = gradients(name, out, wanted, second_order)
        entry["grads"] = [encoded(x, store, KEPT_BITS) for x in first]
        if second is not None:
            entry["seconds"] = [encoded(x, store, KEPT_BITS) for x in second]
    result = out if not name.endswith(("svd", "linalg.eigh")) else determined(name, out)
    entry["out"] = encoded(result, store, KEPT_BITS)
    return kept.adopt(entry, store)


def determined(name: str, out: Any) -> Any:
    """The result with absolute values in place of what has no sign."""
    if isinstance(out, torch.Tensor):
        return out
    return type(out)(sign_free(name, list(out), torch.abs))
