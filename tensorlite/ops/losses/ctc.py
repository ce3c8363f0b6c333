"""Connectionist temporal classification."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import Array, array_backend
from tensorlite.ops.compare import where
from tensorlite.ops.elementwise import cast
from tensorlite.ops.index import basic_getitem, take_along_axis
from tensorlite.ops.losses.reduction import reduced
from tensorlite.ops.reduce import in_float32, logsumexp
from tensorlite.ops.shape import concat_arrays, stack_arrays
from tensorlite.primitive import primitive
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["ctc_loss"]

_NEVER = -1e30  # log of a probability that is 0: finite, so that differences of two are numbers


def _negative_log_likelihood(
    log_probs: Any, states: Any, steps: Any, final: Any, skips: Any
) -> Any:
    """-log p of each sequence, by the recursion over the states "blank l₁ blank l₂ … blank".

    Parameters
    ----------
    log_probs
        (T, N, C).
    states
        The class of each state, (N, L).
    steps
        How many of the T steps a sequence has, (N,).
    final
        Its last state, (N, 1): the final blank.
    skips
        Whether a state can be reached past the one before it, (N, L).
    """
    raw = [v.array if isinstance(v, Tensor) else v for v in (states, steps, final, skips)]
    states, steps, final, skips = raw
    xp = array_backend((states,)).xp
    longest, n, _ = log_probs.shape
    each = take_along_axis(log_probs, xp.broadcast_to(states, (longest, *states.shape)), axis=2)
    before = xp.full((n, 2), _NEVER, np.float32)
    start = xp.arange(states.shape[1]) < 2
    alpha = where(start & (xp.arange(states.shape[1]) <= final), _at(each, 0), _NEVER)
    for t in range(1, longest):
        wide = concat_arrays(before.astype(_raw(alpha).dtype), alpha, axis=1)
        by_one = basic_getitem(wide, parts=(slice(None), slice(1, -1)))
        by_two = basic_getitem(wide, parts=(slice(None), slice(None, -2)))
        ways = stack_arrays(alpha, by_one, where(skips, by_two, _NEVER), axis=0)
        alpha = where((t < steps)[:, None], logsumexp(ways, axis=0) + _at(each, t), alpha)
    ends = take_along_axis(alpha, xp.concatenate((final, xp.maximum(final - 1, 0)), axis=1), axis=1)
    real = xp.concatenate((xp.ones_like(final), final), axis=1) > 0
    total = logsumexp(where(real, ends, _NEVER), axis=1)
    none = steps == 0  # no time steps: the empty sequence has probability 1
    total = where(none, xp.where(final[:, 0] == 0, 0.0, _NEVER).astype(_raw(total).dtype), total)
    return where(_raw(total) > _NEVER / 10, -total, math.inf)


def _at(each: Any, t: int) -> Any:
    return basic_getitem(each, parts=(t,))


def _raw(x: Any) -> Array:
    return x.array if isinstance(x, Tensor) else x


@primitive(name="ctc_loss")
def ctc(
    xp: ModuleType, log_probs: Array, states: Array, steps: Array, final: Array, skips: Array
) -> Array:
    """-log p of each sequence, of float32 or float64; see `_negative_log_likelihood`."""
    return _negative_log_likelihood(log_probs, states, steps, final, skips)


ctc.defvjp_composite(_negative_log_likelihood)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log probability of label sequences under all their alignments (Graves et al. 2006).

    Parameters
    ----------
    log_probs
        Logarithms of probabilities, (T, N, C), or (T, C) of one sequence; see `log_softmax`.
    targets
        Class indices (N, S), the rows of one after another (Σ target_lengths,), or (S,) of one
        sequence.
    input_lengths, target_lengths
        Lengths of the sequences, (N,).
    blank
        Class of the blank.
    reduction
        "mean" divides each loss by its target's length (at least 1) first.
    zero_infinity
        Whether impossible sequences (too short for their labels) give 0 instead of inf. Their
        gradient is 0 either way.

    Returns
    -------
    Tensor, shape (), or (N,) for "none"

    Notes
    -----
    The gradient is that of the loss by `log_probs`. torch's is by what went into `log_softmax`:
    behind that function's own gradient the two are the same.

    Raises
    ------
    ValueError
        If lengths, labels or `blank` do not fit.

    Examples
    --------
    >>> F.ctc_loss(tl.zeros(5, 1, 3).log_softmax(2), tl.tensor([[1, 2]]), [5], [2])
    tensor(0.9688567)
    """
    single = len(log_probs.shape) == 2
    if single:
        log_probs = log_probs.reshape(log_probs.shape[0], 1, log_probs.shape[1])
    if len(log_probs.shape) != 3:
        raise ValueError(f"ctc_loss: log_probs of shape {log_probs.shape} is not (T, N, C)")
    longest, n, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise ValueError(f"ctc_loss: blank {blank} is not in [0, {classes}), the classes")
    steps = _lengths("input_lengths", input_lengths, n, longest)
    counts = _lengths("target_lengths", target_lengths, n, None)
    labels = _labels(targets, counts, single)
    backend = array_backend((log_probs.array,))
    xp, device = backend.xp, backend.device_of(log_probs.array)
    labels = backend.asarray(labels, device=device).astype(np.int64)
    states = xp.full((n, 2 * labels.shape[1] + 1), blank, np.int64)
    states[:, 1::2] = xp.where(xp.arange(labels.shape[1]) < xp.asarray(counts)[:, None], labels, 0)
    if isinstance(states, np.ndarray) and not ((states >= 0) & (states < classes)).all():
        raise ValueError(f"ctc_loss: targets are class indices in [0, {classes})")
    skips = xp.zeros(states.shape, bool)
    skips[:, 2:] = states[:, 2:] != states[:, :-2]
    counts = backend.asarray(counts, device=device)
    dtype = log_probs.dtype
    loss = ctc(
        in_float32(log_probs),
        states,
        backend.asarray(steps, device=device),
        2 * counts[:, None],
        skips,
    )
    if zero_infinity:
        loss = where(loss.array == math.inf, 0.0, loss)
    if reduction == "mean":
        loss = loss / tensor_of(xp.maximum(counts, 1).astype(loss.dtype))
    loss = reduced(loss, reduction)
    loss = loss if loss.dtype == dtype else cast(loss, dtype)
    return loss.reshape(()) if single else loss


