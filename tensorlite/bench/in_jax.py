"""The workloads in JAX, which has functions where the others have modules. All are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tensorlite.bench import ops, steps
from tensorlite.bench.frameworks import Framework

Parameters = dict[str, Any]


def build(kind: str, name: str, device: str, dtype: str) -> tuple:
    """What `worker.build` returns: what to time, and how to bring a result to NumPy."""
    jax.config.update("jax_platforms", "cpu" if device == "cpu" else "cuda")
    jax.config.update("jax_enable_x64", dtype == "float64")
    jax.config.update("jax_default_matmul_precision", "highest")  # float32, as ours, not TF32
    phases = _op(name, dtype) if kind == "ops" else {"step": _STEPS[name](dtype)}
    waiting = {phase: _waited(run) for phase, run in phases.items()}
    return waiting, lambda y: np.asarray(y, np.float64)


def _waited(run: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: jax.block_until_ready(run())


# --- steps ----------------------------------------------------------------------------------------


def _state(build_model: Callable[[Framework], Any], dtype: str) -> Parameters:
    """The weights that the others start with."""
    framework = Framework("tensorlite")
    model = framework.load(build_model(framework))
    return {n: jnp.asarray(v.detach().numpy(), dtype) for n, v in model.state_dict().items()}


def _linear(p: Parameters, name: str, x: Any) -> Any:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def _norm(p: Parameters, name: str, x: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred * lax.rsqrt(variance + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]


def _trained(
    p: Parameters, model: Callable[[Parameters, Any], Any], x: Any, labels: Any, decay: float | None
) -> Callable[[], Any]:
    """A step of SGD (`decay` None) or Adam on the mean cross-entropy."""

    def loss_of(p: Parameters) -> Any:
        logits = model(p, x)
        logits = logits.reshape(-1, logits.shape[-1])
        log_probability = jax.nn.log_softmax(logits)
        return -log_probability[jnp.arange(len(labels)), labels].mean()

    def update(state: tuple) -> tuple:
        p, m, v, t = state
        loss, g = jax.value_and_grad(loss_of)(p)
        if decay is None:
            return (jax.tree.map(lambda p, g: p - 1e-3 * g, p, g), m, v, t + 1), loss
        return _adam((p, m, v, t + 1), g, decay), loss

    compiled = jax.jit(update, donate_argnums=0)
    zeros = jax.tree.map(jnp.zeros_like, p)
    held = [(p, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(()))]

    def step() -> Any:
        held[0], loss = compiled(held[0])
        return loss

    return step


def _adam(state: tuple, g: Any, decay: float) -> tuple:
    """Adam with decoupled weight decay, as torch's AdamW."""
    p, m, v, t = state
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    rate = 1e-3 / (1 - 0.9**t)
    scale = jnp.sqrt(1 - 0.999**t)

    def moved(p: Any, m: Any, v: Any) -> Any:
        return p * (1 - 1e-3 * decay) - rate * m / (jnp.sqrt(v) / scale + 1e-8)

    return jax.tree.map(moved, p, m, v), m, v, t


def _batch(shape: tuple[int, ...], dtype: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return jnp.asarray(rng.normal(size=shape), dtype), jnp.asarray(rng.integers(0, 10, shape[0]))


def _mlp(sizes: tuple[int, ...], batch: int, decay: float | None) -> Callable[[str], Any]:
    def model(p: Parameters, x: Any) -> Any:
        for i in range(0, 2 * len(sizes) - 4, 2):
            x = jax.nn.relu(_linear(p, str(i), x))
        return _linear(p, str(2 * len(sizes) - 4), x)

    return lambda dtype: _trained(
        _state(lambda f: steps.make_mlp(f, sizes), dtype),
        model,
        *_batch((batch, sizes[0]), dtype),
        decay,
    )


def _cnn(dtype: str) -> Callable[[], Any]:
    def model(p: Parameters, x: Any) -> Any:
        for i in (0, 3, 6):
            x = _conv(x, p[f"{i}.weight"]) + p[f"{i}.bias"][:, None, None]
            window = (1, 1, 2, 2)
            x = lax.reduce_window(jax.nn.relu(x), -jnp.inf, lax.max, window, window, "VALID")
        return _linear(p, "10", x.reshape(len(x), -1))

    return _trained(_state(steps.make_cnn, dtype), model, *_batch((64, 3, 32, 32), dtype), 0.0)


def _conv(x: Any, weight: Any) -> Any:
    return lax.conv_general_dilated(x, weight, (1, 1), "SAME")


def _gpt(dtype: str) -> Callable[[], Any]:
    width, length, heads = steps.WIDTH, steps.LENGTH, steps.HEADS

    def block(p: Parameters, i: int, x: Any) -> Any:
        name = f"blocks.{i}"
        qkv = _linear(p, f"{name}.qkv", _norm(p, f"{name}.norm1", x))
        q, k, v = jnp.moveaxis(qkv.reshape(8, length, 3, heads, width // heads), 2, 0)
        attended = _attention(*(t.swapaxes(1, 2) for t in (q, k, v)))
        attended = attended.swapaxes(1, 2).reshape(8, length, width)
        x = x + _linear(p, f"{name}.out", attended)
        up = jax.nn.gelu(_linear(p, f"{name}.up", _norm(p, f"{name}.norm2", x)), approximate=True)
        return x + _linear(p, f"{name}.down", up)

    def model(p: Parameters, tokens: Any) -> Any:
        x = p["tokens.weight"][tokens] + p["positions"]
        for i in range(4):
            x = block(p, i, x)
        return _linear(p, "head", _norm(p, "norm", x))

    tokens = np.random.default_rng(1).integers(0, steps.VOCABULARY, (8, length + 1))
    state = _state(lambda f: steps.make_gpt(f, 4, width, length), dtype)
    x, labels = jnp.asarray(tokens[:, :-1]), jnp.asarray(tokens[:, 1:].reshape(-1))
    return _trained(state, model, x, labels, 0.01)


def _attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]).astype(q.dtype)
    allowed = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    return jax.nn.softmax(jnp.where(allowed, scores, -jnp.inf), axis=-1) @ v


def _lstm(dtype: str) -> Callable[[], Any]:
    def model(p: Parameters, x: Any) -> Any:
        gates = x @ p["lstm.weight_ih_l0"].T + p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]

        def cell(state: tuple, projected: Any) -> tuple:
            h, c = state
            i, f, g, o = jnp.split(projected + h @ p["lstm.weight_hh_l0"].T, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zero = jnp.zeros((len(x), 256), x.dtype)
        (h, _), _ = lax.scan(cell, (zero, zero), gates.swapaxes(0, 1))
        return _linear(p, "head", h)

    return _trained(_state(steps.make_lstm, dtype), model, *_batch((32, 64, 64), dtype), 0.0)


def _update(shapes: list[tuple[int, ...]]) -> Callable[[str], Any]:
    """Adam alone."""

    def make(dtype: str) -> Callable[[], Any]:
        rng = np.random.default_rng(0)
        p = [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]
        g = jax.tree.map(lambda p: jnp.full_like(p, 0.5), p)
        zeros = [jax.tree.map(jnp.zeros_like, p) for _ in range(2)]
        compiled = jax.jit(lambda s: _adam((*s[:3], s[3] + 1), g, 0.0), donate_argnums=0)
        held = [(p, *zeros, jnp.zeros(()))]

        def step() -> Any:
            held[0] = compiled(held[0])
            return held[0][0][0]

        return step

    return make


_STEPS: dict[str, Callable[[str], Callable[[], Any]]] = {
    "mlp": _mlp((64, 64, 64, 10), 32, None),
    "mlp-large": _mlp((784, 1024, 1024, 10), 256, 0.0),
    "cnn": _cnn,
    "gpt": _gpt,
    "lstm": _lstm,
    "adam148": _update([*[(64, 64), (64,)] * 70, *[(256, 8)] * 7, (1000,)]),
    "adam10m": _update([(1000, 1000)] * 10),
}


# --- operations -----------------------------------------------------------------------------------


def _draw(dtype: str, *shape: int) -> Any:
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), dtype)


