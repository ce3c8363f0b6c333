"""What follows a matrix product: a bias that is added, or sums of the left operand's rows.

It is one call of cuBLASLt with the product where the library has an algorithm for both, which is
known only from asking it, and computed apart where it has none.
"""

from __future__ import annotations

from typing import NamedTuple

import cupy

from tensorlite.backend.base import Array
from tensorlite.backend.cublaslt import BGRADB, BIAS, DEFAULT


class Epilogue(NamedTuple):
    """What follows a product; `blas.matmul` documents it."""

    bias: Array | None = None
    row_sums: Array | None = None

    def check(self, a: Array, b: Array, shape: tuple[int, ...]) -> None:
        """Refuse operands that do not fit the product ``a @ b`` of `shape`."""
        bias, row_sums = self
        if bias is not None and row_sums is not None:
            raise ValueError("matmul: give bias or row_sums: one call of cuBLASLt does one of them")
        if row_sums is not None and not (a.ndim == b.ndim == 2 and row_sums.shape == shape[:1]):
            raise ValueError(
                f"matmul: row_sums has shape {row_sums.shape}, one number per row of a 2-d operand "
                f"is needed; the operands have shapes {a.shape} and {b.shape}"
            )
        if bias is not None and bias.shape != shape[-1:]:
            raise ValueError(f"matmul: bias has shape {bias.shape}, it should have {shape[-1:]}")

    @property
    def vector(self) -> Array | None:
        """What the library reads or writes."""
        return self.bias if self.row_sums is None else self.row_sums

    def fused_code(self) -> int | None:
        """The library's number for it; None if it must not be called."""
        vector = self.vector
        if vector is None:
            return DEFAULT
        if vector.data.ptr % 16 or not vector.flags.c_contiguous:
            return None
        return BIAS if self.row_sums is None else BGRADB  # its B is our a (see `cublaslt.Product`)

    def apply(self, a: Array, out: Array) -> None:
        """Do to `out`, which holds the product with `a`, what the fused call would have done."""
        if self.bias is not None:
            cupy.add(out, self.bias, out=out)
        if self.row_sums is not None:
            self.row_sums[...] = a.sum(axis=1, dtype=cupy.promote_types(out.dtype, cupy.float32))
