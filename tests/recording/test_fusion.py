"""Chains of operations on elements run as one kernel, with the bits of each by itself."""

import math

import numpy as np
import pytest
from captured import here
from fused_kinds import written_in_place

import tensorlite as tl
from tensorlite import nn
from tensorlite.backend.kernels import generated
from tensorlite.backend.kernels.unavailable import KernelsUnavailable
from tensorlite.recording import reading


def replayed(call, *draws, fuse=True):
    """What a captured call gives for inputs that change, and eager; and the recording."""
    captured = tl.capture(call, fuse=fuse)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        values = [draw(rng) for draw in draws]
        expected = flat(call(*map(here, values)))
        actual = flat(captured(*map(here, values)))
        assert len(actual) == len(expected)
        for i, (one, other) in enumerate(zip(actual, expected, strict=True)):
            assert one.dtype == other.dtype and one.shape == other.shape
            same = one.tobytes() == other.tobytes() or np.array_equal(one, other, equal_nan=True)
            assert same, f"result {i}, seed {seed}: {one} captured, {other} eager"
    (recording,) = captured.recordings
    assert recording.replays >= 2
    return recording


def flat(item):
    if isinstance(item, (list, tuple)):
        return [array for part in item for array in flat(part)]
    return [item.numpy().copy()]


def drawn(*shape, dtype=np.float32):
    return lambda rng: rng.standard_normal(shape).astype(dtype)


def names(recording):
    return [line.name for line in recording.lines()]


def gelu(x):
    return 0.5 * x * (1 + tl.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def test_a_formula_is_one_kernel_forward_and_backward(host):
    def call(x):
        x.requires_grad_()
        y = gelu(x)
        y.backward(tl.ones_like(y))
        return y.detach(), x.grad

    recording = replayed(lambda x: call(x * 1), drawn(33, 70))
    fused = [name for name in names(recording) if name.startswith("fused[")]
    assert len(fused) <= 3
    assert not any(line.by_python for line in recording.lines())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_columns_and_numbers_are_broadcast(host, dtype):
    def call(x, row, column, number, plane):
        a = (x * row - column) / (number + 2.5)
        b = tl.where(a > plane, a, plane * 0.25)
        c = (b.abs() + 1).log() * plane[1:2]
        return a, c, (c.permute(2, 0, 1) + 1) * 2, a[:, 1:] * 2 + row

    draws = [drawn(*s, dtype=dtype) for s in ((5, 4, 3), (3,), (5, 1, 1), (), (5, 4, 3))]
    draws[4] = drawn(5, 4, 3, dtype=dtype)
    recording = replayed(call, *draws)
    assert any(name.startswith("fused[") for name in names(recording))


UNARY = [
    *("abs", "neg", "square", "sqrt", "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf"),
    *("relu", "reciprocal", "rsqrt"),
]
ACTIVATIONS = ["gelu", "silu", "elu", "softplus", "leaky_relu", "logsigmoid"]


def random_chain(rng, arrays, length):
    """A function of Tensors of shapes that broadcast, made by chance."""
    plan = []
    for _ in range(length):
        kind = rng.choice(["unary", "activation", "binary", "number", "where", "view", "clamp"])
        first, second, third = (int(rng.integers(0, 1 << 30)) for _ in range(3))
        plan.append((kind, first, second, third, float(np.float32(rng.standard_normal()))))
    kept = {int(i) for i in rng.integers(0, length, 2)} | {length - 1}

    def call(*given):
        values, kept_values = list(given), []
        for i, (kind, first, second, third, number) in enumerate(plan):
            x, y = values[first % len(values)], values[second % len(values)]
            if kind == "unary":
                made = getattr(tl, UNARY[third % len(UNARY)])(x)
            elif kind == "activation":
                made = getattr(tl.nn.functional, ACTIVATIONS[third % len(ACTIVATIONS)])(x)
            elif kind == "binary":
                made = [x + y, x - y, x * y, x / y, tl.add(x, y, alpha=-1)][third % 5]
            elif kind == "number":
                made = [x + number, number - x, x * number, number / x, x**2, x**3][third % 6]
            elif kind == "where":
                made = tl.where([x > y, x <= y, tl.isnan(x) | (y == x)][third % 3], x, y * number)
            elif kind == "view":
                made = x.reshape(-1).reshape(x.shape) if third % 2 else x.mT.contiguous().mT
            else:
                made = x.clamp(-abs(number), abs(number))
            values.append(made)
            if i in kept:
                kept_values.append(made)
        return kept_values

    return call


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_chains_made_by_chance_have_eagers_bits(host, seed, dtype):
    rng = np.random.default_rng(seed)
    shapes = [(3, 5, 7), (5, 7), (7,), (3, 1, 7), (5, 1), (1, 1, 1), (3, 5, 7), (0, 5, 7)]
    chains = []
    for _ in range(6):
        chosen = rng.integers(0, len(shapes) - (rng.random() < 0.9), 3)
        chains.append((chosen, random_chain(rng, chosen, 10)))

    def call(*given):
        with np.errstate(all="ignore"):
            return [chain(*[given[i] for i in chosen]) for chosen, chain in chains]

    with np.errstate(all="ignore"):
        recording = replayed(call, *(drawn(*shape, dtype=dtype) for shape in shapes))
    assert any(name.startswith("fused[") for name in names(recording))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [2, 7, 8, 9, 127, 128, 129, 300, 1111])
