"""Layers: affine maps, windows, norms, attention, recurrence, resizing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorlite.onnx.graph import Graph, converts
from tensorlite.onnx.operators.pointwise import number, per_channel
from tensorlite.onnx.operators.reductions import reduced
from tensorlite.onnx.operators.shapes import END, part
from tensorlite.onnx.sizes import Step
from tensorlite.onnx.trace import ExportError
from tensorlite.ops.resample import mixture


@converts("linear", "linear_relu")
def _linear(g: Graph, s: Step, x: str, weight: str, bias: str | None) -> str:
    if s.ndim() == 2:
        y = g.node("Gemm", x, weight, bias, transB=1)
    else:
        y = g.node("MatMul", x, g.node("Transpose", weight, perm=[1, 0]))
        y = y if bias is None else g.node("Add", y, bias)
    return g.node("Relu", y) if s.primitive.name == "linear_relu" else y


@converts("channel_affine", "channel_affine_relu")
def _affine(g: Graph, s: Step, x: str, scale: str | None, shift: str | None) -> str:
    n = s.ndim()
    x = x if scale is None else g.node("Mul", x, per_channel(g, scale, n))
    x = x if shift is None else g.node("Add", x, per_channel(g, shift, n))
    return g.node("Relu", x) if s.primitive.name == "channel_affine_relu" else x


# --- windows ------------------------------------------------------------------------------------


def _windows(of: Any) -> dict[str, Any]:
    return {
        "strides": list(of.stride),
        "pads": [*of.padding, *of.padding],
        "dilations": list(of.dilation),
    }


@converts("convolution")
def _conv(g: Graph, s: Step, x: str, weight: str, bias: str | None, geometry: Any) -> str:
    return g.node("Conv", x, weight, bias, group=geometry.groups, **_windows(geometry))


def _beyond(s: Step, kernel: Any, of: Any, starts: list, sizes: list) -> list[int]:
    """ONNX's output_padding: what a size is beyond the smallest."""

    def each(start: Any, size: Any) -> tuple[int, ...]:
        axes = zip(start, size, kernel, of.stride, of.padding, of.dilation, strict=True)
        return tuple(
            n - ((m - 1) * step - 2 * pad + apart * (k - 1) + 1)
            for m, n, k, step, pad, apart in axes
        )

    found = [each(start, size) for start, size in zip(starts, sizes, strict=True)]
    return list(s.alike("the spatial axes", found))


@converts("convolution_transpose")
def _conv_transpose(g: Graph, s: Step, x: str, weight: str, size: Any, geometry: Any) -> str:
    starts = [shape[2:] for shape in s.sizes()]
    sizes = [call.static["size"] for call in s.calls]
    beyond = _beyond(s, s.shape(1)[2:], geometry, starts, sizes)
    options = _windows(geometry) | {"group": geometry.groups, "output_padding": beyond}
    return g.node("ConvTranspose", x, weight, **options)


