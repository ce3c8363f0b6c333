"""Stopping where a gradient becomes NaN."""

from __future__ import annotations

from typing import Any

from tensorlite.backend import Array, array_backend
from tensorlite.debug import users_line
from tensorlite.decorate import decorated
from tensorlite.plan import is_float
from tensorlite.tape import mode

__all__ = ["detect_anomaly", "set_detect_anomaly"]


class AnomalyError(FloatingPointError, RuntimeError):
    """A gradient became NaN."""


def _refuse_nan(array: Array, what: str, source: str | None) -> None:
    """Raise if a gradient holds NaN; values of the forward pass may."""
    if not what.startswith("the gradient of") or not is_float(array):
        return
    if array_backend((array,)).xp.isnan(array).any():
        where = f", which was called at {source}" if source else ""
        raise AnomalyError(f"{what}{where} is NaN, first in an array of shape {array.shape}")


class set_detect_anomaly:
    """Look for NaN in gradients from here on or not; as a context manager, to the end of the block.

    Parameters
    ----------
    mode : bool
        Whether to look. Errors name the line of the forward pass.
    check_nan : bool
        Whether NaN is an error; otherwise lines are only remembered.

    Examples
    --------
    >>> with tl.autograd.set_detect_anomaly(True):
    ...     loss.backward()
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.options = mode, check_nan
        self.previous = _set(mode, check_nan)

    def __enter__(self) -> None:
        """Nothing is left to do."""

    def __exit__(self, *_: Any) -> None:
        mode.switches.set(**self.previous)


class detect_anomaly(set_detect_anomaly):
    """Raise where a gradient becomes NaN, and say which line of the forward pass is the cause.

    `tl.debug.detect_anomaly` also looks at the forward pass, and for infinity.

    Parameters
    ----------
    check_nan : bool
        Whether NaN is an error; otherwise lines are only remembered.

    Raises
    ------
    RuntimeError
        From inside the block.

    Examples
    --------
    >>> with tl.autograd.detect_anomaly():
    ...     loss.backward()
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan

    def __enter__(self) -> None:
        self.previous = _set(True, self.check_nan)

    def __call__(self, fn: Any) -> Any:
        """Decorate `fn`."""
        return decorated(fn, lambda: detect_anomaly(self.check_nan))


def _set(looks: bool, check_nan: bool) -> dict[str, Any]:
    return mode.switches.set(
        anomaly=_refuse_nan if looks and check_nan else None, trace=users_line if looks else None
    )
