"""What Tensors say about their memory, and changes of their shape in place, as torch."""

from __future__ import annotations

import pytest

import tensorlite as tl


def test_memory(device) -> None:
    x = tl.arange(12, device=device).reshape(3, 4)
    part = x[1:, 1:]
    assert x.stride() == (4, 1) and part.stride() == (4, 1) and x.t().stride(0) == 1
    assert (x.storage_offset(), part.storage_offset()) == (0, 5)
    assert part.data_ptr() - x.data_ptr() == 5 * x.element_size() == 5 * x.itemsize
    assert x.is_cuda == (device.type == "cuda") and x.get_device() == (0 if x.is_cuda else -1)
    assert x.nelement() == 12 and x.ndimension() == 2 and x.is_signed()
    assert not x.byte().is_signed() and x.is_same_size(x + 1) and not x.is_same_size(part)


def test_nothing_to_do_for_real_tensors(device) -> None:
    x = tl.randn(2, 3, device=device)
    assert x.conj() is x.resolve_neg() is x.real is x
    assert tl.equal(x.H, x.t())


def test_shape_in_place(device) -> None:
    x = tl.arange(6, device=device).reshape(2, 3).clone()
    assert x.t_() is x and x.shape == (3, 2)
    assert x.unsqueeze_(0).squeeze_().transpose_(0, 1).tolist() == [[0, 1, 2], [3, 4, 5]]
    row = x[0]
    with pytest.raises(RuntimeError, match="would not follow"):
        x.t_()
    assert row.tolist() == [0, 1, 2]


def test_shape_in_place_is_recorded(device) -> None:
    leaf = tl.ones(2, 3, device=device, requires_grad=True)
    y = leaf * 2
    (y.t_() * tl.arange(6, device=device).reshape(3, 2)).sum().backward()
    assert leaf.grad.tolist() == [[0, 4, 8], [2, 6, 10]]
    assert y.grad_fn is y.node is not None and y.detach_().grad_fn is None


def test_diagonals_sums_and_functions(device) -> None:
    x = tl.zeros(5, 2, device=device)
    x.fill_diagonal_(1.0, wrap=True)
    assert x.tolist() == [[1, 0], [0, 1], [0, 0], [1, 0], [0, 1]]
    cube = tl.zeros(2, 2, 2, device=device).fill_diagonal_(3.0)
    assert cube.sum().item() == 6 and cube[1, 1, 1].item() == 3
    assert tl.ones(2, 3, device=device).sum_to_size(1, 3).tolist() == [[2, 2, 2]]
    assert tl.ones(4, 2, 3, device=device).sum_to_size(2, 1).tolist() == [[12], [12]]
    with pytest.raises(RuntimeError, match="does not broadcast"):
        x.sum_to_size(3)
    assert tl.tensor([1, 2]).apply_(lambda v: v + 1).tolist() == [2, 3]


def test_names_of_torchs_first_room(device) -> None:
    x = tl.tensor([-1.0, 2.0], device=device)
    assert tl.relu_(x) is x and x.tolist() == [0, 2]
    assert tl.layer_norm is tl.nn.functional.layer_norm
    assert tl.compile(abs) is abs and tl.compile(mode="max-autotune")(abs) is abs
    with pytest.raises(AttributeError, match="has it, tensorlite does not: Tensors"):
        tl.sparse_coo_tensor
    with pytest.raises(AttributeError, match=r"a Tensor has no attribute 'to_sparse'\. PyTorch"):
        x.to_sparse()
    assert not hasattr(x, "nothing") and not hasattr(tl, "nothing_")
