"""Callbacks: objects whose methods a `Trainer` calls at certain points of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorlite.training.trainer import Trainer


class Callback:
    """Base of the callbacks: override the hooks you need.

    On several processes it is called in each of them; ``tl.distributed.is_main()`` is true in one.
    A hook may read anything of the trainer, and end the run with ``trainer.stop("why")``.

    Examples
    --------
    >>> class Say(tl.training.Callback):
    ...     def on_fit_begin(self, trainer):
    ...         print("begins")
    ...
    ...     def on_epoch_begin(self, trainer):
    ...         pass
    ...
    ...     def on_batch_end(self, trainer):
    ...         pass
    ...
    ...     def on_epoch_end(self, trainer, record):
    ...         print(sorted(record)[:2])
    ...
    ...     def on_fit_end(self, trainer):
    ...         print("ends:", trainer.stopped_by)
    >>> trainer = Trainer(model, optimizer, F.cross_entropy, callbacks=[Say()])
    >>> trainer.fit(loader, epochs=1)
    """

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch, and after a checkpoint was restored.

        `trainer` is the `Trainer`.
        """

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before an epoch's first batch, or the first that is left of it after a resume.

        `trainer` is the `Trainer`.
        """

    def on_batch_end(self, trainer: Trainer) -> None:
        """After an update of the parameters; ``trainer.progress`` tells how far the epoch is."""

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """After validation, with the epoch's record; checkpoints are written.

        `trainer` is the `Trainer`.
        """

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch; ``trainer.stopped_by`` says why it was the last."""


class Report(Callback):
    """Prints a line per epoch, and in the end what went wrong.

    Examples
    --------
    >>> trainer = Trainer(model, optimizer, F.cross_entropy, callbacks=[tl.training.Report()])
    """

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Print the record."""
        if trainer.world.rank == 0:
            print(line(record, trainer.epochs), flush=True)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Print the findings."""
        for finding in trainer.findings if trainer.world.rank == 0 else ():
            print(finding, flush=True)


def line(record: dict[str, Any], epochs: int) -> str:
    """One epoch in one line."""
    width = len(str(epochs))
    known = ("epoch", "lr", "seconds", "samples_per_second")
    parts = [f"{name} {value:.4f}" for name, value in record.items() if name not in known]
    head = f"epoch {record['epoch']:{width}}/{epochs}"
    return "  ".join([head, *parts, f"{record['samples_per_second']:,.0f} samples/s"])
