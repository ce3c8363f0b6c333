"""What `tensorlite.nn.functional` refuses, and the messages that say so."""

from __future__ import annotations

import pytest

import tensorlite as tl
from tensorlite.nn import functional as F


def zeros(*shape: int) -> tl.Tensor:
    return tl.zeros(*shape)


ERRORS = {
    "linear: input of shape (2, 3) does not fit weight of shape (4, 5)": lambda: F.linear(
        zeros(2, 3), zeros(4, 5)
    ),
    "linear: bias of shape (3,)": lambda: F.linear(zeros(2, 5), zeros(4, 5), zeros(3)),
    "conv2d: input of shape (8, 8) is neither (N, C, H, W) nor": lambda: F.conv2d(
        zeros(8, 8), zeros(4, 3, 3, 3)
    ),
    "conv2d: weight of shape (4, 3, 3) must have 4 axes": lambda: F.conv2d(
        zeros(3, 8, 8), zeros(4, 3, 3)
    ),
    "conv_transpose2d: bias of shape (3,) for 8 filters": lambda: F.conv_transpose2d(
        zeros(6, 8, 8), zeros(6, 4, 3, 3), zeros(3), groups=2
    ),
    "convolution: input of shape (2, 3, 8) (N, channels, …) does not fit": lambda: F.conv1d(
        zeros(2, 3, 8), zeros(4, 2, 3)
    ),
    "a window of 5 (dilation 2) does not fit into an axis of 6": lambda: F.conv1d(
        zeros(2, 3, 6), zeros(4, 3, 5), dilation=2
    ),
    "conv1d: stride=0 is not": lambda: F.conv1d(zeros(2, 3, 6), zeros(4, 3, 5), stride=0),
    "conv1d: padding='same' needs stride 1": lambda: F.conv1d(
        zeros(2, 3, 6), zeros(4, 3, 5), stride=2, padding="same"
    ),
    "5 filters do not divide into 2 groups": lambda: F.conv1d(
        zeros(2, 4, 6), zeros(5, 2, 3), groups=2
    ),
    "conv_transpose1d: output_padding (2,) must be less": lambda: F.conv_transpose1d(
        zeros(2, 3, 6), zeros(3, 4, 3), stride=2, output_padding=2
    ),
    "max_pool2d: padding (2, 2) is more than half": lambda: F.max_pool2d(
        zeros(1, 1, 8, 8), 3, padding=2
    ),
    "avg_pool1d: input of shape (8,) is neither (N, C, L) nor (C, L)": lambda: F.avg_pool1d(
        zeros(8), 2
    ),
    "avg_pool2d: divisor_override must not be 0": lambda: F.avg_pool2d(
        zeros(1, 1, 4, 4), 2, divisor_override=0
    ),
    "max_pool2d: input of shape (2, 0, 4, 4) has an axis of length 0": lambda: F.max_pool2d(
        zeros(2, 0, 4, 4), 2
    ),
    "max_unpool1d: indices of shape (1, 3)": lambda: F.max_unpool1d(
        zeros(1, 2), tl.zeros(1, 3).long(), 2
    ),
    "max_unpool1d: output_size (9,) must be within one stride": lambda: F.max_unpool1d(
        zeros(1, 2), tl.zeros(1, 2).long(), 2, output_size=(9,)
    ),
    "adaptive_avg_pool2d: output_size=(1, 2, 3) is not": lambda: F.adaptive_avg_pool2d(
        zeros(1, 4, 4), (1, 2, 3)
    ),
    "layer_norm: input of shape (2, 3) does not end with normalized_shape (4,)": lambda: (
        F.layer_norm(zeros(2, 3), 4)
    ),
    "batch_norm: 1 values per channel": lambda: F.batch_norm(
        zeros(1, 3), None, None, training=True
    ),
    "batch_norm: a parameter of shape (4,)": lambda: F.batch_norm(
        zeros(2, 3), zeros(4), zeros(4), training=True
    ),
    "group_norm: 6 channels do not divide into 4 groups": lambda: F.group_norm(zeros(2, 6, 3), 4),
    "scaled_dot_product_attention: query (5, 4), key (6, 3)": lambda: (
        F.scaled_dot_product_attention(zeros(5, 4), zeros(6, 3), zeros(6, 3))
    ),
    "have different numbers of heads": lambda: F.scaled_dot_product_attention(
        zeros(6, 5, 4), zeros(2, 5, 4), zeros(2, 5, 4)
    ),
    "p is a probability in [0, 1], not 1.5": lambda: F.scaled_dot_product_attention(
        zeros(5, 4), zeros(5, 4), zeros(5, 4), dropout_p=1.5
    ),
    "attn_mask of shape (4, 6)": lambda: F.scaled_dot_product_attention(
        zeros(5, 4), zeros(6, 4), zeros(6, 4), zeros(4, 6)
    ),
    "rope: x of shape (4, 5)": lambda: F.rope(zeros(4, 5)),
    "dropout: p is a probability in [0, 1], not 1.5": lambda: F.dropout(zeros(3), 1.5),
    "glu: axis -1 of shape (2, 3)": lambda: F.glu(zeros(2, 3)),
    "gelu: approximate is 'none' or 'tanh'": lambda: F.gelu(zeros(3), approximate="fast"),
    "interpolate: mode 'bilinear' for input of shape (1, 1, 4)": lambda: F.interpolate(
        zeros(1, 1, 4), 8, mode="bilinear"
    ),
    "interpolate: give either size or scale_factor": lambda: F.interpolate(zeros(1, 1, 4)),
    "interpolate: align_corners is for": lambda: F.interpolate(
        zeros(1, 1, 4), 8, align_corners=False
    ),
    "interpolate: antialias is for": lambda: F.interpolate(zeros(1, 1, 4), 8, antialias=True),
    "interpolate: mode 'cubic' is none of": lambda: F.interpolate(zeros(1, 1, 4), 8, mode="cubic"),
    "interpolate: size (4, 5) is not": lambda: F.interpolate(zeros(1, 1, 4), (4, 5)),
    "lstm: projected of shape (0, 2, 12)": lambda: F.lstm(
        zeros(0, 2, 12), zeros(2, 3), zeros(2, 3), zeros(12, 3)
    ),
    "gru: an initial state of shape (3, 3)": lambda: F.gru(
        zeros(4, 2, 9), zeros(3, 3), zeros(9, 3)
    ),
    "embedding: padding_idx 9 is no row": lambda: F.embedding(
        tl.tensor([0]), zeros(4, 2), padding_idx=9
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_name_what_does_not_fit(message) -> None:
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert message in str(error.value)


@pytest.mark.parametrize("index", [-1, 4])
def test_embedding_refuses_what_is_no_row(index) -> None:
    with pytest.raises(IndexError, match=f"embedding: index {index} is not among the 4 rows"):
        F.embedding(tl.tensor([0, index]), zeros(4, 2))
    with pytest.raises(TypeError, match="indices must be integers, not float32"):
        F.embedding(zeros(2), zeros(4, 2))
