"""The functions of `tensorlite.nn.functional` around their primitives: arguments, modes, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.backend import array_backend, backend_for
from tensorlite.call import listed
from tensorlite.nn import functional as F
from tensorlite.ops import pool, recurrent
from tensorlite.ops.compiled import convolution

generator = np.random.default_rng(4)


def normal(*shape: int) -> np.ndarray:
    return generator.standard_normal(shape)


@pytest.fixture
def tensor(device):
    """Make a Tensor on the device under test."""
    return lambda array, **options: tl.tensor(np.asarray(array), device=device, **options)


def host(t: tl.Tensor) -> np.ndarray:
    return t.detach().to("cpu").numpy()


def close(t: tl.Tensor, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    assert t.shape == np.shape(expected)
    np.testing.assert_allclose(host(t), expected, tolerance, tolerance)


# --- activations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        *(F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.softplus),
        *(F.hardtanh, F.hardswish, F.hardsigmoid, F.sigmoid, F.tanh, F.logsigmoid, F.softsign),
        *(F.tanhshrink, F.softshrink, F.hardshrink, F.rrelu),
        *(lambda x: F.softmax(x, -1), lambda x: F.softmin(x, -1), lambda x: F.log_softmax(x, -1)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_inputs_are_safe(function, dtype, tensor) -> None:
    """No overflow, no NaN, no warning (warnings fail the run), in value and gradient."""
    x = tensor(np.array([-1e4, -100, -20, 0, 20, 100, 1e4], dtype), requires_grad=True)
    y = function(x)
    y.sum().backward()
    assert np.isfinite(host(y)).all()
    assert np.isfinite(host(x.grad)).all()


def test_small_sigmoid_keeps_its_digits(tensor) -> None:
    close(F.sigmoid(tensor([-40.0, 40.0])), 1 / (1 + np.exp([40.0, -40.0])), 1e-15)


def test_corners_have_the_stated_slopes(tensor) -> None:
    cases = [
        (F.relu, 0.0, 0.0),
        (F.leaky_relu, 0.0, 0.01),
        (F.relu6, 0.0, 0.0),
        (F.relu6, 6.0, 0.0),
        (F.hardtanh, 1.0, 0.0),
        (F.hardsigmoid, 3.0, 0.0),
        (F.hardswish, 3.0, 1.0),
        (F.hardswish, -3.0, 0.0),
        (F.elu, 0.0, 1.0),
    ]
    for function, at, slope in cases:
        x = tensor(at, requires_grad=True)
        function(x).backward()
        assert x.grad.item() == pytest.approx(slope), f"{function.__name__} at {at}"


def test_relu_keeps_nan(tensor) -> None:
    assert np.isnan(host(F.relu(tensor([math.nan])))).all()


def test_selu_keeps_mean_and_variance(tensor) -> None:
    y = host(F.selu(tensor(normal(200_000))))
    assert abs(y.mean()) < 0.01 and abs(y.var() - 1) < 0.02


def test_celu_is_smooth_at_zero(tensor) -> None:
    x = tensor([-1e-9, 1e-9], requires_grad=True)
    F.celu(x, alpha=0.3).sum().backward()
    close(x.grad, [1.0, 1.0], 1e-8)


def test_softmax_of_a_masked_slice(tensor) -> None:
    x = tensor([[0.0, -math.inf, 0.0]])
    close(F.softmax(x, -1), [[0.5, 0, 0.5]])
    assert host(F.log_softmax(x, -1))[0, 1] == -math.inf


# --- convolution --------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 5)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_keeps_the_size(kernel, dilation, tensor) -> None:
    """It is zeros around the image, the odd one at the far side."""
    x, w = normal(2, 3, 7, 8), normal(4, 3, *kernel)
    y = F.conv2d(tensor(x), tensor(w), padding="same", dilation=dilation)
    total = [dilation * (k - 1) for k in kernel]
    padded = np.pad(x, [(0, 0), (0, 0), *[(t // 2, t - t // 2) for t in total]])
    assert y.shape == (2, 4, 7, 8)
    close(y, host(F.conv2d(tensor(padded), tensor(w), padding="valid", dilation=dilation)))


def test_convolution_in_one_axis_is_that_in_two(tensor) -> None:
    x, w, b = normal(2, 4, 9), normal(6, 2, 3), normal(6)
    options = dict(stride=2, padding=1, dilation=2, groups=2)
    y = F.conv1d(tensor(x), tensor(w), tensor(b), **options)
    wide = dict(stride=(1, 2), padding=(0, 1), dilation=(1, 2), groups=2)
    z = F.conv2d(tensor(x[:, :, None]), tensor(w[:, :, None]), tensor(b), **wide)
    close(y, host(z)[:, :, 0])


@pytest.mark.parametrize("output_padding", [0, 1])
def test_transposed_convolution_is_the_adjoint(output_padding, tensor) -> None:
    """For all x and y of fitting shapes, <conv(x), y> = <x, conv_transpose(y)>."""
    options = dict(stride=2, padding=1, groups=2)
    x, w = normal(2, 4, 7 + output_padding, 7 + output_padding), normal(6, 2, 3, 3)
    forward = F.conv2d(tensor(x), tensor(w), **options)
    y = normal(*forward.shape)
    back = F.conv_transpose2d(tensor(y), tensor(w), output_padding=output_padding, **options)
    assert back.shape == x.shape
    assert np.sum(host(forward) * y) == pytest.approx(np.sum(x * host(back)), rel=1e-12)


def test_transposed_convolution_in_one_axis(tensor) -> None:
    """Each input element puts down a copy of the filter."""
    y = F.conv_transpose1d(tensor([[[1.0, 10.0]]]), tensor([[[1.0, 2.0, 3.0]]]), stride=2)
    close(y, [[[1, 2, 13, 20, 30]]])


# --- pooling and resampling ---------------------------------------------------------------------


def test_max_pool_sends_the_gradient_to_the_first(tensor) -> None:
    x = tensor([[[1.0, 3.0, 3.0, 3.0, 0.0, 0.0]]], requires_grad=True)
    F.max_pool1d(x, 3, stride=1).sum().backward()
    close(x.grad, [[[0, 2, 1, 1, 0, 0]]])


def test_max_pool_keeps_nan(tensor) -> None:
    y = host(F.max_pool1d(tensor([[[1.0, math.nan, 2.0, 0.0]]]), 2))
    assert np.isnan(y[0, 0, 0]) and y[0, 0, 1] == 2


def test_padding_never_wins_a_max_pool(tensor) -> None:
    close(F.max_pool1d(tensor([[[-5.0, -7.0]]]), 2, stride=1, padding=1), [[[-5, -5, -7]]])


def test_average_with_and_without_padding(tensor) -> None:
    x = tensor([[[2.0, 4.0]]])
    close(F.avg_pool1d(x, 2, stride=1, padding=1), [[[1, 3, 2]]])
    close(F.avg_pool1d(x, 2, stride=1, padding=1, count_include_pad=False), [[[2, 3, 4]]])


@pytest.mark.parametrize("out", [(1, 1), (2, 3), (3, 2), (6, 5), (7, 4)])
def test_adaptive_pools(out, tensor) -> None:
    x = normal(2, 3, 6, 5)
    means, largest = np.empty((2, 3, *out)), np.empty((2, 3, *out))
    for i, j in np.ndindex(*out):
        rows = slice(i * 6 // out[0], -(-(i + 1) * 6 // out[0]))
        columns = slice(j * 5 // out[1], -(-(j + 1) * 5 // out[1]))
        means[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
        largest[:, :, i, j] = x[:, :, rows, columns].max((2, 3))
    close(F.adaptive_avg_pool2d(tensor(x), out), means)
    close(F.adaptive_max_pool2d(tensor(x), out), largest)
    close(F.adaptive_avg_pool1d(tensor(x[:, :, :, 0]), out[0]), host_mean_of_rows(x, out[0]))


def host_mean_of_rows(x: np.ndarray, n: int) -> np.ndarray:
    parts = [x[:, :, i * 6 // n : -(-(i + 1) * 6 // n), 0].mean(2) for i in range(n)]
    return np.stack(parts, -1)


def test_interpolation_of_a_line(tensor) -> None:
    """Linear modes are exact on linear functions, away from the edges."""
    x = tensor(np.arange(5.0).reshape(1, 1, 5))
    close(F.interpolate(x, 9, mode="linear", align_corners=True), [[np.linspace(0, 4, 9)]])
    centres = np.clip((np.arange(10) + 0.5) / 2 - 0.5, 0, 4)
    close(F.interpolate(x, scale_factor=2, mode="linear"), [[centres]])
    close(F.interpolate(x, scale_factor=2.0), [[np.repeat(np.arange(5), 2)]])
    close(F.interpolate(x, size=1, mode="linear", align_corners=True), [[[0.0]]])
    for options in (dict(size=245), dict(scale_factor=49)):  # 49 · (1 / 49) is less than 1
        close(F.interpolate(x, **options), [[np.repeat(np.arange(5), 49)]])


def test_bilinear_interpolation_is_linear_along_each_axis(tensor) -> None:
    x = normal(1, 2, 4, 3)
    y = F.interpolate(tensor(x), (6, 5), mode="bilinear")
    down = [host(F.interpolate(tensor(x[..., j]), 6, mode="linear"))[..., None] for j in range(3)]
    rows = np.concatenate(down, -1)
    across = [
        host(F.interpolate(tensor(rows[:, :, i]), 5, mode="linear"))[:, :, None] for i in range(6)
    ]
    close(y, np.concatenate(across, 2))


# --- normalization ------------------------------------------------------------------------------


def test_layer_norm_over_several_axes(tensor) -> None:
    x, w, b = normal(2, 3, 4), normal(3, 4), normal(3, 4)
    expected = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    close(F.layer_norm(tensor(x), (3, 4), tensor(w), tensor(b)), expected * w + b)
    expected = x / np.sqrt(np.mean(x**2, (1, 2), keepdims=True) + 1e-6)
    close(F.rms_norm(tensor(x), (3, 4), tensor(w), eps=1e-6), expected * w)


def test_batch_norm_moves_its_averages(tensor) -> None:
    x, mean, var = normal(5, 3, 4) + 2, normal(3), np.exp(normal(3))
    averages = tensor(mean), tensor(var)
    y = F.batch_norm(tensor(x), *averages, training=True, momentum=0.3)
    shifted = x - x.mean((0, 2), keepdims=True)
    close(y, shifted / np.sqrt(x.var((0, 2), keepdims=True) + 1e-5))
    close(averages[0], 0.7 * mean + 0.3 * x.mean((0, 2)))
    close(averages[1], 0.7 * var + 0.3 * x.var((0, 2), ddof=1))


def test_batch_norm_by_its_averages(tensor) -> None:
    x, mean, var, w, b = normal(5, 3), normal(3), np.exp(normal(3)), normal(3), normal(3)
    averages = tensor(mean), tensor(var)
    y = F.batch_norm(tensor(x), *averages, tensor(w), tensor(b))
    close(y, (x - mean) / np.sqrt(var + 1e-5) * w + b)
    close(averages[0], mean)


def test_batch_norm_of_half_precision_keeps_its_averages_exact(tensor) -> None:
    averages = tensor(np.zeros(2, np.float32)), tensor(np.ones(2, np.float32))
    x = (normal(64, 2) + 1000).astype(np.float16)
    y = F.batch_norm(tensor(x), *averages, training=True, momentum=1.0)
    assert y.dtype == np.float16
    close(averages[0], x.astype(np.float64).mean(0), 1e-6)


def test_group_and_instance_norm(tensor) -> None:
    x, w, b = normal(2, 4, 3, 2), normal(4), normal(4)
    for groups in (1, 2, 4):
        rows = x.reshape(2, groups, -1)
        rows = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-5)
        expected = rows.reshape(x.shape) * w[:, None, None] + b[:, None, None]
        close(F.group_norm(tensor(x), groups, tensor(w), tensor(b)), expected)
    close(F.instance_norm(tensor(x), None, None, tensor(w), tensor(b)), expected)


# --- attention ----------------------------------------------------------------------------------


def test_attention_masks_agree(tensor) -> None:
    """Causal, the same as booleans, and the same as numbers to add."""
    q, k, v = (tensor(normal(2, 3, 5, 4)) for _ in range(3))
    allowed = np.tri(5, dtype=bool)
    causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    close(F.scaled_dot_product_attention(q, k, v, tensor(allowed)), host(causal))
    added = np.where(allowed, 0.0, -np.inf)
    close(F.scaled_dot_product_attention(q, k, v, tensor(added)), host(causal))


def test_attention_to_nothing_gives_zeros_and_finite_gradients(tensor) -> None:
    q, k, v = (tensor(normal(3, 4), requires_grad=True) for _ in range(3))
    mask = np.ones((3, 3), bool)
    mask[1] = False
    y = F.scaled_dot_product_attention(q, k, v, tensor(mask))
    y.sum().backward()
    assert (host(y)[1] == 0).all() and (host(q.grad)[1] == 0).all()
    assert np.isfinite(host(k.grad)).all() and np.isfinite(host(v.grad)).all()


def test_attention_learns_an_additive_mask(tensor) -> None:
    q, k, v = (tensor(normal(3, 4)) for _ in range(3))
    bias = tensor(normal(3, 3), requires_grad=True)
    F.scaled_dot_product_attention(q, k, v, bias)[0, 0].backward()
    e = np.exp(host(q)[0] @ host(k).T / 2 + host(bias)[0])
    w, value = e / e.sum(), host(v)[:, 0]
    expected = np.zeros((3, 3))
    expected[0] = w * (value - w @ value)
    close(bias.grad, expected)


HEADS = {  # of an array (2, 5, 12): views that are no C-contiguous arrays
    "split off": lambda x: x.reshape(2, 5, 3, 4).swapaxes(1, 2),
    "without batches": lambda x: x[0].reshape(5, 3, 4).swapaxes(0, 1),
    "more axes": lambda x: x.reshape(2, 5, 3, 2, 2).permute(0, 2, 3, 1, 4),
    "shared": lambda x: tl.broadcast_to(x[:, None, :, :4], (2, 3, 5, 4)),
    "columns apart": lambda x: x.reshape(2, 1, 5, 12)[..., ::3],
    "turned": lambda x: x.reshape(2, 1, 12, 5).mT[..., :4],
}


@pytest.mark.parametrize("view", HEADS.values(), ids=HEADS)
def test_attention_takes_heads_where_they_lie(view, tensor) -> None:
    xs = [tensor(normal(2, 5, 12), requires_grad=True) for _ in range(3)]
    results = []
    for heads in (view, lambda x: view(x).contiguous()):
        y = F.scaled_dot_product_attention(*map(heads, xs), is_causal=True)
        results.append((y, *tl.grad((y * y).sum(), xs)))
    for where_it_lies, dense in zip(*results, strict=True):
        close(where_it_lies, host(dense))


def test_attention_copies_no_heads(tensor, device) -> None:
    """Query, key and value of one linear layer; the kernels' result is laid out like them."""
    x = tensor(normal(2, 5, 3, 3, 4), requires_grad=True)
    heads = [part.swapaxes(1, 2) for part in x.unbind(2)]
    y = F.scaled_dot_product_attention(*heads)
    for name, array in zip(("query", "key", "value"), heads, strict=True):
        saved = y.node.saved[[r.name for r in y.node.plan.residuals].index(name)]
        assert saved is array.array
    compiled = backend_for(device).kernels is not None
    assert y.swapaxes(1, 2).array.flags.c_contiguous == compiled


