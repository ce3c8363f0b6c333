"""Tensor itself: dtypes and promotion, repr, the ways out to Python, NumPy and others, methods."""

from __future__ import annotations

import copy
import inspect
import math
import operator
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import ops

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]

# --- dtypes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", DTYPES)
def test_promotion(left, right) -> None:
    """As NumPy's, but integers never raise a float."""
    a, b = tl.ones(2, dtype=left), tl.ones(2, dtype=right)
    floats = [d for d in (left, right) if d.startswith("float")]
    together = np.result_type(*floats or (left, right))
    for op in (operator.add, operator.mul, ops.maximum):
        assert op(a, b).dtype == together
    assert (a / b).dtype == (together if floats else np.float32)
    assert (a < b).dtype == bool
    assert ops.where(a > 0, a, b).dtype == together


def test_numbers_and_tensors_without_axes_raise_only_the_category() -> None:
    x, wide = tl.ones(2), tl.tensor(2.0, dtype="float64")
    assert (x * wide).dtype == (wide * x).dtype == np.float32
    assert (tl.ones(2, dtype="int32") * wide).dtype == np.float64
    assert (tl.ones(2, dtype="int8") + tl.tensor(300)).dtype == np.int8
    assert (x * np.float64(2)).dtype == (np.float64(2) * x).dtype == np.float32
    assert (tl.ones(2, dtype="bool") + 1).dtype == np.int64
    assert (tl.ones(2, dtype="int64") + 1.5).dtype == np.float32
    assert tl.exp(tl.ones(2, dtype="int64")).dtype == np.float32


def test_the_default_dtype(device) -> None:
    tl.set_default_dtype("float64")
    try:
        assert (tl.ones(2, dtype="int64", device=device) / 2).dtype == np.float64
        with pytest.raises(TypeError, match="int64 is not a floating point dtype"):
            tl.set_default_dtype(tl.int64)
    finally:
        tl.set_default_dtype(tl.float32)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul])
