"""Arrays from outside through every door: made plain, or refused in words.

Plain is an array of NumPy's own class (or CuPy's), in native byte order, aligned, of a dtype that
Tensors have. Whatever comes in, what is computed from it equals what a plain copy gives.
"""

from __future__ import annotations

import importlib.util
import operator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tensorlite as tl
from tensorlite.nn import functional as F

BASE = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


class OnlyArray:
    """Another library's array: all it has is ``__array__``."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.values, dtype)


class OnlyDLPack:
    """Another library's array: all it has is DLPack."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.values.__dlpack_device__()


def off_its_boundaries(values: np.ndarray) -> np.ndarray:
    memory = np.empty(values.nbytes + 1, np.uint8)
    moved = memory[1:].view(values.dtype).reshape(values.shape)
    moved[...] = values
    return moved


def field_of_records(values: np.ndarray) -> np.ndarray:
    records = np.zeros(values.shape, [("before", "u1"), ("value", values.dtype)])
    records["value"] = values
    return records["value"]


def read_only(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values.flags.writeable = False
    return values


def mapped(values: np.ndarray, path: Any) -> np.memmap:
    np.save(path / "values.npy", values)
    return np.load(path / "values.npy", mmap_mode="r")


FORMS = {
    "plain": lambda a: a,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "little-endian": lambda a: a.astype(a.dtype.newbyteorder("<")),
    "matrix": lambda a: np.asmatrix(a),
    "masked, of no element": lambda a: np.ma.array(a),
    "off its boundaries": off_its_boundaries,
    "a field of records": field_of_records,
    "backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "transposed": lambda a: a.T.copy().T,
    "read-only": read_only,
    "__array__": OnlyArray,
    "DLPack": OnlyDLPack,
}
if importlib.util.find_spec("torch"):
    import torch

    FORMS["torch"] = torch.from_numpy
    FORMS["torch, with a gradient"] = lambda a: torch.from_numpy(a).requires_grad_()
if importlib.util.find_spec("jax"):
    import jax.numpy as jnp

    FORMS["JAX"] = jnp.asarray

MAKERS = {
    "tensor": tl.tensor,
    "as_tensor": tl.as_tensor,
    "asarray": tl.asarray,
    "Tensor": tl.Tensor,
    "FloatTensor": tl.FloatTensor,
    "new_tensor": lambda a: tl.zeros(1).new_tensor(a),
    "a list of them": lambda a: tl.stack([tl.tensor(a), tl.tensor(a)])[0],
}


def is_plain(t: tl.Tensor) -> bool:
    a = t.array
    return type(a) is np.ndarray and a.dtype.isnative and a.flags.aligned


@pytest.fixture(params=FORMS)
def form(request) -> Any:
    return FORMS[request.param]


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("maker", MAKERS)
def test_what_makes_tensors(maker, form) -> None:
    t = MAKERS[maker](form(BASE))
    assert is_plain(t) and t.dtype == np.float32 and t.tolist() == BASE.tolist()
    assert (t + 1).tolist() == (BASE + 1).tolist()
    np.testing.assert_allclose(tl.softmax(t, -1).sum(-1).numpy(), 1, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_what_makes_tensors_copies(form) -> None:
    values = BASE.copy()
    given = form(values)
    t = tl.tensor(given)
    t[...] = 0
    assert np.array_equal(values, BASE) and tl.tensor(given).tolist() == BASE.tolist()


T = tl.tensor(BASE)
OPERATIONS = {
    "t + a": lambda a: T + a,
    "a + t": lambda a: tl.add(a, T),
    "t @ a": lambda a: T @ a,
    "t / a": lambda a: T / a,
    "maximum": lambda a: tl.maximum(T, a),
    "where": lambda a: tl.where(T > 2, T, a),
    "clamp": lambda a: T.clamp(a),
    "linear": lambda a: F.linear(T, a),
    "cat": lambda a: tl.cat([T, a]),
    "stack": lambda a: tl.stack([T, a]),
    "t[...] = a": lambda a: written(lambda t: operator.setitem(t, ..., a)),
    "copy_": lambda a: written(lambda t: t.copy_(a)),
    "t += a": lambda a: written(lambda t: operator.iadd(t, a)),
}


def written(write: Any) -> tl.Tensor:
    t = T.clone()
    write(t)
    return t


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_beside_a_tensor(operation, form) -> None:
    result = OPERATIONS[operation](form(BASE))
    assert is_plain(result) and result.dtype == np.float32
    np.testing.assert_array_equal(result.numpy(), OPERATIONS[operation](tl.tensor(BASE)).numpy())


ALONE = {
    "exp": tl.exp,
    "sum": tl.sum,
    "softmax": lambda a: tl.softmax(a, -1),
    "gelu": F.gelu,
    "reshape": lambda a: tl.reshape(a, (-1,)),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("operation", ALONE)
def test_arrays_in_arrays_out(operation, form) -> None:
    result = ALONE[operation](form(BASE))
    assert type(result) is np.ndarray and result.dtype == np.float32 and result.dtype.isnative
    np.testing.assert_array_equal(result, ALONE[operation](BASE))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("name", [name for name in FORMS if "gradient" not in name])
def test_as_an_index(name) -> None:
    rows = np.array([[1, 0], [0, 0]])
    index = FORMS[name](rows)
    expected = BASE[rows]
    assert T[index].tolist() == expected.tolist()
    assert T.index_select(0, tl.tensor(index).reshape(-1)).numel() == 8


def test_memory_maps(tmp_path) -> None:
    there = mapped(BASE, tmp_path)
    for t in (tl.tensor(there), tl.as_tensor(there), tl.from_numpy(there)):
        assert is_plain(t) and (t * 2).tolist() == (BASE * 2).tolist()
    with pytest.raises(ValueError, match="read-only"):
        tl.from_numpy(there)[0] = 1.0


@pytest.mark.parametrize("scalar", [np.float32(2), np.float64(2), np.int16(2), np.bool_(True)])
def test_numbers_of_numpy(scalar) -> None:
    t = tl.tensor(scalar)
    assert is_plain(t) and t.shape == () and t.dtype == scalar.dtype
    assert (t + 1).item() == scalar + 1 and (T + scalar).dtype == np.float32
    assert tl.tensor([scalar, scalar]).dtype == scalar.dtype
    assert tl.full((2,), scalar).dtype in (scalar.dtype, np.float32, np.int64)
    assert T[np.int64(1)].tolist() == [3, 4] and T[:, np.uint8(1)].tolist() == [2, 4]


# --- what is refused ----------------------------------------------------------------------------

REFUSED = {
    "complex": (np.ones(2, complex), "complex numbers"),
    "objects": (np.array([1, None]), "of objects there is no Tensor"),
    "text": (np.array(["a"]), "no Tensor holds text"),
    "bytes": (np.array([b"a"]), "no Tensor holds text"),
    "times": (np.array(["2026-01-01"], "M8[D]"), "no Tensor holds times"),
    "durations": (np.array([1], "m8[s]"), "no Tensor holds times"),
    "records": (np.zeros(2, [("a", "f4")]), "take its fields one by one"),
    "long double": (np.ones(2, np.longdouble), "use floats up to float64"),
    "float8": (np.ones(2, ml_dtypes.float8_e4m3fn), "no Tensor holds dtype float8_e4m3fn"),
    "int4": (np.ones(2, ml_dtypes.int4), "no Tensor holds dtype int4"),
    "masked elements": (np.ma.array([1.0, 2.0], mask=[True, False]), "filled"),
}


@pytest.mark.parametrize("maker", ["tensor", "as_tensor", "Tensor", "new_tensor"])
@pytest.mark.parametrize("what", REFUSED)
def test_what_no_tensor_holds(what, maker) -> None:
    values, message = REFUSED[what]
    with pytest.raises(TypeError, match=message):
        MAKERS[maker](values)


@pytest.mark.parametrize("what", [w for w in REFUSED if w != "masked elements"])
def test_what_no_tensor_shares(what) -> None:
    with pytest.raises(TypeError, match=REFUSED[what][1]):
        tl.from_numpy(REFUSED[what][0])


@pytest.mark.parametrize(
    "values", [BASE.astype(">f4"), off_its_boundaries(BASE), field_of_records(BASE)]
)
def test_what_is_not_shared_in_place(values) -> None:
    with pytest.raises(ValueError, match="use tensor\\(\\) to copy it"):
        tl.from_numpy(values)


@pytest.mark.parametrize("value", [[1.0, 2.0], (1.0,), "1", None, {1.0}, object()])
def test_what_is_no_operand(value) -> None:
    for call in (
        lambda: tl.add(T, value),
        lambda: tl.exp(value),
        lambda: tl.where(T > 2, T, value),
    ):
        with pytest.raises(TypeError):
            call()


def test_bits_are_read_within_their_boundaries() -> None:
    t = tl.zeros(12, dtype=tl.uint8)
    assert t[4:8].view(tl.float32).tolist() == [0]
    with pytest.raises(RuntimeError, match="off their boundaries"):
        t[1:5].view(tl.float32)


# --- DLPack -------------------------------------------------------------------------------------


class Consumer:
    """What a library does with a capsule, seen from `numpy.from_dlpack`."""

    def __init__(self, tensor: tl.Tensor, **options: Any) -> None:
        self.tensor, self.options = tensor, options

    def __dlpack__(self, **options: Any) -> Any:
        return self.tensor.__dlpack__(**{**options, **self.options})

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.tensor.__dlpack_device__()


LAYOUTS = {
    "contiguous": lambda t: t,
    "transposed": lambda t: t.T,
    "with gaps": lambda t: t[:, ::2],
    "from the middle": lambda t: t[1:, 1:],
    "repeated": lambda t: t[:1].expand(3, 4),
    "empty": lambda t: t[:0],
    "a number": lambda t: t[0, 0],
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_handed_out_in_place(layout, dtype) -> None:
    t = LAYOUTS[layout](tl.arange(12).reshape(3, 4).to(dtype))
    taken = np.from_dlpack(Consumer(t))
    np.testing.assert_array_equal(taken, t.numpy())
    assert t.numel() == 0 or np.shares_memory(taken, t.array)


def test_backwards_is_handed_out_as_a_copy() -> None:
    """PyTorch ends the process at a negative stride."""
    t = tl.from_numpy(np.arange(6.0)[::-1])
    taken = np.from_dlpack(Consumer(t))
    assert taken.tolist() == t.tolist() and min(taken.strides) > 0
    with pytest.raises(BufferError, match="negative strides"):
        np.from_dlpack(Consumer(t, copy=False))
    assert min(np.from_dlpack(Consumer(t, copy=True)).strides) > 0


def test_what_is_not_handed_out() -> None:
    with pytest.raises(BufferError, match="requires grad"):
        tl.zeros(2, requires_grad=True).__dlpack__()
    with pytest.raises(BufferError):  # the capsule of old has no place to say so
        tl.from_numpy(read_only(BASE)).__dlpack__()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bfloat16_both_ways(layout) -> None:
    t = LAYOUTS[layout](tl.arange(12.0).reshape(3, 4).bfloat16())
    back = tl.from_dlpack(Consumer(t))
    assert back.dtype == t.dtype and back.tolist() == t.tolist()
    assert t.numel() == 0 or np.shares_memory(back.array, t.array)
    keeps = tl.from_dlpack(Consumer(t.clone()))  # nobody else holds that memory
    assert keeps.tolist() == t.tolist()


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="there is no torch")
def test_bfloat16_to_torch_and_back() -> None:
    t = tl.arange(6.0).reshape(2, 3).bfloat16()
    there = torch.from_dlpack(t)
    assert there.dtype == torch.bfloat16 and there.tolist() == t.tolist()
    there[0, 0] = 7
    assert t[0, 0].item() == 7
    for back in (tl.from_dlpack(there), tl.tensor(there), tl.as_tensor(there.T).T):
        assert back.dtype == t.dtype and back.tolist() == there.tolist()
    backwards = torch.from_dlpack(tl.from_numpy(np.arange(3.0)[::-1]))
    assert backwards.tolist() == [2, 1, 0]


def test_what_is_not_taken() -> None:
    class Elsewhere(OnlyDLPack):
        def __dlpack_device__(self) -> tuple[int, int]:
            return (7, 0)

    with pytest.raises(BufferError, match="neither the CPU nor CUDA"):
        tl.from_dlpack(Elsewhere(BASE))
    with pytest.raises(TypeError, match="complex numbers"):
        tl.from_dlpack(np.ones(2, complex))
    with pytest.raises(TypeError, match="has no __dlpack__"):
        tl.from_dlpack([1, 2])
    with pytest.raises(BufferError, match="off their boundaries"):
        tl.from_dlpack(off_its_boundaries(BASE))
