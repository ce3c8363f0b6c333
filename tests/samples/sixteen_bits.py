"""Samples of what autocast runs on CUDA for norms, softmax and cross-entropy."""

from __future__ import annotations

import numpy as np

from samples import cross_entropy, norm, softmax
from samples.base import Sample, integers, normal
from tensorlite.ops.sixteen_bits import (
    cast_to_copy,
    cross_entropy_of_short,
    layer_norm_of_short,
    log_softmax_of_short,
    rms_norm_of_short,
    softmax_of_short,
)

WHOLE = np.dtype(np.float64)  # a copy that loses nothing, for finite differences
SHORT = ("float16", "bfloat16")


def with_copy(reference):
    def run(*inputs, eps, dtype):
        y = reference(*inputs, eps=eps)
        return y, y

    return run


NORMS = [
    *[
        Sample(
            op,
            [normal(3, 2, 5), *parameters],
            dict(eps=norm.EPS, dtype=WHOLE),
            reference=with_copy(reference),
            keeps_dtype=False,
            tolerance=4,
            saves=saves,
        )
        for op, reference, saves, several in (
            (
                layer_norm_of_short,
                norm.layer_norm,
                ("x", "weight", "center", "rstd", "eps"),
                ((), (normal(5),), (None, normal(5)), (normal(5), normal(5))),
            ),
            (
                rms_norm_of_short,
                norm.rms_norm,
                ("x", "weight", "rstd", "eps"),
                ((), (normal(5),)),
            ),
        )
        for parameters in several
    ],
    # The kernels, which are CUDA's, want a copy in 16 bits and parameters in float32.
    *[
        Sample(
            op,
            [normal(3, 2, 5)],
            dict(eps=norm.EPS, dtype=np.dtype(np.float16)),
            reference=with_copy(reference),
            dtypes=("float16",),
            keeps_dtype=False,
            grad=(),
            tolerance=4,
        )
        for op, reference in (
            (layer_norm_of_short, norm.layer_norm),
            (rms_norm_of_short, norm.rms_norm),
        )
    ],
    Sample(
        cast_to_copy,
        [normal(3, 4), normal(3, 4)],
        reference=lambda x, copy: copy,
        grad=(),
    ),
]

SOFTMAX = [
    Sample(
        op,
        [normal(3, 4, 5)],
        dict(axis=axis),
        reference=reference,
        keeps_dtype=False,
        saves=("y", "axis", "x_dtype"),
        zero=[normal(3, 0, 5)],
    )
    for op, reference in (
        (softmax_of_short, softmax.expected_softmax),
        (log_softmax_of_short, softmax.expected_log_softmax),
    )
    for axis in (-1, 0, 1)
]

LOSSES = [
    *[
        Sample(
            cross_entropy_of_short,
            [normal(6, 4), integers(6, high=4), *weight],
            dict(ignore_index=ignore, label_smoothing=smoothing, mean=mean, with_gradient=True),
            reference=cross_entropy.one_after_the_other,
            grad=(0,),
            zero=[normal(0, 4), integers(0, high=4), *weight],
            zero_static=dict(
                ignore_index=ignore, label_smoothing=smoothing, mean=False, with_gradient=True
            ),
            keeps_dtype=False,
            tolerance=4,
            saves=("y", "labels", "weight", "ignore_index", "label_smoothing", "mean"),
        )
        for mean in (False, True)
        for weight in ((), (cross_entropy.CLASS_WEIGHT,))
        for ignore, smoothing in ((-100, 0.25), (2, 0.0))
    ],
    Sample(
        cross_entropy_of_short,
        [normal(6, 4), integers(6, high=4)],
        dict(ignore_index=-100, label_smoothing=0.0, mean=False, with_gradient=False),
        reference=cross_entropy.one_after_the_other,
        grad=(),
        zero=[normal(0, 4), integers(0, high=4)],
        dtypes=SHORT,
        keeps_dtype=False,
        tolerance=4,
    ),
]

SAMPLES = NORMS + SOFTMAX + LOSSES
