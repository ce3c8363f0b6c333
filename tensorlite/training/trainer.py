"""Trainer: the training loop, with validation, early stopping, checkpoints and exact resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tensorlite import distributed, ranks
from tensorlite.amp import GradScaler
from tensorlite.backend import Device, backend_for
from tensorlite.data import DataLoader, Subset, TensorDataset, check_finite
from tensorlite.distributed.agreement import check_same, code_of
from tensorlite.distributed.beat import busy
from tensorlite.nn.batch_norm import BatchNormNd
from tensorlite.nn.module import Module
from tensorlite.nn.sync_batch_norm import SyncBatchNorm
from tensorlite.optim import Optimizer
from tensorlite.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from tensorlite.recording import Captured
from tensorlite.tensor import Tensor
from tensorlite.training.averaging import Averaged, best_weights
from tensorlite.training.callbacks import Callback, Report
from tensorlite.training.diagnosis import Finding, diagnose, not_finite
from tensorlite.training.epoch import Epoch
from tensorlite.training.evaluation import Batch, evaluate, moved, predict
from tensorlite.training.folder import RunFolder, load_checkpoint
from tensorlite.training.interruption import Interruption
from tensorlite.training.intervals import Interval
from tensorlite.training.metrics import Metric, named_metrics
from tensorlite.training.placement import place
from tensorlite.training.saving import Saver
from tensorlite.training.state import check_weights_of, checkpoint_of, restore
from tensorlite.training.stopping import Stopping
from tensorlite.training.update import Update

__all__ = ["Trainer"]


class Trainer:
    """Trains a model.

    Parameters
    ----------
    model
        Called with all Tensors of a batch but the last, which is the target.
    optimizer
        Made with ``model.named_parameters()``, so that checkpoints name its state.
    loss
        ``loss(output, target)``: the mean over a batch, a Tensor with no axes.
    weight
        ``weight(*batch)``: how much a batch, or a part of one, counts where the loss is a mean over
        something else than samples: ``lambda x, y: (y != PAD).sum()`` for one over tokens.
    schedule
        A learning-rate schedule of `optimizer`. `ReduceLROnPlateau` is shown the watched loss.
    schedule_per
        Whether the schedule steps once per epoch or once per batch.
    metrics
        Computed on the validation data; `Metric` objects, or "accuracy", "mse", "mae", "r2".
    device
        Where to train: "auto" takes CUDA where there is one. The model is moved there.
    callbacks
        `Callback` objects; by default a printed line per epoch.
    clip_norm
        Greatest norm of the gradients, if they are to be clipped.
    accumulate
        Batches whose gradients make one step: that of the mean over all their samples.
    scaler
        A `GradScaler`, for a model that computes in float16.
    ema
        A decay from 0 to below 1, such as 0.999. After each step the average of the weights becomes
        ``ema * average + (1 - ema) * weights``; losses and metrics of `evaluate` and `fit`,
        `predict`, and the best weights are then those of the average.
    patience
        Stop after this many epochs without a new lowest loss.
    target_loss
        Stop when the loss is this low. Watched here and by `patience` is the validation loss, or
        the training loss where there is no validation.
    out
        Folder for ``best.safetensors``, ``last.safetensors`` and ``history.jsonl``. While `fit`
        runs, it is locked against other processes.
    save_every
        Write ``last.safetensors`` after this many batches too, or after this time ("10min", "90s",
        "1.5h"), not only after every epoch. Files are written while training goes on; they are
        complete when `fit` returns or raises.
    metadata
        Anything `tensorlite.save` takes, kept in the checkpoints.
    capture
        Whether steps are recorded once and then run without Python (see `tensorlite.capture`), with
        the same results: "auto" where that is possible, "on" (an error where it is not), "off".

    Notes
    -----
    After ``tl.distributed.init()`` all processes train together: each makes the same trainer with
    the same model, optimizer and loaders. The optimizer is divided by `Sharded`, training loaders
    are cut into shards, evaluation is shared, and all stop at the same step; see
    docs/distributed.md. Callbacks run in every process; rank 0 alone writes checkpoints.

    Attributes
    ----------
    history : list of dict
        One record per epoch: "epoch", "lr" (at its beginning), "train_loss", "val_loss", "val_" and
        each metric's name, "seconds" (validation included), "samples_per_second" (of training).
    epochs : int
        How many to train in all, as given to `fit`.
    batches : int
        In an epoch.
    progress : Epoch
        The epoch under way.
    not_captured : str or None
        Why steps are not captured, if something hinders it.
    averaged : Averaged or None
        The average of the weights, where `ema` asks for one; ``averaged.model`` has them.
    stopped_by : str or None
        "epochs", "patience", "target_loss" or what `stop` was called with.

    Raises
    ------
    ValueError
        If an option is out of range, or they do not fit each other.

    Examples
    --------
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> optimizer = tl.optim.Adam(model.named_parameters(), lr=1e-3)
    >>> trainer = Trainer(model, optimizer, nn.functional.cross_entropy, metrics=["accuracy"])
    >>> trainer.fit(train_loader, val_loader, epochs=20)
    >>> trainer.evaluate(test_loader)["accuracy"]

    >>> loss = nn.functional.cross_entropy
    >>> trainer = Trainer(model, optimizer, loss, callbacks=[], out="run")
    >>> trainer.stop("enough")
    >>> history = trainer.fit(train_loader, epochs=1)
    >>> trainer.load_best()
    >>> trainer.predict(tl.zeros(2, 1, 8, 8)).shape, trainer.epoch, trainer.findings
    ((2, 10), 1, [])
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        schedule: LRScheduler | ReduceLROnPlateau | None = None,
        schedule_per: Literal["epoch", "batch"] = "epoch",
        metrics: Iterable[Metric | str] = (),
        device: str | Device = "auto",
        callbacks: Iterable[Callback] = (Report(),),
        weight: Callable[..., Any] | None = None,
        clip_norm: float | None = None,
        accumulate: int = 1,
        scaler: GradScaler | None = None,
        ema: float | None = None,
        patience: int | None = None,
        target_loss: float | None = None,
        out: str | Path | None = None,
        save_every: int | str | None = None,
        metadata: dict[str, Any] | None = None,
        capture: Literal["auto", "on", "off"] = "auto",
    ) -> None:
        if capture not in ("auto", "on", "off"):
            raise ValueError(f"capture must be 'auto', 'on' or 'off', not {capture!r}")
        if schedule_per not in ("epoch", "batch"):
            raise ValueError(f"schedule_per must be 'epoch' or 'batch', not {schedule_per!r}")
        if accumulate < 1:
            raise ValueError(f"accumulate must be at least 1 batch, not {accumulate}")
        self.world = ranks.world()
        self.model, self.optimizer, self.loss, self.weight = model, optimizer, loss, weight
        self.accumulate, self.scaler = accumulate, scaler
        self.schedule, self.schedule_per = schedule, schedule_per
        self.metrics = named_metrics(metrics)
        self.stopping = Stopping(patience, target_loss)
        self.callbacks = list(callbacks)
        self.folder = None if out is None else RunFolder(out)
        self.save_every = Interval(save_every)
        self._saver = None if self.folder is None else Saver(self.folder.save)
        self.metadata = metadata or {}
        self.device = place(model, optimizer, device)
        if self.world.is_cut and getattr(optimizer, "sharing", None) is None:
            check_same("Trainer", code_of(model, loss))
            self.world.know(m for m in model.modules() if isinstance(m, BatchNormNd))
            distributed.Sharded(optimizer)
        self.update = Update(
            model,
            optimizer,
            loss,
            clip_norm=clip_norm,
            scaler=scaler,
            weight=weight,
            device=self.device,
            before=self._settle,
        )
        self.averaged = None if ema is None else Averaged(model, ema)
        self._captured: Callable | None = None
        self.not_captured = self._hindrance(capture)
        if capture == "on" and self.not_captured is not None:
            raise ValueError(f"capture='on': {self.not_captured}")
        can_be = backend_for(self.device).kernels is not None  # else there is nothing to record
        if self.not_captured is None and (capture == "on" or (capture == "auto" and can_be)):
            if self.world.size > 1:  # cut where processes exchange: between backward and step
                self.update.captured = Captured(self.update.gradients, most=8, strict=True)
            else:
                self._captured = Captured(self._step, most=8, strict=capture == "on")
        self.history: list[dict[str, Any]] = []
        self.epochs = self.batches = 0
        self.stopped_by: str | None = None
        self._new_epoch()

    def _hindrance(self, capture: str) -> str | None:
        """Why steps cannot be captured."""
        if self.world.size > 1 and capture != "on":
            return f"{self.world.size} processes exchange gradients within a step"
        if len(self.world.own) > 1:
            return f"a step goes through {self.world.shards} shards"
        if self.accumulate > 1 or self.scaler is not None or self.weight is not None:
            return "accumulate, scaler and weight are for steps that are not captured"
        if self.world.is_cut and any(isinstance(m, SyncBatchNorm) for m in self.model.modules()):
            return "SyncBatchNorm exchanges statistics within a step"
        return None

    # --- using it -----------------------------------------------------------------------------

    def fit(
        self,
        train_loader: DataLoader,
        val_loader: DataLoader | None = None,
        epochs: int = 1,
        *,
        resume: bool = False,
    ) -> list[dict[str, Any]]:
        """Train until `epochs` epochs are done in all, or something stops it earlier.

        Ctrl-C lets the batch finish and writes the checkpoint before `KeyboardInterrupt` is raised;
        so do SIGTERM and SIGHUP, which then end the process with `SystemExit`.

        Parameters
        ----------
        train_loader, val_loader
            Batches whose last Tensor is the target.
        epochs
            How many, those of earlier calls and of a resumed run included.
        resume
            Continue from ``last.safetensors`` in `out`, to the same bits as if the run had never
            ended, on the same machine with the same versions; where those have changed, a line says
            so. Build model, optimizer, schedule and loaders as before.

        Returns
        -------
        list of dict
            `history`.

        Raises
        ------
        FloatingPointError
            If the loss becomes NaN or infinite.
        FileExistsError
            If `out` holds something already and `resume` is False.
        BlockingIOError
            If another process trains in `out`.
        OSError
            If a checkpoint cannot be written.
        ValueError
            If the data hold NaN, or the checkpoint is damaged or does not fit.
        """
        if epochs < 1:
            raise ValueError(f"fit: epochs must be at least 1, not {epochs}")
        for loader in filter(None, (train_loader, val_loader)):
            _check_data(loader)
        self.epochs, self.batches = epochs, len(train_loader)
        if self.world.is_cut:
            distributed.cut(train_loader)
        with ExitStack() as held:
            if self.folder is not None:
                lock = self.folder.lock(make=not resume and not self.history)
                distributed.on_main(lambda: (held.enter_context(lock), None)[1])
            return self._fit(train_loader, val_loader, resume)

    def _fit(
        self, train_loader: DataLoader, val_loader: DataLoader | None, resume: bool
    ) -> list[dict[str, Any]]:
        # An overflow is reported by the loss, once, and not by NumPy at every operation.
        with Interruption() as interruption, np.errstate(all="ignore"), self._writing():
            self._open(train_loader, resume)
            self._call("on_fit_begin")
            while (reason := self.stopped_by or self.stopping.reason(self.epochs)) is None:
                self._run_epoch(train_loader, val_loader, interruption)
        self.stopped_by = reason
        self._call("on_fit_end")
        return self.history

    def evaluate(
        self, loader: Iterable[Batch], metrics: Iterable[Metric | str] | None = None
    ) -> dict[str, Any]:
        """Loss and metrics over a loader; `metrics` replaces the trainer's own."""
        chosen = self.metrics if metrics is None else named_metrics(metrics)
        return evaluate(self._evaluated, self.loss, loader, chosen, self.weight)

    def predict(self, data: Any, batch_size: int = 256) -> np.ndarray:
        """Outputs for an array of samples, or for a loader.

        Parameters
        ----------
        data, batch_size
            As of `predict`.
        """
        return predict(self._evaluated, data, batch_size)

    @property
    def _evaluated(self) -> Module:
        """The model that is judged: with averaged weights, if there are such."""
        return self.model if self.averaged is None else self.averaged.model

    def load_best(self) -> None:
        """Give the model the weights of its lowest loss, from ``best.safetensors``.

        With `ema` they are averages, and the average goes on from them.

        Raises
        ------
        ValueError
            If the trainer has no folder.
        """
        if self.folder is None or self._saver is None:
            raise ValueError("load_best: this trainer writes no checkpoints; give it a folder, out")
        distributed.on_main(self._saver.finish)
        checkpoint = load_checkpoint(self.folder.best)
        state = best_weights(checkpoint)
        check_weights_of(self.model, state, self.folder.best)
        self.model.load_state_dict(state)
        if self.averaged is not None:
            self.averaged.load_state_dict(checkpoint["averaged"])

    def stop(self, reason: str) -> None:
        """End the run after this epoch; for callbacks.

        Parameters
        ----------
        reason : str
        """
        self.stopped_by = reason

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return len(self.history)

    @property
    def findings(self) -> list[Finding]:
        """Signs that training goes wrong; see `tensorlite.training.diagnosis`."""
        return diagnose(self.history)

    # --- the loop -----------------------------------------------------------------------------

    def _run_epoch(
        self, train_loader: DataLoader, val_loader: DataLoader | None, interruption: Interruption
    ) -> None:
        self._call("on_epoch_begin")
        self._train(train_loader, interruption)
        started = time.perf_counter()
        train_loss = self._finite_loss()
        # On a GPU the work is done only now that the losses were read.
        self.progress.seconds += time.perf_counter() - started
        epoch, lr = self.epoch + 1, self.progress.lr
        record = {"epoch": epoch, "lr": lr, "train_loss": train_loss}
        watched, started = train_loss, time.perf_counter()
        if val_loader is not None:
            results = self.evaluate(val_loader)
            record |= {f"val_{name}": value for name, value in results.items()}
            watched = results["loss"]
            if not np.isfinite(watched):
                raise not_finite("validation loss", watched, f"epoch {epoch}", lr)
        seconds = self.progress.seconds
        record["seconds"] = round(seconds + time.perf_counter() - started, 3)
        record["samples_per_second"] = round(self.progress.samples / seconds, 1)
        self._finish_epoch(record, watched, train_loader)
        stop = interruption.requested
        if self.world.size > 1:  # what one decided holds for all; a later wish, for the next batch
            said = self.world.gather((stop, self.stopped_by))
            stop = any(requested for requested, _ in said)
            self.stopped_by = next((reason for _, reason in said if reason is not None), None)
        if stop:
            interruption.stop(self.world)

    def _train(self, loader: DataLoader, interruption: Interruption) -> None:
        """Run the batches that are left of the epoch."""
        self.model.train()
        started = time.perf_counter()
        for batch in loader:
            number = len(self.progress.sizes) + 1
            last = self._is_last(number)
            if self.world.size > 1:  # what rank 0, or who got a signal, asks all others for
                due = self._is_due(number)
                self.world.wishes = ranks.STOP * interruption.requested | ranks.SAVE * due
            self._update(batch)
            now = time.perf_counter()
            self.progress.seconds += now - started
            started = now
            self._call("on_batch_end")
            if self.world.size > 1:
                due = bool(self.world.agreed & ranks.SAVE)
                stop = bool(self.world.agreed & ranks.STOP)
            else:
                due, stop = self._is_due(number), interruption.requested
            if last and (due or stop):
                self._finite_loss()
                self._save(loader)
                if stop:
                    interruption.stop(self.world)

    def _is_due(self, batches: int) -> bool:
        """Whether a checkpoint is to be written after so many batches of the epoch."""
        due = self.save_every.due(batches)
        # While one is being written it is a later batch's turn: none waits.
        return due and self._saver is not None and not self._saver.busy

    def _is_last(self, number: int) -> bool:
        """Whether a step is taken after so many batches of the epoch."""
        return number % self.accumulate == 0 or number == self.batches

    def _update(self, batch: Batch) -> None:
        """Compute a batch; take a step if it is the last of those that make one."""
        if self._captured is not None:
            *inputs, target = moved(batch, self.device)
            self._settle()
            self.progress.add(self._captured(*inputs, target).array, len(target))
            self._average()
            return
        self.update.add(batch, self.progress)
        if self._is_last(len(self.progress.sizes)):
            self.update.take()
            self._average()
            self._step_schedule()

    def _average(self) -> None:
        if self.averaged is not None:
            self.averaged.update(self.model)

    def _step(self, *batch: Tensor) -> Tensor:
        """One step on one batch; its loss."""
        loss = self.update.step(*batch)
        self._step_schedule()
        return loss

    def _step_schedule(self) -> None:
        if self.schedule is not None and self.schedule_per == "batch":
            self.schedule.step()

    def _finish_epoch(
        self, record: dict[str, Any], watched: float, train_loader: DataLoader
    ) -> None:
        self.history.append(record)
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(watched)
        elif self.schedule is not None and self.schedule_per == "epoch":
            self.schedule.step()
        best = self.stopping.update(record["epoch"], watched)
        self._new_epoch()
        self._save(train_loader, best=best)
        self._call("on_epoch_end", record)

    def _new_epoch(self) -> None:
        self.progress = Epoch(self.optimizer.param_groups[0]["lr"])

    def _finite_loss(self) -> float:
        """Mean loss of the epoch so far; raises if one of its batches' is not finite."""
        self.progress.gather()
        bad = self.progress.first_bad_batch()
        if bad is not None:
            where = f"batch {bad[0]} of epoch {self.epoch + 1}{self.progress.where(bad[0])}"
            raise not_finite("loss", bad[1], where, self.optimizer.param_groups[0]["lr"])
        return self.progress.mean_loss()

    def _call(self, hook: str, *args: Any) -> None:
        if self.callbacks:
            self._settle()  # they may change what they like
        for callback in self.callbacks:
            getattr(callback, hook)(self, *args)

    # --- checkpoints --------------------------------------------------------------------------

    def _open(self, train_loader: DataLoader, resume: bool) -> None:
        """Start a new folder, go on with one, or go on after an earlier call of `fit`."""
        if resume:
            if self.folder is None:
                raise ValueError("fit: resume=True needs the run's folder: give the trainer out")
            restore(self, load_checkpoint(self.folder.last), train_loader)
            distributed.on_main(partial(self.folder.tidy, self.history))
        elif not self.history and self.folder is not None and self._saver is not None:
            distributed.on_main(partial(self.folder.tidy, []))
            self._save(train_loader)
            distributed.on_main(self._saver.finish)  # now there is something to resume
        self.stopped_by = None

    def _save(self, train_loader: DataLoader, *, best: bool = False) -> None:
        """Begin to write a checkpoint of now."""
        if self._saver is not None:
            parameters = {name for name, _ in self.model.named_parameters()}
            checkpoint = checkpoint_of(self, train_loader)  # all processes take part
            if self.world.rank == 0:
                with busy(self.world, "writing a checkpoint"):
                    self._saver.save(checkpoint, parameters, best=best)
            else:
                assert self.folder is not None  # as there is a saver
                self.world.checkpoint = str(self.folder.last)
            self.save_every.start()

    def _settle(self) -> None:
        if self._saver is not None:
            self._saver.settle()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Wait in the end until the checkpoints are written, however the end comes."""
        try:
            yield
        except BaseException:
            if self._saver is not None:
                with suppress(Exception):  # what comes first is what is reported
                    self._saver.finish()
            raise
        else:
            if self._saver is not None:
                with busy(self.world, "writing a checkpoint"):
                    self._saver.finish()
        finally:
            if self._saver is not None:
                self._saver.forget()


def _check_data(loader: DataLoader) -> None:
    """Refuse NaN in data that lie in memory, before they spoil the weights."""
    dataset = loader.dataset
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    if isinstance(dataset, TensorDataset):
        for i, tensor in enumerate(dataset.tensors):
            if isinstance(tensor.array, np.ndarray):
                check_finite(tensor.array, f"array {i} of the dataset")
