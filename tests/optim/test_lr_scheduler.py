"""Schedules against rates and momenta of torch 2.13, their state, and what else they must bear."""

import copy
import json
import math
import pickle
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from optimizer_cases import MEASURES, PLATEAUS, SCHEDULE_STEPS, SCHEDULES, two_groups

import tensorlite as tl
from tensorlite import optim
from tensorlite.optim import SGD, Adam
from tensorlite.optim import lr_scheduler as schedules
from tensorlite.optim.swa_utils import SWALR

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))


class Library:
    """All schedules in one place."""

    def __getattr__(self, name):
        return SWALR if name == "SWALR" else getattr(schedules, name)


def two():
    return [tl.zeros(1, requires_grad=True) for _ in range(2)]


def make(name):
    optimizer = two_groups(optim, two(), "resumed" in name)
    return SCHEDULES[name](Library(), optimizer), optimizer


def rows(schedule, optimizer, steps):
    found = []
    for _ in range(steps):
        momenta = [group["momentum"] for group in optimizer.param_groups]
        found.append([*schedule.get_last_lr(), *momenta])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_and_momenta_are_torchs(name):
    schedule, optimizer = make(name)
    expected = REFERENCE[f"schedule {name}"]
    np.testing.assert_allclose(rows(schedule, optimizer, SCHEDULE_STEPS), expected, atol=1e-15)


