"""Clipping: right for any choice of parameters, any norm, and any magnitude."""

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite import optim
from tensorlite.backend import backend_for

EPS = {"float32": 1e-6, "float64": 1e-12}


def on_host(tensor):
    return tensor.detach().to("cpu").numpy()


def leaf(values, device, dtype="float32"):
    array = backend_for(device).asarray(np.asarray(values, dtype))
    parameter = tl.zeros(np.shape(values), dtype=dtype, device=device, requires_grad=True)
    parameter.grad = tl.tensor(array)
    return parameter


@pytest.fixture
def pair(device):
    """Two parameters of one optimizer, with gradients of norm 5 and 100 in its arena."""
    small, large = (tl.zeros(2, device=device, requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([small, large], lr=1.0)
    (small * tl.tensor([3.0, 4.0], device=device)).sum().backward()
    (large * tl.tensor([60.0, 80.0], device=device)).sum().backward()
    return small, large, optimizer


def test_some_of_an_arena(pair):
    small, large, optimizer = pair
    assert optim.clip_grad_norm_([small], 1.0).item() == pytest.approx(5)
    np.testing.assert_allclose(on_host(small.grad), [0.6, 0.8], rtol=1e-5)
    assert large.grad.tolist() == [60, 80]
    assert optimizer.param_groups[0]["params"][0] is small


def test_one_twice_counts_once(pair):
    small, large, _ = pair
    assert optim.clip_grad_norm_([small, small], 1.0).item() == pytest.approx(5)
    np.testing.assert_allclose(on_host(small.grad), [0.6, 0.8], rtol=1e-5)
    assert large.grad.tolist() == [60, 80]


def test_foreign_parameters_beside(pair, device):
    small, large, _ = pair
    foreign = leaf([5.0, 1.0, -1.0], device)
    total = math.sqrt(25 + 27)
    assert optim.clip_grad_norm_([small, foreign], 1.0).item() == pytest.approx(total)
    np.testing.assert_allclose(on_host(small.grad), np.array([3, 4]) / total, rtol=1e-5)
    np.testing.assert_allclose(on_host(foreign.grad), np.array([5, 1, -1]) / total, rtol=1e-5)
    assert large.grad.tolist() == [60, 80]


def test_a_gradient_that_is_a_view_of_anothers(pair):
    small, large, _ = pair
    large.grad = small.grad.detach()
    assert optim.clip_grad_norm_([small, large], 1.0).item() == pytest.approx(5)
    np.testing.assert_allclose(on_host(small.grad), [0.6, 0.8], rtol=1e-5)


def test_two_optimizers_on_one_parameter(pair):
    small, large, first = pair
    second = optim.Adam([small])
    assert optim.clip_grad_norm_([small, large], 1e9).item() == pytest.approx(math.hypot(5, 100))
    first.step()
    second.step()
    assert large.tolist() == [-60, -80]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3, 100, math.inf, "inf"])
