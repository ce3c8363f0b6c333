"""What ``tensorlite selftest`` runs: operations that between them use every kernel.

A check is a function of Tensors, with the shapes of its arguments. Names of shapes begin with what
is drawn: "labels" are classes, "positive" numbers above 0; everything else is normal. Sizes come
twice: odd ones, for what is right, and ones of real models, for rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tensorlite as tl
from tensorlite.nn import functional as F
from tensorlite.plan import is_float
from tensorlite.tensor import Tensor

Shape = tuple[int, ...]

_BATCHED = ("x", "positive", "labels", "q", "k", "v")  # operands with the batch as first axis

NOT_CHECKED = {
    "embedding": "in captured functions alone, where a generated kernel has its formula",
    "cast": "in captured functions alone, where a generated kernel has its formula",
}
"""Kernels that no check launches, and why that is right."""


@dataclass(frozen=True)
class Check:
    """One operation: what it computes, of which shapes, and how far it may be off."""

    name: str
    run: Callable[..., Tensor]
    odd: dict[str, Shape]
    large: dict[str, Shape] = field(default_factory=dict)
    classes: int = 7
    work: Callable[[dict[str, Shape]], float] | None = None
    """Multiplications and additions, forward and backward; bytes count where there is none."""
    slack: float = 1.0
    """A factor of the tolerance, where long sums of rounded numbers are looked at."""
    tf32: bool = False
    """Whether products of float32 may be rounded to TF32."""
    processors: int = 0
    """Choose kernels as for a GPU of so many processors: 1 gives small operands large tiles."""

    def sizes(self, device: str) -> dict[str, Shape]:
        """The shapes to measure with; a CPU gets a sixteenth of the batch."""
        if device != "cpu":
            return self.large
        return {
            name: (max(1, shape[0] // 16), *shape[1:]) if name in _BATCHED else shape
            for name, shape in self.large.items()
        }

    def draw(self, shapes: dict[str, Shape]) -> dict[str, np.ndarray]:
        """Operands in float64, the same on every machine."""
        rng = np.random.default_rng(0)
        made: dict[str, np.ndarray] = {}
        for name, shape in shapes.items():
            if name.startswith("labels"):
                made[name] = rng.integers(0, self.classes, shape)
            else:
                values = rng.standard_normal(shape)
                made[name] = np.abs(values) + 0.5 if name.startswith("positive") else values
        return made


def _products(pairs: Callable[[dict[str, Shape]], float]) -> Callable[[dict[str, Shape]], float]:
    """Forward, and twice as much backward, of so many multiplications with an addition each."""
    return lambda shapes: 6.0 * pairs(shapes)


def _conv_pairs(s: dict[str, Shape]) -> float:
    return s["x"][0] * math.prod(s["x"][2:]) * math.prod(s["w"])


def _attention_pairs(s: dict[str, Shape]) -> float:
    return 2.0 * math.prod(s["q"]) * s["k"][-2]


def _map(name: str, run: Callable[..., Tensor], operand: str = "x") -> Check:
    return Check(name, run, {operand: (3, 333)}, {operand: (8192, 3072)})


def _attention(name: str, dim: int, kv_heads: int = 3, tf32: bool = False, **options: Any) -> Check:
    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        tl.manual_seed(0)  # what is dropped is the same everywhere
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=kv_heads < 3, **options)

    odd, large = (2, 3, 33, dim), (8, 12 * 64 // dim, 1024, dim)
    return Check(
        name,
        run,
        {"q": odd, **dict.fromkeys("kv", (2, kv_heads, 33, dim))},
        dict.fromkeys("qkv", large) if kv_heads == 3 else {},
        work=_products(lambda s: _attention_pairs(s) / (2 if options.get("is_causal") else 1)),
        tf32=tf32,
    )


def _conv(
    name: str,
    x: Shape,
    w: Shape,
    large: tuple[Shape, Shape] | None,
    tf32: bool = False,
    processors: int = 0,
    **options: Any,
) -> Check:
    spatial = len(x) - 2
    run = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[spatial]
    return Check(
        name,
        lambda x, w, b: run(x, w, b, **options),
        {"x": x, "w": w, "b": w[:1]},
        {"x": large[0], "w": large[1], "b": large[1][:1]} if large else {},
        work=_products(_conv_pairs),
        tf32=tf32,
        processors=processors,
    )


def _batch_norm(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, w, b, training=True)


def _batch_norm_layer(x: Tensor) -> Tensor:
    layer = tl.nn.BatchNorm1d(x.shape[1], device=x.device, dtype=x.dtype)
    y = layer(x)
    return y + layer.running_mean + layer.running_var + layer.num_batches_tracked


def _captured(labels: Tensor, w: Tensor) -> Tensor:
    """What a captured function makes of a chain of operations, which are one kernel there."""

    def chain(labels: Tensor, w: Tensor) -> Tensor:
        rows = F.embedding(labels, w)
        wide = rows if rows.dtype == tl.float64 else rows.float()
        return F.gelu(wide * 2 + 1)

    w = w.detach()
    run = tl.capture(chain) if w.device.type == "cuda" else chain
    return [run(labels, w) for _ in range(3)][-1]


def _recurrent(kind: str, gates: int, width: int = 9, processors: int = 0) -> Check:
    """A layer; of 72 units it is too wide for a GPU of one processor to compute in one launch."""

    def run(x: Tensor, w: Tensor, u: Tensor, b: Tensor, c: Tensor) -> Tensor:
        layer = getattr(tl.nn, kind)(x.shape[-1], u.shape[-1]).to(x.device, x.dtype)
        given = {"weight_ih_l0": w, "weight_hh_l0": u, "bias_ih_l0": b, "bias_hh_l0": c}
        return tl.func.functional_call(layer, given, (x,))[0]

    def shapes(steps: int, batch: int, width: int) -> dict[str, Shape]:
        return {
            "x": (steps, batch, width),
            "w": (gates * width, width),
            "u": (gates * width, width),
            "b": (gates * width,),
            "c": (gates * width,),
        }

    def work(s: dict[str, Shape]) -> float:
        return 2.0 * s["x"][0] * s["x"][1] * math.prod(s["w"])

    return Check(
        f"{kind}, step by step" if processors else kind,
        run,
        shapes(5, 3, width),
        {} if processors else shapes(64, 64, 256),
        work=_products(work),
        slack=4,
        processors=processors,
    )


def _optimizer(name: str, **options: Any) -> Check:
    def run(x: Tensor, g: Tensor) -> Tensor:
        parameter = x.detach().clone().requires_grad_()
        made = getattr(tl.optim, name)([parameter], lr=0.01, **options)
        for _ in range(2):
            parameter.grad = g.detach().clone()
            tl.nn.utils.clip_grad_norm_([parameter], 1.0)
            made.step()
        return parameter.detach()

    return Check(name, run, {"x": (3, 111), "g": (3, 111)})


def _dropped(x: Tensor) -> Tensor:
    tl.manual_seed(0)  # what is dropped is the same everywhere
    return F.dropout(x, 0.3)


def _masked(x: Tensor, y: Tensor) -> Tensor:
    return tl.where(x > y, x * y, x / (1 + y * y)) + tl.maximum(x, y).clamp(-1, 1)


def _under_autocast(name: str, run: Callable[..., Tensor], odd: dict[str, Shape]) -> Check:
    """Of short floats on CUDA, beside which all but the first operand are float32."""

    def inside(x: Tensor, *others: Tensor) -> Tensor:
        if x.dtype.itemsize > 2 or x.device.type == "cpu":
            return run(x, *others)
        wide = [other.float() if is_float(other.array) else other for other in others]
        with tl.autocast("cuda", dtype=x.dtype):
            return run(x, *wide).to(x.dtype)

    return Check(f"{name} under autocast", inside, odd, slack=4)


def _normed_twice(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return F.layer_norm(F.layer_norm(x, w.shape, w, b), w.shape, w, b)


def _rms_normed_twice(x: Tensor, w: Tensor) -> Tensor:
    return F.rms_norm(F.rms_norm(x, w.shape, w), w.shape, w)


def _arena_of_a_norm(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    weight, bias = (p.detach().clone().requires_grad_() for p in (w, b))
    optimizer = tl.optim.SGD([weight, bias], lr=0.1)
    (F.layer_norm(x.detach(), w.shape, weight, bias) ** 2).mean().backward()
    gradients = tl.cat([p.grad for p in (weight, bias) if p.grad is not None])
    optimizer.zero_grad()
    return gradients


_ROWS: dict[str, Shape] = {"x": (5, 1000), "w": (1000,), "b": (1000,)}
_WIDE_ROWS: dict[str, Shape] = {"x": (8192, 768), "w": (768,), "b": (768,)}
_LONG: dict[str, Shape] = {"x": (3, 8197)}

CHECKS = [
    *(
        _map(name, getattr(F, name))
        for name in ("relu", "gelu", "silu", "sigmoid", "tanh", "elu", "softplus", "leaky_relu")
    ),
    _map("gelu, tanh", lambda x: F.gelu(x, approximate="tanh")),
    _map("logsigmoid", F.logsigmoid),
    _map("exp", tl.exp),
    _map("expm1", tl.expm1),
    _map("log", tl.log, "positive"),
    _map("log1p", tl.log1p, "positive"),
    _map("erf", tl.erf),
    _map("power", lambda positive: positive**1.7, "positive"),
    Check("where, maximum, clamp", _masked, {"x": (3, 333), "y": (3, 333)}),
    Check(
        "maximum with a number",
        lambda x: tl.maximum(x, 0.5),
        {"x": (3, 333)},
    ),
    Check("prelu", F.prelu, {"x": (3, 5, 33), "w": (5,)}),
    Check("prelu of columns", F.prelu, {"x": (33, 5), "w": (5,)}),
    Check(
        "binary cross-entropy",
        lambda x, y: F.binary_cross_entropy_with_logits(x, tl.sigmoid(y).detach()),
        {"x": (5, 333), "y": (5, 333)},
    ),
    Check("power of whole numbers", lambda x: x**3, {"x": (5, 333)}),
    Check("factor and bias", lambda x, b: x * 2.5 + b, {"x": (33, 17), "b": (17,)}),
    Check("dropout", _dropped, {"x": (5, 333)}, {"x": (8192, 3072)}),
    Check("softmax", lambda x: F.softmax(x, -1), {"x": (5, 1000)}, {"x": (8192, 1024)}),
    Check("softmax of long rows", lambda x: F.softmax(x, -1), _LONG, {"x": (1024, 50257)}),
    Check("log-softmax", lambda x: F.log_softmax(x, -1), {"x": (5, 1000)}, {"x": (8192, 1024)}),
    Check(
        "cross-entropy",
        F.cross_entropy,
        {"x": (33, 7), "labels": (33,)},
        {"x": (8192, 50257), "labels": (8192,)},
    ),
    Check("layer norm", lambda x, w, b: F.layer_norm(x, w.shape, w, b), _ROWS, _WIDE_ROWS),
    Check(
        "RMS norm",
        lambda x, w: F.rms_norm(x, w.shape, w),
        {"x": (5, 1000), "w": (1000,)},
        {"x": (8192, 768), "w": (768,)},
    ),
    Check(
        "group norm",
        lambda x, w, b: F.group_norm(x, 3, w, b),
        {"x": (2, 6, 5, 7), "w": (6,), "b": (6,)},
        slack=4,
    ),
    Check(
        "batch norm of images",
        _batch_norm,
        {"x": (9, 5, 7, 7), "w": (5,), "b": (5,)},
        {"x": (128, 64, 32, 32), "w": (64,), "b": (64,)},
        slack=4,
    ),
    Check(
        "batch norm of rows",
        _batch_norm,
        {"x": (333, 33), "w": (33,), "b": (33,)},
        {"x": (8192, 512), "w": (512,), "b": (512,)},
        slack=4,
    ),
    Check("batch norm, a layer's averages", _batch_norm_layer, {"x": (33, 17)}, slack=4),
    Check("gradients of a layer norm in an arena", _arena_of_a_norm, _ROWS, slack=4),
    _under_autocast("layer norms", _normed_twice, _ROWS),
    _under_autocast("RMS norms", _rms_normed_twice, {"x": (5, 1000), "w": (1000,)}),
    _under_autocast("softmax", lambda x: F.softmax(x, -1), {"x": (5, 1000)}),
    _under_autocast("log-softmax", lambda x: F.log_softmax(x, -1), {"x": (5, 1000)}),
    _under_autocast(
        "cross-entropy",
        lambda x, labels: F.cross_entropy(x, labels) * 3,
        {"x": (33, 7), "labels": (33,)},
    ),
    _under_autocast(
        "dropout, and a sum", lambda x, y: _dropped(x) + y, {"x": (3, 333), "y": (3, 333)}
    ),
    Check(
        "matrix product",
        tl.matmul,
        {"x": (3, 33, 31), "y": (3, 31, 35)},
        {"x": (4096, 4096), "y": (4096, 4096)},
        work=_products(lambda s: math.prod(s["x"]) * s["y"][-1]),
    ),
    *(
        Check(
            f"linear, {name}",
            lambda x, w, b, f=f: f(F.linear(x, w, b)),
            {"x": (33, 31), "w": (65, 31), "b": (65,)},
            {"x": (8192, 768), "w": (3072, 768), "b": (3072,)},
            work=_products(lambda s: math.prod(s["x"]) * s["w"][0]),
        )
        for name, f in (("relu", F.relu), ("gelu", lambda x: F.gelu(x, approximate="tanh")))
    ),
    _conv(
        "convolution",
        (3, 8, 9, 9),
        (72, 8, 3, 3),
        ((128, 64, 32, 32), (64, 64, 3, 3)),
        padding=1,
    ),
    *(
        _conv(
            f"convolution, {filters} filters{', TF32' if tf32 else ''}",
            (2, 5, 7, 9),
            (filters, 5, 3, 3),
            ((64, 64, 64, 64), (filters, 64, 3, 3)),
            tf32,
            padding=1,
        )
        for filters, tf32 in ((130, False), (30, True), (50, True), (130, True))
    ),
    *(
        _conv(
            f"convolution, {filters} filters, {'TF32, ' if tf32 else ''}large tiles",
            (2, 5, 7, 9),
            (filters, 5, 3, 3),
            None,
            tf32,
            processors=1,
            padding=1,
        )
        for filters in (50, 130)
        for tf32 in (False, True)
    ),
    _conv(
        "convolution, strides",
        (2, 5, 9, 8),
        (6, 5, 3, 3),
        None,
        stride=2,
        padding=1,
    ),
    _conv(
        "depthwise convolution",
        (2, 6, 9, 9),
        (6, 1, 3, 3),
        None,
        padding=1,
        groups=6,
    ),
    _conv("convolution, one axis", (2, 5, 100), (7, 5, 9), None, dilation=2),
    _conv("convolution, three axes", (2, 3, 5, 6, 7), (4, 3, 3, 2, 3), None, padding=1),
    Check(
        "transposed convolution",
        lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1),
        {"x": (2, 5, 5, 6), "w": (5, 4, 4, 4)},
    ),
    Check("max pooling", lambda x: F.max_pool2d(x, 3, 2, 1), {"x": (2, 5, 9, 11)}),
    Check("average pooling", lambda x: F.avg_pool2d(x, 3, 2, 1), {"x": (2, 5, 9, 11)}),
    Check("adaptive pooling", lambda x: F.adaptive_avg_pool2d(x, (3, 4)), {"x": (2, 5, 9, 11)}),
    Check(
        "interpolation, bilinear",
        lambda x: F.interpolate(x, (13, 7), mode="bilinear"),
        {"x": (2, 3, 9, 11)},
    ),
    Check(
        "interpolation, nearest",
        lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
        {"x": (2, 3, 9, 11)},
    ),
    Check("embedding", F.embedding, {"labels": (5, 33), "w": (7, 33)}),
    Check("captured chain", _captured, {"labels": (5, 33), "w": (7, 33)}),
    _attention("attention, 64 wide", 64),
    _attention("attention, causal", 64, is_causal=True),
    _attention("attention, 128 wide", 128, is_causal=True),
    _attention("attention, 256 wide", 256, is_causal=True),
    _attention("attention, shared heads", 64, kv_heads=1, is_causal=True),
    _attention("attention, dropout", 64, dropout_p=0.2),
    _attention("attention, TF32", 64, tf32=True),
    _attention("attention, 128 wide, TF32", 128, tf32=True),
    _recurrent("LSTM", 4),
    _recurrent("GRU", 3),
    _recurrent("RNN", 1),
    _recurrent("LSTM", 4, width=72, processors=1),
    _recurrent("GRU", 3, width=72, processors=1),
    Check("sum", lambda x: x.sum(-1), {"x": (33, 1000)}, {"x": (8192, 1024)}, slack=4),
    Check("mean", lambda x: x.mean(0), {"x": (333, 33)}, slack=4),
    _optimizer("SGD", momentum=0.9),
    _optimizer("AdamW"),
    _optimizer("RMSprop"),
    _optimizer("Adagrad"),
    _optimizer("Lion"),
]
