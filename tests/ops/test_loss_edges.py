"""Losses where a good guess is wrong: infinities, short floats, ties, old arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.nn import functional as F
from tensorlite.testing import gradcheck

INF = math.inf
generator = np.random.default_rng(5)


@pytest.fixture
def tensor(device):
    """Make a Tensor on the device under test."""
    return lambda array, **options: tl.tensor(np.asarray(array), device=device, **options)


def host(t: tl.Tensor) -> np.ndarray:
    return t.detach().to("cpu").numpy()


# --- 0 · inf ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_infinite_logits(dtype, tensor) -> None:
    """A certain prediction that is right costs nothing, one that is wrong everything."""
    x = tensor(np.array([INF, -INF, INF, -INF], dtype), requires_grad=True)
    t = tensor(np.array([1, 0, 0, 1], dtype))
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert host(loss).tolist() == [0, 0, INF, INF]
    loss.sum().backward()
    assert host(x.grad).tolist() == [0, 0, 1, -1]
    weighted = F.binary_cross_entropy_with_logits(
        x, t, reduction="none", pos_weight=tensor(np.array(3, dtype))
    )
    assert host(weighted).tolist() == [0, 0, INF, INF]
    multilabel = F.multilabel_soft_margin_loss(x.reshape(2, 2), t.reshape(2, 2), reduction="none")
    assert host(multilabel).tolist() == [0, INF]


@pytest.mark.parametrize("classes", [3, 100])
@pytest.mark.parametrize("options", [dict(ignore_index=1), "weight", "weight and smoothing"])
def test_an_impossible_class_that_does_not_count(options, classes, tensor) -> None:
    """-inf at an ignored label, at a class of weight 0, and there with smoothing."""
    logits = generator.standard_normal((4, classes))
    logits[:, 1] = -INF
    labels = np.array([0, 1, 2, 1])
    weight = np.ones(classes)
    weight[1] = 0
    if options == "weight":
        options = dict(weight=tensor(weight))
    elif options == "weight and smoothing":
        options = dict(weight=tensor(weight), label_smoothing=0.2)
    x = tensor(logits, requires_grad=True)
    loss = F.cross_entropy(x, tensor(labels), **options)
    loss.backward()
    without = np.delete(logits, 1, 1)
    logs = without - np.log(np.exp(without).sum(1, keepdims=True))
    own = [-logs[0, 0], -logs[2, 1]]
    expected = np.mean(own)
    if "label_smoothing" in options:
        spread = -(logs * 0.2 / classes).sum(1)
        expected = (0.8 * np.sum(own) + spread.sum()) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert np.isfinite(host(x.grad)).all()
    if "label_smoothing" not in options:
        logs = tensor(np.insert(logs, 1, -INF, 1), requires_grad=True)
        loss = F.nll_loss(logs, tensor(labels), **options)
        loss.backward()
        assert loss.item() == pytest.approx(expected, rel=1e-9)
        gradient = np.zeros(logits.shape)
        gradient[0, 0] = gradient[2, 2] = -0.5
        np.testing.assert_allclose(host(logs.grad), gradient)


@pytest.mark.parametrize("row", [[-INF] * 3, [INF, 0, -INF], [math.nan] * 3])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [{}, dict(label_smoothing=0.1)])
@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.filterwarnings("error")
def test_a_row_that_is_ignored_may_hold_anything(row, reduction, options, loss, tensor) -> None:
    if loss is F.nll_loss:
        options = {}
    logits = np.array([row, [1.0, -2.0, 0.5], [-INF, 0, 1.0]])
    labels = tensor(np.array([-100, 1, 2]))
    x = tensor(logits, requires_grad=True)
    value = loss(x, labels, reduction=reduction, **options)
    known = tensor(np.where(np.isinf(logits), -1e4, logits)[1:], requires_grad=True)
    expected = loss(known, labels[1:], reduction=reduction, **options)
    if not options:
        np.testing.assert_allclose(host(value)[-2:] if value.ndim else host(value), host(expected))
    value.sum().backward()
    expected.sum().backward()
    assert not host(x.grad)[0].any()
    np.testing.assert_allclose(host(x.grad)[1:], host(known.grad), atol=1e-12)


def test_an_impossible_class_of_probability_nought(tensor) -> None:
    x = tensor([[1.0, 2.0, -INF]], requires_grad=True)
    t = tensor([[0.25, 0.75, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, t)
    loss.backward()
    assert loss.item() == pytest.approx(np.log(np.exp([1, 2]).sum()) - 1.75)
    p = np.exp([1, 2, -INF]) / np.exp([1, 2]).sum()
    np.testing.assert_allclose(host(x.grad)[0], p - [0.25, 0.75, 0])
    assert np.isfinite(host(t.grad)).all()


def test_divergence_from_what_cannot_be(tensor) -> None:
    x = tensor([-INF, -1.0, -INF], requires_grad=True)
    t = tensor([0.0, 0.5, 0.0], requires_grad=True)
    loss = F.kl_div(x, t, reduction="none")
    np.testing.assert_allclose(host(loss), [0, 0.5 * (math.log(0.5) + 1), 0])
    loss.sum().backward()
    assert host(x.grad).tolist() == [0, -0.5, 0]
    assert np.isfinite(host(t.grad)).all()
    logs = tensor([-INF, 0.0], requires_grad=True)
    loss = F.kl_div(tensor([-INF, -2.0]), logs, reduction="none", log_target=True)
    assert host(loss).tolist() == [0, 2]
    loss.sum().backward()
    assert np.isfinite(host(logs.grad)).all()


def test_nothing_counts(tensor) -> None:
    """A mean of nothing is no number, a sum is 0; the gradient is 0."""
    for loss in (F.cross_entropy, F.nll_loss):
        x = tensor(np.zeros((2, 3)), requires_grad=True)
        labels = tensor([1, 1])
        assert math.isnan(loss(x, labels, ignore_index=1).item())
        assert loss(x, labels, ignore_index=1, reduction="sum").item() == 0


@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 1e30), ("float64", 1e200), ("float16", 3e4)]
)
def test_angles_of_large_vectors(dtype, size, tensor) -> None:
    a = np.array([[size, size], [size, 0], [3.0, 4.0]], dtype)
    b = np.array([[size, size], [0, size], [3.0, 4.0]], dtype)
    tolerance = 2e-3 if dtype == "float16" else 1e-6
    x = tensor(a, requires_grad=True)
    loss = F.cosine_embedding_loss(x, tensor(b), tensor([1, 1, 1]), reduction="none")
    np.testing.assert_allclose(host(loss), [0, 1, 0], atol=tolerance)
    loss.sum().backward()
    assert np.isfinite(host(x.grad)).all()
    np.testing.assert_allclose(
        host(F.cosine_similarity(tensor(a), tensor(b))), [1, 0, 1], atol=tolerance
    )


# --- short floats -------------------------------------------------------------------------------

MANY = 70_000  # more than float16 can count, and than 16 bits add up one by one


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (lambda x: F.mse_loss(x, x * 0, reduction="mean"), 1.0),
        (lambda x: F.l1_loss(x, x * 0), 1.0),
        (lambda x: F.huber_loss(x, x * 0), 0.5),
        (lambda x: F.smooth_l1_loss(x, x * 0), 0.5),
        (lambda x: F.binary_cross_entropy_with_logits(x, x * 0), 1.3133),
        (lambda x: F.binary_cross_entropy(x / 2, x * 0), 0.6931),
        (lambda x: F.kl_div(x, x * 0.5), 0.5 * math.log(0.5) - 0.5),
        (lambda x: F.soft_margin_loss(x, x), 0.3133),
        (lambda x: F.poisson_nll_loss(x, x), math.e - 1),
        (lambda x: F.nll_loss(x.reshape(-1, 1), tl.zeros(MANY, device=x.device).long()), -1.0),
        (
            lambda x: F.cross_entropy(tl.stack([x, x], 1), tl.zeros(MANY, device=x.device).long()),
            0.6931,
        ),
    ],
)
def test_means_of_many(loss, value, dtype, tensor) -> None:
    x = tensor(np.ones(MANY, np.float32)).to(dtype).requires_grad_()
    y = loss(x)
    assert y.dtype == x.dtype
    assert host(y).astype(np.float64) == pytest.approx(value, rel=1e-2)
    y.backward()
    assert np.isfinite(host(x.grad).astype(np.float32)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_many(dtype, tensor) -> None:
    """The mean by weights: the sum of all of them is more than float16 can hold."""
    x = tensor(np.ones(MANY, np.float32)).to(dtype)
    logits = tl.stack([x, x], 1)
    labels = tl.zeros(MANY, device=x.device).long()
    weight = tensor(np.ones(2, np.float32)).to(dtype)
    for loss in (F.cross_entropy, F.nll_loss):
        value = host(loss(logits, labels, weight)).astype(np.float64)
        assert value == pytest.approx(0.6931 if loss is F.cross_entropy else -1, rel=1e-2)


def test_slopes_of_float16_probabilities_are_numbers(tensor) -> None:
    x = tensor(np.array([0, 1, 1e-7, 0.5], np.float16), requires_grad=True)
    F.binary_cross_entropy(
        x, tensor(np.array([1, 0, 1, 1], np.float16)), reduction="sum"
    ).backward()
    assert host(x.grad).tolist() == [-16384, 16384, -16384, -2]


# --- corners ------------------------------------------------------------------------------------


def test_slopes_at_the_hinge(tensor) -> None:
    """At exactly 0 they are those of the side that counts, as torch 2.13 has them."""
    x = tensor(np.ones(2), requires_grad=True)
    F.margin_ranking_loss(x, x.detach(), tensor(np.array([1.0, -1.0]))).backward()
    assert host(x.grad).tolist() == [-0.5, 0.5]
    x = tensor(np.ones(2), requires_grad=True)
    F.hinge_embedding_loss(x, tensor(np.array([-1.0, 1.0])), reduction="sum").backward()
    assert host(x.grad).tolist() == [-1, 1]


def test_second_order_of_huber_at_its_middle(tensor) -> None:
    x = tensor(np.zeros(3), requires_grad=True)
    (d,) = tl.grad(F.huber_loss(x, x.detach(), reduction="sum"), [x], create_graph=True)
    (second,) = tl.grad(d.sum(), [x])
    assert host(second).tolist() == [1, 1, 1]


def test_targets_that_are_integers_or_booleans(tensor) -> None:
    x = tensor(np.array([0.25, 0.5], np.float32))
    for kind in ("int64", "bool", "uint8"):
        t = tensor(np.array([1, 0], kind))
        for loss in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits):
            y = loss(x, t)
            assert y.dtype == np.float32
            assert y.item() == loss(x, t.float()).item()


def test_old_arguments() -> None:
    x, t = tl.tensor([1.0, 2.0]), tl.tensor([0.0, 0.0])
    assert F.mse_loss(x, t, True).item() == 2.5
    assert F.mse_loss(x, t, False).item() == 5
    assert F.mse_loss(x, t, reduce=False).shape == (2,)
    assert F.l1_loss(x, t, size_average=False, reduce=True).item() == 3
    with pytest.raises(TypeError, match="size_average is an old argument"):
        F.mse_loss(x, t, "sum")
    with pytest.raises(TypeError, match="target must be a Tensor, not float"):
        F.mse_loss(x, 0.0)
    with pytest.raises(TypeError, match="target is bool"):
        F.cross_entropy(tl.zeros(2, 3), tl.zeros(2).bool())
    with pytest.raises(ValueError, match="ignore_index is for class indices"):
        F.cross_entropy(tl.zeros(2, 3), tl.zeros(2, 3), ignore_index=1)


def test_weighted_regression(tensor) -> None:
    x, t, w = generator.standard_normal((3, 4, 2))
    w = np.abs(w)
    for loss, each in ((F.mse_loss, (x - t) ** 2), (F.l1_loss, np.abs(x - t))):
        y = loss(tensor(x), tensor(t), weight=tensor(w))
        assert y.item() == pytest.approx((each * w).sum() / w.sum())
    with pytest.raises(ValueError, match=r"weight of shape \(2,\)"):
        F.mse_loss(tl.zeros(4, 2), tl.zeros(4, 2), weight=tl.ones(2))


# --- CTC ----------------------------------------------------------------------------------------


def test_ctc_of_concatenated_and_single_targets(tensor) -> None:
    x = generator.standard_normal((6, 3, 4))
    logs = tensor(x - np.log(np.exp(x).sum(-1, keepdims=True)))
    labels = np.array([[1, 2, 2], [3, 9, 9], [9, 9, 9]])
    lengths, steps = (3, 1, 0), (6, 5, 4)
    rows = F.ctc_loss(logs, tensor(labels), steps, lengths, reduction="none")
    joined = F.ctc_loss(logs, tensor([1, 2, 2, 3]), steps, lengths, reduction="none")
    np.testing.assert_array_equal(host(rows), host(joined))
    for i in range(3):
        target = tensor(labels[i, : lengths[i]])
        one = F.ctc_loss(logs[:, i], target, (steps[i],), (lengths[i],), reduction="none")
        assert one.shape == ()
        assert one.item() == pytest.approx(host(rows)[i], rel=1e-12)
    mean = F.ctc_loss(logs, tensor(labels), steps, lengths)
    assert mean.item() == pytest.approx((host(rows) / [3, 1, 1]).mean())


def test_ctc_of_what_cannot_be_said(tensor) -> None:
    """Two equal labels need a blank between them."""
    logs = tensor(np.full((2, 1, 3), -math.log(3)), requires_grad=True)
    arguments = (tensor([[1, 1]]), tensor([2]), tensor([2]))
    assert F.ctc_loss(logs, *arguments).item() == INF
    loss = F.ctc_loss(logs, *arguments, zero_infinity=True)
    loss.backward()
    assert loss.item() == 0
    assert (host(logs.grad) == 0).all()


def test_ctc_gradient_and_dtypes(tensor) -> None:
    x = generator.standard_normal((5, 2, 3))
    arguments = (tensor([[1, 2], [2, 0]]), (5, 4), (2, 1))
    fn = lambda x: F.ctc_loss(F.log_softmax(x, -1), *arguments)  # noqa: E731
    gradcheck(fn, [tensor(x, requires_grad=True)], order=2)
    exact = fn(tensor(x)).item()
    for dtype, tolerance in (("float32", 1e-6), ("float16", 2e-3), ("bfloat16", 2e-2)):
        y = fn(tensor(x).to(dtype))
        assert host(y).astype(np.float64) == pytest.approx(exact, rel=tolerance)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(input_lengths=(6, 4)), r"input_lengths \[6, 4\] must be in \[0, 5\]"),
        (dict(input_lengths=(5,)), "1 input_lengths for 2 sequences"),
        (dict(target_lengths=(3, 1)), r"targets of shape \(2, 2\) for 2 sequences of up to 3"),
        (dict(targets=tl.tensor([1, 2, 2, 1])), "4 targets one after another.*add up to 3"),
        (dict(targets=tl.tensor([[1, 7], [1, 1]])), r"class indices in \[0, 3\)"),
        (dict(blank=3), r"blank 3 is not in \[0, 3\)"),
    ],
)
def test_ctc_refuses(change, message) -> None:
    arguments = dict(
        log_probs=tl.zeros(5, 2, 3),
        targets=tl.tensor([[1, 2], [2, 0]]),
        input_lengths=(5, 4),
        target_lengths=(2, 1),
    )
    with pytest.raises(ValueError, match=message):
        F.ctc_loss(**arguments | change)