def _lengths(name: str, given: Any, n: int, most: int | None) -> np.ndarray:
    """Lengths (N,) on the host."""
    raw = given.array if isinstance(given, Tensor) else given
    if isinstance(given, Tensor):
        raw = array_backend((raw,)).to_host(raw)
    lengths = np.asarray(raw).reshape(-1)
    if lengths.dtype.kind not in "iu":
        raise TypeError(f"ctc_loss: {name} must be integers, not {lengths.dtype}")
    if lengths.shape != (n,):
        raise ValueError(f"ctc_loss: {lengths.size} {name} for {n} sequences")
    if lengths.size and (lengths.min() < 0 or (most is not None and lengths.max() > most)):
        raise ValueError(f"ctc_loss: {name} {lengths.tolist()} must be in [0, {most or '…'}]")
    return lengths.astype(np.int64)


def _labels(targets: Tensor, counts: np.ndarray, single: bool) -> Array:
    """Labels (N, S), whatever stands behind a sequence's own."""
    raw = targets.array
    if raw.dtype.kind not in "iu":
        raise TypeError(f"ctc_loss: targets must be integers, not {raw.dtype}")
    longest = int(counts.max(initial=0))
    if single:
        raw = raw.reshape(1, -1)
    if raw.ndim == 1:
        if raw.size != counts.sum():
            raise ValueError(
                f"ctc_loss: {raw.size} targets one after another, but target_lengths add up to "
                f"{counts.sum()}"
            )
        xp = array_backend((raw,)).xp
        starts = np.cumsum(counts) - counts
        places = np.minimum(starts[:, None] + np.arange(longest), max(raw.size - 1, 0))
        return raw[xp.asarray(places)] if raw.size else raw.reshape(len(counts), 0)
    if raw.ndim != 2 or raw.shape[0] != len(counts) or raw.shape[1] < longest:
        raise ValueError(
            f"ctc_loss: targets of shape {targets.shape} for {len(counts)} sequences of up to "
            f"{longest} labels"
        )
    return raw[:, :longest]