def test_attention_keeps_no_matrix_of_weights(tensor) -> None:
    q, k, v = (tensor(normal(64, 8), requires_grad=True) for _ in range(3))
    node = F.scaled_dot_product_attention(q, k, v).node
    assert max(array.size for array in node.saved if hasattr(array, "size")) < 64 * 64


def test_attention_drops_weights(tensor) -> None:
    tl.manual_seed(3)
    q, k, v = tensor(normal(8, 4)), tensor(normal(500, 4)), tensor(np.eye(500))
    w = host(F.scaled_dot_product_attention(q, k, v, dropout_p=0.4))
    exact = host(F.scaled_dot_product_attention(q, k, v))
    assert (w == 0).mean() == pytest.approx(0.4, abs=0.03)
    np.testing.assert_allclose(w[w != 0], exact[w != 0] / 0.6, rtol=1e-12)


def test_attention_drops_as_dropout_of_the_weights_does(tensor) -> None:
    """The numbers are those of the weights, on every device and through every kernel."""
    q, k, v = (tensor(normal(2, 3, n, 8)) for n in (5, 12, 12))
    tl.manual_seed(5)
    y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.4)
    tl.manual_seed(5)
    weights = F.dropout(F.softmax(q @ k.mT / 8**0.5, -1), 0.4)
    close(y, host(weights @ v))
    assert not host(F.scaled_dot_product_attention(q, k, v, dropout_p=1.0)).any()


