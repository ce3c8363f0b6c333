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

__all__ = ["cuda", "cudnn", "mkl", "mps"]


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
