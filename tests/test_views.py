"""A write through a view is seen by its base and by the other views, with its gradient, or refused.

Expected values are torch 2.13's for the same lines.
"""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl


@pytest.fixture
def recorded(device):
    """A recorded 2 × 2 Tensor, its leaf, and another leaf."""
    leaf = tl.tensor([[1.0, 2.0], [3.0, 4.0]], device=device, requires_grad=True)
    return leaf * 1, leaf, tl.tensor(2.0, device=device, requires_grad=True)


WEIGHTS = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def pull(y: tl.Tensor) -> None:
    (y * tl.tensor(WEIGHTS, device=y.device)).sum().backward()


def test_a_row_of_what_was_not_recorded(device) -> None:
    y = tl.tensor([1.0, 2.0], device=device, requires_grad=True)
    w = tl.zeros(2, 2, device=device)
    r = w[0]
    r[:] = y
    assert w.tolist() == [[1, 2], [0, 0]]
    pull(w)
    assert y.grad.tolist() == [1, 2]


def test_an_element_of_a_row(recorded) -> None:
    y, leaf, _ = recorded
    y[0][1] = 7.0
    assert y.tolist() == [[1, 7], [3, 4]]
    pull(y)
    assert leaf.grad.tolist() == [[1, 0], [3, 4]]


def test_a_view_sees_its_base(recorded) -> None:
    y, leaf, w = recorded
    flat = y.reshape(-1)
    y += w
    assert flat.tolist() == [3, 4, 5, 6]
    pull(flat.reshape(2, 2))
    assert leaf.grad.tolist() == WEIGHTS.tolist()
    assert w.grad.item() == 10


def test_part_of_an_assignment(recorded) -> None:
    y, leaf, w = recorded
    y[:, 0] *= w
    assert y.tolist() == [[2, 2], [6, 4]]
    (y * y).sum().backward()
    assert leaf.grad.tolist() == [[8, 4], [24, 8]]
    assert w.grad.item() == 40


def test_a_view_of_a_view_and_the_one_between(recorded) -> None:
    y, leaf, w = recorded
    turned = y.T
    row = turned[1]
    row.mul_(w)
    assert y.tolist() == [[1, 4], [3, 8]]
    assert turned.tolist() == [[1, 3], [4, 8]]
    pull(turned)
    assert leaf.grad.tolist() == [[1, 6], [2, 8]]
    assert w.grad.item() == 3 * 2 + 4 * 4


def test_a_view_taken_before_that_was_not_recorded(device) -> None:
    w = tl.tensor(3.0, device=device, requires_grad=True)
    x = tl.zeros(2, 2, device=device)
    column = x[:, 1]
    x[0] = w
    (column * column).sum().backward()
    assert w.grad.item() == 6


def test_what_was_saved_before_stays(recorded) -> None:
    """Nobody else shows the memory, so the write is functional underneath (torch refuses)."""
    y, leaf, _ = recorded
    squares = y * y
    y[0][0] = 0.0
    squares.sum().backward()
    assert leaf.grad.tolist() == [[2, 4], [6, 8]]


def test_what_was_saved_and_is_shown_is_refused(recorded) -> None:
    y, _, w = recorded
    flat = y.reshape(-1)
    squares = y * y
    y += w
    assert flat[0].item() == 3
    with pytest.raises(RuntimeError, match="changed in place"):
        squares.sum().backward()


def test_detached_values_share_the_memory(recorded) -> None:
    y, _, w = recorded
    values = y.detach()
    y += w
    assert values.tolist() == [[3, 4], [5, 6]]
    y.data[0] = 9.0
    assert values[0].tolist() == [9, 9]


def test_leaves_are_refused(device) -> None:
    leaf = tl.ones(2, device=device, requires_grad=True)
    with pytest.raises(RuntimeError, match="a view of a leaf of shape"):
        leaf[0] += 1
    with pytest.raises(RuntimeError, match="a view of a leaf of shape"):
        leaf.reshape(1, 2).mul_(2)
    with tl.no_grad():
        leaf[0].add_(1)
    leaf.data -= 0.5
    assert leaf.tolist() == [1.5, 0.5]


def test_expanded_memory_is_refused(device) -> None:
    with pytest.raises(RuntimeError, match="share memory"):
        tl.ones(1, device=device).expand(3).add_(1)


def test_in_place_methods_write_into_the_memory(device) -> None:
    x = tl.tensor([-1.0, 4.0], device=device)
    part = x[1:]
    assert x.relu_() is x
    x.sqrt_().add_(1)
    assert part.tolist() == [3]
    with pytest.raises(RuntimeError, match="does not fit a Tensor of int64"):
        tl.ones(2, dtype="int64", device=device).mul_(1.5)
    with pytest.raises(RuntimeError, match="does not fit"):
        x.add_(tl.ones(3, 2, device=device))


def test_second_order_through_a_view(device) -> None:
    x = tl.tensor([1.0, 2.0], device=device, requires_grad=True)
    y = x * x
    y[0].mul_(y[1])
    (slope,) = tl.grad(y.sum(), x, create_graph=True)
    slope.sum().backward()
    # y = (x0² x1², x1²)
    np.testing.assert_allclose(slope.tolist(), [2 * 1 * 4, 2 * 2 * 1 + 4])
    np.testing.assert_allclose(x.grad.tolist(), [2 * 4 + 8, 8 + 2 + 2])


@pytest.mark.parametrize("kind", ["split", "unbind", "transpose", "diagonal", "expand_dims"])
def test_each_kind_of_view(kind, recorded) -> None:
    y, leaf, _ = recorded
    part = {
        "split": lambda: tl.chunk(y, 2)[1],
        "unbind": lambda: tl.unbind(y)[1],
        "transpose": lambda: y.mT[:, 1],
        "diagonal": lambda: tl.diagonal(y),
        "expand_dims": lambda: y[:, None][1],
    }[kind]()
    part.mul_(10)
    expected = np.where(np.eye(2) if kind == "diagonal" else [[0, 0], [1, 1]], 10, 1) * WEIGHTS
    assert y.tolist() == expected.tolist()
    pull(y)
    assert leaf.grad.tolist() == (expected / WEIGHTS * WEIGHTS).tolist()
