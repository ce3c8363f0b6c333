"""Write reference.npz: what torch makes of the cases in optimizer_cases.py, in float64.

Run with torch 2.13: ``python tests/optim/make_reference.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from optimizer_cases import (
    CASES,
    IDS,
    LBFGS_CASES,
    LBFGS_STEPS,
    MEASURES,
    PLATEAUS,
    SCHEDULE_STEPS,
    SCHEDULES,
    gradients,
    start,
    two_groups,
    valley,
)
from torch.optim import lr_scheduler, swa_utils


def results(name: str, settings: dict) -> dict[str, np.ndarray]:
    """Final parameters, and the state dictionary, by path."""
    parameters = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in start()]
    optimizer = getattr(torch.optim, name)(parameters, **settings)
    for grads in gradients():
        for p, g in zip(parameters, grads, strict=True):
            p.grad = None if g is None else torch.tensor(g, dtype=torch.float64)
        optimizer.step()
    found = {f"p.{i}": p.detach().numpy() for i, p in enumerate(parameters)}
    for i, state in optimizer.state_dict()["state"].items():
        found |= {f"state.{i}.{k}": np.asarray(v) for k, v in state.items() if v is not None}
    return found


def lbfgs(settings: dict) -> dict[str, np.ndarray]:
    """Parameters, the loss and the count of evaluations after each step."""
    x = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([x, y], **settings)

    def closure():
        optimizer.zero_grad()
        loss = valley(x, y)
        loss.backward()
        return loss

    rows = []
    for _ in range(LBFGS_STEPS):
        loss = optimizer.step(closure)
        state = optimizer.state_dict()["state"][0]
        rows.append([*x.tolist(), y.item(), loss.item(), state["func_evals"], state["n_iter"]])
    return {"steps": np.array(rows)}


def schedule(name: str) -> np.ndarray:
    """Rates and momenta of both groups before each step."""
    optimizer = two_groups(torch.optim, [torch.zeros(1) for _ in range(2)], "resumed" in name)
    library = swa_utils if name.startswith("SWALR") else lr_scheduler
    made = SCHEDULES[name](library, optimizer)
    rows = []
    for _ in range(SCHEDULE_STEPS):
        rows.append([*made.get_last_lr(), *(g["momentum"] for g in optimizer.param_groups)])
        optimizer.step()
        made.step()
    return np.array(rows)


def plateau(settings: dict) -> np.ndarray:
    """Rates after each measure."""
    optimizer = two_groups(torch.optim, [torch.zeros(1) for _ in range(2)], False)
    made = lr_scheduler.ReduceLROnPlateau(optimizer, **settings)
    rows = []
    for measure in MEASURES:
        made.step(measure)
        rows.append(made.get_last_lr())
    return np.array(rows)


def main() -> None:
    """Write the file."""
    torch.set_num_threads(1)
    everything = {
        f"{case}/{key}": value
        for case, (name, settings) in zip(IDS, CASES, strict=True)
        for key, value in results(name, settings).items()
    }
    for i, settings in enumerate(LBFGS_CASES):
        everything |= {f"LBFGS-{i}/{key}": value for key, value in lbfgs(settings).items()}
    everything |= {f"schedule {name}": schedule(name) for name in SCHEDULES}
    everything |= {f"plateau {name}": plateau(PLATEAUS[name]) for name in PLATEAUS}
    np.savez_compressed(Path(__file__).with_name("reference.npz"), **everything)


if __name__ == "__main__":
    main()
