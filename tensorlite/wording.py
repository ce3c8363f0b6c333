"""NumPy's and Python's messages in the words of someone who called an operation on Tensors."""

from __future__ import annotations

import re
from typing import Any

_NUMPYS = [
    (
        r"(?:axis\d?: )?axis (-?\d+) is out of bounds for array of dimension (\d+)",
        r"dim \1 is out of range for a Tensor of \2 axes",
    ),
    (
        r"operands could not be broadcast together with shapes (.*\)).*",
        r"shapes \1 do not broadcast: from the last axis on, lengths are equal or 1",
    ),
    (r"cannot reshape array of size (\d+) into shape (.*)", r"\1 elements do not fill shape \2"),
    (r"can only specify one unknown dimension", "only one length can be left out as -1"),
    (
        r"could not broadcast input array from shape (\(.*?\)) into shape (\(.*?\))",
        r"a value of shape \1 does not fit into shape \2",
    ),
    (
        r"'(\w+)' object cannot be interpreted as an integer",
        r"a \1 is given where an integer belongs (dim, a length)",
    ),
    (r"unsupported operand type.*'NoneType'.*", "None is given where a Tensor or number belongs"),
    (r"ufunc '\w+' not supported for the input types.*", "there is no such operation on the dtype"),
]


def in_words(text: str) -> str:
    """A message of NumPy or Python without their words for arrays; others as they are."""
    for pattern, ours in _NUMPYS:
        made, changed = re.subn(pattern, ours, text)
        if changed:
            made = made.replace("newaxis", "-1")
            return re.sub(r"(?<=[\d)]),(?=[\d(-])", ", ", made).replace(") (", ") and (")
    return text


def no_tensor(name: str, parameter: str, value: Any) -> TypeError:
    """The error for something that stands where a Tensor belongs."""
    kind = type(value).__name__
    article = "an" if kind[0] in "aeiou" else "a"
    if value is None:
        said = "is None, no Tensor"
    elif isinstance(value, tuple):
        said = "is a tuple, no Tensor: take one of its parts (an LSTM returns output, state)"
    elif callable(value):
        said = f"is {getattr(value, '__name__', kind)}, which was not called: give its result"
    else:
        said = f"is {article} {kind}, no Tensor: make it one, tl.tensor(…)"
    return TypeError(f"{name}: {parameter} {said}")
