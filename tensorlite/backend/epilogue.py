"""What follows a matrix product before its result is stored: bias, activation, their gradients.

An epilogue is fused into the product where cuBLASLt has an algorithm for it, and computed by
kernels of ours where it has none. Which dtypes and chips it supports is known only from calls of
the library.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import cupy

from tensorlite.backend.base import Array
from tensorlite.backend.cublaslt import AUX, BGRAD, BGRADA, BGRADB, BIAS, DEFAULT, DGELU, GELU, RELU
from tensorlite.backend.matmul_plan import row_stride

Kind = Literal["relu", "gelu", "dgelu", "bgrad_a", "bgrad_b"]

# In cuBLASLt's view the operands are swapped: its B is our a (see `cublaslt.Product`).
_CODES = {None: 0, "relu": RELU, "gelu": GELU, "dgelu": DGELU, "bgrad_a": BGRADB, "bgrad_b": BGRADA}


class Epilogue(NamedTuple):
    """What follows a product, with its operands; `blas.matmul` documents them."""

    kind: Kind | None
    bias: Array | None
    aux: Array | None

    @property
    def writes_bias(self) -> bool:
        """Whether the bias is a result, the gradient, rather than an operand."""
        return self.kind in ("dgelu", "bgrad_a", "bgrad_b")

    def check(self, a: Array, b: Array, shape: tuple[int, ...]) -> None:
        """Refuse operands that do not fit the product ``a @ b`` of `shape`."""
        kind, bias, aux = self
        if kind not in _CODES:
            raise ValueError(f"matmul: unknown epilogue {kind!r}; it is one of {list(_CODES)[1:]}")
        if kind == "dgelu" and aux is None:
            raise ValueError("matmul: epilogue 'dgelu' needs aux, what gelu was applied to")
        if aux is not None and kind not in ("gelu", "dgelu"):
            raise ValueError(f"matmul: epilogue {kind!r} has no use for aux")
        if aux is not None and aux.shape != shape:
            raise ValueError(f"matmul: aux has shape {aux.shape}, the result has shape {shape}")
        length = shape[-1:]
        if kind in ("bgrad_a", "bgrad_b"):
            if a.ndim != 2 or b.ndim != 2 or bias is None:
                raise ValueError(f"matmul: epilogue {kind!r} needs 2-d operands and bias")
            length = shape[:1] if kind == "bgrad_a" else shape[1:]
        if bias is not None and bias.shape != length:
            raise ValueError(f"matmul: bias has shape {bias.shape}, it should have {length}")

    def fused_code(self) -> tuple[int, int] | None:
        """The library's number and the leading dimension of aux; None if it must not be called."""
        kind, bias, aux = self
        code = _CODES[kind]
        if bias is not None:
            if bias.data.ptr % 16 or not bias.flags.c_contiguous:
                return None
            code |= BIAS if not self.writes_bias else BGRAD if kind == "dgelu" else 0
        if aux is None:
            return code or DEFAULT, 0
        ld = row_stride(aux.shape, aux.strides, aux.dtype.itemsize) or 0
        if ld == 0 or ld % 8 or aux.data.ptr % 16 or aux.dtype.char == "d":
            return None
        return code | AUX, ld

    def apply(self, a: Array, b: Array, out: Array) -> None:
        """Do to `out`, which holds the product, what the fused call would have done."""
        kind, bias, aux = self
        if bias is not None and not self.writes_bias:
            cupy.add(out, bias, out=out)
        if kind == "relu":
            _relu()(out, out)
        elif kind == "gelu":
            if aux is not None:
                aux[...] = out
            _gelu()(out, out)
        elif kind == "dgelu":
            _dgelu()(aux, out, out)
        if self.writes_bias and bias is not None:
            rows = tuple(range(out.ndim - 1))
            summed, axis = (
                (a, 1) if kind == "bgrad_a" else (b, 0) if kind == "bgrad_b" else (out, rows)
            )
            wide = cupy.promote_types(out.dtype, cupy.float32)
            bias[...] = summed.sum(axis=axis, dtype=wide)


def empty_aux(shape: tuple[int, ...], dtype: object) -> Array:
    """An uninitialised array for `aux`, its rows padded as the fused "gelu" needs them."""
    *lead, n = shape
    return cupy.empty((*lead, -(-n // 8) * 8), dtype)[..., :n]


# The tanh form of gelu is cuBLASLt's, arXiv:1606.08415; half precision is computed in float32.
_TANH = """
    using W = typename wide<T>::type;
    const W v = W(x), c = 0.7978845608028654, d = 0.044715;
    const W t = tanh(c * (v + d * v * v * v));
"""
_WIDE = """
    template <class T> struct wide { using type = float; };
    template <> struct wide<double> { using type = double; };
"""


@functools.cache
def _relu() -> cupy.ElementwiseKernel:
    return cupy.ElementwiseKernel("T x", "T y", "y = x < T(0) ? T(0) : x", "tensorlite_relu")


@functools.cache
def _gelu() -> cupy.ElementwiseKernel:
    body = _TANH + "y = T(v * (1 + t) / 2);"
    return cupy.ElementwiseKernel("T x", "T y", body, "tensorlite_gelu", preamble=_WIDE)


@functools.cache
def _dgelu() -> cupy.ElementwiseKernel:
    body = _TANH + "y = T(W(g) * (1 + t + v * (1 - t * t) * c * (1 + 3 * d * v * v)) / 2);"
    return cupy.ElementwiseKernel("T x, T g", "T y", body, "tensorlite_dgelu", preamble=_WIDE)
