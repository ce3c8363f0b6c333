"""Metrics gathered batch by batch equal the formulas over all samples at once."""

import math
from itertools import pairwise

import numpy as np
import pytest

from tensorlite.training import R2, Accuracy, ConfusionMatrix, MeanAbsoluteError, MeanSquaredError
from tensorlite.training.metrics import named_metrics

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(50, 4)).astype(np.float32)
LABELS = RNG.integers(0, 4, 50)
# A mean far above the spread: the textbook formula Σt² − n·mean² would lose everything.
TARGETS = (RNG.normal(size=50) + 1e5).astype(np.float64)
PREDICTED = TARGETS + RNG.normal(size=50) * 0.3


def gather(metric, outputs, targets, backend, device, sizes=(7, 1, 42)):
    metric.reset()
    bounds = np.cumsum((0, *sizes))
    for start, stop in pairwise(bounds):
        metric.update(
            backend.asarray(outputs[start:stop], device=device),
            backend.asarray(targets[start:stop], device=device),
        )
    return metric.compute()


def test_accuracy(backend, device):
    expected = sum(int(s.argmax() == t) for s, t in zip(SCORES, LABELS, strict=True)) / 50
    assert gather(Accuracy(), SCORES, LABELS, backend, device) == expected


def test_accuracy_of_sequences(backend, device):
    scores, labels = SCORES[:48].reshape(6, 8, 4), LABELS[:48].reshape(6, 8)
    expected = (scores.argmax(-1) == labels).mean()
    assert gather(Accuracy(), scores, labels, backend, device, (2, 4)) == expected


def test_confusion_matrix(backend, device):
    expected = np.zeros((4, 4), int)
    for scores, label in zip(SCORES, LABELS, strict=True):
        expected[label, scores.argmax()] += 1
    counts = gather(ConfusionMatrix(4), SCORES, LABELS, backend, device)
    np.testing.assert_array_equal(counts, expected)


def test_regression_metrics(backend, device):
    errors = PREDICTED - TARGETS
    for metric, expected in (
        (MeanSquaredError(), (errors**2).mean()),
        (MeanAbsoluteError(), abs(errors).mean()),
        (R2(), 1 - (errors**2).sum() / ((TARGETS - TARGETS.mean()) ** 2).sum()),
    ):
        result = gather(metric, PREDICTED, TARGETS, backend, device)
        assert result == pytest.approx(expected, rel=1e-9)


def test_r2_of_the_mean_is_zero_and_of_a_constant_undefined():
    metric = R2()
    metric.update(np.full(4, 2.5), np.array([1.0, 2.0, 3.0, 4.0]))
    assert metric.compute() == 0
    metric.reset()
    metric.update(np.ones(3), np.ones(3))
    assert math.isnan(metric.compute())


def test_metrics_of_nothing():
    assert all(math.isnan(m.compute()) for m in (Accuracy(), MeanSquaredError(), R2()))
    np.testing.assert_array_equal(ConfusionMatrix(2).compute(), np.zeros((2, 2)))


def test_shapes_that_would_broadcast_are_refused():
    column, row = np.ones((5, 1)), np.ones(5)
    for metric in (R2(), MeanSquaredError(), MeanAbsoluteError()):
        with pytest.raises(ValueError, match=r"\(5, 1\) and targets of shape \(5,\)"):
            metric.update(column, row)
    with pytest.raises(ValueError, match=r"need labels of shape \(5,\), got \(5, 1\)"):
        Accuracy().update(np.ones((5, 3)), np.ones((5, 1), int))


def test_names():
    assert [m.name for m in named_metrics(["accuracy", R2()])] == ["accuracy", "r2"]
    with pytest.raises(ValueError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        named_metrics(["acuracy"])