def test_sums_of_rows_are_added_in_numpys_order(host, dtype, columns):
    def call(x, scale):
        y = tl.exp(x) * scale
        return y.sum(dim=-1), (y - 1).mean(dim=1, keepdim=True), (x * x).mean(-1).sum()

    recording = replayed(call, drawn(9, columns, dtype=dtype), drawn(9, 1, dtype=dtype))
    assert "fused[exp mul sum sub]" in names(recording)
    assert not any(line.by_python for line in recording.lines())


def test_layer_normalization_by_its_formula_needs_no_python(host):
    def call(x):
        x = (x * 1).requires_grad_()
        centred = x - x.mean(dim=-1, keepdim=True)
        y = centred / tl.sqrt((centred * centred).mean(dim=-1, keepdim=True) + 1e-5)
        y.sum().backward()
        return y.detach(), x.grad

    recording = replayed(call, drawn(4, 6, 50))
    assert not any(line.by_python for line in recording.lines())


def test_what_is_used_elsewhere_is_written_and_in_place_writes_keep_their_order(host):
    state = tl.zeros(6, 8)
    call = written_in_place(state)
    captured, before = tl.capture(call), state.clone()
    found = []
    for fuse in (True, False):
        state.copy_(before)
        step = captured if fuse else call
        rng = np.random.default_rng(0)
        for _ in range(5):
            out = step(here(drawn(6, 8)(rng)), here(drawn(8, 8)(rng)))
        found.append(flat(out))
    for one, other in zip(*found, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_number_that_is_spread_lives_as_long_as_the_recording(host):
    """The cotangent of a mean is one, read in place of each element, and no memory of the log's."""

    def step(x, y):
        x = x.detach().requires_grad_()
        loss = nn.functional.mse_loss(x, y)
        loss.backward()
        return loss.detach(), x.grad

    captured = tl.capture(step)
    for _ in range(5):
        x, y = tl.randn(32, 1), tl.randn(32, 1)
        for got, expected in zip(captured(x, y), step(x, y), strict=True):
            np.testing.assert_array_equal(got.numpy(), expected.numpy())
        _litter = [tl.rand(n) for n in range(1, 9)]  # in the place of what was given back


def test_arrays_from_before_live_as_long_as_the_kernel_that_reads_them(host):
    table = {"row": np.full(40, 3, np.float32)}

    def call(x):
        return tl.tanh(x - tl.add(table["row"], x) * np.float32(0.5))

    captured = tl.capture(call)
    x = tl.ones(30, 40)
    expected = call(x)
    for _ in range(3):
        captured(x)
    table.clear()
    others = [np.full(40, i, np.float32) for i in range(200)]  # where it was
    (recording,) = captured.recordings
    assert recording._replay([x.array]).numpy().tobytes() == expected.numpy().tobytes()
    assert len(others) == 200


def test_dead_links_are_dropped(host):
    def call(x):
        y = tl.exp(x) + 1  # nobody's
        del y
        return tl.tanh(x) * 2

    (name,) = names(replayed(call, drawn(50)))
    assert name == "fused[tanh mul]" or name == "fused[tanh scale]"


def test_a_picture_a_print_and_a_profile_name_the_links(host):
    def call(x):
        return tl.tanh(x * 2) + 1

    captured = tl.capture(call)
    for _ in range(3):
        captured(tl.ones(2000))
    text, dot = str(captured.recordings[0]), captured.recordings[0].to_dot()
    assert "= fused[scale tanh add](" in text or "= fused[mul tanh add](" in text
    assert "fused[" in dot and "test_fusion.py" in text
    with tl.profiler.profile() as prof:
        captured(tl.ones(2000))
    assert any(event.name.startswith("fused[") for event in prof.events())


def test_without_fusion_nothing_is_fused(host):
    recording = replayed(gelu, drawn(20, 30), fuse=False)
    assert not any("fused" in name for name in names(recording))


def test_without_a_compiler_calls_stay_as_they_are_and_a_line_says_why(host, monkeypatch):
    def none(text, services):
        raise KernelsUnavailable("no C++ compiler; install g++")

    monkeypatch.setattr(reading, "generated", none)
    recording = replayed(gelu, drawn(20, 30))
    assert not any("fused" in name for name in names(recording))
    assert "not fused: no C++ compiler; install g++" in str(recording)


def test_a_kernel_with_other_bits_is_not_used(host, monkeypatch):
    original = reading.source

    def wrong(kernels):
        return original([text.replace("tl::tanh<float>", "tl::sigmoid<float>") for text in kernels])

    monkeypatch.setattr(reading, "source", wrong)
    recording = replayed(gelu, drawn(20, 30))
    assert not any("fused" in name for name in names(recording))


def test_a_damaged_file_is_compiled_anew(host, monkeypatch, tmp_path):
    _, extension = generated.place()
    monkeypatch.setattr(generated, "place", lambda: (_, tmp_path / extension.name))
    generated.generated.cache_clear()
    replayed(gelu, drawn(20, 30))
    (kept,) = tmp_path.glob("fused-*.so")
    whole = kept.read_bytes()
    kept.unlink()  # the file that is loaded must not change
    kept.write_bytes(whole[: len(whole) // 2])
    generated.generated.cache_clear()
    recording = replayed(gelu, drawn(20, 30))
    assert any(name.startswith("fused[") for name in names(recording))
    assert kept.read_bytes() == whole
    generated.generated.cache_clear()
