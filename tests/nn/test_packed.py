"""Batches of sequences of different lengths; recurrent layers read them in `torch_cases_more`."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)


def host(tensor: tl.Tensor) -> np.ndarray:
    return tensor.detach().to("cpu").numpy()


def sequences(*lengths: int, device="cpu") -> list[tl.Tensor]:
    rng = np.random.default_rng(0)
    return [tl.tensor(rng.normal(size=(n, 2)).astype(np.float32), device=device) for n in lengths]


def test_pad_and_unpad(device):
    given = sequences(2, 3, 1, device=device)
    padded = pad_sequence(given, padding_value=9.0)
    assert padded.shape == (3, 3, 2)
    assert host(padded)[2, 0].tolist() == [9, 9]
    left = pad_sequence(given, batch_first=True, padding_side="left")
    assert host(left)[2, :2].tolist() == [[0, 0], [0, 0]]
    np.testing.assert_array_equal(host(left)[2, 2], host(given[2])[0])
    back = unpad_sequence(padded, tl.tensor([2, 3, 1]))
    for one, other in zip(given, back, strict=True):
        np.testing.assert_array_equal(host(one), host(other))
    with pytest.raises(RuntimeError, match="empty list"):
        pad_sequence([])


def test_pack_has_steps_behind_one_another(device):
    given = sequences(3, 2, device=device)
    packed = pack_sequence(given)
    assert packed.batch_sizes.tolist() == [2, 2, 1]
    assert packed.sorted_indices is packed.unsorted_indices is None
    rows = [host(given[i])[t] for t, i in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0))]
    np.testing.assert_array_equal(host(packed.data), rows)
    data, sizes, _, _ = packed  # a named tuple
    assert data is packed.data
    assert isinstance(packed, tuple)
    assert PackedSequence(data, sizes).data is data
    assert not packed.is_pinned()
    assert packed.to("float64").data.dtype == np.float64


def test_what_was_not_sorted_comes_back_in_its_order(device):
    given = sequences(1, 3, 2, device=device)
    packed = pack_sequence(given, enforce_sorted=False)
    assert packed.sorted_indices.tolist() == [1, 2, 0]
    assert packed.unsorted_indices.tolist() == [2, 0, 1]
    padded, lengths = pad_packed_sequence(packed, batch_first=True, total_length=5)
    assert padded.shape == (3, 5, 2)
    assert lengths.tolist() == [1, 3, 2]
    for one, other in zip(given, unpack_sequence(packed), strict=True):
        np.testing.assert_array_equal(host(one), host(other))


def test_gradients_pass_the_sequences_alone(device):
    x = tl.ones((2, 3, 2), device=device, requires_grad=True)
    packed = pack_padded_sequence(x, [2, 3], batch_first=True, enforce_sorted=False)
    padded, _ = pad_packed_sequence(packed, batch_first=True, padding_value=7.0)
    (padded * padded).sum().backward()
    assert x.grad[..., 0].tolist() == [[2, 2, 0], [2, 2, 2]]


def test_rows_of_padding_are_never_computed(device):
    """Padding that is not finite leaves gradients finite."""
    layer = nn.RNN(2, 3, nonlinearity="relu").to(device)
    x = tl.full((4, 2, 2), float("nan"), device=device)
    x[:, 0] = 1.0
    x[:1, 1] = 2.0
    output, h = layer(pack_padded_sequence(x, [4, 1]))
    (output.data.sum() + h.sum()).backward()
    assert all(np.isfinite(host(p.grad)).all() for p in layer.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: pack_padded_sequence(x, [2, 3]), "sorted in decreasing order"),
        (lambda x: pack_padded_sequence(x, [3, 0]), "greater than 0"),
        (lambda x: pack_padded_sequence(x, [3]), "equal to batch_size"),
        (lambda x: pack_padded_sequence(x, [4, 1]), "a length of 4"),
        (lambda x: pack_padded_sequence(x, [1.5, 1]), "whole numbers"),
        (lambda x: pad_sequence([x], padding_side="up"), "padding_side"),
        (lambda x: nn.LSTM(3, 2)(pack_padded_sequence(x, [3, 1])), "shape"),
        (
            lambda x: nn.GRU(2, 2)(pack_padded_sequence(x, [3, 1]), tl.zeros(1, 3, 2)),
            "a state of shapes",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(RuntimeError, match=message):
        call(tl.ones((3, 2, 2)))


def test_a_total_length_too_short():
    packed = pack_sequence(sequences(3, 2))
    with pytest.raises(ValueError, match="max sequence length being 3"):
        pad_packed_sequence(packed, total_length=2)
