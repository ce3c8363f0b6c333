"""Adapters of recurrent layers and attention."""

from __future__ import annotations

import math

from onnx_vectors import NotCovered, adapts
from tensorlite import ops
from tensorlite.nn import functional as F


def reordered(rows, order):
    """The gates' blocks of rows in another order."""
    parts = ops.chunk(rows, len(order), 0)
    return ops.cat([parts[i] for i in order], 0)


def recurrent(x, weight, recurrence, bias, h, c, direction, layout, hidden, order, step):
    """Run `step` for each direction; ONNX stacks directions, and its gates in another order."""
    if layout:
        raise NotCovered("batches first")
    batch = x.shape[1]
    outputs, lasts = [], []
    for d in range(weight.shape[0]):
        zeros = ops.zeros(batch, hidden, dtype=x.dtype, device=x.device)
        both = None if bias is None else ops.chunk(bias[d], 2)
        states = [zeros if s is None else s[d] for s in (h, c)]
        output, last = step(
            x,
            reordered(weight[d], order),
            reordered(recurrence[d], order),
            None if both is None else [reordered(part, order) for part in both],
            *states,
            direction == "reverse" or d == 1,
        )
        outputs.append(output)
        lasts.append(last)
    return ops.stack(outputs, 1), *[ops.stack(states) for states in zip(*lasts, strict=True)]


def projected(x, weight, bias):
    y = ops.matmul(x, weight.mT)
    return y if bias is None else y + bias


@adapts("LSTM")
def lstm(
    x,
    weight,
    recurrence,
    bias=None,
    lengths=None,
    h=None,
    c=None,
    *,
    direction="forward",
    hidden_size,
    layout=0,
):
    def step(x, weight, recurrence, bias, h, c, reverse):
        inputs = projected(x, weight, None if bias is None else bias[0] + bias[1])
        return F.lstm(inputs, h, c, recurrence, reverse)

    if lengths is not None:
        raise NotCovered("sequences of several lengths")
    order = (0, 2, 3, 1)  # from i o f c to i f g o
    return recurrent(x, weight, recurrence, bias, h, c, direction, layout, hidden_size, order, step)


@adapts("GRU")
def gru(
    x,
    weight,
    recurrence,
    bias=None,
    lengths=None,
    h=None,
    *,
    direction="forward",
    hidden_size,
    layout=0,
    linear_before_reset=0,
):
    def step(x, weight, recurrence, bias, h, _, reverse):
        own, states = (None, None) if bias is None else bias
        output, last = F.gru(projected(x, weight, own), h, recurrence, states, reverse)
        return output, (last,)

    if lengths is not None or not linear_before_reset:
        raise NotCovered("sequences of several lengths, or reset before the product")
    order = (1, 0, 2)  # from z r h to r z n
    return recurrent(
        x, weight, recurrence, bias, h, None, direction, layout, hidden_size, order, step
    )


@adapts("RNN")
def rnn(
    x,
    weight,
    recurrence,
    bias=None,
    lengths=None,
    h=None,
    *,
    direction="forward",
    hidden_size,
    layout=0,
):
    def step(x, weight, recurrence, bias, h, _, reverse):
        inputs = projected(x, weight, None if bias is None else bias[0] + bias[1])
        output, last = F.rnn(inputs, h, recurrence, "tanh", reverse)
        return output, (last,)

    if lengths is not None:
        raise NotCovered("sequences of several lengths")
    return recurrent(
        x, weight, recurrence, bias, h, None, direction, layout, hidden_size, (0,), step
    )


@adapts("Attention")
def attention(
    query,
    key,
    value,
    mask=None,
    past_key=None,
    past_value=None,
    *,
    is_causal=0,
    q_num_heads=None,
    kv_num_heads=None,
    scale=None,
    softmax_precision=None,
):
    joined = len(query.shape) == 3
    if joined:
        query = heads(query, q_num_heads)
        key, value = heads(key, kv_num_heads), heads(value, kv_num_heads)
    if past_key is not None:
        key, value = ops.cat([past_key, key], 2), ops.cat([past_value, value], 2)
    present = key, value
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (ops.repeat_interleave(part, groups, 1) for part in (key, value))
    steps, length = query.shape[2], key.shape[2]
    if mask is not None and mask.shape[-1] < length:  # what it leaves out is hidden
        hidden = False if mask.dtype == bool else -math.inf
        mask = F.pad(mask, (0, length - mask.shape[-1]), value=hidden)
    if is_causal and (past_key is not None or mask is not None):
        past = 0 if past_key is None else past_key.shape[2]
        visible = ops.tril(ops.ones(steps, length, dtype=bool, device=query.device), past)
        is_causal = False
        if mask is None:
            mask = visible
        else:
            mask = mask & visible if mask.dtype == bool else ops.where(visible, mask, -math.inf)
    y = F.scaled_dot_product_attention(
        query, key, value, mask, is_causal=bool(is_causal), scale=scale
    )
    if joined:
        y = ops.swapaxes(y, 1, 2)
        y = y.reshape(*y.shape[:2], y.shape[2] * y.shape[3])
    return y, *present


def heads(x, count):
    """(batch, steps, heads · size) as (batch, heads, steps, size)."""
    batch, steps, size = x.shape
    return ops.swapaxes(x.reshape(batch, steps, count, size // count), 1, 2)
