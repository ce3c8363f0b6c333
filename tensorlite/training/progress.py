"""A bar and a table of the epochs, for notebooks."""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING, Any

from tensorlite.training.callbacks import Callback

if TYPE_CHECKING:
    from tensorlite.training.trainer import Trainer

__all__ = ["NotebookProgress"]

REFRESH = 0.2  # seconds between changes
_KNOWN = ("seconds", "samples_per_second")
_CELL = "padding:1px 8px;text-align:right"


class NotebookProgress(Callback):
    """Shows a bar of the epoch under way, and a table of those that are done, in a notebook.

    Raises
    ------
    ImportError
        Outside of IPython, which notebooks run in.

    Examples
    --------
    >>> from tensorlite.training import NotebookProgress
    >>> trainer = Trainer(model, optimizer, loss, callbacks=[NotebookProgress()])
    """

    def __init__(self) -> None:
        try:
            from IPython.display import HTML, display
        except ImportError as error:
            raise ImportError(
                "NotebookProgress is for notebooks, which bring the package IPython; elsewhere "
                "the trainer prints a line an epoch"
            ) from error
        self._html, self._display = HTML, display
        self._handle: Any = None
        self._shown_at = 0.0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Show an empty bar."""
        self._handle = self._display(self._html(page(trainer)), display_id=True)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Move the bar, if it is time."""
        now = time.perf_counter()
        if now - self._shown_at >= REFRESH:
            self._shown_at = now
            self._handle.update(self._html(page(trainer)))

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Add a row to the table."""
        self._handle.update(self._html(page(trainer)))

    def on_fit_end(self, trainer: Trainer) -> None:
        """Take the bar away, and say why it ended and what went wrong."""
        self._handle.update(self._html(page(trainer, ended=True)))


def page(trainer: Trainer, ended: bool = False) -> str:
    """The bar, the table, and in the end the findings."""
    text = ""
    if not ended:
        done, of = len(trainer.progress.sizes), max(trainer.batches, 1)
        seconds = trainer.progress.seconds
        speed = f", {trainer.progress.samples / seconds:,.0f} samples/s" if seconds else ""
        text = (
            f'<progress value="{done}" max="{of}"></progress> '
            f"epoch {trainer.epoch + 1}/{trainer.epochs}, batch {done}/{of}{speed}"
        )
    if trainer.history:
        names = [name for name in trainer.history[-1] if name not in _KNOWN]
        titles = "".join(f'<th style="{_CELL}">{name.replace("_", " ")}</th>' for name in names)
        rows = "".join(
            f"<tr>{''.join(_cell(record.get(name)) for name in names)}</tr>"
            for record in trainer.history
        )
        text += f"<table><tr>{titles}</tr>{rows}</table>"
    if ended:
        said = [f"Stopped by {trainer.stopped_by}.", *map(str, trainer.findings)]
        text += "".join(f"<div>{html.escape(line)}</div>" for line in said)
    return text


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f'<td style="{_CELL}">{text}</td>'