def test_gradients_of_shared_heads_add_up(tensor) -> None:
    q, k, v = (tensor(normal(2, h, 6, 8), requires_grad=True) for h in (6, 2, 2))
    y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True, is_causal=True)
    y.sum().backward()
    wide = [tensor(host(x).repeat(3, 1), requires_grad=True) for x in (k, v)]
    F.scaled_dot_product_attention(q.detach(), *wide, is_causal=True).sum().backward()
    for few, many in zip((k, v), wide, strict=True):
        close(few.grad, host(many.grad).reshape(2, 2, 3, 6, 8).sum(2))


def test_rotary_scores_depend_on_distance_only(tensor) -> None:
    q, k = normal(8), normal(8)
    x = host(F.rope(tensor(np.tile(q, (10, 1)))))
    y = host(F.rope(tensor(np.tile(k, (10, 1)))))
    scores = x @ y.T
    for distance in range(-9, 10):
        diagonal = np.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-12)
    shifted = F.rope(tensor(q[None]), tensor([7]))
    close(shifted, x[7:8])


# --- dropout and embedding ----------------------------------------------------------------------


def test_dropout_regenerates_its_mask(tensor) -> None:
    tl.manual_seed(11)
    x = tensor(np.ones((200, 300), np.float32), requires_grad=True)
    y = F.dropout(x, 0.3)
    assert not any(hasattr(value, "nbytes") for value in y.node.saved)
    y.sum().backward()
    np.testing.assert_array_equal(host(x.grad), host(y))
    kept = host(y) != 0
    assert kept.mean() == pytest.approx(0.7, abs=0.01)
    np.testing.assert_allclose(host(y)[kept], 1 / 0.7, rtol=1e-6)


