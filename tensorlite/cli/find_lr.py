"""``tensorlite train --find-lr``: which learning rate to begin with."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tensorlite import io
from tensorlite.cli.curves import sparkline
from tensorlite.cli.experiment import Experiment
from tensorlite.training.lr_finder import LRCurve, find_lr


def run(experiment: Experiment, plot: Path) -> int:
    """Print the rate where the loss falls fastest, and plot the losses; train nothing."""
    trainer = experiment.trainer([], out=False)
    curve = find_lr(trainer.model, trainer.optimizer, trainer.loss, experiment.train_loader)
    print(f"loss  {sparkline(curve.losses.tolist())}")
    print(f"rate  {curve.rates[0]:.1g} to {curve.rates[-1]:.2g}, {len(curve.rates)} steps")
    print(f"the loss falls fastest at --lr {curve.suggestion:.1e}")
    if _plot(curve, plot):
        print(f"written to {plot}")
    else:
        print('no plot: pip install "tensorlite[plot]"')
    return 0


def _plot(curve: LRCurve, path: Path) -> bool:
    if find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(curve.rates, curve.losses)
    axes.axvline(curve.suggestion, linestyle=":", label=f"{curve.suggestion:.1e}")
    axes.set(xlabel="learning rate", ylabel="loss, smoothed", xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    io.write_atomically(path, lambda name: figure.savefig(name, format="png", dpi=150))
    return True
