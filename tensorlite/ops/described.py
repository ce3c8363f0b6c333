"""What docstrings of whole families say alike, written into them from one place.

Functions of elements differ in what they compute, not in what they take and return; forms in place
differ from what they are forms of in one way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tensorlite.ops.promotion import Operands
from tensorlite.plan import MISSING, parameters_of

SECTIONS = ("Parameters", "Returns", "Raises", "Notes", "References", "Examples")
BOOLEAN = {"eq", "ne", "lt", "le", "gt", "ge", "signbit", "isclose"}
BOOLEAN |= {"isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal"}
BOOLEAN |= {"logical_and", "logical_or", "logical_xor", "logical_not"}


def describe(functions: Iterable[Any]) -> None:
    """Add to docstrings of functions of elements what these take, return and refuse."""
    for function in {id(function): function for function in functions}.values():
        if function.__doc__:  # python -OO has none
            function.__doc__ = _described(function, function.__doc__)


def _described(function: Any, text: str) -> str:
    made = getattr(function, "primitive", None)
    rule = made.operands if made is not None else None
    floats = "float " if isinstance(rule, Operands) and rule.floats else ""
    operands = _operands(function, made)
    if len(operands) > 1:
        cast = f" and are cast to one {floats}dtype" if rule is not None else ""
        takes = f"{', '.join(operands)} : Tensor or number", f"They broadcast{cast}."
        shape, dtype = "the shape that they broadcast to", f"their common {floats}dtype"
        text = put(text, "Raises", "ValueError", "If the shapes do not broadcast.")
    else:
        also = "; integers become the default dtype" if floats else ""
        takes = f"{operands[0]} : Tensor", f"Of any shape{also}."
        shape, dtype = f"`{operands[0]}`'s shape", f"{floats}dtype"
    if "Returns\n" not in text:
        result = (
            f"Booleans of {shape}" if function.__name__ in BOOLEAN else f"Of {shape} and {dtype}"
        )
        text = put(text, "Returns", "Tensor", f"{result}.")
    if f"\n{_margin(text)}{operands[0]}" not in text:
        text = put(text, "Parameters", *takes)
    return text


def _parameters(function: Any) -> list[str]:
    """Names of all parameters, as callers know them."""
    made = getattr(function, "primitive", None)
    if made is not None:
        return [made.names.get(name, name) for name in made.parameters]
    return [name for name, _, _ in parameters_of(function)]


def _operands(function: Callable, made: Any) -> list[str]:
    """The parameters that are Tensors, or numbers beside them."""
    if made is not None:
        return [made.names.get(name, name) for name in made.inputs]
    return [name for name, _, default in parameters_of(function) if default is MISSING]


def _margin(text: str) -> str:
    """The spaces before the lines of a docstring, which newer versions of Python take away."""
    rest = text.partition("\n\n")[2]
    return " " * (len(rest) - len(rest.lstrip(" ")))


def put(text: str, section: str, entry: str, says: str) -> str:
    """Put an entry at the beginning of a section, which is made if it is not there."""
    margin = "\n" + _margin(text)
    head = f"{margin}{section}{margin}{'-' * len(section)}"
    body = f"{margin}{entry}{margin}    {says}"
    if head in text:
        return text.replace(head, head + body, 1)
    for after in SECTIONS[SECTIONS.index(section) + 1 :]:
        place = text.find(f"{margin}{after}{margin}-")
        if place >= 0:
            return text[:place].rstrip() + "\n" + head + body + "\n" + text[place:]
    return text.rstrip() + "\n" + head + body + margin


def in_place_doc(op: Callable, of_shape: bool = False) -> str | None:
    """The docstring of an operation's form in place; its example is the operation's.

    With `of_shape` the operation changes the shape of the Tensor, and not its memory.
    """
    if not op.__doc__:
        return None
    name = op.__name__
    text = f"`{name}` in place: writes into the Tensor and returns it."
    if of_shape:
        text = f"`{name}` of the Tensor itself, which is returned; its memory stays as it is."
    if others := _parameters(op)[1:]:
        text += f"\n\nParameters\n----------\n{', '.join(others)}\n    See `tl.{name}`."
    text += _OF_SHAPE if of_shape else _IN_PLACE
    if shown := _shown(op.__doc__, name):
        text += f"\n\nExamples\n--------\n{shown}"
    return text


_IN_PLACE = """

Returns
-------
Tensor
    The Tensor itself, of the shape and dtype that it had.

Raises
------
RuntimeError
    If the result has another shape, or a dtype that does not fit (floats do not fit integers); if
    the Tensor is a leaf that requires grad and operations are recorded."""
_OF_SHAPE = """

Returns
-------
Tensor
    The Tensor itself, in its new shape.

Raises
------
RuntimeError
    If other Tensors show its memory: they would not follow."""


def _shown(text: str, name: str) -> str:
    """``x = a; x.f_(b)`` for the example ``tl.f(a, b)`` of a docstring."""
    before, call, after = text.partition(f">>> tl.{name}(tl.")
    if not call:
        return ""
    line, _, output = after.partition("\n")
    end = _end_of_call(line)
    rest = line[end:].lstrip(", ")
    margin = before.rpartition("\n")[2]
    output = output.partition(f"\n{margin}>>>")[0].rstrip()
    if "True" not in line:  # a comparison of numbers writes 1 and 0
        for truth, number in ((" True", "1."), ("True", "1."), ("False", "0.")):
            output = output.replace(truth, number)
    output = output.replace(", dtype=float64", "")
    made = before[before.find(f"{margin}>>>") :] if f"\n{margin}>>>" in before else ""
    lines = f"{made}{margin}>>> x = tl.{line[:end]}\n{margin}>>> x.{name}_({rest}\n{output}"
    return "\n".join(line.removeprefix(margin) for line in lines.split("\n"))


def _end_of_call(line: str) -> int:
    """How far ``f(…)`` goes."""
    depth = 0
    for i, letter in enumerate(line):
        depth += (letter in "([") - (letter in ")]")
        if letter == ")" and not depth:
            return i + 1
    return len(line)


def with_example(says: str, call: str, shown: str) -> str:
    """A docstring of a sentence and an example."""
    return f"{says}\n\nExamples\n--------\n>>> {call}\n{shown}"
