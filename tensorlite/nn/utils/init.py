"""Modules without initial values."""

from __future__ import annotations

import inspect
from typing import Any

from tensorlite.nn.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """Make a module whose values are to be overwritten; here they are drawn all the same.

    Parameters
    ----------
    module_cls : type
        A class of modules.
    *args, **kwargs
        What it is made with.

    Raises
    ------
    RuntimeError
        If the class is no Module, or does not take ``device``.

    Examples
    --------
    >>> nn.utils.skip_init(nn.Linear, 4, 3).weight.shape
    (3, 4)
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    return module_cls(*args, **kwargs)
