"""Write reference.npz: what torch says of the distributions in distribution_cases.py, in float64.

Run with torch 2.13: ``python tests/distributions/make_reference.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from distribution_cases import CASES, FACTS, PAIRS
from torch import distributions


def leaves(parameters: list) -> list[torch.Tensor]:
    """Tensors of float64 that want gradients."""
    return [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in parameters]


def facts(name: str) -> dict[str, torch.Tensor]:
    """Densities, gradients, moments and functions of one distribution; what torch has of them."""
    parameters, make, value = CASES[name]
    given = leaves(parameters)
    made = make(distributions, *given)
    whole = name.startswith("Categorical")
    at = torch.tensor(value, dtype=torch.int64 if whole else torch.float64)
    found = {"log_prob": made.log_prob(at)}
    grads = torch.autograd.grad(found["log_prob"].sum(), given, retain_graph=True)
    found |= {f"grad.{i}": g for i, g in enumerate(grads)}
    for fact in FACTS:
        try:
            found[fact] = getattr(made, fact)
        except (NotImplementedError, AttributeError):
            continue
    for function, argument in (("entropy", ()), ("cdf", (at,)), ("icdf", (torch.tensor(0.3),))):
        try:
            found[function] = getattr(made, function)(*argument)
        except NotImplementedError:
            continue
    return found


def divergence(name: str) -> dict[str, torch.Tensor]:
    """The divergence of a pair, and its gradients."""
    parameters, make = PAIRS[name]
    given = leaves(parameters)
    value = distributions.kl_divergence(*make(distributions, *given))
    grads = torch.autograd.grad(value.sum(), given)
    return {"kl": value, **{f"grad.{i}": g for i, g in enumerate(grads)}}


def main() -> None:
    """Write the file."""
    torch.set_num_threads(1)
    everything = {}
    for name in CASES:
        everything |= {f"{name}/{k}": v.detach().numpy() for k, v in facts(name).items()}
    for name in PAIRS:
        everything |= {f"KL {name}/{k}": v.detach().numpy() for k, v in divergence(name).items()}
    np.savez_compressed(Path(__file__).with_name("reference.npz"), **everything)


if __name__ == "__main__":
    main()
