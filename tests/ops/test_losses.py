"""Losses against their formulas, element by element, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.nn import functional as F
from tensorlite.testing import gradcheck

generator = np.random.default_rng(6)
INPUT, TARGET = generator.standard_normal((2, 5, 3))
PROBABILITY = generator.uniform(0.05, 0.95, (5, 3))
SIGN = np.where(generator.random((5, 3)) < 0.5, -1.0, 1.0)
WEIGHT = np.array([0.5, 2.0, 1.0])


@pytest.fixture
def tensor(device):
    """Make a Tensor on the device under test."""
    return lambda array, **options: tl.tensor(np.asarray(array), device=device, **options)


def host(t: tl.Tensor) -> np.ndarray:
    return t.detach().to("cpu").numpy()


def close(t: tl.Tensor, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    assert t.shape == np.shape(expected)
    np.testing.assert_allclose(host(t), expected, tolerance, tolerance)


def huber(d: float, delta: float) -> float:
    return 0.5 * d * d if abs(d) < delta else delta * (abs(d) - 0.5 * delta)


def bce(p: float, t: float) -> float:
    return -(t * math.log(p) + (1 - t) * math.log(1 - p))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


ELEMENTWISE = {
    "mse": (F.mse_loss, lambda x, t: (x - t) ** 2, (INPUT, TARGET), {}),
    "l1": (F.l1_loss, lambda x, t: abs(x - t), (INPUT, TARGET), {}),
    "huber": (F.huber_loss, lambda x, t: huber(x - t, 0.7), (INPUT, TARGET), {"delta": 0.7}),
    "smooth_l1": (
        F.smooth_l1_loss,
        lambda x, t: huber(x - t, 0.7) / 0.7,
        (INPUT, TARGET),
        {"beta": 0.7},
    ),
    "smooth_l1 sharp": (
        F.smooth_l1_loss,
        lambda x, t: abs(x - t),
        (INPUT, TARGET),
        {"beta": 0.0},
    ),
    "bce": (F.binary_cross_entropy, bce, (PROBABILITY, PROBABILITY[::-1].copy()), {}),
    "bce with logits": (
        F.binary_cross_entropy_with_logits,
        lambda x, t: bce(sigmoid(x), t),
        (INPUT, PROBABILITY),
        {},
    ),
    "kl": (F.kl_div, lambda x, t: t * (math.log(t) - x), (INPUT, PROBABILITY), {}),
    "kl of logarithms": (
        F.kl_div,
        lambda x, t: math.exp(t) * (t - x),
        (INPUT, TARGET),
        {"log_target": True},
    ),
    "hinge": (F.hinge_loss, lambda x, t: max(0.0, 1 - t * x), (INPUT, SIGN), {}),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_losses(name, tensor) -> None:
    loss, formula, inputs, options = ELEMENTWISE[name]
    each = np.vectorize(formula)(*inputs)
    arguments = [tensor(a) for a in inputs]
    close(loss(*arguments, reduction="none", **options), each)
    close(loss(*arguments, reduction="sum", **options), each.sum())
    close(loss(*arguments, **options), each.mean())
    arguments[0].requires_grad_()
    gradcheck(lambda *a: loss(*a, **options), arguments, order=2)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_losses_refuse_to_broadcast(name) -> None:
    loss = ELEMENTWISE[name][0]
    with pytest.raises(ValueError, match=r"\(4, 1\).*\(4,\).*reshape"):
        loss(tl.full((4, 1), 0.5), tl.full((4,), 0.5))
    with pytest.raises(ValueError, match=r"\(4,\).*\(3, 4\).*same shape"):
        loss(tl.full((4,), 0.5), tl.full((3, 4), 0.5))


def test_weights_of_binary_losses(tensor) -> None:
    t = np.array([[1.0, 0.0, 1.0], [0.0, 0.25, 1.0]])
    p = PROBABILITY[:2]
    each = WEIGHT * np.vectorize(bce)(p, t)
    close(F.binary_cross_entropy(tensor(p), tensor(t), tensor(WEIGHT), reduction="none"), each)
    x = np.log(p / (1 - p))
    logits = F.binary_cross_entropy_with_logits
    close(logits(tensor(x), tensor(t), tensor(WEIGHT), reduction="none"), each, 1e-9)
    expected = -(WEIGHT * t * np.log(p) + (1 - t) * np.log(1 - p))
    weighted = logits(tensor(x), tensor(t), reduction="none", pos_weight=tensor(WEIGHT))
    close(weighted, expected, 1e-9)


def test_certain_predictions_are_finite(tensor) -> None:
    """Probabilities 0 and 1, and logits far out: in value and gradient."""
    p = tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    t = tensor([0.0, 1.0, 1.0, 0.0])
    loss = F.binary_cross_entropy(p, t, reduction="none")
    close(loss, [0, 0, 100, 100])
    loss.sum().backward()
    close(p.grad, [0, 0, -1e12, 1e12])  # torch 2.13's, too
    x = tensor([-1e4, 1e4, -1e4, 1e4], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    close(loss, [0, 0, 1e4, 1e4])
    loss.sum().backward()
    close(x.grad, [0, 0, -1, 1])


def test_kl_div_of_impossible_targets_is_zero(tensor) -> None:
    close(F.kl_div(tensor([-1.0, -2.0]), tensor([0.0, 1.0]), reduction="none"), [0, 2])
    loss = F.kl_div(tensor(INPUT), tensor(PROBABILITY), reduction="batchmean")
    close(loss, np.sum(PROBABILITY * (np.log(PROBABILITY) - INPUT)) / 5)


# --- classes ------------------------------------------------------------------------------------


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def targets(labels: np.ndarray, weight: np.ndarray, ignore: int, smoothing: float) -> np.ndarray:
    """Targets as distributions times weights, the formula's t_c; one row a label."""
    t = np.full((labels.size, weight.size), smoothing / weight.size)
    for row, label in zip(t, labels.ravel(), strict=True):
        row[max(label, 0)] += 1 - smoothing
        if label == ignore:
            row[:] = 0
    return t * weight


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore", [-100, 1, -1])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(), (7,), (4, 2, 3)])
def test_cross_entropy_of_class_indices(shape, smoothing, ignore, weighted, tensor) -> None:
    """For logits (C,), (N, C) and (N, C, d1, d2)."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, shape)
    if ignore == -1:
        labels = np.where(rng.random(shape) < 0.3, -1, labels)
    if shape == () and labels == ignore:
        labels = np.array(2)
    logits = rng.standard_normal((*shape, 3))
    weight = WEIGHT if weighted else np.ones(3)
    t = targets(labels, weight, ignore, smoothing)
    each = -(t * log_softmax(logits).reshape(-1, 3)).sum(1)
    own = np.where(labels.ravel() == ignore, 0, weight[np.maximum(labels.ravel(), 0)])

    x = tensor(np.moveaxis(logits, -1, min(1, len(shape))), requires_grad=True)
    options = dict(ignore_index=ignore, label_smoothing=smoothing)
    arguments = (x, tensor(labels), tensor(weight) if weighted else None)
    close(F.cross_entropy(*arguments, reduction="none", **options), each.reshape(shape))
    close(F.cross_entropy(*arguments, reduction="sum", **options), each.sum())
    close(F.cross_entropy(*arguments, **options), each.sum() / own.sum())
    with tl.no_grad():
        close(F.cross_entropy(*arguments, **options), each.sum() / own.sum())
    gradcheck(lambda x: F.cross_entropy(x, *arguments[1:], **options), [x], order=2)

    if smoothing == 0:
        logs = tensor(np.moveaxis(log_softmax(logits), -1, min(1, len(shape))), requires_grad=True)
        arguments = (logs, *arguments[1:])
        close(F.nll_loss(*arguments, ignore_index=ignore, reduction="none"), each.reshape(shape))
        close(F.nll_loss(*arguments, ignore_index=ignore), each.sum() / own.sum())
        gradcheck(lambda x: F.nll_loss(x, *arguments[1:], ignore_index=ignore), [logs], order=2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_of_probabilities(smoothing, weighted, tensor) -> None:
    p = PROBABILITY / PROBABILITY.sum(1, keepdims=True)
    weight = WEIGHT if weighted else np.ones(3)
    t = (p * (1 - smoothing) + smoothing / 3) * weight
    each = -(t * log_softmax(INPUT)).sum(1)
    x, target = tensor(INPUT, requires_grad=True), tensor(p, requires_grad=True)
    w = tensor(weight) if weighted else None
    options = dict(label_smoothing=smoothing)
    close(F.cross_entropy(x, target, w, reduction="none", **options), each)
    close(F.cross_entropy(x, target, w, **options), each.mean())
    gradcheck(lambda x, t: F.cross_entropy(x, t, w, **options), [x, target], order=2)


def test_cross_entropy_of_large_logits(tensor) -> None:
    x = tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    loss = F.cross_entropy(x, tensor([1]))
    loss.backward()
    close(loss, 1e4)
    close(x.grad, [[1, -1, 0]])


def test_cross_entropy_keeps_its_gradient_and_not_its_input(tensor) -> None:
    x = tensor(INPUT.astype(np.float32), requires_grad=True)
    loss = F.cross_entropy(x * 1.0, tensor([0, 1, 2, 0, 1]), reduction="sum")
    node = loss.node.parents[0].parents[0]  # below the sum and the first of two outputs
    (values, gradient), labels = node.saved[:2]
    assert values.shape == (5,) and gradient.shape == (5, 3) and labels.shape == (5,)
    assert gradient.dtype == np.float32


def test_cross_entropy_hands_its_gradient_down_once_nobody_else_needs_it(tensor) -> None:
    labels = tensor([0, 1, 2, 0, 1])
    wanted = tensor(INPUT, requires_grad=True)
    F.cross_entropy(wanted, labels, reduction="none").mean().backward()
    exact = host(wanted.grad)

    def gradients(*scales: float) -> tl.Tensor:
        x = tensor(INPUT, requires_grad=True)
        loss = F.cross_entropy(x, labels)
        kept = loss.node.parents[0].saved[0][1]
        for left, scale in reversed(list(enumerate(scales))):
            loss.backward(tensor(scale, dtype=loss.dtype), retain_graph=left > 0)
        if x.device.type == "cpu":
            assert (x.grad.array is kept) == (len(scales) == 1)
        return x.grad

    close(gradients(1.0), exact)
    close(gradients(-3.0), -3 * exact)
    close(gradients(1.0, 2.0, 0.5), 3.5 * exact)
    x = tensor(INPUT, requires_grad=True)
    loss = F.cross_entropy(x, labels)
    for scale in (2.0, 3.0):
        (found,) = tl.grad(loss * scale, [x], retain_graph=True)
        close(found, scale * exact)


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_labels_that_are_no_class(loss) -> None:
    for label in (3, -1):
        with pytest.raises(IndexError, match=rf"class index {label} is not in \[0, 3\)"):
            loss(tl.zeros(2, 3), tl.tensor([-100, label]))
    with pytest.raises(ValueError, match=r"input of shape \(2, 3\).*indices of shape \(3,\)"):
        loss(tl.zeros(2, 3), tl.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match=r"weight of shape \(2,\) for 3 classes"):
        loss(tl.zeros(2, 3), tl.tensor([0, 1]), tl.ones(2))


def test_other_bad_input() -> None:
    with pytest.raises(TypeError, match="class indices must be integers, not float32"):
        F.nll_loss(tl.zeros(2, 3), tl.zeros(2))
    with pytest.raises(ValueError, match=r"cross_entropy: input of shape \(2, 3\)"):
        F.cross_entropy(tl.zeros(2, 3), tl.zeros(2))
    with pytest.raises(ValueError, match=r"label_smoothing is in \[0, 1\], not 2"):
        F.cross_entropy(tl.zeros(2, 3), tl.tensor([0, 1]), label_smoothing=2)
    with pytest.raises(ValueError, match="reduction is 'mean', 'sum' or 'none', not 'avg'"):
        F.mse_loss(tl.zeros(2), tl.zeros(2), reduction="avg")
    with pytest.raises(ValueError, match=r"probabilities are in \[0, 1\]"):
        F.binary_cross_entropy(tl.tensor([-0.5]), tl.tensor([1.0]))
    with pytest.raises(ValueError, match="delta must be positive"):
        F.huber_loss(tl.zeros(2), tl.zeros(2), delta=0)


# --- margins ------------------------------------------------------------------------------------


def test_cosine_embedding(tensor) -> None:
    target = np.array([1, -1, -1, 1, -1])
    cosine = np.sum(INPUT * TARGET, 1) / (
        np.linalg.norm(INPUT, axis=1) * np.linalg.norm(TARGET, axis=1)
    )
    each = np.where(target == 1, 1 - cosine, np.maximum(0, cosine - 0.1))
    arguments = tensor(INPUT, requires_grad=True), tensor(TARGET, requires_grad=True)
    loss = F.cosine_embedding_loss(*arguments, tensor(target), 0.1, reduction="none")
    close(loss, each, 1e-9)
    fn = lambda a, b: F.cosine_embedding_loss(a, b, tensor(target), 0.1)  # noqa: E731
    gradcheck(fn, arguments, order=2)
    nothing = tensor(np.zeros((1, 3)), requires_grad=True)
    F.cosine_embedding_loss(nothing, nothing, tensor([1])).backward()
    assert np.isfinite(host(nothing.grad)).all()


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_triplet_margin(p, swap, tensor) -> None:
    negative = generator.standard_normal((5, 3))

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sum(np.abs(a - b + 1e-6) ** p, 1) ** (1 / p)

    far = distance(INPUT, negative)
    if swap:
        far = np.minimum(far, distance(TARGET, negative))
    each = np.maximum(0, distance(INPUT, TARGET) - far + 0.5)
    arguments = [tensor(a, requires_grad=True) for a in (INPUT, TARGET, negative)]
    options = dict(margin=0.5, p=p, swap=swap)
    close(F.triplet_margin_loss(*arguments, reduction="none", **options), each)
    gradcheck(lambda *a: F.triplet_margin_loss(*a, **options), arguments, order=2)
