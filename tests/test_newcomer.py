"""What a torch user types first: names, numbers in text, and what is said where a name is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn


def test_names_of_values_and_types() -> None:
    def typed(x: tl.Tensor, dtype: tl.dtype = tl.float32) -> bool:
        return isinstance(x.dtype, tl.dtype) and x.dtype == dtype

    assert typed(tl.zeros(1))
    assert (tl.pi, tl.inf, tl.e, tl.newaxis) == (math.pi, math.inf, math.e, None)
    assert math.isnan(tl.nan)
    x = tl.zeros(1, 2, 3, 4)
    assert x.to(memory_format=tl.channels_last).shape == x.shape
    assert x.clone(memory_format=tl.preserve_format).shape == x.shape


def test_one_number_in_text_is_a_number(device) -> None:
    loss = tl.tensor(0.5, requires_grad=True, device=device) * 2  # torch: f"{loss}" is "1.0"
    assert f"{loss} {tl.tensor(4, device=device)} {loss:.2f}" == "1.0 4 1.00"
    assert f"{tl.tensor(True, device=device)}/8" == "True/8"
    assert f"{tl.tensor([1.0])}" == "tensor([1.])"


def test_print_options() -> None:
    x = tl.tensor([1.23456, 1e-6])
    try:
        tl.set_printoptions(precision=3, sci_mode=False)
        assert str(x) == "tensor([1.235, 0.   ])"
        tl.set_printoptions(precision=2, sci_mode=True)
        assert str(x) == "tensor([1.23e+00, 1.00e-06])"
        tl.set_printoptions(profile="short")
        assert str(tl.arange(200)) == "tensor([  0,   1, ..., 198, 199])"
        tl.set_printoptions(profile="full")
        assert "..." not in str(tl.arange(200))
        with pytest.raises(ValueError, match="profile 'long' is none of"):
            tl.set_printoptions(profile="long")
    finally:
        tl.set_printoptions(profile="default")
    assert str(tl.arange(200)).count(",") == 6


def test_requires_grad_of_a_result(device) -> None:
    x = tl.ones(2, requires_grad=True, device=device)
    y = (x * 3).requires_grad_()  # it does already
    (slope,) = tl.autograd.grad((y * y).sum(), [y])
    np.testing.assert_array_equal(slope.numpy(), [6, 6])
    with pytest.raises(RuntimeError, match=r"requires_grad_\(False\) of the result of mul"):
        y.requires_grad_(False)


def test_a_range_as_an_index(device) -> None:
    x = tl.ones(3, 3, device=device)
    x[range(3), range(3)] = 0  # as torch: a range is a sequence
    np.testing.assert_array_equal(x.numpy(), 1 - np.eye(3))
    np.testing.assert_array_equal(x[range(1)].numpy(), [[0, 1, 1]])
    assert tl.tensor(range(3)).tolist() == [0, 1, 2]


def test_draws_as_methods(device) -> None:
    chances = tl.tensor([0.0, 1.0], device=device)
    assert chances.multinomial(1).tolist() == [1]
    assert chances.bernoulli().tolist() == [0, 1]


def test_new(device) -> None:
    x = tl.zeros(1, dtype=tl.float64, device=device)
    assert x.new(2, 3).zero_().shape == (2, 3) and x.new(2).dtype == tl.float64
    assert x.new([1, 2]).tolist() == [1, 2] and x.new().numel() == 0 and x.new(2).device == x.device


@pytest.mark.parametrize(
    ("values", "dtype"),  # the dtypes of torch 2.13
    [((1.0, 0.0), tl.float32), ((1, 0), tl.int64), ((1, 0.0), tl.float32), ((True, 2), tl.int64)],
)
def test_where_of_two_numbers(device, values, dtype) -> None:
    chosen = tl.where(tl.tensor([True, False], device=device), *values)
    assert chosen.dtype == dtype
    assert chosen.tolist() == list(values)


def test_whole_numbers_make_no_float64(device) -> None:
    whole = tl.arange(4, device=device)  # torch refuses them in softmax
    for made in (nn.functional.softmax(whole, 0), nn.functional.log_softmax(whole, 0)):
        assert made.dtype == tl.float32
    np.testing.assert_allclose(nn.functional.softmax(whole, 0).sum().item(), 1, rtol=1e-6)


COPIES = {  # torch 2.13 gives each of these memory of its own
    "flip": lambda x: x.flip(0),
    "flip of no axes": lambda x: tl.flip(x, ()),
    "fliplr": lambda x: x.fliplr(),
    "flipud": lambda x: x.flipud(),
    "rot90": lambda x: tl.rot90(x, 2),
    "diag": lambda x: tl.diag(x),
    "diff": lambda x: x.diff(n=0),
    "repeat": lambda x: x.repeat(1, 1),
    "tile": lambda x: x.tile(1),
    "repeat_interleave": lambda x: x.repeat_interleave(1, dim=0),
    "matrix_power": lambda x: x.matrix_power(1),
    "pixel_shuffle": lambda x: nn.functional.pixel_shuffle(x[None], 1),
    "pixel_unshuffle": lambda x: nn.functional.pixel_unshuffle(x[None], 1),
    "channel_shuffle": lambda x: nn.functional.channel_shuffle(x[None], 1),
    "unfold": lambda x: nn.functional.unfold(x[None], 1),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_write_to_a_copy_stays_there(device, name) -> None:
    x = tl.arange(1.0, 17.0, device=device).reshape(4, 4)
    before = x.numpy().copy()
    COPIES[name](x).fill_(-1)
    np.testing.assert_array_equal(x.numpy(), before)


@pytest.mark.parametrize("name", COPIES)
def test_a_recorded_write_to_a_copy_stays_there(device, name) -> None:
    x = tl.ones(4, 4, requires_grad=True, device=device)
    y = x * 3
    z = COPIES[name](y)
    z.mul_(5)
    (y.sum() + 0 * z.sum()).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full((4, 4), 3))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from tensorlite import sparse_coo_tensor", "Tensors are dense: keep indices and values"),
        ("from tensorlite.distributions import Weibull", "'Weibull'. PyTorch 2.13 has it"),
        ("from tensorlite.distributions import MixtureSameFamily", "mixture.logits"),
        ("tl.hann_window", r"signal\.windows\.hann\(n, sym=False\)"),
        ("from tensorlite.optim import SparseAdam", "gradients are dense: use Adam"),
        ("from tensorlite.cuda import max_memory_allocated", "memory_stats"),
        ("tl.nn.functional.fractional_max_pool2d", "'fractional_max_pool2d'. PyTorch 2.13 has"),
        ("tl.nn.AdaptiveLogSoftmaxWithLoss", "docs/from-torch.md says what differs"),
        ("tl.linalg.ldl_factor", "'ldl_factor'. PyTorch 2.13 has it, tensorlite does not"),
    ],
)
def test_names_that_are_not_here(line, said) -> None:
    error = ImportError if line.startswith("from") else AttributeError
    with pytest.raises(error, match=said):
        exec(line, {"tl": tl})


def test_a_name_that_nobody_has_is_no_name_of_torch() -> None:
    with pytest.raises(AttributeError, match=r"'tensorlite\.nn' has no attribute 'Liner'$"):
        _ = nn.Liner
    assert not hasattr(tl.distributions, "Weibull")


def test_memory_of_cuda_where_there_may_be_none() -> None:
    tl.cuda.empty_cache()  # scripts call it whatever the device is
    held = tl.cuda.memory_allocated(), tl.cuda.memory_reserved()
    assert all(n >= 0 for n in held) and (tl.cuda.is_available() or held == (0, 0))


def test_a_whole_module_is_not_saved(tmp_path) -> None:
    with pytest.raises(TypeError, match=r"is a Linear, which cannot be saved: save what it holds"):
        tl.save(nn.Linear(1, 1), tmp_path / "model.pt")


x, labels = tl.zeros(2, 3), tl.zeros(2, dtype=tl.int64)
# What is typed, the error, and what it says: the argument by its name, shapes, what to do.
WRONG = [
    (lambda: nn.Linear(4, 3)(tl.zeros(2, 5)), ValueError, r"input of shape \(2, 5\) does not fit"),
    (lambda: x + tl.zeros(2, 4), ValueError, r"shapes \(2, 3\) and \(2, 4\) do not broadcast"),
    (lambda: x + None, TypeError, "add: None is given where a Tensor or number belongs"),
    (lambda: x.sum(2), IndexError, "sum: dim 2 is out of range for a Tensor of 2 axes"),
    (lambda: x.sum(1.0), TypeError, "sum: dim is an integer, not 1.0"),
    (lambda: x.max(5), IndexError, "max: dim 5 is out of range for a Tensor of 2 axes"),
    (lambda: x.squeeze("a"), TypeError, "squeeze: dim is an integer, not 'a'"),
    (lambda: x.reshape(5, -1), ValueError, r"6 elements do not fill shape \(5, -1\)"),
    (lambda: x[:2].__setitem__(0, tl.zeros(4)), ValueError, r"shape \(4,\) does not fit into"),
    (lambda: x & x, TypeError, "bitwise_and: there is no such operation on the dtype; .*float32"),
    (lambda: x.to("gpu"), TypeError, "unknown dtype or device 'gpu'"),
    (lambda: nn.functional.pad(x, 1), TypeError, r"two numbers \(before, after\) .*, not 1"),
    (lambda: nn.functional.cross_entropy(x, [0, 1]), TypeError, "target is a list, no Tensor"),
    (lambda: nn.functional.conv2d(None, x), TypeError, "conv2d: input is None, no Tensor"),
    (lambda: nn.functional.relu(None), TypeError, "relu: an input is None, no Tensor"),
    (
        lambda: tl.einsum("i,i->", [1, 2]),
        TypeError,
        "einsum: an element of args is an int, no Tensor",
    ),
    (lambda: tl.squeeze([1]), TypeError, "squeeze: input is a list, no Tensor"),
    (lambda: tl.topk((x, x), 1), TypeError, "topk: input is a tuple, no Tensor: take one of"),
    (lambda: tl.flatten(nn.ReLU), TypeError, "input is ReLU, which was not called"),
    (lambda: tl.linalg.inv([[1.0]]), TypeError, "inv: A is a list, no Tensor"),
    (lambda: nn.LSTM(3, 3)([1]), TypeError, "LSTM: the input is a list, no Tensor"),
    (lambda: nn.Linear(3, 3)(None), TypeError, "[Ll]inear: (the|an) input is None, no Tensor"),
    (lambda: nn.Linear(2, 3)(labels), TypeError, "linear: input is int64, weight float32: give"),
    (lambda: nn.LSTM(2, 3)(labels[None]), TypeError, "LSTM: input is int64: give input.float()"),
    (lambda: nn.GRUCell(2, 3)(labels), TypeError, "input is int64, weight float32"),
    (lambda: nn.CrossEntropyLoss(x, labels), TypeError, "made first and called then"),
]


@pytest.mark.parametrize(("call", "error", "said"), WRONG, ids=[w[2][:24] for w in WRONG])
def test_wrong_calls(call, error, said) -> None:
    with pytest.raises(error, match=said):
        call()


def test_a_users_module_may_take_anything() -> None:
    class Typo(nn.Module):
        def forward(self, batch: dict) -> tl.Tensor:
            return batch.image

    with pytest.raises(AttributeError, match="'dict' object has no attribute 'image'"):
        Typo()({"image": x})


def test_what_stands_in_for_a_mixture() -> None:
    mixture = tl.distributions.Categorical(tl.tensor([0.25, 0.75]))
    parts = tl.distributions.Normal(tl.tensor([0.0, 1.0]), tl.tensor([1.0, 2.0]))
    points = tl.tensor([0.5, -1.0])
    density = tl.logsumexp(mixture.logits + parts.log_prob(points.unsqueeze(-1)), -1)
    # torch 2.13: MixtureSameFamily(Categorical(probs), Normal(loc, scale)).log_prob(points)
    np.testing.assert_allclose(density.numpy(), [-1.4566444, -1.8889422], rtol=1e-6)
