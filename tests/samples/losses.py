"""Samples of losses that are primitives, written out element by element."""

from __future__ import annotations

import itertools
import math

import numpy as np

from samples.base import Input, Sample, normal, positive, uniform
from tensorlite.ops.losses.binary import (
    cross_entropy_of_logits,
    cross_entropy_of_logits_backward,
    cross_entropy_of_probabilities,
    weighted_cross_entropy_of_logits,
)
from tensorlite.ops.losses.ctc import ctc
from tensorlite.ops.losses.likelihood import divergence, log_divergence
from tensorlite.ops.losses.nll import nll_backward, nll_rows
from tensorlite.ops.losses.regression import huber


def of_probabilities(x, t):
    return -(t * np.log(x) + (1 - t) * np.log(1 - x))


def of_logits(x, t, positive=None):
    p = 1 / (1 + np.exp(-x))
    return -(t * np.log(p) * (1 if positive is None else positive) + (1 - t) * np.log(1 - p))


LABELS = np.array([0, 2, 1, 2])
WEIGHT = np.array([0.5, 2.0, 1.5])


def nll_matrix(labels, weight, ignore_index, mean, classes):
    """What a row's classes count, so that the loss is the sum of products."""
    counts = np.zeros((len(labels), classes))
    for row, label in zip(counts, labels, strict=True):
        if label != ignore_index:
            row[label] = 1 if weight is None else weight[label]
    return -counts / (counts.sum() if mean else 1)


def nll(x, labels, weight, ignore_index, mean):
    each = (nll_matrix(labels, weight, ignore_index, mean, x.shape[1]) * x).sum(1)
    return each.sum() if mean else each


def nll_gradient(dy, labels, weight, classes, ignore_index, mean):
    return nll_matrix(labels, weight, ignore_index, mean, classes) * (dy if mean else dy[:, None])


def every_alignment(log_probs, states, steps, final, skips):
    """-log of the sum over all paths through the classes that spell the labels."""
    _, n, classes = log_probs.shape
    losses = np.empty(n)
    for i in range(n):
        labels = tuple(states[i, 1 : final[i, 0] : 2])
        blank = states[i, 0]
        total = 0.0
        for path in itertools.product(range(classes), repeat=int(steps[i])):
            said = tuple(c for c, _ in itertools.groupby(path) if c != blank)
            if said == labels:
                total += math.exp(sum(log_probs[t, i, c] for t, c in enumerate(path)))
        losses[i] = -math.log(total) if total else math.inf
    return losses


def ctc_inputs(labels, steps, blank=0):
    """States, steps, last states and skips of sequences of labels."""
    longest = max(map(len, labels))
    states = np.full((len(labels), 2 * longest + 1), blank)
    for row, said in zip(states, labels, strict=True):
        row[1 : 2 * len(said) : 2] = said
    skips = np.zeros(states.shape, bool)
    skips[:, 2:] = states[:, 2:] != states[:, :-2]
    last = np.array([[2 * len(said)] for said in labels])
    return [states, np.array(steps), last, skips]


def fixed(array):
    return Input(array.shape, lambda generator, shape: array)


def no_sequences(arrays):
    return [fixed(a[:0]) for a in arrays]


CTC = [
    ctc_inputs([(1, 2), (1, 1), (2,)], [4, 4, 2]),
    ctc_inputs([(), (2, 1)], [3, 4]),
    ctc_inputs([(1,), ()], [2, 2], blank=2),
]

SAMPLES = [
    Sample(
        cross_entropy_of_probabilities,
        [uniform(3, 4, low=0.1, high=0.9), uniform(3, 4, low=0.0, high=1.0)],
        reference=of_probabilities,
        saves=("x", "t"),
        tolerance=8,
    ),
    Sample(
        cross_entropy_of_logits,
        [normal(3, 4), uniform(3, 4, low=0.1, high=0.9)],
        reference=of_logits,
        saves=("x", "t"),
        tolerance=4,
    ),
    Sample(
        cross_entropy_of_logits_backward,
        [normal(3, 4), normal(3, 4), uniform(3, 4, low=0.1, high=0.9)],
        reference=lambda dy, x, t: dy * (1 / (1 + np.exp(-x)) - t),
        saves=("dy", "x", "t"),
        tolerance=4,
    ),
    Sample(
        weighted_cross_entropy_of_logits,
        [normal(3, 4), uniform(3, 4, low=0.1, high=0.9), positive(3, 4)],
        reference=of_logits,
        saves=("x", "t", "positive"),
        tolerance=4,
    ),
    Sample(
        divergence,
        [normal(3, 4), uniform(3, 4, low=0.1, high=0.9)],
        reference=lambda x, t: t * (np.log(t) - x),
        saves=("x", "t"),
        tolerance=4,
    ),
    Sample(
        huber,
        [normal(3, 4)],
        dict(delta=0.6),
        reference=lambda d, delta: np.where(
            abs(d) < delta, d * d / 2, delta * (abs(d) - delta / 2)
        ),
        saves=("d", "delta"),
        tolerance=2,
    ),
    Sample(
        log_divergence,
        [normal(3, 4), normal(3, 4)],
        reference=lambda x, t: np.exp(t) * (t - x),
        saves=("x", "t"),
        tolerance=4,
    ),
    *[
        sample
        for weight in (None, WEIGHT)
        for mean in (False, True)
        for sample in (
            Sample(
                nll_rows,
                [normal(4, 3), LABELS, weight],
                dict(ignore_index=1, mean=mean),
                reference=nll,
                grad=(0,),
                no_zero="a mean of nothing is no number",
                tolerance=4,
            ),
            Sample(
                nll_backward,
                [normal(*([] if mean else [4])), LABELS, weight],
                dict(classes=3, ignore_index=1, mean=mean),
                reference=nll_gradient,
                grad=(0,),
                no_zero="a mean of nothing is no number",
                tolerance=4,
            ),
        )
    ],
    *[
        Sample(
            ctc,
            [normal(4, len(inputs[0]), 3), *map(fixed, inputs)],
            reference=every_alignment,
            zero=[normal(4, 0, 3), *no_sequences(inputs)],
            saves=("log_probs", "states", "steps", "final", "skips"),
            dtypes=("float32", "float64"),
            tolerance=8,
        )
        for inputs in CTC
    ],
]