@pytest.mark.parametrize("how", ["state_dict", "json", "deepcopy", "pickle"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_copy_goes_on_alike(name, how):
    schedule, optimizer = make(name)
    rows(schedule, optimizer, 7)
    if "json" in how or "state_dict" in how:
        states = (optimizer.state_dict(), schedule.state_dict())
        if how == "json":  # what a file gives: lists for tuples
            states = json.loads(json.dumps(states))
        second, other = make(name)
        other.load_state_dict(states[0])
        second.load_state_dict(states[1])
    elif how == "deepcopy" or "Lambda" in name or name in ("MultiplicativeLR", "CyclicLR-own"):
        second = copy.deepcopy(schedule)  # functions without a name cannot be pickled
        other = second.optimizer
    else:
        second = pickle.loads(pickle.dumps(schedule))
        other = second.optimizer
    expected = REFERENCE[f"schedule {name}"][7:]
    np.testing.assert_allclose(rows(second, other, len(expected)), expected, atol=1e-15)


@pytest.mark.parametrize("name", PLATEAUS)
def test_plateaus_are_torchs(name):
    schedule = schedules.ReduceLROnPlateau(two_groups(optim, two(), False), **PLATEAUS[name])
    found = []
    for i, measure in enumerate(MEASURES):
        if i == 9:
            state = json.loads(json.dumps(schedule.state_dict()))
            schedule = schedules.ReduceLROnPlateau(schedule.optimizer, **PLATEAUS[name])
            schedule.load_state_dict(state)
        schedule.step(tl.tensor(float(measure)))
        found.append(list(schedule.get_last_lr()))
    np.testing.assert_allclose(found, REFERENCE[f"plateau {name}"])


# What torch 2.13 has in `state_dict()` after three steps of the same schedules.
TORCH_STATES = {
    "StepLR": {"step_size": 3, "gamma": 0.5},
    "MultiStepLR": {"milestones": Counter({5: 2, 2: 1, 11: 1}), "gamma": 0.1},
    "CosineAnnealingLR": {"T_max": 5, "eta_min": 0.01},
    "WarmRestarts": {"T_0": 3, "T_i": 6, "T_mult": 2, "eta_min": 0.001, "T_cur": 0},
    "LambdaLR": {"lr_lambdas": [None, None]},
}


@pytest.mark.parametrize("name", TORCH_STATES)
def test_torchs_state_is_continued(name):
    schedule, optimizer = make(name)
    expected = REFERENCE[f"schedule {name}"]
    for group, lr in zip(optimizer.param_groups, expected[3], strict=False):
        group["lr"] = lr
    schedule.load_state_dict(
        {
            **TORCH_STATES[name],
            "base_lrs": [0.1, 0.05],
            "last_epoch": 3,
            "_step_count": 4,
            "_is_initial": False,
            "_get_lr_called_within_step": False,
            "_last_lr": expected[3][:2].tolist(),
        }
    )
    found = rows(schedule, optimizer, 6)
    np.testing.assert_allclose(found, expected[3:9], atol=1e-15)
    assert set(schedule.state_dict()) >= {*TORCH_STATES[name], "base_lrs", "_last_lr"}


@pytest.mark.parametrize("name", [n for n in SCHEDULES if "resumed" not in n])
def test_a_group_added_later_joins(name):
    schedule, optimizer = make(name)
    rows(schedule, optimizer, 3)
    optimizer.add_param_group({"params": tl.ones(1, requires_grad=True), "lr": 0.05})
    found = rows(schedule, optimizer, SCHEDULE_STEPS - 3)[1:]
    lrs = np.array([row[: len(row) // 2] for row in found])
    assert lrs.shape[1] == 3
    assert np.isfinite(lrs).all()
    np.testing.assert_allclose(lrs[:, :2], REFERENCE[f"schedule {name}"][4:, :2], atol=1e-15)


def test_a_group_added_later_has_its_own_base_rate():
    optimizer = SGD([tl.zeros(1, requires_grad=True)], lr=0.1)
    schedule = schedules.LambdaLR(optimizer, lambda t: 0.5**t)
    schedule.optimizer.step()
    optimizer.add_param_group({"params": tl.ones(1, requires_grad=True), "lr": 8.0})
    schedule.step()
    schedule.step()
    np.testing.assert_allclose(schedule.get_last_lr(), [0.025, 2.0])
    plateau = schedules.ReduceLROnPlateau(optimizer, patience=0)
    optimizer.add_param_group({"params": tl.ones(1, requires_grad=True), "lr": 1.0})
    plateau.step(1.0)
    plateau.step(1.0)
    np.testing.assert_allclose(plateau.get_last_lr(), [0.0025, 0.2, 0.1])


@pytest.mark.parametrize("total", range(1, 12))
@pytest.mark.parametrize("pct_start", [0.0, 0.1, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("three", [False, True])
def test_one_cycle_of_few_steps(total, pct_start, three):
    """Torch divides by zero where a phase has no length; its rate is then that of its end."""
    optimizer = SGD([tl.zeros(1, requires_grad=True)], lr=0.1)
    schedule = schedules.OneCycleLR(
        optimizer, 0.5, total, pct_start=pct_start, three_phase=three, cycle_momentum=False
    )
    rates = []
    for _ in range(total):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert all(0.5 / 25e4 <= rate * (1 + 1e-9) <= 0.5 * (1 + 1e-8) for rate in rates)
    whole = pct_start < 1
    assert rates[-1] == pytest.approx(0.5 / 25e4 if whole else rates[-1], abs=1e-12)
    with pytest.raises(ValueError, match="it has ended"):
        schedule.step()


def test_one_cycle_begins_and_ends_right():
    optimizer = Adam([tl.zeros(1, requires_grad=True)], betas=(0.5, 0.99))
    schedule = schedules.OneCycleLR(optimizer, 1.0, 10, pct_start=0.1, div_factor=10)
    assert schedule.get_last_lr() == [1.0]  # the rise has no steps
    assert optimizer.param_groups[0]["betas"] == (0.85, 0.99)


def test_a_rate_changed_by_hand_stays_changed():
    optimizer = SGD([tl.zeros(1, requires_grad=True)], lr=0.1)
    schedule = schedules.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    schedule.step()
    optimizer.param_groups[0]["lr"] = 8.0
    schedule.step()
    assert schedule.get_last_lr() == [4.0]


def test_a_rate_that_is_a_tensor_is_filled(device):
    lr = tl.tensor(0.5, device=device)
    optimizer = SGD([tl.zeros(1, device=device, requires_grad=True)], lr=lr)
    schedule = schedules.StepLR(optimizer, 1, 0.5)
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == 0.25
    assert schedule.base_lrs[0].item() == 0.5


def test_a_schedule_of_ones_own():
    class WarmUp(schedules.LRScheduler):
        def __init__(self, optimizer, steps):
            self.steps = steps
            super().__init__(optimizer)

        def get_lr(self):
            return [base * min(1, (self.last_epoch + 1) / self.steps) for base in self.base_lrs]

    optimizer = two_groups(optim, two(), False)
    schedule = WarmUp(optimizer, 4)
    found = [row[0] for row in rows(schedule, optimizer, 6)]
    np.testing.assert_allclose(found, [0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_callable_objects_are_saved():
    class Decay:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, t):
            return self.factor**t

    optimizer = SGD([tl.zeros(1, requires_grad=True)], lr=1.0)
    state = schedules.LambdaLR(optimizer, Decay(0.5)).state_dict()
    assert state["lr_lambdas"] == [{"factor": 0.5}]
    other = schedules.LambdaLR(optimizer, Decay(0.9))
    other.load_state_dict(state)
    optimizer.step()
    other.step()
    assert other.get_last_lr() == [0.5]


def test_a_step_to_an_epoch_is_computed_from_the_base_rates():
    optimizer = two_groups(optim, two(), False)
    schedule = schedules.StepLR(optimizer, 3, 0.5)
    optimizer.step()
    with pytest.warns(UserWarning, match="deprecated"):
        schedule.step(7)
    np.testing.assert_allclose(schedule.get_last_lr(), [0.025, 0.0125])
    restarts = schedules.CosineAnnealingWarmRestarts(optimizer, 2, 2)
    restarts.step(3.5)  # of the period from 2 to 6
    assert restarts.get_last_lr()[0] == pytest.approx(0.1 * (1 + math.cos(math.pi * 1.5 / 4)) / 2)
    with pytest.raises(ValueError, match="at least 0"):
        restarts.step(-1)


def test_the_wrong_order_is_noticed():
    optimizer = SGD([tl.zeros(1, requires_grad=True)], lr=0.1)
    schedule = schedules.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match="before the first optimizer.step"):
        schedule.step()
    optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedules.StepLR(optimizer, 2).step()


def test_schedules_within_schedules():
    optimizer = SGD([tl.zeros(1, requires_grad=True)], lr=1.0)
    chained = schedules.ChainedScheduler(
        [schedules.ConstantLR(optimizer, 0.5, 2), schedules.ExponentialLR(optimizer, 0.5)]
    )
    flat = schedules.ConstantLR(optimizer, 1.0, 100)
    schedule = schedules.SequentialLR(optimizer, [flat, chained], [2])
    found = []
    for _ in range(6):
        found += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(found, [1, 1, 0.5, 0.25, 0.25, 0.125])


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (lambda o: schedules.StepLR(o, 0), ValueError),
        (lambda o: schedules.StepLR("o", 1), TypeError),
        (lambda o: schedules.StepLR(o, 1, last_epoch=3), KeyError),
        (lambda o: schedules.ConstantLR(o, 1.5), ValueError),
        (lambda o: schedules.CosineAnnealingLR(o, 0), ValueError),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 0), ValueError),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 2, 1.5), ValueError),
        (lambda o: schedules.LinearLR(o, total_iters=0), ValueError),
        (lambda o: schedules.LinearLR(o, start_factor=0), ValueError),
        (lambda o: schedules.LinearLR(o, end_factor=2), ValueError),
        (lambda o: schedules.LambdaLR(o, [lambda t: t] * 2), ValueError),
        (lambda o: schedules.LambdaLR(o, 3), TypeError),
        (lambda o: schedules.OneCycleLR(o, 1.0), ValueError),
        (lambda o: schedules.OneCycleLR(o, 1.0, 0), ValueError),
        (lambda o: schedules.OneCycleLR(o, 1.0, 3, pct_start=2), ValueError),
        (lambda o: schedules.OneCycleLR(o, 1.0, 3, anneal_strategy="exp"), ValueError),
        (lambda o: schedules.CyclicLR(o, 0.1, 0.2, mode="square"), ValueError),
        (lambda o: schedules.ChainedScheduler([]), ValueError),
        (lambda o: schedules.ChainedScheduler([3]), TypeError),
        (lambda o: schedules.ChainedScheduler([schedules.ReduceLROnPlateau(o)]), ValueError),
        (lambda o: schedules.SequentialLR(o, [schedules.StepLR(o, 1)], [3]), ValueError),
        (lambda o: schedules.ReduceLROnPlateau(o, mode="least"), ValueError),
        (lambda o: schedules.ReduceLROnPlateau(o, factor=2.0), ValueError),
        (lambda o: schedules.ReduceLROnPlateau(o, threshold_mode="sum"), ValueError),
        (lambda o: SWALR(o, 0.1, -1), ValueError),
        (lambda o: SWALR(o, 0.1, anneal_strategy="exp"), ValueError),
    ],
)
def test_bad_settings(bad, error):
    with pytest.raises(error):
        bad(SGD([tl.zeros(1, requires_grad=True)], lr=0.1))


def test_cycling_momentum_needs_momentum():
    optimizer = optim.Adagrad([tl.zeros(1, requires_grad=True)])
    for cycle in (
        lambda: schedules.OneCycleLR(optimizer, 1.0, 5),
        lambda: schedules.CyclicLR(optimizer, 0.1, 1.0),
    ):
        with pytest.raises(ValueError, match="cycle_momentum=False"):
            cycle()
