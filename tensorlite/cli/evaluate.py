"""``tensorlite evaluate``."""

from __future__ import annotations

import math
from argparse import Namespace
from typing import Any

import numpy as np

from tensorlite.cli import restored
from tensorlite.cli.experiment import load_data, test_loader
from tensorlite.cli.processes import join, launch
from tensorlite.training import (
    R2,
    Accuracy,
    ConfusionMatrix,
    MeanAbsoluteError,
    MeanSquaredError,
    evaluate,
)


def run(args: Namespace) -> int:
    """Compute the metrics of a run's best weights on the test data, and print them."""
    if args.processes is not None and args.processes > 1:
        return launch(args.processes, args)
    with join():
        return _evaluate(args)


def _evaluate(args: Namespace) -> int:
    path, epoch, settings, problem, model = restored.load(args.dir, args.device)
    splits = load_data(settings)
    if splits.classes != problem.classes:
        raise ValueError(f"{settings.dataset} has other classes than when {path} was trained")
    if problem.task == "regression":
        metrics = [R2(), MeanSquaredError(), MeanAbsoluteError()]
    elif problem.task == "classification":
        metrics = [Accuracy(), ConfusionMatrix(len(problem.classes))]
    else:
        metrics = [Accuracy()]
    loader = test_loader(splits)
    results = evaluate(model, problem.loss, loader, metrics)
    print(f"{path}, epoch {epoch}, on {len(loader.dataset):,} test samples of {splits.name}")
    print("\n".join(_lines(results, problem.target_scaling.scale)))
    if "confusion" in results:
        print(f"\nlabel (rows) and prediction\n{_table(results['confusion'], problem.classes)}")
    return 0


def _lines(results: dict[str, Any], scale: Any) -> list[str]:
    """The metrics; errors of a regression in the raw unit."""
    unit = np.asarray(scale).item()
    texts = {
        "loss": "loss       {:.4f}",
        "accuracy": "accuracy   {:.4f}",
        "r2": "R²         {:.4f}",
        "mse": "root mean squared error  {:.4g}",
        "mae": "mean absolute error      {:.4g}",
    }
    values = dict(results)
    if "mse" in values:
        values["mse"], values["mae"] = math.sqrt(values["mse"]) * unit, values["mae"] * unit
    return [text.format(values[name]) for name, text in texts.items() if name in values]


def _table(counts: np.ndarray, classes: tuple[str, ...]) -> str:
    """A confusion matrix with the part of each label that was found."""
    names = [name[:12] for name in classes]
    first = max(map(len, names))
    width = max(len(str(counts.max())), *(min(len(name), 4) for name in names)) + 1
    head = " " * first + "".join(f"{name[:4]:>{width}}" for name in names) + "   recall"
    lines = [head]
    for name, row, hits in zip(names, counts, counts.diagonal(), strict=True):
        recall = f"{hits / row.sum():.3f}" if row.sum() else "-"
        lines.append(f"{name:>{first}}" + "".join(f"{n:{width}}" for n in row) + f"{recall:>9}")
    return "\n".join(lines)
