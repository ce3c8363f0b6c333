"""Matrix products on CUDA: NumPy's `matmul`, with what can be fused into it.

Products of floating arrays go through cuBLASLt (`cublaslt`), those of integers and booleans through
a kernel of ours, none through `cupy.matmul`. Once a shape has been seen on a stream, a call
allocates nothing but its result and asks no heuristic: it can be captured in a CUDA graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import cupy

from tensorlite.backend import cublaslt
from tensorlite.backend.base import Array, rows_of
from tensorlite.backend.epilogue import Epilogue
from tensorlite.backend.matmul_plan import MatmulPlan, plan_matmul
from tensorlite.backend.precision import ON_CHANGE, get_float32_matmul_precision

__all__ = ["if_fit", "matmul"]


def matmul(
    a: Array,
    b: Array,
    *,
    out: Array | None = None,
    accumulate: bool = False,
    bias: Array | None = None,
    row_sums: Array | None = None,
) -> Array:
    """Matrix product of CuPy arrays with NumPy's rules for vectors and batches.

    Transposed and strided operands are read in place where one of their last two axes is dense
    and the batch axes advance evenly; otherwise they are packed first. Half precision accumulates
    in float32.

    Parameters
    ----------
    a, b
        Arrays on one device, of float16, bfloat16, float32, float64, integers or bool.
    out
        Where to store the result, of its shape and dtype; of a product of 16-bit floats it may be
        float32, which is then not rounded.
    accumulate
        Add the product to what `out` holds.
    bias
        A vector along the last axis that is added to the product.
    row_sums
        An array of `out`'s dtype for the sum of each row of `a` (2-d), which is a bias's gradient:
        written.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or devices do not fit each other; nothing has been written then.
    """
    if _compiled is not None and (bias is None or row_sums is None):
        form, vector = (PLAIN, bias) if row_sums is None else (WITH_ROW_SUMS, row_sums)
        done = _compiled(form, a, b, vector, out, accumulate)
        if done is not NotImplemented:
            return done
    a, b = _promoted(a, b)
    plan = _plan(a, b, out)
    follows = None
    if bias is not None or row_sums is not None:
        follows = Epilogue(bias, row_sums)
        follows.check(a, b, plan.shape)
    if accumulate and out is None:
        raise ValueError("matmul: accumulate=True needs out")
    _check_same(a, [b, bias], [out, row_sums])
    with cupy.cuda.Device(a.data.device_id):
        if follows is None:
            return _product(a, b, plan, out, accumulate)
        if out is None:
            out = cupy.empty(plan.shape, a.dtype if row_sums is None else row_sums.dtype)
        if not _fused(a, b, plan, out, accumulate, follows):
            _product(a, b, plan, out, accumulate)
            follows.apply(a, out)
        return out


_compiled: Callable | None = None  # the same in compiled code, for what it has seen the like of


def use_host(host: Any) -> None:
    """Let the host's extension make the ordinary products."""
    global _compiled
    host.use_products(plan_compiled, cublaslt.workspace, explain_compiled)
    ON_CHANGE.append(host.forget_products)
    cublaslt.ON_RELEASE.append(host.forget_products)
    _compiled = host.cuda_product


PLAIN, LINEAR, TRANSPOSED, WITH_SUMS, WITH_ROW_SUMS = range(5)
"""What the compiled call multiplies: `Form` in ``kernels/host/products.cpp``."""


def plan_compiled(
    form: int, a: Array, b: Array, vector: Array | None, out: Array | None, accumulate: bool
) -> tuple | None:
    """Make a product ready for the compiled call; None where it is one for `matmul`, or an error.

    What is returned serves all arrays of these layouts, dtypes, devices and alignments.
    """
    shape = None
    left, right = a, b
    try:
        if form == LINEAR:
            left, right, shape = rows_of(a), b.T, (*a.shape[:-1], len(b))
        elif form == TRANSPOSED:
            left = a.T
        elif form == WITH_SUMS:
            left, right = rows_of(a).T, rows_of(b)
        plan = _plan(left, right, out)
        sums = form in (WITH_SUMS, WITH_ROW_SUMS)
        follows = Epilogue(None, vector) if sums else Epilogue(vector)
        follows.check(left, right, plan.shape)
        _check_same(a, [b, None if sums else vector], [out, vector if sums else None])
    except (ValueError, TypeError, IndexError):
        return None
    g = plan
    moved = left.data.ptr != a.data.ptr or right.data.ptr != b.data.ptr  # the rows are a copy
    packed = g.copy_a or g.copy_b or g.copy_out
    code = follows.fused_code()
    simple = g.batch == len(g.offsets) == 1 and left.ndim > 1 and right.ndim > 1
    if moved or packed or not g.offsets or code is None or (vector is not None and not simple):
        return None
    product = cublaslt.Product(_problem(left, right, g, out, code))
    if not product.supported:
        return None
    size, out_size = a.dtype.itemsize, (a if out is None else out).dtype.itemsize
    offsets = tuple([(p * size, q * size, r * out_size) for p, q, r in g.offsets])
    return *product.addresses(), shape or g.shape, offsets, product


