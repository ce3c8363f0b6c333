"""Callbacks that log a run to TensorBoard and MLflow."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorlite.training.callbacks import Callback

if TYPE_CHECKING:
    from tensorlite.training.trainer import Trainer

__all__ = ["MLflow", "TensorBoard"]


def _needed(package: str, extra: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f'{extra} needs the package {package}: pip install "tensorlite[{extra.lower()}]"'
        ) from error


def _numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an epoch, without its own."""
    return {
        name: float(value)
        for name, value in record.items()
        if name != "epoch" and isinstance(value, (int, float))
    }


def _settings(trainer: Trainer) -> dict[str, Any]:
    """What the run was made with, in one level; of the trainer, where nothing was said."""
    said = trainer.metadata.get("settings") or {}
    known = {
        "optimizer": type(trainer.optimizer).__name__,
        "lr": trainer.optimizer.param_groups[0]["lr"],
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
    }
    plain = (bool, int, float, str)
    return known | {k: v for k, v in said.items() if isinstance(v, plain)}


class TensorBoard(Callback):
    """Writes each epoch's numbers for TensorBoard (``pip install "tensorlite[tensorboard]"``).

    Parameters
    ----------
    folder : str or path, optional
        Where the event files go; the run's own folder where it is left out. Look at it with
        ``tensorboard --logdir FOLDER``. A resumed run goes on in the same curves.
    histograms : bool
        Whether the values of the parameters are drawn, too.

    Raises
    ------
    ImportError
        Without the package tensorboardX.
    ValueError
        In `fit`, if there is no folder, and the trainer has none.

    Examples
    --------
    >>> from tensorlite.training import TensorBoard
    >>> trainer = Trainer(model, optimizer, loss, callbacks=[TensorBoard("runs/board")])
    """

    def __init__(self, folder: str | Path | None = None, *, histograms: bool = False) -> None:
        self._package = _needed("tensorboardX", "TensorBoard")
        self.folder, self.histograms = folder, histograms
        self._writer: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Open a file; what an earlier run wrote about epochs that are still to come is void."""
        folder = self.folder
        if folder is None:
            if trainer.folder is None:
                raise ValueError("TensorBoard: say where to write, TensorBoard(folder)")
            folder = trainer.folder.path
        if trainer.world.rank == 0:
            void = trainer.epoch + 1 if trainer.epoch else None
            # Files are named by the second: one that is opened in the same would replace another.
            suffix = f".{trainer.epoch}"
            self._writer = self._package.SummaryWriter(
                str(folder), purge_step=void, filename_suffix=suffix
            )

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Write the epoch's numbers; training and validation go in one diagram."""
        if self._writer is None:
            return
        for name, value in _numbers(record).items():
            part, _, what = name.partition("_")
            tag = f"{what}/{part}" if part in ("train", "val") else name
            self._writer.add_scalar(tag, value, record["epoch"])
        if self.histograms:
            for name, parameter in trainer.model.named_parameters():
                values = parameter.detach().to("cpu").float().numpy()
                self._writer.add_histogram(name, values, record["epoch"])
        self._writer.flush()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Write the settings, and close the file."""
        if self._writer is not None:
            lines = [f"| {name} | {value} |" for name, value in _settings(trainer).items()]
            table = "\n".join(["| setting | value |", "|---|---|", *lines])
            self._writer.add_text("settings", table, trainer.epoch)
            self._writer.close()
            self._writer = None


class MLflow(Callback):
    """Logs a run to MLflow: its settings, each epoch's numbers, and the files it wrote.

    ``pip install "tensorlite[mlflow]"`` brings mlflow-skinny, which is enough to write.

    Parameters
    ----------
    experiment : str, optional
        Under which the run is listed.
    run_name : str, optional
        Of the run.
    artifacts : bool
        Whether the run's folder, with the checkpoints, is handed over at the end.

    Raises
    ------
    ImportError
        Without the package mlflow.

    Notes
    -----
    Where it writes is MLflow's own setting: ``mlflow.set_tracking_uri`` or MLFLOW_TRACKING_URI. A
    run that is active already is used and left open.

    Examples
    --------
    >>> from tensorlite.training import MLflow
    >>> trainer = Trainer(model, optimizer, loss, callbacks=[MLflow("digits")])
    """

    def __init__(
        self, experiment: str | None = None, *, run_name: str | None = None, artifacts: bool = True
    ) -> None:
        self._mlflow = _needed("mlflow", "MLflow")
        self.experiment, self.run_name, self.artifacts = experiment, run_name, artifacts
        self._own = self._active = False

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Begin a run, and write the settings."""
        if trainer.world.rank:
            return
        self._active, self._own = True, self._mlflow.active_run() is None
        if self._own:
            if self.experiment is not None:
                self._mlflow.set_experiment(self.experiment)
            self._mlflow.start_run(run_name=self.run_name)
        self._mlflow.log_params(_settings(trainer))

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Write the epoch's numbers."""
        if self._active:
            self._mlflow.log_metrics(_numbers(record), step=record["epoch"])

    def on_fit_end(self, trainer: Trainer) -> None:
        """Hand over what was written, and end the run."""
        if not self._active:
            return
        self._active = False
        self._mlflow.set_tag("stopped_by", trainer.stopped_by or "")
        if self.artifacts and trainer.folder is not None:
            self._mlflow.log_artifacts(str(trainer.folder.path))
        if self._own:
            self._mlflow.end_run()
