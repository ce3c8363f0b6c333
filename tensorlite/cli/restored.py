"""Loading a trained model from the folder of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from tensorlite import backend
from tensorlite.cli import precision
from tensorlite.cli.own_model import build
from tensorlite.cli.problem import Problem
from tensorlite.cli.settings import Settings, of_state
from tensorlite.nn.module import Module
from tensorlite.training import RunFolder, load_checkpoint
from tensorlite.training.averaging import best_weights
from tensorlite.training.checked import check_weights


class Restored(NamedTuple):
    """A model with its best weights, and the problem it was trained for."""

    path: Path
    epoch: int
    settings: Settings
    problem: Problem
    model: Module


def metadata(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a checkpoint of ``tensorlite train``; return it and its metadata.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not there, damaged, or made by something else.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is not a folder: name one that train wrote")
    if not path.exists():
        raise FileNotFoundError(
            f"{path.parent} holds no {path.name}: no run was saved there; start one with: "
            f"tensorlite train --out {path.parent}"
        )
    checkpoint = load_checkpoint(path)
    known = checkpoint.get("metadata") or {}
    if not {"settings", "problem"} <= known.keys():
        raise ValueError(f"{path} was not written by tensorlite train: load it from Python")
    return checkpoint, known


def problem_of(path: Path, known: dict[str, Any]) -> Problem:
    """The problem that a checkpoint's metadata describe.

    Raises
    ------
    ValueError
        If they are damaged.
    """
    try:
        return Problem.from_state(known["problem"])
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: its problem cannot be read ({error!r})") from error


def load(folder: str, device: str) -> Restored:
    """Build the model of a run with its best weights, on a device."""
    run = RunFolder(folder)
    path = run.best if run.best.exists() or not run.last.exists() else run.last
    checkpoint, known = metadata(path)
    settings, problem = of_state(known["settings"]), problem_of(path, known)
    model = build(settings.model, problem)
    weights = best_weights(checkpoint)
    check_weights(weights, [name for name, _ in model.named_parameters()], str(path))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        why = " ".join(str(error).split())
        raise ValueError(f"{path} does not fit the model it names: {why}") from error
    model.to(backend.device(device))
    model = precision.cast(model, settings.autocast, backend.device(device))
    return Restored(path, len(checkpoint["history"]), settings, problem, model)