def _taps(channels: int, kernel: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Filters that pick one place of the window each, for every channel."""
    count = math.prod(kernel)
    one = np.eye(count, dtype=dtype).reshape(count, 1, *kernel)
    return np.tile(one, (channels, 1, *[1] * len(kernel)))


@converts("columns_of")
def _unfold(g: Graph, s: Step, x: str, patches: Any) -> str:
    channels = s.fixed("the channels", s.shape()[1:2])[0]
    filters = _taps(channels, patches.kernel, s.dtype())
    y = g.node("Conv", x, filters, group=channels, **_windows(patches))
    return g.node("Reshape", y, g.ints([0, 0, -1]))


@converts("image_of")
def _fold(g: Graph, s: Step, columns: str, size: Any, patches: Any) -> str:
    size = s.fixed("the image", size)
    channels = s.fixed("the channels", s.shape()[1:2])[0] // math.prod(patches.kernel)
    axes = zip(size, patches.kernel, patches.stride, patches.padding, patches.dilation, strict=True)
    out = [(n + 2 * p - d * (k - 1) - 1) // step + 1 for n, k, step, p, d in axes]
    x = g.node("Reshape", columns, g.ints([0, 0, *out]))
    beyond = _beyond(s, patches.kernel, patches, [out], [size])
    filters = _taps(channels, patches.kernel, s.dtype())
    options = _windows(patches) | {"group": channels, "output_padding": beyond}
    return g.node("ConvTranspose", x, filters, **options)


def _pool(window: Any) -> dict[str, Any]:
    return {"kernel_shape": list(window.kernel), "ceil_mode": int(window.ceil), **_windows(window)}


def _whole_axes(g: Graph, s: Step, op: str, x: str) -> str | None:
    """The reduction that a pool with one window over each whole axis is."""
    for size, call in zip(s.sizes(), s.calls, strict=True):
        window = call.static["window"]
        if tuple(window.kernel) != size[2:] or any(window.padding):
            return None
    return reduced(g, s, op, x, list(range(2, s.ndim())), True)


@converts("max_pool")
def _max_pool(g: Graph, s: Step, x: str, window: Any) -> str:
    if (found := _whole_axes(g, s, "ReduceMax", x)) is not None:
        return found
    return g.node("MaxPool", x, **_pool(window))


@converts("max_pool_indexed")
def _max_pool_indexed(g: Graph, s: Step, x: str, window: Any) -> list[str]:
    y, places = g.node("MaxPool", x, outputs=2, **_pool(window))
    # ONNX counts through the whole array, we in each plane.
    count = g.node("ReduceProd", g.ints(s.shape()[2:]), keepdims=0)
    return [y, g.node("Mod", places, count)]


@converts("avg_pool")
def _avg_pool(
    g: Graph, s: Step, x: str, window: Any, count_include_pad: bool, divisor: int | None
) -> str:
    if divisor is None and (found := _whole_axes(g, s, "ReduceMean", x)) is not None:
        return found
    options = _pool(window)
    if all(d == 1 for d in window.dilation) and g.opset < 19:
        del options["dilations"]
    include = count_include_pad or divisor is not None
    y = g.node("AveragePool", x, count_include_pad=int(include), **options)
    if divisor is None:
        return y
    if window.ceil:
        raise ExportError(f"export: avg_pool at {s.line}: ceil_mode with a divisor has no form")
    return g.node("Mul", y, number(s, math.prod(window.kernel) / divisor))


@converts("adaptive_avg_pool")
def _adaptive_avg_pool(g: Graph, s: Step, x: str, out: tuple[int, ...]) -> str:
    for axis, (size, count) in enumerate(zip(s.shape()[2:], out, strict=True), start=2):
        if count == 1:
            x = reduced(g, s, "ReduceMean", x, [axis], True)
            continue
        if size == count:
            continue
        n = s.fixed("axes that are pooled to more than 1", (size,))[0]
        means = np.zeros((n, count), s.dtype())
        for i in range(count):
            start, stop = i * n // count, -(-(i + 1) * n // count)
            means[start:stop, i] = 1 / (stop - start)
        x = _along(g, s, x, means, axis)
    return x


def _along(g: Graph, s: Step, x: str, matrix: np.ndarray, axis: int) -> str:
    """Multiply an axis by a matrix (length, new length)."""
    order = list(range(s.ndim()))
    order[axis], order[-1] = order[-1], order[axis]
    turned = axis != s.ndim() - 1
    x = g.node("Transpose", x, perm=order) if turned else x
    x = g.node("MatMul", x, matrix)
    return g.node("Transpose", x, perm=order) if turned else x


@converts("adaptive_max_pool")
def _adaptive_max_pool(g: Graph, s: Step, x: str, out: tuple[int, ...]) -> list[str]:
    for axis, (size, count) in enumerate(zip(s.shape()[2:], out, strict=True), start=2):
        if count == 1:
            x = reduced(g, s, "ReduceMax", x, [axis], True)
            continue
        n = s.fixed("axes that are pooled to more than 1", (size,))[0]
        parts = [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]
        best = [
            reduced(g, s, "ReduceMax", part(g, x, [a], [b], [axis]), [axis], True) for a, b in parts
        ]
        x = g.node("Concat", *best, axis=axis)
    return [x, "!the indices of adaptive_max_pool"]


# --- norms --------------------------------------------------------------------------------------


@converts("layer_norm_rows")
def _layer_norm(g: Graph, s: Step, x: str, weight: str | None, bias: str | None, eps: float) -> str:
    if weight is None:
        width = s.fixed("the normalized axis", s.shape()[-1:])
        weight = g.constant(np.ones(width, s.dtype()))
    return g.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=eps)


@converts("rms_norm_rows")
def _rms_norm(g: Graph, s: Step, x: str, weight: str | None, eps: float) -> str:
    square = reduced(g, s, "ReduceMean", g.node("Mul", x, x), [-1], True)
    y = g.node("Div", x, g.node("Sqrt", g.node("Add", square, number(s, eps))))
    return y if weight is None else g.node("Mul", y, weight)


@converts("batch_norm_channels")
def _batch_norm(
    g: Graph, s: Step, x: str, weight: str | None, bias: str | None, eps: float, relu: bool
) -> list[str]:
    axes, n = [0, *range(2, s.ndim())], s.ndim()
    center = reduced(g, s, "ReduceMean", x, axes, True)
    away = g.node("Sub", x, center)
    variance = reduced(g, s, "ReduceMean", g.node("Mul", away, away), axes, True)
    y = g.node("Div", away, g.node("Sqrt", g.node("Add", variance, number(s, eps))))
    y = y if weight is None else g.node("Mul", y, per_channel(g, weight, n))
    y = y if bias is None else g.node("Add", y, per_channel(g, bias, n))
    y = g.node("Relu", y) if relu else y
    return [y, *[g.node("Reshape", v, g.ints([-1])) for v in (center, variance)]]


# --- attention ----------------------------------------------------------------------------------


def _for_all_heads(g: Graph, s: Step, x: str, i: int) -> str:
    """Keys or values, input `i`, with each head repeated for the query's that it serves."""
    if s.ndim(0) < 3 or s.ndim(i) < 3 or s.shape(i)[-3] in (1, s.shape(0)[-3]):
        return x
    heads, own = s.fixed("the heads of attention", (s.shape(0)[-3], s.shape(i)[-3]))
    return g.node("Gather", x, np.arange(heads) // (heads // own), axis=s.ndim(i) - 3)


@converts("attention")
def _attention(
    g: Graph,
    s: Step,
    q: str,
    k: str,
    v: str,
    mask: str | None,
    is_causal: bool,
    scale: float,
    p: float,
    seed: tuple[int, int],
    offset: int,
) -> str:
    k, v = (_for_all_heads(g, s, x, i) for i, x in ((1, k), (2, v)))
    n = s.ndim(1)
    turned = g.node("Transpose", k, perm=[*range(n - 2), n - 1, n - 2])
    scores = g.node("MatMul", g.node("Mul", q, number(s, scale)), turned)
    lowest = number(s, -math.inf)
    if is_causal:
        rows = g.node("Unsqueeze", g.counted(s.shape(0)[-2]), g.ints([1]))
        seen = g.node("LessOrEqual", g.counted(s.shape(1)[-2]), rows)
        scores = g.node("Where", seen, scores, lowest)
    if mask is not None:
        boolean = s.dtype(3).kind == "b"
        scores = g.node("Where", mask, scores, lowest) if boolean else g.node("Add", scores, mask)
    weights = g.node("Softmax", scores, axis=-1)
    if mask is not None:  # rows with nothing to attend to are zeros
        peak = reduced(g, s, "ReduceMax", scores, [-1], True)
        weights = g.node("Where", g.node("Equal", peak, lowest), number(s, 0), weights)
    return g.node("MatMul", weights, v)


@converts("rotate")
def _rotate(g: Graph, s: Step, x: str, positions: str | None, base: float, inverse: bool) -> str:
    half = s.fixed("the rotated axis", s.shape()[-1:])[0] // 2
    if positions is None:
        positions = g.counted(s.shape()[-2])
    at = g.cast(positions, np.float32)
    rates = (base ** (-np.arange(half) / half)).astype(np.float32)
    angles = g.node("Mul", g.node("Unsqueeze", at, g.ints([-1])), rates)
    cos, sin = (g.node(op, angles) for op in ("Cos", "Sin"))
    if s.dtype() != np.float32:
        cos, sin = g.cast(cos, s.dtype()), g.cast(sin, s.dtype())
    sin = g.node("Neg", sin) if inverse else sin
    a, b = part(g, x, [0], [half], [-1]), part(g, x, [half], [END], [-1])
    first = g.node("Sub", g.node("Mul", a, cos), g.node("Mul", b, sin))
    second = g.node("Add", g.node("Mul", b, cos), g.node("Mul", a, sin))
    return g.node("Concat", first, second, axis=-1)


# --- recurrence ---------------------------------------------------------------------------------


def _gates(weight: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The gates' parts in ONNX's order, under an axis of directions."""
    parts = np.split(weight, len(order))
    return np.concatenate([parts[i] for i in order])[None]


def _layer(
    g: Graph,
    s: Step,
    op: str,
    order: tuple[int, ...],
    weight: int,
    bias: int | None,
    **options: Any,
) -> tuple[list[str], int]:
    """The operator over inputs that are projected already: its own projection takes them as is."""
    recurrent = s.inputs[weight]
    if not isinstance(recurrent, np.ndarray):
        raise ExportError(
            f"export: the weights of {s.primitive.name} at {s.line} are computed: ONNX takes "
            "constants; merge them first (remove_parametrizations, remove_weight_norm)"
        )
    gates, hidden = recurrent.shape
    inward = _gates(np.eye(gates, dtype=recurrent.dtype), order)
    biases = None
    if bias is not None and isinstance(s.inputs[bias], np.ndarray):
        own = _gates(s.inputs[bias], order)
        biases = np.concatenate((np.zeros_like(own), own), axis=1)
    reverse = s.static["reverse"]
    states = [g.node("Unsqueeze", g.read(x, s.dtype(), s), g.ints([0])) for x in s.inputs[1:weight]]
    made = g.node(
        op,
        g.read(s.inputs[0], s.dtype(), s),
        *(inward, _gates(recurrent, order), biases, None, *states),
        outputs=1 + len(states),
        hidden_size=hidden,
        direction="reverse" if reverse else "forward",
        **options,
    )
    made = [made] if isinstance(made, str) else made
    h0 = states[0]
    all_h = g.node("Squeeze", made[0], g.ints([1]))
    pair = (all_h, h0) if reverse else (h0, all_h)
    return [g.node("Concat", *pair, axis=0), *made[1:]], 0 if reverse else -1


@converts("lstm_sequence")
def _lstm(g: Graph, s: Step, *operands: str, reverse: bool, overwrite: bool) -> list[str]:
    made, end = _layer(g, s, "LSTM", (0, 3, 1, 2), 3, None)
    g.entries[s.outputs[1], end] = g.node("Squeeze", made[2], g.ints([0]))
    return [made[0], "!all cell states of an LSTM", "!the gates of an LSTM"]


@converts("gru_sequence")
def _gru(g: Graph, s: Step, *operands: str, reverse: bool, overwrite: bool) -> list[str]:
    made, _ = _layer(g, s, "GRU", (1, 0, 2), 2, 3, linear_before_reset=1)
    return [made[0], "!the gates of a GRU", "!the gates of a GRU"]


@converts("rnn_sequence")
def _rnn(g: Graph, s: Step, *operands: str, relu: bool, reverse: bool) -> str:
    made, _ = _layer(g, s, "RNN", (0,), 2, None, activations=["Relu" if relu else "Tanh"])
    return made[0]


# --- resizing -----------------------------------------------------------------------------------


@converts("resample")
def _resample(g: Graph, s: Step, x: str, axis: int, size: Any, how: Any) -> str:
    length = s.fixed("resized axes", (s.shape()[axis], size))[0]
    places, weights = mixture(length, size, how)
    matrix = np.zeros((length, size))
    np.add.at(matrix, (places, np.arange(size)), weights)
    return _along(g, s, x, matrix.astype(s.dtype()), axis % s.ndim())


@converts("nearest")
def _nearest(g: Graph, s: Step, x: str, size: Any, how: Any) -> str:
    lengths = s.fixed("resized axes", s.shape()[2:])
    for axis, (n, m, h) in enumerate(zip(lengths, s.fixed("resized axes", size), how, strict=True)):
        x = g.node("Gather", x, mixture(n, m, h)[0][0], axis=axis + 2)
    return x
