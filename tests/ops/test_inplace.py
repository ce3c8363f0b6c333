"""Writes in place: functional where they are recorded, direct where not, refused where unsafe."""

from __future__ import annotations

import gc
import operator

import numpy as np
import pytest

import tensorlite as tl

OPERATORS = [
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
    operator.ifloordiv,
    operator.imod,
    operator.ipow,
]


@pytest.mark.parametrize("update", OPERATORS)
@pytest.mark.parametrize("other", [2.0, np.array([1.0, 2.0, 4.0])], ids=["number", "array"])
def test_unrecorded_writes_into_the_memory(update, other, device) -> None:
    values = np.array([3.0, 5.0, 8.0])
    t = tl.tensor(values, device=device)
    memory = t.array
    view = t[1:]
    operand = other if isinstance(other, float) else tl.tensor(other, device=device)
    assert update(t, operand) is t
    expected = update(values.copy(), other)
    assert t.array is memory
    # CUDA's pow is right to 2 units in the last place.
    np.testing.assert_allclose(t.cpu().numpy(), expected, rtol=4e-16)
    np.testing.assert_array_equal(view.cpu().numpy(), t.cpu().numpy()[1:])  # shares the memory


def test_integers_and_bits() -> None:
    t = tl.tensor([12, 10])
    t &= 6
    t |= 1
    t ^= 2
    t <<= 2
    t >>= 1
    assert t.tolist() == [(((12 & 6 | 1) ^ 2) << 2) >> 1, (((10 & 6 | 1) ^ 2) << 2) >> 1]


def test_recorded_update_keeps_what_was_saved(device) -> None:
    x = tl.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
    t = x * 2
    squares = t * t  # saves t
    before = t.array
    t += x
    assert t.array is not before and t.node is not None
    (squares + t * t).sum().backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), (8 + 18) * np.array([1, 2, 3]), rtol=1e-6)


def test_recorded_setitem(device) -> None:
    x = tl.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
    v = tl.tensor(10.0, device=device, requires_grad=True)
    t = x * x
    t[1] = v * v
    t[0] = 5
    t.sum().backward()
    assert t.detach().cpu().tolist() == [5, 100, 9]
    assert x.grad.cpu().tolist() == [0, 0, 6] and v.grad.cpu().item() == 20


def test_value_alone_is_recorded(device) -> None:
    """A Tensor without history gets one from what is written into it."""
    v = tl.tensor([1.0, 2.0], device=device, requires_grad=True)
    t = tl.zeros(3, device=device)
    t[[0, 2]] = v
    t += v.sum()
    assert t.requires_grad
    (t * tl.tensor([1.0, 1.0, 3.0], device=device)).sum().backward()
    assert v.grad.cpu().tolist() == [6, 8]


def test_second_order_through_a_write() -> None:
    x = tl.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    t = x * x * x
    t[0] = x[1] * x[0]
    (first,) = tl.grad((t * t).sum(), x, create_graph=True)
    (second,) = tl.grad(first.sum(), x)
    # f = a²b² + b⁶; Σ∇f = 2ab² + 2a²b + 6b⁵
    a, b = 1.0, 2.0
    np.testing.assert_allclose(first.detach().numpy(), [2 * a * b**2, 2 * a**2 * b + 6 * b**5])
    np.testing.assert_allclose(
        second.numpy(), [2 * b**2 + 4 * a * b, 4 * a * b + 2 * a**2 + 30 * b**4]
    )


def test_repeated_places_the_last_value_stays() -> None:
    v = tl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    t = tl.zeros(2)
    t[[0, 0, 1]] = v
    assert t.detach().tolist() == [2, 3]
    t.sum().backward()
    assert v.grad.tolist() == [0, 1, 1]


def test_leaf_is_refused_while_recording(device) -> None:
    x = tl.ones(3, device=device, requires_grad=True)
    writes = [
        lambda: operator.iadd(x, 1),
        lambda: operator.setitem(x, 0, 1.0),
        lambda: x.zero_(),
        lambda: x.fill_(2),
        lambda: x.copy_(tl.zeros(3, device=device)),
    ]
    for write in writes:
        with pytest.raises(RuntimeError, match=r"leaf of shape \(3,\).*no_grad"):
            write()
    assert x.detach().cpu().tolist() == [1, 1, 1]
    with tl.no_grad():
        x -= 0.5
        x[0] = 9
    assert x.detach().cpu().tolist() == [9, 0.5, 0.5] and x.is_leaf and x.requires_grad


