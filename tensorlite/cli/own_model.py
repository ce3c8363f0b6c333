"""A model of the user's own: ``--model net.py:Net``."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tensorlite.cli import models
from tensorlite.cli.problem import Problem
from tensorlite.nn.module import Module
from tensorlite.ops import tensor
from tensorlite.training.evaluation import evaluating

__all__ = ["build", "is_own", "resolved"]


def is_own(name: str) -> bool:
    """Whether a model is named by a file and a name in it."""
    return ".py:" in name


def resolved(name: str) -> str:
    """The same name with the whole path of the file.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    file, _, attribute = name.rpartition(":")
    if not Path(file).is_file():
        raise ValueError(f"--model {name}: there is no file {file}")
    return f"{Path(file).resolve()}:{attribute}"


def build(name: str, problem: Problem) -> Module:
    """Make a model for a problem: one of tensorlite's by its name, or the user's own.

    What is named is called with the problem if it takes an argument called ``problem``, else with
    nothing, and must return a Module whose outputs fit the problem.

    Raises
    ------
    ValueError
        If that is not so; names the shapes.
    """
    if not is_own(name):
        return models.build(name, problem)
    make = _named(name)
    takes = "problem" in inspect.signature(make).parameters
    try:
        model = make(problem=problem) if takes else make()
    except Exception as error:
        kind = type(error).__name__
        hint = "" if takes else "; it is called with nothing, as it takes no argument `problem`"
        raise ValueError(f"--model {name}: it raised {kind}: {error}{hint}") from error
    if not isinstance(model, Module):
        raise ValueError(f"--model {name}: it makes {type(model).__name__}, not a Module")
    _check(model, name, problem)
    return model


def _named(name: str) -> Callable[..., Any]:
    """Run the file, and return the object of the given name in it."""
    file, _, attribute = name.rpartition(":")
    if not Path(file).is_file():
        raise ValueError(f"--model {name}: there is no file {file}")
    spec = importlib.util.spec_from_file_location(f"tensorlite_own_{Path(file).stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        kind = type(error).__name__
        raise ValueError(f"--model {name}: {Path(file).name} raised {kind}: {error}") from error
    made = getattr(module, attribute, None)
    if not callable(made):
        held = [n for n, v in vars(module).items() if inspect.isclass(v) and issubclass(v, Module)]
        has = ", ".join(held) or "no Module"
        raise ValueError(f"--model {name}: there is no {attribute!r} to call; the file has {has}")
    return made


def _check(model: Module, name: str, problem: Problem) -> None:
    """Run two samples of zeros through it."""
    language = problem.task == "language"
    samples = np.zeros((2, *problem.shape), np.int64 if language else np.float32)
    wanted: tuple[int, ...] = (2, problem.outputs)
    if problem.task == "regression":
        wanted = (2,)
    elif language:
        wanted = (2, *problem.shape, problem.outputs)
    try:
        with evaluating(model):
            output = model(tensor(samples))
    except Exception as error:
        kind = type(error).__name__
        raise ValueError(
            f"--model {name}: given samples of shape {samples.shape} it raised {kind}: {error}"
        ) from error
    if tuple(output.shape) != wanted:
        hint = "; end forward with .squeeze(-1)" if tuple(output.shape) == (*wanted, 1) else ""
        raise ValueError(
            f"--model {name}: given samples of shape {samples.shape} it returns "
            f"{tuple(output.shape)}, where {problem.dataset} needs {wanted}{hint}"
        )