def _chain(x: Any, w: Any) -> Any:
    for _ in range(ops.CHAIN // 6):
        x = jnp.exp(jnp.tanh(x * w + 0.1) - w) / w
    return x


def _cross_entropy(x: Any, labels: Any) -> Any:
    return -jax.nn.log_softmax(x)[jnp.arange(len(labels)), labels].mean()


def _batch_norm(x: Any, weight: Any, bias: Any) -> Any:
    mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    scaled = (x - mean) * lax.rsqrt(variance + 1e-5)
    return scaled * weight[:, None, None] + bias[:, None, None]


def _dropout(x: Any, key: Any) -> Any:
    return jnp.where(jax.random.bernoulli(key, 0.9, x.shape), x / 0.9, 0)


def _op(name: str, dtype: str) -> dict[str, Callable[[], Any]]:
    rows = (ops.ROWS, ops.COLUMNS)
    row = _draw(dtype, ops.COLUMNS)
    labels = jnp.asarray(np.random.default_rng(3).integers(0, ops.COLUMNS, ops.ROWS))
    image, channel = (64, 64, 32, 32), _draw(dtype, 64)
    heads = _draw(dtype, 8, 6, 128, 32)
    uniform = jnp.asarray(np.random.default_rng(5).uniform(0.5, 1.5, 1024), dtype)

    def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
        return _norm({"n.weight": weight, "n.bias": bias}, "n", x)

    # function, differentiable inputs, constants
    table: dict[str, tuple] = {
        "chain": (_chain, [_draw(dtype, 1024)], [uniform]),
        "gelu": (lambda x: jax.nn.gelu(x, approximate=False), [_draw(dtype, *rows)], []),
        "gelu-tanh": (lambda x: jax.nn.gelu(x, approximate=True), [_draw(dtype, *rows)], []),
        "softmax": (jax.nn.softmax, [_draw(dtype, *rows)], []),
        "cross-entropy": (_cross_entropy, [_draw(dtype, *rows)], [labels]),
        "layer-norm": (layer_norm, [_draw(dtype, *rows), row, row], []),
        "bias-relu": (lambda x, bias: jax.nn.relu(x + bias), [_draw(dtype, *rows), row], []),
        "dropout": (_dropout, [_draw(dtype, *rows)], [jax.random.key(0)]),
        "batch-norm": (_batch_norm, [_draw(dtype, *image), channel, channel], []),
        "matmul": (jnp.matmul, [_draw(dtype, 1024, 1024)] * 2, []),
        "conv": (_conv, [_draw(dtype, 32, 64, 32, 32), _draw(dtype, 64, 64, 3, 3)], []),
        "attention": (_attention, [heads] * 3, []),
    }
    function, inputs, constants = table[name]
    forward = jax.jit(function)
    y = forward(*inputs, *constants)
    g = jnp.ones_like(y)
    if y.shape:
        g = jnp.asarray(np.random.default_rng(9).normal(size=y.shape), dtype)

    def passes(inputs: list, constants: list, g: Any) -> list:
        # The output is returned too, or the compiler would leave out what only it needs.
        y, pull = jax.vjp(lambda *xs: function(*xs, *constants), *inputs)
        return [y, *pull(g)]

    both = jax.jit(passes)
    return {
        "forward": lambda: forward(*inputs, *constants),
        "both": lambda: both(inputs, constants, g),
    }
