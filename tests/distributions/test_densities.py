"""Densities, moments and divergences against torch 2.13, in float64."""

from pathlib import Path

import numpy as np
import pytest
from distribution_cases import CASES, PAIRS, where_there_is_a_solver

import tensorlite as tl
from tensorlite import distributions

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))


def on_host(tensor):
    return tensor.detach().to("cpu").numpy()


def leaves(parameters, device):
    return [
        tl.tensor(np.array(p, np.float64), device=device, requires_grad=True) for p in parameters
    ]


def expected(name):
    return {k.split("/")[1]: v for k, v in REFERENCE.items() if k.startswith(f"{name}/")}


@pytest.mark.parametrize("name", CASES)
@where_there_is_a_solver
def test_facts_are_torchs(name, device):
    parameters, make, value = CASES[name]
    given = leaves(parameters, device)
    made = make(distributions, *given)
    at = tl.tensor(np.array(value), device=device)
    for fact, wanted in expected(name).items():
        if fact == "log_prob":
            found = made.log_prob(at)
        elif fact == "cdf":
            found = made.cdf(at)
        elif fact == "icdf":
            found = made.icdf(tl.tensor(np.array(0.3), device=device))
        elif fact == "entropy":
            found = made.entropy()
        elif fact.startswith("grad."):
            total = made.log_prob(at).sum()
            found = tl.grad(total, given, retain_graph=True)[int(fact[5:])]
        else:
            found = getattr(made, fact)
        assert found.shape == wanted.shape, fact
        # icdf: torch's argument is a float32
        rough = 1e-6 if fact == "icdf" else 1e-9
        np.testing.assert_allclose(
            on_host(found), wanted, rtol=rough, atol=1e-12, err_msg=f"{name}: {fact}"
        )


@pytest.mark.parametrize("name", PAIRS)
@where_there_is_a_solver
def test_divergences_are_torchs(name, device):
    parameters, make = PAIRS[name]
    given = leaves(parameters, device)
    value = distributions.kl_divergence(*make(distributions, *given))
    wanted = expected(f"KL {name}")
    assert value.shape == wanted["kl"].shape
    np.testing.assert_allclose(on_host(value), wanted["kl"], rtol=1e-9, atol=1e-12)
    if np.isfinite(wanted["kl"]).all():
        for i, grad in enumerate(tl.grad(value.sum(), given, allow_unused=True)):
            if grad is not None:
                np.testing.assert_allclose(on_host(grad), wanted[f"grad.{i}"], rtol=1e-8, atol=1e-9)
