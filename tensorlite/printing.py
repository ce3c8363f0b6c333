"""How Tensors are printed, and torch's `set_printoptions`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_DEFAULT: dict[str, Any] = {"threshold": 100}
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {},
    "short": {"precision": 2, "edgeitems": 2},
    "full": {"threshold": math.inf},
}
_options = dict(_DEFAULT)


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Say how Tensors are printed; what is left out stays as it is.

    Parameters
    ----------
    precision
        The most digits behind the point.
    threshold
        The number of elements from which the middle is left out.
    edgeitems
        How many elements stand on each side of what is left out.
    linewidth
        The number of characters in a line.
    profile
        "default", "short" or "full": forget what was said before.
    sci_mode
        Whether numbers are written as powers of ten; by default where they are far apart.

    Raises
    ------
    ValueError
        If there is no such profile.

    Examples
    --------
    >>> tl.set_printoptions(precision=2)
    >>> tl.tensor([0.12345])
    tensor([0.12])
    >>> tl.set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"set_printoptions: profile {profile!r} is none of {list(_PROFILES)}")
        _options.clear()
        _options.update(_DEFAULT | _PROFILES[profile])
    said = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "max_line_width": linewidth,
        "sci_mode": sci_mode,
    }
    _options.update({name: value for name, value in said.items() if value is not None})


def shown(array: np.ndarray, prefix: str) -> str:
    """The numbers of an array in host memory, as they are printed behind `prefix`."""
    options = dict(_options)
    scientific = options.pop("sci_mode", None)
    if scientific:
        digits = options.get("precision", np.get_printoptions()["precision"])
        options["formatter"] = {
            "float_kind": lambda x: np.format_float_scientific(x, digits, unique=False)
        }
    elif scientific is not None:
        options["suppress_small"] = True
    return np.array2string(array, separator=", ", prefix=prefix, **options)
