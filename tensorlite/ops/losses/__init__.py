"""Losses, as torch's functions.

``reduction`` is "mean" (over all elements), "sum", or "none": one loss per element or example.
Prediction and target have the same shape: nothing broadcasts where torch would warn of it. The
old arguments ``size_average`` and ``reduce`` are understood.
"""
# ruff: noqa: F403, F405

from tensorlite.ops.losses.binary import *
from tensorlite.ops.losses.cross_entropy import *
from tensorlite.ops.losses.ctc import *
from tensorlite.ops.losses.likelihood import *
from tensorlite.ops.losses.margins import *
from tensorlite.ops.losses.nll import *
from tensorlite.ops.losses.regression import *

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "ctc_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]
