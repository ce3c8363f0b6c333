"""``tensorlite train``."""

from __future__ import annotations

import contextlib
import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tensorlite import distributed, io
from tensorlite.cli import curves, find_lr, settings
from tensorlite.cli.console import Console, header
from tensorlite.cli.errors import UsageError
from tensorlite.cli.experiment import Experiment, test_loader
from tensorlite.cli.longer import Longer
from tensorlite.cli.processes import cut, join, launch
from tensorlite.cli.restored import metadata, problem_of
from tensorlite.distributed.beat import busy
from tensorlite.training import RunFolder, Stopped, Trainer
from tensorlite.training.stopping import Stopping

RUNS = Path("runs")


def run(args: Namespace) -> int:
    """Train, or resume; then evaluate the best weights on the test data."""
    asked = settings.given(args)
    if args.processes is not None and args.processes > 1:
        if args.resume is None:
            settings.complete(asked)  # what is wrong with it is said once
        return launch(args.processes, args)
    with join():
        return _begin(args, asked) if args.resume is None else _resume(args, asked)


def _begin(args: Namespace, asked: dict[str, Any]) -> int:
    chosen = settings.complete(asked)
    chosen = replace(chosen, shards=cut(asked.get("shards")))
    if args.find_lr and chosen.shards > 1:
        raise UsageError("--find-lr runs on one process, and cuts no batch into shards")
    named = None if args.out is None else Path(args.out)
    out = distributed.on_main(lambda: named or new_folder(chosen.label))
    if args.find_lr:
        experiment = Experiment(chosen, args.device or "auto", out)
        return find_lr.run(experiment, Path(f"{out}-find-lr.png"))
    with _locked(out, make=True):
        return _train(Experiment(chosen, args.device or "auto", out, args.capture))


def _resume(args: Namespace, asked: dict[str, Any]) -> int:
    out = _folder_to_resume(args)
    path = RunFolder(out).last
    checkpoint, known = metadata(path)
    chosen = settings.restore(known["settings"], asked)
    if (end := _end(out, checkpoint, chosen)) is not None:
        with contextlib.suppress(OSError), _locked(out):  # it may be read-only
            distributed.on_main(lambda: io.sweep(out))
        print(end)
        return 0
    cut(chosen.shards)
    with _locked(out):
        experiment = Experiment(chosen, args.device or "auto", out, args.capture)
        experiment.check_same(problem_of(path, known), known.get("data"))
        longer = chosen.epochs > known["settings"]["epochs"]
        return _train(experiment, Longer(chosen) if longer else None, resume=True)


@contextlib.contextmanager
def _locked(out: Path, *, make: bool = False) -> Iterator[None]:
    """Lock a run's folder; rank 0 does it for all."""
    with contextlib.ExitStack() as held:
        lock = RunFolder(out).lock(make=make)
        distributed.on_main(lambda: (held.enter_context(lock), None)[1])
        yield


def _train(experiment: Experiment, longer: Longer | None = None, resume: bool = False) -> int:
    """Train in a folder that is locked, and finish; return the exit status."""
    console = Console()
    trainer = experiment.trainer(list(filter(None, (longer, console))))
    try:
        print(header(experiment, trainer), flush=True)
        trainer.fit(
            experiment.train_loader,
            experiment.val_loader,
            epochs=experiment.settings.epochs,
            resume=resume,
        )
    except (KeyboardInterrupt, Stopped) as stopped:
        console.close()
        with contextlib.suppress(OSError):  # the terminal may be gone
            if not distributed.is_main():
                return _status(stopped)
            print(
                f"stopped; continue with: tensorlite train --resume {experiment.out}",
                file=sys.stderr,
            )
        return _status(stopped)
    finally:
        console.close()
    with busy(trainer.world, "writing the summary"):
        _finish(experiment, trainer)
    return 0


def _status(stopped: BaseException) -> int:
    return 128 + stopped.number if isinstance(stopped, Stopped) else 130


def _end(out: Path, checkpoint: dict[str, Any], chosen: settings.Settings) -> str | None:
    """The message for a run that is finished and evaluated already, or None."""
    stopping = Stopping(chosen.patience, chosen.target_loss)
    stopping.load_state_dict(checkpoint["stopping"])
    reason = stopping.reason(chosen.epochs)
    if reason is None or not (out / "summary.json").exists():
        return None
    go_on = f"; more: tensorlite train --resume {out} --epochs N" if reason == "epochs" else ""
    return f"{out} is finished: stopped by {reason} after epoch {stopping.epoch}{go_on}"


def _folder_to_resume(args: Namespace) -> Path:
    """The folder that is meant: named by --resume or --out, or the newest."""
    named = {Path(folder) for folder in (args.resume, args.out) if folder}
    if len(named) > 1:
        raise UsageError(f"--resume {args.resume} and --out {args.out} name two folders")
    if named:
        return named.pop()
    runs = sorted(RUNS.glob("*/last.safetensors"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise UsageError(f"there is no run under {RUNS}/ to resume: name its folder")
    return runs[-1].parent


def new_folder(label: str) -> Path:
    """A folder under runs/ that is not there yet."""
    folder, number = RUNS / label, 1
    while folder.exists():
        number += 1
        folder = RUNS / f"{label}-{number}"
    return folder


def _finish(experiment: Experiment, trainer: Trainer) -> None:
    """Evaluate the best weights, write the curves and the results, and print them."""
    trainer.load_best()
    test = trainer.evaluate(test_loader(experiment.splits))
    if not distributed.is_main():
        return
    out, history = experiment.out, trainer.history
    result = _summary(experiment, trainer, test)
    text = json.dumps(result, indent=2) + "\n"
    plotted = curves.plot(history, out / "loss.png", experiment.settings.label)
    # The last of all: where it is, the run is finished.
    io.write_atomically(out / "summary.json", lambda name: Path(name).write_text(text))
    print(f"\n{curves.summary(history)}")
    for finding in trainer.findings:
        print(finding)
    print(
        f"stopped by {trainer.stopped_by} after epoch {trainer.epoch}, {result['seconds']:.1f} s; "
        f"best epoch {result['best_epoch']}"
    )
    print("  ".join(f"test {name} {value:.4f}" for name, value in test.items()))
    files = "best.safetensors, last.safetensors, history.jsonl, summary.json"
    note = ", loss.png" if plotted else ' (loss.png: pip install "tensorlite[plot]")'
    print(f"written to {out}: {files}{note}")
    print(f"next: tensorlite evaluate {out}")


def _summary(experiment: Experiment, trainer: Trainer, test: dict[str, Any]) -> dict[str, Any]:
    history, best = trainer.history, trainer.stopping.best_epoch
    seconds = sum(record["seconds"] for record in history)
    rates = [record["samples_per_second"] for record in history]
    result = {
        "dataset": experiment.settings.dataset,
        "model": experiment.settings.model,
        "device": str(trainer.device),
        "epochs": trainer.epoch,
        "best_epoch": best,
        "stopped_by": trainer.stopped_by,
        "val_loss": history[best - 1].get("val_loss"),
        "test_loss": test["loss"],
        "test_accuracy": test.get("accuracy"),
        "seconds": round(seconds, 3),
        "samples_per_second": round(len(rates) / sum(1 / rate for rate in rates), 1),
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "seed": experiment.settings.seed,
        "shards": experiment.settings.shards,
        "processes": trainer.world.size,
    }
    return result | ({"test_r2": test["r2"]} if "r2" in test else {})