def test_any_norm(p, dtype, device):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=n) for n in (3, 70_000, 1)]
    parameters = [leaf(v, device, dtype) for v in values]
    flat = np.concatenate(values).astype(dtype).astype(float)
    exact = abs(flat).max() if math.isinf(float(p)) else (abs(flat) ** p).sum() ** (1 / p)
    total = optim.clip_grad_norm_(iter(parameters), 0.5, norm_type=p, foreach=True)
    assert total.item() == pytest.approx(exact, rel=1e-5 if dtype == "float32" else 1e-12)
    for parameter, value in zip(parameters, values, strict=True):
        wanted = value * 0.5 / (exact + 1e-6)
        np.testing.assert_allclose(on_host(parameter.grad), wanted, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("p", [1.5, 2.0, 3, 100])
@pytest.mark.parametrize(
    ("dtype", "unit"),
    [
        *(("float32", 1e19), ("float32", 1e-25), ("float64", 1e200), ("float64", 1e-200)),
        *(("float16", 1e4), ("bfloat16", 1e25)),
    ],
)
def test_powers_neither_overflow_nor_vanish(dtype, unit, p, device):
    parameter = tl.zeros(2, device=device, dtype="float64").to(dtype).requires_grad_()
    parameter.grad = tl.tensor(np.array([3 * unit, 4 * unit]), device=device).to(dtype)
    exact = unit * (3**p + 4**p) ** (1 / p)
    short = "16" in dtype
    total = optim.clip_grad_norm_([parameter], exact / 2, norm_type=p)
    assert total.item() == pytest.approx(exact, rel=1e-2 if short else 1e-5)
    if exact > 1e-3:  # 1e-6 is added to the norm before that divides
        halved = np.array([1.5, 2.0]) * unit
        found = on_host(parameter.grad.to("float64"))
        np.testing.assert_allclose(found, halved, rtol=2e-2 if short else 1e-5)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("p", [2.0, 3.0, math.inf])
def test_what_is_not_finite(p, bad, device):
    parameters = [leaf([1.0, 2.0], device), leaf([bad], device)]
    with pytest.raises(RuntimeError, match="cannot be clipped"):
        optim.clip_grad_norm_(parameters, 1.0, p, error_if_nonfinite=True)
    assert parameters[0].grad.tolist() == [1, 2]
    total = optim.clip_grad_norm_(parameters, 1.0, p).item()
    assert math.isnan(total) if math.isnan(bad) else total == math.inf
    expected = [0, 0] if math.isinf(bad) else [math.nan] * 2  # torch.nn.utils.clip_grad_norm_
    np.testing.assert_array_equal(on_host(parameters[0].grad), expected)
    assert math.isnan(on_host(parameters[1].grad)[0])


def test_nothing_to_clip(device):
    bare = tl.zeros(2, device=device, requires_grad=True)
    assert optim.clip_grad_norm_([bare], 1.0).item() == 0
    assert optim.clip_grad_norm_([], 1.0).item() == 0
    assert optim.clip_grad_norm_(leaf(np.zeros(0), device), 1.0).item() == 0
    parameter = leaf([3.0, 4.0], device)
    assert optim.clip_grad_norm_(parameter, 0).item() == 5
    assert parameter.grad.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((-1.0,), "max_norm"), ((math.nan,), "max_norm"), ((1.0, 0), "norm_type"), ((1, -1), "norm_")],
)
def test_bad_limits(arguments, words, device):
    with pytest.raises(ValueError, match=words):
        optim.clip_grad_norm_(leaf([1.0], device), *arguments)


def test_in_two_parts(device):
    parameter = leaf([3.0, 4.0], device)
    total = optim.clip.get_total_norm([parameter.grad])
    assert total.item() == 5
    optim.clip.clip_grads_with_norm_(parameter, 10.0, total)
    assert parameter.grad.tolist() == [3, 4]
    optim.clip.clip_grads_with_norm_([parameter], 1.0, total)
    np.testing.assert_allclose(on_host(parameter.grad), [0.6, 0.8], rtol=1e-5)


def test_values(device):
    parameter = leaf([-3.0, 0.5, 4.0], device)
    optim.clip_grad_value_(parameter, 1, foreach=None)
    assert parameter.grad.tolist() == [-1, 0.5, 1]
    with pytest.raises(ValueError, match="clip_value"):
        optim.clip_grad_value_(parameter, -1)


def test_gaps_between_gradients_are_never_nan(device):
    parameters = [leaf([1.0, 2.0, 3.0], device), leaf([4.0], device)]  # which leave gaps
    optimizer = optim.SGD(parameters, lr=0.1)
    for kind in (2.0, 3.0):  # with a kernel, and without one
        for factor in (math.nan, 1.0):
            optimizer.zero_grad()
            (parameters[0].sum() * factor + parameters[1].sum()).backward()
            total = optim.clip_grad_norm_(parameters, 1.0, kind).item()
        assert total == pytest.approx(4 ** (1 / kind))