def explain_compiled(status: int, product: cublaslt.Product) -> None:
    """Raise what the library's status says."""
    cublaslt.check(status, f"cublasLtMatmul for {product.problem}")


def if_fit(out: Array | None, a: Array, b: Array) -> Array | None:
    """`out`, unless a product of `a` and `b` cannot be put there or it shares memory with them."""
    if out is None or a.dtype != b.dtype or not _holds(out, a) or _overlaps(out, a, b):
        return None
    return out


def _holds(out: Array, a: Array) -> bool:
    """Whether a product of arrays like `a` can be put into `out`: unrounded, if they are short."""
    return out.dtype == a.dtype or (a.dtype.char in "eE" and out.dtype == cupy.float32)


def _promoted(a: Array, b: Array) -> tuple[Array, Array]:
    """Both operands in their common dtype."""
    for array in (a, b):
        if not isinstance(array, cupy.ndarray):
            raise TypeError(f"matmul: an operand is a {type(array)}, not an array on CUDA")
    if a.dtype == b.dtype:
        return a, b
    try:
        dtype = cupy.promote_types(a.dtype, b.dtype)
    except TypeError:
        raise TypeError(f"matmul: {a.dtype} @ {b.dtype} has no common dtype: cast one") from None
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def _plan(a: Array, b: Array, out: Array | None) -> MatmulPlan:
    size = a.dtype.itemsize
    if out is None:
        return plan_matmul(a.shape, a.strides, b.shape, b.strides, None, None, size)
    steps = out.strides
    if out.dtype != a.dtype:  # a plan is in elements
        steps = tuple([step // out.itemsize * size for step in steps])
    return plan_matmul(a.shape, a.strides, b.shape, b.strides, out.shape, steps, size)


def _check_same(a: Array, operands: list[Array | None], results: list[Array | None]) -> None:
    """All must have one device; operands one dtype, and results that or, of short ones, float32."""
    if a.dtype.kind not in "iub" and a.dtype.char not in cublaslt.MATRIX_TYPES:
        raise TypeError(f"matmul: dtype {a.dtype} is not supported on CUDA")
    operands, results = ([x for x in xs if x is not None] for xs in (operands, results))
    dtypes = {x.dtype for x in results}
    wrong = [x for x in operands if x.dtype != a.dtype] + [x for x in results if not _holds(x, a)]
    if wrong:
        raise TypeError(
            f"matmul: out, bias and row_sums must be {a.dtype}, one is {wrong[0].dtype}"
        )
    if len(dtypes) > 1:
        raise TypeError(f"matmul: out and row_sums must be of one dtype, not {dtypes}")
    for other in (*operands, *results):
        if other.data.device_id != a.data.device_id:
            raise ValueError(
                f"matmul: operands on different devices: shape {a.shape} on "
                f"cuda:{a.data.device_id}, shape {other.shape} on cuda:{other.data.device_id}"
            )


# --- ways to compute it -----------------------------------------------------------------------


def _product(a: Array, b: Array, plan: MatmulPlan, out: Array | None, accumulate: bool) -> Array:
    """``out = a @ b`` or ``out += a @ b``."""
    if a.dtype.char not in cublaslt.MATRIX_TYPES:
        return _stored(_integer_matmul(a, b, plan.shape), out, accumulate)
    if not plan.offsets:
        return _stored(cupy.zeros(plan.shape, a.dtype), out, accumulate)
    if out is not None and (plan.copy_out or _overlaps(out, a, b)):
        result = _product(a, b, _plan(a, b, None), None, False)
        return _stored(result, out, accumulate)
    a, b = _packed(a, b, plan)
    if out is None:
        out = cupy.empty(plan.shape, a.dtype)
    problem = _problem(a, b, plan, out, cublaslt.DEFAULT)
    exact = problem._replace(tf32=False)  # a chip without TF32 can do the product all the same
    if not any(_run(each, a, b, out, accumulate) for each in dict.fromkeys((problem, exact))):
        raise cublaslt.CublasLtError(f"cuBLASLt has no algorithm for {problem}")
    return out


def _run(problem: cublaslt.Problem, a: Array, b: Array, out: Array, accumulate: bool) -> bool:
    """Queue a product part by part; False, and nothing done, where there is no algorithm."""
    product = cublaslt.product(problem)
    stream = cupy.cuda.get_current_stream().ptr
    size, out_size = a.dtype.itemsize, out.dtype.itemsize
    pa, pb, po = a.data.ptr, b.data.ptr, out.data.ptr
    return product.supported and all(
        product.run(pa + da * size, pb + db * size, po + do * out_size, accumulate, stream)
        for da, db, do in problem.plan.offsets
    )


def _fused(
    a: Array, b: Array, plan: MatmulPlan, out: Array, accumulate: bool, follows: Epilogue
) -> bool:
    """Run product and epilogue as one call; False, and nothing done, where that cannot be."""
    simple = plan.batch == len(plan.offsets) == 1 and a.ndim > 1 and b.ndim > 1
    if not simple or plan.copy_out or a.dtype.char not in cublaslt.MATRIX_TYPES:
        return False
    code = follows.fused_code()
    if code is None or _overlaps(out, a, b):
        return False
    a, b = _packed(a, b, plan)
    product = cublaslt.product(_problem(a, b, plan, out, code))
    return product.supported and product.run(
        a.data.ptr,
        b.data.ptr,
        out.data.ptr,
        accumulate,
        cupy.cuda.get_current_stream().ptr,
        0 if follows.vector is None else follows.vector.data.ptr,
    )


def _problem(
    a: Array, b: Array, plan: MatmulPlan, out: Array | None, epilogue: int
) -> cublaslt.Problem:
    """The product of these operands; a new result is aligned as well as can be."""
    size = a.dtype.itemsize
    result = a if out is None else out
    bits_a, bits_b, bits_out = plan.offset_bits
    return cublaslt.Problem(
        a.data.device_id,
        a.dtype.char,
        result.dtype.char,
        get_float32_matmul_precision() == "high",
        plan,
        _alignment(a.data.ptr | bits_a * size),
        _alignment(b.data.ptr | bits_b * size),
        _alignment((0 if out is None else out.data.ptr) | bits_out * result.itemsize),
        epilogue,
    )


def _alignment(address: int) -> int:
    """Largest power of two that divides an address, up to the 256 that the heuristic knows."""
    return min(address & -address, 256) or 256


def _packed(a: Array, b: Array, plan: MatmulPlan) -> tuple[Array, Array]:
    """Dense copies where needed; what is broadcast along a batch axis stays broadcast."""
    pair = []
    for array, copy in ((a, plan.copy_a), (b, plan.copy_b)):
        if copy:
            once = tuple([slice(None if s else 1) for s in array.strides[:-2]])
            array = cupy.broadcast_to(cupy.ascontiguousarray(array[once]), array.shape)
        pair.append(array)
    return pair[0], pair[1]


def _overlaps(out: Array, *operands: Array) -> bool:
    """Whether the address range of `out` meets that of an operand."""
    low, high = cupy.byte_bounds(out)
    bounds = [cupy.byte_bounds(operand) for operand in operands]
    return any(low < end and start < high for start, end in bounds)


def _stored(result: Array, out: Array | None, accumulate: bool) -> Array:
    """Put a computed result into place."""
    if out is None:
        return result
    if accumulate:
        cupy.add(out, result, out=out)
    else:
        out[...] = result
    return out


@functools.cache
def _integer_kernel() -> cupy.ElementwiseKernel:
    """One thread per element; in booleans, += means "or", since any sum but 0 is true."""
    return cupy.ElementwiseKernel(
        "raw T a, raw T b, int64 rows, int64 columns, int64 depth",
        "T y",
        """
        const long long row = i / columns, column = i % columns, batch = row / rows;
        T sum = 0;
        for (long long p = 0; p < depth; ++p)
            sum += a[row * depth + p] * b[(batch * depth + p) * columns + column];
        y = sum;
        """,
        "tensorlite_integer_matmul",
    )


def _integer_matmul(a: Array, b: Array, shape: tuple[int, ...]) -> Array:
    """The product of integers or booleans, modulo the range of their dtype as in NumPy."""
    a = a[None, :] if a.ndim == 1 else a
    b = b[:, None] if b.ndim == 1 else b
    lead = cupy.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (rows, depth), columns = a.shape[-2:], b.shape[-1]
    out = cupy.empty((*lead, rows, columns), a.dtype)
    if out.size:
        a = cupy.broadcast_to(a, (*lead, rows, depth))
        b = cupy.broadcast_to(b, (*lead, depth, columns))
        _integer_kernel()(a, b, rows, columns, depth, out)
    return out.reshape(shape)