def test_dropout_draws_anew_and_follows_the_seed(tensor) -> None:
    x = tensor(np.ones(1000, np.float32))
    tl.manual_seed(5)
    first, second = host(F.dropout(x)), host(F.dropout(x))
    tl.manual_seed(5)
    np.testing.assert_array_equal(host(F.dropout(x)), first)
    assert (first != second).any()


def test_dropout_of_nothing_and_of_everything(tensor) -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x
    y = F.dropout(x, 1.0)
    y.sum().backward()
    close(y, [0, 0])
    close(x.grad, [0, 0])


def test_embedding_adds_repeated_rows_and_skips_padding(tensor) -> None:
    table = tensor(normal(4, 2), requires_grad=True)
    y = F.embedding(tensor([[1, 3], [1, 2]]), table, padding_idx=2)
    y.backward(tensor(np.arange(8.0).reshape(2, 2, 2)))
    close(table.grad, [[0, 0], [4, 6], [0, 0], [2, 3]])


# --- recurrence ---------------------------------------------------------------------------------


def test_reading_in_reverse_is_reading_the_reversed(tensor) -> None:
    x, (h, c) = normal(5, 2, 12), normal(2, 2, 3)
    w, b = normal(12, 3), normal(9)
    calls = (
        lambda x, r: F.lstm(x, tensor(h), tensor(c), tensor(w), r),
        lambda x, r: F.gru(x[..., :9], tensor(h), tensor(w[:9]), tensor(b), r),
        lambda x, r: F.rnn(x[..., :3], tensor(h), tensor(w[:3]), "tanh", r),
    )
    for call in calls:
        output, states = call(tensor(x), True)
        other, other_states = call(tensor(x[::-1].copy()), False)
        close(output, host(other)[::-1])
        for state, expected in zip(listed(states), listed(other_states), strict=True):
            close(state, host(expected))


