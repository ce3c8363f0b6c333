"""Switches of torch.backends that scripts set: they are taken, and mean here what they can.

There is no cuDNN: its switches change nothing. ``backends.cuda.matmul.allow_tf32`` and
`tensorlite.set_float32_matmul_precision` are one setting.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tensorlite.backend.precision import (
    get_float32_matmul_precision,
    set_float32_matmul_precision,
)
from tensorlite.unknown import answers_for

__all__ = ["compile", "cuda", "cudnn", "mkl", "mps", "use_deterministic_algorithms"]


class _Products:
    @property
    def allow_tf32(self) -> bool:
        """Whether float32 products on CUDA may round their inputs to TF32."""
        return get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        set_float32_matmul_precision("high" if allowed else "highest")


def _absent() -> bool:
    return False


def _switches(**values: Any) -> SimpleNamespace:
    """Values that a script may set and read again."""
    return SimpleNamespace(is_available=_absent, **values)


cuda = SimpleNamespace(matmul=_Products())
cudnn = _switches(enabled=False, benchmark=False, deterministic=True, allow_tf32=False)
mps = _switches(is_built=_absent)
mkl = _switches()


def compile(model: Any = None, **options: Any) -> Any:
    """Return a function or a module as it is: its kernels are compiled already.

    Without one, a decorator that does so; torch's options are taken and change nothing.

    Parameters
    ----------
    model : callable, optional
        A function or a `Module`.

    Examples
    --------
    >>> tl.compile(tl.exp) is tl.exp
    True
    """
    return (lambda function: function) if model is None else model


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for the same bits in every run: taken, as there are no others.

    Parameters
    ----------
    mode, warn_only : bool
        Without effect.

    Examples
    --------
    >>> tl.use_deterministic_algorithms(True)
    """


def are_deterministic_algorithms_enabled() -> bool:
    """Whether every run gives the same bits: it does.

    Examples
    --------
    >>> tl.are_deterministic_algorithms_enabled()
    True
    """
    return True


__getattr__ = answers_for(__name__)
