"""The rules of the diagnosis on histories that are plain to judge."""

import pytest

from tensorlite.training import diagnose


def history(train, val=None, lr=0.01):
    rates = lr if isinstance(lr, list) else [lr] * len(train)
    return [
        {"epoch": i + 1, "lr": rates[i], "train_loss": loss}
        | ({} if val is None else {"val_loss": val[i]})
        for i, loss in enumerate(train)
    ]


FALLING = [2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03]


@pytest.mark.parametrize(
    "healthy",
    [
        [],
        history([2.3]),
        history(FALLING),
        history(FALLING, [2.1, 1.1, 0.6, 0.4, 0.35, 0.34, 0.36]),
        history([2.3, 0.01, 0.03, 0.02, 0.035]),  # noise near zero
        history([2.0, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]),  # converged, low
        history([2.0, 1.9] + [1.5] * 6, lr=[0.1, 0.1] + [0.001] * 6),  # the rate is used up
        history([0.5, 0.2, 0.1], [0.6, 0.5, 0.9]),  # too early to say
        history([-1.0, -2.0, -1.0]),  # not a loss that the rules are made for
    ],
)
def test_nothing_is_said_of_healthy_runs(healthy):
    assert diagnose(healthy) == []


@pytest.mark.parametrize(
    "train", [[2.3, 5.0], [2.3, 2.0, 1e6], [2.3, 0.5, 0.1, 1.9], [2.3, 2.25, 2.2, 3.5]]
)
def test_divergence(train):
    (finding,) = diagnose(history(train))
    assert finding.kind == "diverges"
    assert "learning rate" in finding.advice
    assert "0.01" in finding.advice
    assert str(finding).startswith("The network diverges: the training loss rose from")


def test_overfitting_names_the_epoch_to_stop_at():
    (finding,) = diagnose(history(FALLING, [2.1, 1.1, 0.6, 0.7, 0.8, 0.9, 1.0]))
    assert finding.kind == "overfits"
    assert "since epoch 3" in finding.seen
    assert "stopping at epoch 3" in finding.advice


@pytest.mark.parametrize("level", [2.3026, 1.9])
def test_stalling(level):
    (finding,) = diagnose(history([2.31] + [level + 1e-4 * i for i in range(8)]))
    assert finding.kind == "stalls"
    assert "over 5 epochs" in finding.seen
