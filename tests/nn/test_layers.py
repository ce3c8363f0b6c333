"""What layers do beside torch's numbers: dropout, recurrence, statistics, losses, errors."""

from __future__ import annotations

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.nn import functional as F


def host(x: tl.Tensor) -> np.ndarray:
    return x.detach().to("cpu").numpy()


# --- activations, shapes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (nn.ReLU(), F.relu),
        (nn.ReLU6(), F.relu6),
        (nn.SELU(), F.selu),
        (nn.SiLU(), F.silu),
        (nn.Mish(), F.mish),
        (nn.Hardswish(), F.hardswish),
        (nn.Hardsigmoid(), F.hardsigmoid),
        (nn.Sigmoid(), F.sigmoid),
        (nn.Tanh(), F.tanh),
        (nn.LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
        (nn.ELU(0.7), lambda x: F.elu(x, 0.7)),
        (nn.CELU(0.7), lambda x: F.celu(x, 0.7)),
        (nn.GELU("tanh"), lambda x: F.gelu(x, "tanh")),
        (nn.Softplus(2.0), lambda x: F.softplus(x, 2.0)),
        (nn.Hardtanh(-2.0, 0.5), lambda x: F.hardtanh(x, -2.0, 0.5)),
        (nn.GLU(0), lambda x: F.glu(x, 0)),
        (nn.Softmax(0), lambda x: F.softmax(x, 0)),
        (nn.LogSoftmax(0), lambda x: F.log_softmax(x, 0)),
        (nn.Identity(), lambda x: x),
        (nn.Flatten(), lambda x: x.reshape(4, 6)),
        (nn.Flatten(0, 1), lambda x: x.reshape(8, 3)),
        (nn.Unflatten(-1, (3, 1)), lambda x: x.reshape(4, 2, 3, 1)),
        (nn.Unflatten(0, (2, -1)), lambda x: x.reshape(2, 2, 2, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_modules_pass_their_options_on(module, function, device):
    x = tl.tensor(np.linspace(-4, 4, 24, dtype=np.float32).reshape(4, 2, 3), device=device)
    np.testing.assert_array_equal(host(module(x)), host(function(x)))


# --- dropout ------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_is_off_in_evaluation(device):
    tl.manual_seed(0)
    layer = nn.Dropout(0.3)
    x = tl.ones((200, 100), device=device)
    y = host(layer(x))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)
    assert y.mean() == pytest.approx(1, abs=0.02)
    assert (y[:100] != y[100:]).any()
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match=r"p = 1\.5"):
        nn.Dropout(1.5)


def test_a_seed_gives_the_same_mask_on_every_device(device):
    masks = []
    for where in ("cpu", device):
        tl.manual_seed(4)
        masks.append(host(nn.Dropout(0.5)(tl.ones((31, 7), device=where))))
    np.testing.assert_array_equal(*masks)


# --- embedding ----------------------------------------------------------------------------------


def test_the_padding_row_is_zero_and_gets_no_gradient(device):
    layer = nn.Embedding(5, 3, padding_idx=-1).to(device)
    assert layer.padding_idx == 4
    out = layer(tl.tensor([[4, 0], [0, 4]], device=device))
    assert not host(out)[0, 0].any()
    out.sum().backward()
    np.testing.assert_array_equal(host(layer.weight.grad)[:, 0], [2, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="padding_idx 5"):
        nn.Embedding(5, 3, padding_idx=5)


# --- batch statistics ---------------------------------------------------------------------------


def test_running_statistics_follow_the_batches(device):
    layer = nn.BatchNorm1d(2, momentum=0.25).to(device)
    rng = np.random.default_rng(0)
    mean, var = np.zeros(2), np.ones(2)
    for _ in range(3):
        x = rng.normal(size=(5, 2)).astype(np.float32) * 2 + 1
        layer(tl.tensor(x, device=device))
        mean = 0.75 * mean + 0.25 * x.mean(0)
        var = 0.75 * var + 0.25 * x.var(0, ddof=1)
    np.testing.assert_allclose(host(layer.running_mean), mean, rtol=1e-5)
    np.testing.assert_allclose(host(layer.running_var), var, rtol=1e-5)
    assert layer.num_batches_tracked.item() == 3
    layer.eval()(tl.ones((4, 2), device=device))
    assert layer.num_batches_tracked.item() == 3


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_track_running_stats_set_later(axes, device):
    """As in torch: training leaves the averages alone, evaluation goes on using them."""
    x = np.random.default_rng(0).normal(7, 3, (4, 2, *[3] * axes)).astype(np.float32)
    x = tl.tensor(x, device=device)
    layer = getattr(nn, f"BatchNorm{axes}d")(2).to(device)
    layer(x)
    kept = host(layer.running_mean).copy()
    layer.track_running_stats = False
    np.testing.assert_allclose(host(layer(x)).mean(), 0, atol=1e-5)
    assert host(layer.running_mean).tolist() == kept.tolist()
    assert layer.num_batches_tracked.item() == 1
    assert host(layer.eval()(x)).mean() > 1
    layer.track_running_stats = True
    layer.train()(x)
    assert (host(layer.running_mean) > kept).all() and layer.num_batches_tracked.item() == 2


def test_statistics_are_not_on_the_tape(device):
    layer = nn.BatchNorm2d(2).to(device)
    x = tl.ones((2, 2, 2, 2), device=device).requires_grad_()
    layer(x).sum().backward()
    assert all(not buffer.requires_grad for buffer in layer.buffers())


# --- recurrent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_sequence_in_two_parts_is_as_one(kind, device):
    layer = kind(3, 4, num_layers=2).to(device)
    x = tl.tensor(np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float32), device=device)
    whole, end = layer(x)
    first, state = layer(x[:4])
    second, state = layer(x[4:], state)
    np.testing.assert_allclose(host(whole), np.concatenate([host(first), host(second)]), atol=1e-6)
    for a, b in zip(end, state, strict=True):
        np.testing.assert_allclose(host(a), host(b), atol=1e-6)


def test_dropout_lies_between_layers_only(device):
    tl.manual_seed(0)
    x = tl.ones((3, 2, 4), device=device)
    one, two = nn.GRU(4, 4, 1).to(device), nn.GRU(4, 4, 2, dropout=0.5).to(device)
    np.testing.assert_array_equal(host(one(x)[0]), host(one(x)[0]))
    assert (host(two(x)[0]) != host(two(x)[0])).any()
    two.eval()
    np.testing.assert_array_equal(host(two(x)[0]), host(two(x)[0]))


def test_recurrent_errors_name_shapes(device):
    layer = nn.LSTM(3, 4, batch_first=True).to(device)
    with pytest.raises(
        RuntimeError, match=r"shape \(2, 5, 4\); it must be \(N, L, 3\) or \(L, 3\)"
    ):
        layer(tl.ones((2, 5, 4), device=device))
    x = tl.ones((2, 5, 3), device=device)
    h = tl.zeros((1, 2, 4), device=device)
    with pytest.raises(RuntimeError, match=r"must be 2 Tensors .* = \[\(1, 2, 4\)"):
        layer(x, h)
    with pytest.raises(RuntimeError, match=r"shapes \[\(1, 2, 4\), \(1, 2, 3\)\]"):
        layer(x, (h, h[..., :3]))
    with pytest.raises(RuntimeError, match="batched input, hx should also be 3-D"):
        layer(x, (h[0], h[0]))
    with pytest.raises(ValueError, match="nonlinearity 'sigmoid'"):
        nn.RNN(3, 4, nonlinearity="sigmoid")


# --- losses -------------------------------------------------------------------------------------

LABELS = np.array([0, 2, 1])
LOGITS = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
OTHERS = np.random.default_rng(1).uniform(0.1, 0.9, (3, 4)).astype(np.float32)
WEIGHT = np.array([1, 2, 3, 4], np.float32)


@pytest.mark.parametrize(
    ("build", "inputs", "function"),
    [
        (nn.MSELoss, [LOGITS, OTHERS], F.mse_loss),
        (nn.L1Loss, [LOGITS, OTHERS], F.l1_loss),
        (
            lambda reduction: nn.SmoothL1Loss(reduction=reduction, beta=0.5),
            [LOGITS, OTHERS],
            lambda x, t, reduction: F.smooth_l1_loss(x, t, reduction=reduction, beta=0.5),
        ),
        (
            lambda reduction: nn.HuberLoss(reduction, delta=0.5),
            [LOGITS, OTHERS],
            lambda x, t, reduction: F.huber_loss(x, t, reduction=reduction, delta=0.5),
        ),
        (
            lambda reduction: nn.CrossEntropyLoss(
                tl.tensor(WEIGHT), ignore_index=2, reduction=reduction, label_smoothing=0.1
            ),
            [LOGITS, LABELS],
            lambda x, t, reduction: F.cross_entropy(
                x,
                t,
                tl.tensor(WEIGHT, device=x.device),
                ignore_index=2,
                reduction=reduction,
                label_smoothing=0.1,
            ),
        ),
        (
            lambda reduction: nn.NLLLoss(tl.tensor(WEIGHT), ignore_index=2, reduction=reduction),
            [LOGITS, LABELS],
            lambda x, t, reduction: F.nll_loss(
                x, t, tl.tensor(WEIGHT, device=x.device), ignore_index=2, reduction=reduction
            ),
        ),
        (
            lambda reduction: nn.BCELoss(tl.tensor(WEIGHT), reduction=reduction),
            [OTHERS, 1 - OTHERS],
            lambda x, t, reduction: F.binary_cross_entropy(
                x, t, tl.tensor(WEIGHT, device=x.device), reduction=reduction
            ),
        ),
        (
            lambda reduction: nn.BCEWithLogitsLoss(
                reduction=reduction, pos_weight=tl.tensor(WEIGHT)
            ),
            [LOGITS, OTHERS],
            lambda x, t, reduction: F.binary_cross_entropy_with_logits(
                x, t, reduction=reduction, pos_weight=tl.tensor(WEIGHT, device=x.device)
            ),
        ),
        (
            lambda reduction: nn.KLDivLoss(reduction=reduction, log_target=True),
            [LOGITS, OTHERS],
            lambda x, t, reduction: F.kl_div(x, t, reduction=reduction, log_target=True),
        ),
        (nn.HingeLoss, [LOGITS, np.sign(LOGITS)], F.hinge_loss),
        (
            lambda reduction: nn.CosineEmbeddingLoss(0.2, reduction=reduction),
            [LOGITS, OTHERS, np.array([1, -1, 1])],
            lambda a, b, t, reduction: F.cosine_embedding_loss(a, b, t, 0.2, reduction=reduction),
        ),
        (
            lambda reduction: nn.TripletMarginLoss(0.5, p=3.0, reduction=reduction),
            [LOGITS, OTHERS, -OTHERS],
            lambda a, p, n, reduction: F.triplet_margin_loss(
                a, p, n, 0.5, p=3.0, reduction=reduction
            ),
        ),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_loss_modules_pass_their_options_on(build, inputs, function, reduction, device):
    tensors = [tl.tensor(x, device=device) for x in inputs]
    loss = build(reduction=reduction).to(device)(*tensors)
    np.testing.assert_array_equal(host(loss), host(function(*tensors, reduction=reduction)))


def test_weights_of_classes_are_buffers():
    assert list(nn.CrossEntropyLoss(tl.tensor(WEIGHT)).state_dict()) == ["weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels = 3 is not divisible by 2 groups"),
        (lambda: nn.Conv1d(2, 3, 3, groups=2), "out_channels = 3"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), r"kernel_size \(3, 3, 3\) should have 2"),
        (lambda: nn.GroupNorm(3, 4), "4 channels are not divisible by 3 groups"),
        (lambda: nn.BatchNorm2d(3)(tl.ones((2, 3))), r"shape \(2, 3\); it must have 4 axes"),
        (lambda: nn.BatchNorm1d(3)(tl.ones((2, 4))), "second axis must have length 3"),
        (lambda: nn.InstanceNorm1d(3)(tl.ones((2, 3, 1, 1))), "must have 3 or 2 axes"),
        (lambda: nn.Linear(3, 2)(tl.ones((2, 4))), r"linear: input of shape \(2, 4\)"),
        (lambda: nn.MSELoss(reduction="average")(tl.ones(2), tl.ones(2)), "'average'"),
    ],
)
def test_errors_name_the_layer_and_the_sizes(build, message):
    with pytest.raises(ValueError, match=message):
        build()