def test_backward_notices_a_later_write(device) -> None:
    x = tl.ones(3, device=device, requires_grad=True)
    constant = tl.full((3,), 2.0, device=device)
    y = (x * constant).sum()
    constant += 1
    with pytest.raises(RuntimeError, match=r"mul.*changed in place"):
        y.backward()
    y = x.exp()
    with tl.no_grad():
        y[0] = 0
    with pytest.raises(RuntimeError, match=r"exp.*changed in place"):
        y.sum().backward()
    y = (x * constant).sum()
    y.backward()  # written before it was saved


def test_view_of_what_was_saved_is_noticed() -> None:
    x = tl.ones(4, requires_grad=True)
    weights = tl.arange(4.0)
    y = (x * weights).sum()
    weights[2:] += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_index_arrays_are_guarded_too() -> None:
    x = tl.ones(4, requires_grad=True)
    index = tl.tensor([0, 1])
    y = x[index].sum()
    index += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize(
    ("start", "update", "other"),
    [
        (tl.zeros(3), operator.iadd, tl.zeros(2, 3)),  # the shape would grow
        (tl.arange(3), operator.imul, 1.5),
        (tl.arange(3), operator.itruediv, 2),
        (tl.zeros(2, 3), operator.imatmul, tl.zeros(3, 2)),
    ],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_shape_and_dtype_stay(start, update, other, recorded) -> None:
    if recorded and start.dtype.kind == "f":
        start = start.clone().requires_grad_() * 1
    t, before = start, start.tolist()
    with pytest.raises(RuntimeError, match="does not fit a Tensor of"):
        update(t, other)
    assert t.tolist() == before


def test_a_wider_dtype_of_the_same_kind_is_rounded() -> None:
    t = tl.zeros(3)
    t += tl.full((3,), 0.1, dtype="float64")
    assert t.dtype == tl.float32 and t.tolist() == [np.float32(0.1)] * 3


def test_failed_writes_change_nothing() -> None:
    t = tl.zeros(2, 3)
    for index, value, error in [
        (5, 1.0, IndexError),
        (([0, 7],), 1.0, IndexError),
        (slice(None), tl.ones(2), ValueError),
        (0, [1.0, 2.0], ValueError),
        (1.5, 1.0, IndexError),
    ]:
        with pytest.raises(error):
            t[index] = value
    with pytest.raises(ValueError):
        t += tl.ones(4)
    assert not t.array.any()


def test_expanded_is_refused() -> None:
    t = tl.zeros(3).expand(2, 3)
    for write in (lambda: operator.iadd(t, 1), lambda: operator.setitem(t, 0, 1.0)):
        with pytest.raises(RuntimeError, match="share memory"):
            write()


def test_copy_fill_zero(device) -> None:
    t = tl.empty(2, 3, device=device)
    assert t.fill_(2).cpu().tolist() == [[2] * 3] * 2
    assert t.zero_().cpu().tolist() == [[0] * 3] * 2
    assert t.copy_(tl.arange(3)) is t and t.dtype == np.float32  # from the CPU, cast, broadcast
    assert t.cpu().tolist() == [[0, 1, 2]] * 2
    source = tl.ones(3, requires_grad=True)
    t.copy_(source)  # recorded: gradients pass, between devices too
    (t * t).sum().backward()
    assert source.grad.tolist() == [4, 4, 4]


def test_values_are_cast_to_the_dtype() -> None:
    t = tl.zeros(3, dtype="int64")
    t[:2] = tl.tensor([1.7, -2.7])
    assert t.tolist() == [1, -2, 0]
    x = tl.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="no gradient"):
        t[:2] = x * 2


def test_a_chain_of_writes_leaves_no_garbage() -> None:
    gc.collect()
    gc.disable()
    try:
        x = tl.ones(3, requires_grad=True)
        t = x * 1
        for i in range(3):
            t[i] = t[i] * 2
        t.sum().backward()
        del t, x
        assert gc.collect() == 0
    finally:
        gc.enable()
