"""Sizes, counts, strides and paddings beyond all bounds: one sentence, or the right result.

Each call runs in a process of its own, with a limit to its memory and its time: what is looked for
are crashes, hangs, and reads of what belongs to nobody.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

import pytest

import tensorlite as tl
import tensorlite.nn.functional as F
from tensorlite import nn

HUGE = [2**31 - 1, 2**31, 2**32 + 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64, 2**70]
SMALL = [0, -1, -(2**31), -(2**40), -(2**63), -(2**64)]
EXPECTED = (ValueError, RuntimeError, TypeError, IndexError, OverflowError, MemoryError)
LONGEST = 600  # characters of a message
SECONDS, MEMORY = 20, 1 << 30

x1, x2, x3 = (tl.randn(1, 2, *[6] * n, requires_grad=True) for n in (1, 2, 3))
w1, w2, w3 = (tl.randn(2, 2, *[3] * n, requires_grad=True) for n in (1, 2, 3))
m1, m2, m3 = (
    getattr(F, f"max_pool{n}d")(x, 2, return_indices=True) for n, x in enumerate((x1, x2, x3), 1)
)
rows = tl.randn(4, 6, requires_grad=True)
labels = tl.tensor([0, 1, 2, 0])

# A call with `n` in each place where a number is taken, one after the other.
CALLS = {
    **{
        f"{kind}_pool{d}d, {what}": call
        for d, x in ((1, x1), (2, x2), (3, x3))
        for kind in ("avg", "max")
        for pool in [getattr(F, f"{kind}_pool{d}d")]
        for what, call in {
            "kernel": lambda n, pool=pool, x=x: pool(x, n),
            "stride": lambda n, pool=pool, x=x: pool(x, 2, n),
            "padding": lambda n, pool=pool, x=x: pool(x, 2, 2, n),
            "kernel and padding": lambda n, pool=pool, x=x: pool(x, n, 1, n // 2),
            "ceil": lambda n, pool=pool, x=x: pool(x, 2, n, ceil_mode=True),
        }.items()
    },
    **{
        f"max_pool{d}d, dilation": lambda n, d=d, x=x: getattr(F, f"max_pool{d}d")(
            x, 2, 1, 0, dilation=n
        )
        for d, x in ((1, x1), (2, x2), (3, x3))
    },
    **{
        f"adaptive_{kind}_pool{d}d": lambda n, kind=kind, d=d, x=x: getattr(
            F, f"adaptive_{kind}_pool{d}d"
        )(x, n)
        for d, x in ((1, x1), (2, x2), (3, x3))
        for kind in ("avg", "max")
    },
    "adaptive_avg_pool2d, one axis": lambda n: F.adaptive_avg_pool2d(x2, (n, 2)),
    "avg_pool2d, divisor": lambda n: F.avg_pool2d(x2, 2, divisor_override=n),
    **{
        f"lp_pool{d}d": lambda n, d=d, x=x: getattr(F, f"lp_pool{d}d")(x.abs() + 1, 2.0, n)
        for d, x in ((1, x1), (2, x2), (3, x3))
    },
    **{
        f"max_unpool{d}d, {what}": call
        for d, m in ((1, m1), (2, m2), (3, m3))
        for unpool in [getattr(F, f"max_unpool{d}d")]
        for what, call in {
            "kernel": lambda n, f=unpool, m=m: f(*m, n),
            "stride": lambda n, f=unpool, m=m: f(*m, 2, n),
            "padding": lambda n, f=unpool, m=m: f(*m, 2, 2, n),
            "size": lambda n, f=unpool, m=m, d=d: f(*m, 2, output_size=[n] * d),
        }.items()
    },
    **{
        f"{kind}{d}d, {what}": call
        for d, x, w in ((1, x1, w1), (2, x2, w2), (3, x3, w3))
        for kind in ("conv", "conv_transpose")
        for conv in [getattr(F, f"{kind}{d}d")]
        for what, call in {
            "stride": lambda n, f=conv, x=x, w=w: f(x, w, stride=n),
            "padding": lambda n, f=conv, x=x, w=w: f(x, w, padding=n),
            "dilation": lambda n, f=conv, x=x, w=w: f(x, w, dilation=n),
            "groups": lambda n, f=conv, x=x, w=w: f(x, w, groups=n),
            "padding and dilation": lambda n, f=conv, x=x, w=w: f(x, w, padding=n, dilation=n),
        }.items()
    },
    "conv_transpose2d, output_padding": lambda n: F.conv_transpose2d(
        x2, w2, stride=2, output_padding=n
    ),
    "unfold, kernel": lambda n: F.unfold(x2, n),
    "unfold, dilation": lambda n: F.unfold(x2, 2, dilation=n),
    "unfold, padding": lambda n: F.unfold(x2, 2, padding=n),
    "unfold, stride": lambda n: F.unfold(x2, 2, stride=n),
    "fold, size": lambda n: F.fold(tl.ones(1, 8, 9), n, 2),
    "fold, kernel": lambda n: F.fold(tl.ones(1, 8, 9), 4, n),
    "fold, dilation": lambda n: F.fold(tl.ones(1, 8, 9), 4, 2, dilation=n),
    "fold, padding": lambda n: F.fold(tl.ones(1, 8, 9), 4, 2, padding=n),
    "fold, stride": lambda n: F.fold(tl.ones(1, 8, 9), 4, 2, stride=n),
    **{
        f"pad, {mode}": lambda n, mode=mode: F.pad(x2, (n, 0), mode=mode)
        for mode in ("constant", "reflect", "replicate", "circular")
    },
    "pad, both": lambda n: F.pad(x2, (n, -n)),
    **{
        f"interpolate, {mode}": lambda n, mode=mode: F.interpolate(x2, n, mode=mode)
        for mode in ("nearest", "bilinear", "bicubic", "area", "nearest-exact")
    },
    "interpolate, one axis": lambda n: F.interpolate(x2, (n, 2), mode="bilinear"),
    "interpolate, factor": lambda n: F.interpolate(x2, scale_factor=float(n)),
    "affine_grid": lambda n: F.affine_grid(tl.ones(1, 2, 3), (1, 1, n, 2), align_corners=False),
    "pixel_shuffle": lambda n: F.pixel_shuffle(tl.ones(1, 4, 2, 2), n),
    "pixel_unshuffle": lambda n: F.pixel_unshuffle(x2, n),
    "channel_shuffle": lambda n: F.channel_shuffle(x2, n),
    "group_norm": lambda n: F.group_norm(x2, n),
    "layer_norm": lambda n: F.layer_norm(rows, (n,)),
    "local_response_norm": lambda n: F.local_response_norm(x2, n),
    "one_hot, classes": lambda n: F.one_hot(labels, n),
    "one_hot, label": lambda n: F.one_hot(tl.tensor([n])),
    "cross_entropy, ignore_index": lambda n: F.cross_entropy(rows, labels, ignore_index=n),
    "cross_entropy, label": lambda n: F.cross_entropy(rows, tl.tensor([n, 0, 0, 0])),
    "nll_loss, label": lambda n: F.nll_loss(rows, tl.tensor([n, 0, 0, 0])),
    "embedding, index": lambda n: F.embedding(tl.tensor([n]), rows),
    "embedding, padding_idx": lambda n: F.embedding(labels, rows, padding_idx=n),
    "embedding_bag, offset": lambda n: F.embedding_bag(labels, rows, tl.tensor([0, n])),
    "ctc_loss, blank": lambda n: F.ctc_loss(
        tl.randn(5, 1, 4).log_softmax(-1), tl.tensor([[1, 2]]), [5], [2], blank=n
    ),
    "ctc_loss, input length": lambda n: F.ctc_loss(
        tl.randn(5, 1, 4).log_softmax(-1), tl.tensor([[1, 2]]), [n], [2]
    ),
    "ctc_loss, target length": lambda n: F.ctc_loss(
        tl.randn(5, 1, 4).log_softmax(-1), tl.tensor([[1, 2]]), [5], [n]
    ),
    "softmax, axis": lambda n: F.softmax(rows, n),
    "glu, axis": lambda n: F.glu(rows, n),
    "normalize, axis": lambda n: F.normalize(rows, dim=n),
    "zeros": lambda n: tl.zeros(n),
    "ones, two axes": lambda n: tl.ones(n, n),
    "empty": lambda n: tl.empty(n, 2),
    "randn": lambda n: tl.randn(n),
    "arange": lambda n: tl.arange(n),
    "linspace": lambda n: tl.linspace(0, 1, n),
    "eye": lambda n: tl.eye(n),
    "randperm": lambda n: tl.randperm(n),
    "full": lambda n: tl.full((n,), 1.0),
    "reshape": lambda n: rows.reshape(n, -1),
    "expand": lambda n: tl.ones(1, 2).expand(n, 2),
    "repeat": lambda n: rows.repeat(n, 1),
    "tile": lambda n: tl.tile(rows, (n,)),
    "repeat_interleave": lambda n: rows.repeat_interleave(n, 0),
    "roll": lambda n: rows.roll(n, 0),
    "narrow, start": lambda n: rows.narrow(0, n, 1),
    "narrow, length": lambda n: rows.narrow(0, 0, n),
    "select": lambda n: rows.select(0, n),
    "index": lambda n: rows[n],
    "slice": lambda n: rows[:n],
    "unfold of a Tensor, size": lambda n: rows.unfold(1, n, 1),
    "unfold of a Tensor, step": lambda n: rows.unfold(1, 2, n),
    "split": lambda n: rows.split(n),
    "chunk": lambda n: rows.chunk(n),
    "topk": lambda n: rows.topk(n),
    "kthvalue": lambda n: rows.kthvalue(n),
    "tril": lambda n: rows.tril(n),
    "diagonal": lambda n: rows.diagonal(n),
    "diag_embed": lambda n: tl.diag_embed(rows, n),
    "gather": lambda n: rows.gather(0, tl.tensor([[n]])),
    "index_select": lambda n: rows.index_select(0, tl.tensor([n])),
    "take": lambda n: tl.take(rows, tl.tensor([n])),
    "scatter": lambda n: rows.scatter(0, tl.tensor([[n]]), 1.0),
    "bincount": lambda n: tl.bincount(labels, minlength=n),
    "bincount, value": lambda n: tl.bincount(tl.tensor([n])),
    "histc": lambda n: tl.histc(rows, n),
    "multinomial": lambda n: tl.multinomial(rows.abs(), n, replacement=True),
    "matrix_power": lambda n: tl.linalg.matrix_power(tl.eye(2), n),
    "combinations": lambda n: tl.combinations(labels, n),
    "cumsum": lambda n: rows.cumsum(n),
    "flip": lambda n: rows.flip(n),
    "unsqueeze": lambda n: rows.unsqueeze(n),
    "as_strided": lambda n: tl.as_strided(rows, (2, 2), (n, 1)),
    "as_strided, size": lambda n: tl.as_strided(rows, (n, 2), (0, 1)),
    "as_strided, offset": lambda n: tl.as_strided(rows, (2, 2), (1, 1), n),
    "window": lambda n: tl.signal.windows.hann(n),
    "Linear": lambda n: nn.Linear(n, 2),
    "Conv2d, kernel": lambda n: nn.Conv2d(2, 2, n),
    "Embedding": lambda n: nn.Embedding(n, 4),
    "LSTM": lambda n: nn.LSTM(4, n),
    "LSTM, layers": lambda n: nn.LSTM(4, 4, num_layers=n) if n < 1 else None,
    "MultiheadAttention": lambda n: nn.MultiheadAttention(8, n),
    "manual_seed": lambda n: tl.manual_seed(n),
}


def attempt(call, n):
    """Call, and go back through what came out; return what was said, or None."""
    try:
        found = call(n)
        if isinstance(found, tl.Tensor) and found.dtype.kind == "f" and found.requires_grad:
            if found.numel() > 1 << 20:
                return None
            found.sum().backward()
    except EXPECTED as error:
        said = f"{type(error).__name__}: {error}"
        if len(said) > LONGEST or not str(error):
            return f"a message of {len(said)} characters: {said[:200]}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return None


def apart(call, n):
    """The same in a process of its own; None if all is well."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, -1))
        os.write(write, (attempt(call, n) or "").encode()[:1000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        name = signal.Signals(-status).name if status < 0 else status
        return f"the process ended with {name}"
    return said or None


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux'")
@pytest.mark.parametrize("numbers", ["few", pytest.param("many", marks=pytest.mark.slow_faults)])
def test_numbers_beyond_all_bounds_are_refused_or_right(numbers, record_property):
    few = (2**40, -(2**31))
    found = [
        f"{name} with {n}: {said}"
        for name, call in CALLS.items()
        for n in (few if numbers == "few" else [*HUGE, *SMALL])
        if (said := apart(call, n)) is not None
    ]
    assert not found, "\n".join(found)
    count = len(CALLS) * (2 if numbers == "few" else len(HUGE) + len(SMALL))
    record_property("calls with numbers beyond all bounds", f"{count}, 0 lost")
