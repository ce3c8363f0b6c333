"""The cases of the parity tables: each is a name, alone or after a word that says what is asked."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import tensorlite as tl
from parity import promotion
from parity.check import (
    LOOSE,
    REFUSALS,
    Library,
    Missing,
    Problem,
    answers,
    determined,
    differs,
    shown,
)
from parity.values import DTYPES, read_json

FEW = 2  # calls an operation in a quick run


class Tables:
    """What is stored, read when first asked for."""

    @functools.cached_property
    def calls(self) -> dict[str, list]:
        return read_json("table.json")

    @functools.cached_property
    def refused(self) -> dict[str, list]:
        return read_json("refused.json")

    @functools.cached_property
    def promotion(self) -> dict[str, list]:
        return read_json("promotion.json")

    @functools.cached_property
    def aliases(self) -> dict[str, list]:
        return read_json("aliases.json")

    @functools.cached_property
    def in_place(self) -> list[str]:
        """Names of which some call may leave its result in the first argument."""
        return [n for n, calls in self.calls.items() if any("in place" in c for c in calls)]

    def names(self) -> Iterator[str]:
        """Every case: a name, and what else is asked of it."""
        yield from self.calls
        yield from (f"alias of {name}" for name in self.aliases)
        yield from (f"in place {name}" for name in self.in_place)
        yield from (f"refuses {name}" for name in self.refused)
        yield from (f"dtype {name}" for name in self.promotion)


TABLES = Tables()


def calls_of(name: str, device: Any, quick: bool) -> Iterator[Problem]:
    entries = TABLES.calls[name]
    for entry in entries[:FEW] if quick else entries:
        for form in entry["forms"][:1] if quick else entry["forms"]:
            yield from call_differs(name, form, entry, device, quick)
        if "names" in entry and not quick:
            yield from names_differ(name, entry, device)


def aliases_of(name: str, device: Any, quick: bool) -> Iterator[Problem]:
    """Other names of a function."""
    for entry in TABLES.calls[name][: 1 if quick else 4]:
        for form in TABLES.aliases[name]:
            if isinstance(entry["args"][0], str) or not form.startswith("Tensor."):
                yield from call_differs(name, form, entry, device, True)


def in_place_of(name: str, device: Any, quick: bool) -> Iterator[Problem]:
    """Methods that write into the first argument and return it."""
    entries = [entry for entry in TABLES.calls[name] if "in place" in entry]
    for entry in entries[:FEW] if quick else entries:
        yield from call_differs(name, f"in place {entry['in place']}", entry, device, True)


def call_differs(name: str, form: str, entry: dict, device: Any, quick: bool) -> Iterator[Problem]:
    """Make one call; a quick one is differentiated once."""
    try:
        problems = list(answers(name, form, entry, device, quick))
    except Missing as error:
        problems = [Problem("missing", str(error))]
    except Exception as error:  # any: it is what the caller would see
        if lacks_cusolver(error, device):
            return
        problems = [Problem("raises", f"{type(error).__name__}: {str(error)[:300]}")]
    for kind, text in problems:
        yield Problem(kind, f"{shown(form, entry)}: {text}")


def names_differ(name: str, entry: dict, device: Any) -> Iterator[Problem]:
    """Give every argument by torch's name of it."""
    form = entry["forms"][0]
    try:
        out = Library(device).call(form, entry, by_name=True)
    except Missing:
        return
    except Exception as error:
        if not lacks_cusolver(error, device):
            text = f"{type(error).__name__}: {str(error)[:300]}"
            yield Problem("keywords", f"{shown(form, entry)} by {entry['names']}: {text}")
        return
    for _, text in differs(entry["out"], determined(name, out), "result", LOOSE.get(name, 1.0)):
        yield Problem("keywords", f"{shown(form, entry)} by {entry['names']}: {text}")


def lacks_cusolver(error: Exception, device: Any) -> bool:
    """Whether the library that CUDA needs here is not installed, and the error says so."""
    return "cuda" in str(device) and "CUDA needs cuSOLVER" in str(error)


def refusals_of(name: str, device: Any, quick: bool) -> Iterator[Problem]:
    entries = TABLES.refused[name]
    for entry in entries[:FEW] if quick else entries:
        form = entry["forms"][0]
        try:
            Library(device).call(form, entry)
        except Missing as error:
            yield Problem("missing", str(error))
        except REFUSALS:
            continue
        except Exception as error:  # no answer that helps anybody
            text = f"{type(error).__name__}: {error}"
            yield Problem("raises", f"{shown(form, entry)}: {text}, for {entry['raises']}")
        else:
            yield Problem("accepts", f"{shown(form, entry)}: torch raises {entry['raises']}")


class OnDevice:
    """tensorlite whose `ones` and `tensor` are on a device."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Any:
        value = getattr(tl, name)
        if name in ("ones", "tensor"):
            return functools.partial(value, device=self.device)
        return value


def promotions_of(name: str, device: Any, quick: bool) -> Iterator[Problem]:
    library = OnDevice(device)
    if name in promotion.UNARY:
        function = promotion.found(tl, name)
        extra = (0,) if name in promotion.ALONG else ()
        ((_, _, _, row),) = TABLES.promotion[name]
        for dtype, expected in zip(DTYPES, row.split(), strict=True):
            x = promotion.operand(library, dtype, "tensor")
            if expected == "-" and name in promotion.MORE:
                continue
            yield from dtype_differs(expected, lambda x=x: function(x, *extra), f"{name}({dtype})")
        return
    if name in promotion.OF_TWO:
        function = functools.partial(_of_two, promotion.found(tl, name))
    else:
        function = promotion.BINARY[name]
    for a, left, b, row in TABLES.promotion[name]:
        dtypes = promotion.dtypes_of(b)
        for right, expected in zip(dtypes, row.split(), strict=True):
            if quick and "bfloat16" not in (left, right) and left != "int64":
                continue
            x, y = promotion.operand(library, left, a), promotion.operand(library, right, b)
            text = f"{name}: {left} {a}, {right} {b}"
            if expected == "-" and ("number" in (a, b) or name in promotion.MORE):
                continue  # numbers are taken in more places than torch takes them
            yield from dtype_differs(expected, lambda x=x, y=y: function(library, x, y), text)


def _of_two(function: Callable, library: Any, x: Any, y: Any) -> Any:
    return function(x, y)


def dtype_differs(expected: str, function: Any, text: str) -> Iterator[Problem]:
    try:
        got = function().dtype
    except AttributeError as error:
        yield Problem("missing", f"{text}: {error}")
        return
    except REFUSALS as error:
        if expected not in "-?":
            yield Problem("raises", f"{text}: {type(error).__name__}: {error}")
        return
    if expected == "?":
        return
    if expected == "-":
        yield Problem("accepts", f"{text}: gives {got}, torch refuses")
    elif got != getattr(tl, expected):
        yield Problem("dtype", f"{text}: {got}, expected {expected}")


ASKED: dict[str, Callable] = {
    "": calls_of,
    "alias of": aliases_of,
    "in place": in_place_of,
    "refuses": refusals_of,
    "dtype": promotions_of,
}


def problems(case: str, device: Any = "cpu", quick: bool = False) -> list[Problem]:
    """All differences of one case; none if it agrees with torch."""
    kind, _, name = case.rpartition(" ")
    run = ASKED[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(run(name, device, quick))