def test_large_results_are_numpys(operation, dtype, device) -> None:
    """On the CPU they are divided among threads; so is the sum that is a bias's gradient."""
    rng = np.random.default_rng(0)
    x, other, bias = (rng.standard_normal(s).astype(dtype) for s in ((301, 257), (257, 301), 257))
    for y in (x[::-1], other.T, bias, bias[::-1], x[0], x[:, :1], x[:1], x[0, 0, ...]):
        a, b = (tl.tensor(v, device=device, requires_grad=True) for v in (x, y))
        result = operation(a, b)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result.detach().cpu().numpy(), operation(x, y))
        if operation is not operator.mul and y.ndim:
            result.sum().backward()
            sign = -1.0 if operation is operator.sub else 1.0
            expected = np.full(y.shape, sign * (x.size // y.size))
            np.testing.assert_array_equal(b.grad.cpu().numpy(), expected.astype(dtype))


def test_promotion_is_the_same_on_each_device(device) -> None:
    """A few pairs: each is a kernel to compile."""
    for pair in [("bool", "int8"), ("int64", "float32"), ("float16", "uint8"), ("int32", "int64")]:
        a, b = (tl.ones(2, dtype=dtype, device=device) for dtype in pair)
        assert (a + b).dtype == tl.promote_types(*pair)


@pytest.mark.parametrize("dtype", [*DTYPES[1:], "bfloat16"])
@pytest.mark.parametrize("scalar", [True, 2, 2.0])
def test_python_scalars_never_promote(dtype, scalar, device) -> None:
    t = tl.ones(2, dtype=dtype, device=device)
    kept = np.dtype("float32") if isinstance(scalar, float) and t.dtype.kind in "iu" else t.dtype
    for result in (t + scalar, scalar + t):
        assert result.dtype == kept


def test_bfloat16_stays(device) -> None:
    t = tl.tensor([1.0, 2.0], dtype=tl.bfloat16, device=device, requires_grad=True)
    y = ((t * 3 + 1.5) @ t).exp().log()
    y.backward()
    assert y.dtype == t.grad.dtype == t.dtype and t.dtype.name == "bfloat16"
    assert t.grad.cpu().float().tolist() == [7.5, 13.5]
    assert (t + tl.ones(2, device=device)).dtype == np.float32


@pytest.mark.parametrize(
    ("method", "dtype"),
    [
        ("half", np.float16),
        ("float", np.float32),
        ("double", np.float64),
        ("int", np.int32),
        ("long", np.int64),
        ("bool", np.bool_),
    ],
)
def test_dtype_methods(method, dtype) -> None:
    t = tl.tensor([0.0, 1.75], dtype="float64")
    cast = getattr(t, method)()
    assert cast.dtype == dtype == t.astype(dtype).dtype == t.to(dtype).dtype
    assert cast.tolist() == np.array([0.0, 1.75]).astype(dtype).tolist()
    assert getattr(cast, method)() is cast


# --- moving -------------------------------------------------------------------------------------


def test_to(device) -> None:
    t = tl.ones(2, requires_grad=True)
    moved = t.to(device, "float64")
    assert (moved.device, moved.dtype) == (device, np.dtype("float64"))
    assert t.to(moved).dtype == np.float64 and t.to(moved).device == device
    assert t.to("cpu") is t and t.cpu() is t and moved.to(str(device)) is moved
    (moved * 3).sum().backward()
    assert t.grad.device == t.device and t.grad.dtype == np.float32 and t.grad.tolist() == [3, 3]


def test_unknown_targets() -> None:
    t = tl.ones(2)
    with pytest.raises(TypeError, match="unknown dtype or device 'float7'"):
        t.to("float7")
    with pytest.raises(ValueError, match="unknown device 'cuda:x'"):
        t.to("cuda:x")


def test_missing_cuda_says_what_is_missing() -> None:
    code = "import sys; sys.modules['cupy'] = None; import tensorlite as tl; tl.ones(2).cuda()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "RuntimeError: CUDA needs CuPy" in result.stderr


# --- repr ---------------------------------------------------------------------------------------


def test_format_of_one_number(device) -> None:
    loss = tl.tensor([0.12345], device=device, requires_grad=True).sum()
    assert f"{loss:.3f} {tl.tensor(7, device=device):>3}" == "0.123   7"
    assert f"{tl.ones(2, device=device)}".startswith("tensor([1., 1.]")
    with pytest.raises(TypeError):
        f"{tl.ones(2, device=device):.3f}"


def test_repr(device) -> None:
    place = "" if device.type == "cpu" else f", device='{device}'"
    x = tl.tensor([1.0, 2.5], device=device, requires_grad=True)
    cases = [
        (tl.tensor([1, 2], device=device), f"tensor([1, 2]{place})"),
        (tl.tensor(True, device=device), f"tensor(True{place})"),
        (x.detach().double(), f"tensor([1. , 2.5], dtype=float64{place})"),
        (x, f"tensor([1. , 2.5]{place}, requires_grad=True)"),
        (x * 2, f"tensor([2., 5.]{place}, op=mul)"),
        (tl.zeros(0, 3, device=device), f"tensor([], shape=(0, 3){place})"),
    ]
    for t, expected in cases:
        assert repr(t) == expected
    assert "..." in repr(tl.zeros(1000))


# --- out of the tensor world --------------------------------------------------------------------


def test_item_and_tolist(device) -> None:
    assert tl.tensor(2.5, device=device).item() == 2.5
    assert isinstance(tl.tensor([[3]], device=device).item(), int)
    assert tl.tensor([[1, 2]], device=device).tolist() == [[1, 2]]
    t = tl.tensor(3.0, device=device)
    assert float(t) == 3.0 and int(t) == 3 and bool(t) and math.sqrt(t) == math.sqrt(3)
    assert [10, 20, 30][tl.tensor(1, device=device)] == 20 and range(5)[tl.tensor(2)] == 2
    for call, error, message in [
        (lambda: tl.zeros(2).item(), ValueError, r"item\(\) of a Tensor of shape \(2,\)"),
        (lambda: bool(tl.zeros(2)), ValueError, "ambiguous"),
        (lambda: [1][tl.tensor(0.0)], TypeError, "float32 is not an index"),
        (lambda: len(tl.tensor(1)), TypeError, "no axes"),
        (lambda: iter(tl.tensor(1)), TypeError, "no axes"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_numpy_shares_memory_on_the_cpu() -> None:
    t = tl.zeros(3)
    t.numpy()[1] = 5
    assert t.tolist() == [0, 5, 0]
    assert np.asarray(t) is not None and np.shares_memory(np.asarray(t), t.array)
    assert np.array(t, dtype=np.float64).dtype == np.float64
    with pytest.raises(RuntimeError, match="detach"):
        tl.zeros(2, requires_grad=True).numpy()


def test_no_silent_conversion_of_a_gradient_or_a_device(device) -> None:
    with pytest.raises(RuntimeError, match="detach"):
        np.asarray(tl.zeros(2, requires_grad=True))
    if device.type == "cuda":
        with pytest.raises(TypeError, match="not turned into a NumPy array silently"):
            np.asarray(tl.zeros(2, device=device))


def test_numpy_on_the_left() -> None:
    t = tl.tensor([1.0, 2.0], requires_grad=True)
    array = np.array([3.0, 4.0], np.float32)
    for result in (array + t, array * t, array @ t, array - t, array / t, array**t, array > t):
        assert isinstance(result, tl.Tensor)
    assert (np.float32(2) * t).dtype == np.float32
    (array * t).sum().backward()
    assert t.grad.tolist() == [3, 4]


def test_dlpack() -> None:
    t = tl.arange(3.0)
    array = np.from_dlpack(t)
    assert np.shares_memory(array, t.array)
    with pytest.raises(BufferError, match="detach"):
        np.from_dlpack(tl.zeros(2, requires_grad=True))


def test_pickle_and_deepcopy(device) -> None:
    x = tl.tensor([1.0, 2.0], device=device, requires_grad=True)
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert y.requires_grad and y.device == device and y.array is not x.array
        assert y.detach().cpu().tolist() == [1, 2]
    b = tl.ones(2, dtype=tl.bfloat16)
    assert pickle.loads(pickle.dumps(b)).dtype == b.dtype
    with pytest.raises(RuntimeError, match="history"):
        pickle.dumps(x * 2)


# --- operators and methods ----------------------------------------------------------------------

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


@pytest.mark.parametrize("op", BINARY + BITS)
def test_binary_operators(op, device) -> None:
    dtype = np.int64 if op in BITS else np.float64
    a, b = np.array([5, 2, 9], dtype), np.array([2, 3, 1], dtype)
    t, u = tl.tensor(a, device=device), tl.tensor(b, device=device)
    for result, expected in [
        (op(t, u), op(a, b)),
        (op(t, 2), op(a, 2)),
        (op(2, t), op(2, a)),
    ]:
        assert isinstance(result, tl.Tensor)
        np.testing.assert_array_equal(result.cpu().numpy(), expected)


def test_unary_operators(device) -> None:
    t = tl.tensor([1, -2], device=device)
    assert (-t).cpu().tolist() == [-1, 2] and abs(t).cpu().tolist() == [1, 2]
    assert (~t).cpu().tolist() == [-2, 1] and (~(t > 0)).cpu().tolist() == [False, True]


def test_tensors_are_hashed_by_identity() -> None:
    a, b = tl.zeros(2), tl.zeros(2)
    assert len({a, b, a}) == 2


def test_iteration_and_unpacking() -> None:
    x = tl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = x
    (first * second).sum().backward()
    assert x.grad.tolist() == [[3, 4], [1, 2]]
    assert [row.tolist() for row in x.detach()] == [[1, 2], [3, 4]]


def test_shapes_one_by_one_or_as_a_sequence() -> None:
    t = tl.arange(24).reshape(2, 3, 4)
    assert t.reshape((4, -1)).shape == t.reshape(4, -1).shape == t.reshape([4, 6]).shape == (4, 6)
    assert t.permute(2, 0, 1).shape == t.permute((2, 0, 1)).shape == (4, 2, 3)
    assert t.T.shape == t.permute(-1, 1, 0).shape == (4, 3, 2)
    assert t.transpose(1, 2).shape == t.mT.shape == (2, 4, 3)
    assert t[:1].expand(5, -1, 4).shape == t[:1].broadcast_to(5, 3, 4).shape == (5, 3, 4)
    assert tl.arange(3).tile(2, 2).shape == (2, 6)


def test_every_method_is_the_function_of_its_name() -> None:
    x = tl.tensor([[4.0, 1.0], [2.0, 3.0]])
    for name, arguments in [
        ("sum", (0,)),
        ("exp", ()),
        ("softmax", (-1,)),
        ("cumsum", (1,)),
        ("sort", (0,)),
        ("det", ()),
        ("matmul", (x,)),
        ("chunk", (2,)),
        ("take", ([1],)),
        ("masked_fill", (x > 2, 0.0)),
        ("clip", (1.5, 2.5)),
    ]:
        by_method = getattr(x, name)(*arguments)
        by_function = getattr(tl, name)(x, *arguments)
        for a, b in zip(
            *([v] if isinstance(v, tl.Tensor) else v for v in (by_method, by_function)), strict=True
        ):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_public_names_have_docstrings() -> None:
    undocumented = [
        name
        for name in ops.__all__
        if not getattr(tl, name).__doc__
        or inspect.unwrap(getattr(tl, name)) is not inspect.unwrap(getattr(ops, name))
    ]
    assert not undocumented
    attributes = {*tl.Tensor.__slots__, *tl.Tensor.__annotations__}
    methods = {n for n in dir(tl.Tensor) if n[0] != "_" and hasattr(tl.Tensor, n)} - attributes
    assert not [name for name in methods if not getattr(tl.Tensor, name).__doc__]


def test_clone_and_contiguous(device) -> None:
    x = tl.arange(6.0, device=device, requires_grad=True).reshape(2, 3)
    assert x.contiguous() is x
    turned = x.T.contiguous()
    assert turned.array.flags.c_contiguous and not x.T.array.flags.c_contiguous
    copied = x.clone()
    assert copied.array is not x.array and copied.node is not None


def test_retain_grad() -> None:
    x = tl.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    y.retain_grad()
    (y * 3).sum().backward()
    assert y.grad.tolist() == [3, 3] and x.grad.tolist() == [6, 12]
    y = x * x
    y.retain_grad()
    gone = weakref.ref(y)
    z = y.sum()
    del y
    assert gone() is None  # the hook holds no Tensor
    z.backward()