@pytest.mark.parametrize("reverse", [False, True])
def test_layers_that_overwrite_what_they_projected(tensor, reverse) -> None:
    """The bits of the same steps apart, and of a backward pass that must leave the gates alone."""
    x, (h, c) = normal(5, 2, 4), normal(2, 2, 3)
    w, u, b, d = normal(12, 4), normal(12, 3), normal(12), normal(9)
    layers = (
        (12, F.lstm, recurrent.lstm_layer, (h, c), ()),
        (9, F.gru, recurrent.gru_layer, (h,), (d,)),
    )
    for rows, apart, together, states, last_bias in layers:
        found = []
        for is_layer, retain in ((False, False), (True, False), (True, True)):
            leaves = [tensor(v, requires_grad=True) for v in (x, w[:rows], u[:rows], b[:rows])]
            given, weight_ih, weight_hh, bias = leaves
            initial, rest = map(tensor, states), map(tensor, last_bias)
            if is_layer:
                output, _ = together(given, *initial, weight_ih, weight_hh, bias, *rest, reverse)
            else:
                projected = F.linear(given, weight_ih, bias)
                before = host(projected).copy()
                output, _ = apart(projected, *initial, weight_hh, *rest, reverse)
                np.testing.assert_array_equal(host(projected), before)
            loss = (output * output).sum()
            if retain:
                loss.backward(retain_graph=True)
                for leaf in leaves:
                    leaf.grad = None
            loss.backward()
            found.append([host(output), *(host(leaf.grad) for leaf in leaves)])
        for values in zip(*found, strict=True):
            for other in values[1:]:
                np.testing.assert_array_equal(values[0], other)


