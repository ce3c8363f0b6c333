"""Captured calls with fusion and without, in turn: ``python benchmarks/fusion.py [--rounds N]``.

Each example is written with operations on Tensors alone; with ``--device cuda`` on the GPU. A line
has the median times, in microseconds, of a call that is replayed, the median ratio of pairs, the
calls in either recording, and the seconds of the first three calls, which wait for no compiler.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import tensorlite as tl


def with_gradient(formula: Callable) -> Callable:
    """The formula and its gradient."""

    def call(x: tl.Tensor, *more: tl.Tensor) -> tuple:
        x = (x * 1).requires_grad_()
        y = formula(x, *more)
        y.sum().backward()
        return y.detach(), x.grad

    return call


def gelu(x: tl.Tensor) -> tl.Tensor:
    """GELU by its formula with tanh."""
    return 0.5 * x * (1 + tl.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def layer_norm(x: tl.Tensor) -> tl.Tensor:
    """Layer normalization by its formula."""
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / tl.sqrt((centred * centred).mean(dim=-1, keepdim=True) + 1e-5)


def huber(x: tl.Tensor, y: tl.Tensor) -> tl.Tensor:
    """A loss written by hand."""
    error = (x - y).abs()
    return tl.where(error < 1, 0.5 * error * error, error - 0.5) * 0.1 + 0.01 * x**2


def dropout_add_gelu(x: tl.Tensor, y: tl.Tensor) -> tl.Tensor:
    """Dropout, a sum, an activation."""
    return tl.nn.functional.gelu(tl.nn.functional.dropout(x, 0.1) + y)


def adam(p: tl.Tensor, g: tl.Tensor, m: tl.Tensor, v: tl.Tensor) -> tuple:
    """A step of Adam, of Tensors."""
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * (g * g)
    return p - 1e-3 * (m / (1 - 0.9**3)) / (tl.sqrt(v / (1 - 0.999**3)) + 1e-8), m, v


def total(x: tl.Tensor, y: tl.Tensor) -> tl.Tensor:
    """A loss in one number."""
    return ((x - y) * (x - y) * 0.5 + x.abs()).mean()


def bits(x: tl.Tensor, y: tl.Tensor) -> tl.Tensor:
    """Comparisons, logic and whole numbers."""
    i, j = (x * 8).to(tl.int64), (y * 8).to(tl.int64)
    return tl.where((x > y) & (y < 1), i * 2 + j, tl.maximum(i, j))


def in_16_bits(formula: Callable) -> Callable:
    """The formula with its gradient in float16."""
    call = with_gradient(formula)
    return lambda x, *more: call(x.half(), *[y.half() for y in more])


EXAMPLES = {
    "gelu": (with_gradient(gelu), 1),
    "layer norm": (with_gradient(layer_norm), 1),
    "huber": (with_gradient(huber), 2),
    "dropout + add + gelu": (with_gradient(dropout_add_gelu), 2),
    "adam": (adam, 4),
    "loss": (with_gradient(total), 2),
    "bits": (bits, 2),
    "gelu in float16": (in_16_bits(gelu), 1),
    "dropout in float16": (in_16_bits(dropout_add_gelu), 2),
}


def main() -> None:
    """Print a line for each example and shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="*", help="examples", choices=list(EXAMPLES))
    parser.add_argument("--threads", type=int, default=tl.get_num_threads())
    args = parser.parse_args()
    tl.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    print(
        f"{'example':22}{'shape':>13}{'without':>10}{'fused':>10}{'ratio':>7}   calls   first call"
    )
    for name, (function, inputs) in EXAMPLES.items():
        if args.only and name not in args.only:
            continue
        for shape in ((64, 64), (512, 512), (2048, 1024)):
            given = [np.abs(rng.standard_normal(shape)).astype(np.float32) for _ in range(inputs)]
            tensors = [tl.tensor(x, device=args.device) for x in given]
            calls, firsts = [], []
            for fuse in (False, True):
                calls.append(tl.capture(function, fuse=fuse))
                start = time.perf_counter()
                for _ in range(3):
                    calls[-1](*tensors)
                firsts.append(time.perf_counter() - start)
                calls[-1].wait()
            repeats = max(1, 2_000_000 // given[0].size)
            times = [[_timed(call, tensors, repeats) for call in calls] for _ in range(args.rounds)]
            without, fused = (median(pair[i] for pair in times) for i in (0, 1))
            ratio = median(b / a for a, b in times)
            counts = " to ".join(str(len(call.recordings[0].lines())) for call in calls)
            print(
                f"{name:22}{shape!s:>13}{without * 1e6:10.0f}{fused * 1e6:10.0f}{ratio:7.2f}"
                f"   {counts:9}{firsts[0]:.2f} to {firsts[1]:.2f} s"
            )


def _timed(call: Callable, given: list, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call(*given)
    if given[0].device.type == "cuda":
        tl.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


if __name__ == "__main__":
    main()