def test_kernels_leave_gates_and_their_gradients_in_place(tensor) -> None:
    x, h, w = tensor(normal(5, 2, 12)), tensor(normal(2, 3)), tensor(normal(12, 3))
    backend = array_backend((x.array,))
    if backend.kernels is None:
        pytest.skip("the reference overwrites nothing")
    h_all, c_all, gates = recurrent.lstm_sequence(x, h, h, w, False, True)
    assert backend.byte_bounds(gates.array) == backend.byte_bounds(x.array)
    saved = (gates, h_all, c_all, w, h_all, None, None)
    inner, *_ = recurrent.lstm_backward(*saved, reverse=False, overwrite=True)
    assert backend.byte_bounds(inner.array) == backend.byte_bounds(x.array)


def test_the_last_output_is_the_state(tensor) -> None:
    x, h, w = normal(5, 2, 3), normal(2, 3), normal(3, 3)
    for reverse in (False, True):
        output, state = F.rnn(tensor(x), tensor(h), tensor(w), "relu", reverse)
        close(state, host(output)[0 if reverse else -1])


def test_a_window_in_the_padding_alone(device) -> None:
    x = tl.tensor([[[5.0]]], device=device, requires_grad=True)
    y = F.max_pool1d(x, 2, stride=1, padding=1, dilation=2)  # places -1 and 1 of one element
    y.sum().backward()
    assert y.tolist() == [[[-math.inf]]]
    assert x.grad.tolist() == [[[0.0]]]


def test_images_too_large_for_32_bits_are_for_the_reference(tensor, monkeypatch) -> None:
    x, w = normal(2, 4, 9, 10), normal(6, 4, 3, 3)
    functions = [
        lambda x: F.conv2d(x, tensor(w), padding=1),
        lambda x: F.conv_transpose2d(x, tensor(w.swapaxes(0, 1)[:, :4])),
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 2),
        lambda x: F.adaptive_avg_pool2d(x, 3),
        lambda x: F.max_pool3d(x, 2),
    ]

    def results() -> list[np.ndarray]:
        found = []
        for function in functions:
            leaf = tensor(x, requires_grad=True)
            y = function(leaf)
            (y * y).sum().backward()
            found += [host(y), host(leaf.grad)]
        return found

    expected = results()
    plans = [each for m in (convolution, pool) for each in vars(m).values()]
    plans = [each for each in plans if hasattr(each, "cache_clear")]
    assert len(plans) > 6
    for module, needed in ((convolution, "pair"), (pool, "three")):
        monkeypatch.setattr(module, "MOST_PLACES", 8)
        monkeypatch.delattr(module, needed)  # by every call of a kernel
    for plan in plans:
        plan.cache_clear()
    for found, wanted in zip(results(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)
    for plan in plans:
        plan.cache_clear()
