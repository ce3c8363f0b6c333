"""Signs in the history that training goes wrong, and what to try.

The rules read only the history, one record per epoch:

* *diverges*: the training loss is half as much again as at its best, and has lost more than half of
  what it had gained by then;
* *overfits*: the validation loss was lowest at least 3 epochs ago and is a quarter above that,
  while the training loss has fallen since;
* *stalls*: over 5 epochs the training loss has moved by less than 1 %, has not halved since the
  first epoch, and the learning rate had not been lowered to a tenth of its peak.

They compare losses by their ratio, so nothing is said of losses that can be negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

Record = dict[str, Any]

DIVERGED = 1.5  # times the best training loss
OVERFIT_EPOCHS, OVERFIT = 3, 1.25  # since the best validation loss; times that loss
STALL_EPOCHS, STALL = 5, 0.01  # compared; relative change
STALL_HIGH, STALL_RATE = 0.5, 0.1  # of the first loss; of the greatest learning rate

TRY = {
    "diverges": "a learning rate a third or a tenth of {lr:g}, warm-up, clipping gradients to a "
    "norm of 1, or scaled inputs",
    "overfits": "more data, weight decay, dropout, a smaller model, or stopping at epoch {best} "
    "(patience does; the best checkpoint has its weights)",
    "stalls": "a learning rate three or ten times {lr:g}, Adam, scaled inputs, or a larger model",
}


class Finding(NamedTuple):
    """Something that went wrong: its kind, what was seen, what to try.

    Attributes
    ----------
    kind, seen, advice : str

    Examples
    --------
    >>> tl.training.Finding("stalled", "the loss stays", "a larger rate").advice
    'a larger rate'
    """

    kind: str
    seen: str
    advice: str

    def __str__(self) -> str:
        return f"The network {self.kind}: {self.seen}. Try {self.advice}."


def diagnose(history: Sequence[Record]) -> list[Finding]:
    """Look for overfitting, divergence and stalling.

    Parameters
    ----------
    history
        Records with "epoch", "lr", "train_loss" and, where there was validation, "val_loss".

    Returns
    -------
    list of Finding
        Empty if nothing is wrong.

    Examples
    --------
    >>> tl.training.diagnose([{"epoch": 1, "lr": 0.1, "train_loss": 1.0}])
    []
    """
    if not history or min(record["train_loss"] for record in history) < 0:
        return []
    return [found for rule in (_diverges, _overfits, _stalls) if (found := rule(history))]


def _diverges(history: Sequence[Record]) -> Finding | None:
    losses = [record["train_loss"] for record in history]
    first, last, best = losses[0], losses[-1], min(losses)
    if last <= DIVERGED * best or last <= (first + best) / 2:
        return None
    seen = f"the training loss rose from {best:.4g} to {last:.4g}"
    return Finding("diverges", seen, TRY["diverges"].format(lr=history[-1]["lr"]))


def _overfits(history: Sequence[Record]) -> Finding | None:
    if history[-1].get("val_loss") is None:
        return None
    best = min(history, key=lambda record: record["val_loss"])
    last = history[-1]
    risen = last["val_loss"] > OVERFIT * best["val_loss"]
    fallen = last["train_loss"] < best["train_loss"]
    if last["epoch"] - best["epoch"] < OVERFIT_EPOCHS or not (risen and fallen):
        return None
    seen = (
        f"since epoch {best['epoch']} the validation loss rose from {best['val_loss']:.4g} to "
        f"{last['val_loss']:.4g} while the training loss fell from {best['train_loss']:.4g} to "
        f"{last['train_loss']:.4g}"
    )
    return Finding("overfits", seen, TRY["overfits"].format(best=best["epoch"]))


def _stalls(history: Sequence[Record]) -> Finding | None:
    peak = max(record["lr"] for record in history)
    driven = [record for record in history if record["lr"] > STALL_RATE * peak]
    if len(driven) <= STALL_EPOCHS:
        return None
    before, last = driven[-1 - STALL_EPOCHS]["train_loss"], driven[-1]["train_loss"]
    low = last < STALL_HIGH * history[0]["train_loss"]
    if low or not abs(before - last) < STALL * abs(before):
        return None
    seen = f"over {STALL_EPOCHS} epochs the training loss went from {before:.4g} to {last:.4g}"
    return Finding("stalls", seen, TRY["stalls"].format(lr=driven[-1]["lr"]))


def not_finite(what: str, value: float, where: str, lr: float) -> FloatingPointError:
    """The error for a loss that became NaN or infinite."""
    return FloatingPointError(
        f"the {what} became {value} in {where}: training stopped, checkpoints are from before. "
        f"Try {TRY['diverges'].format(lr=lr)}; tensorlite.debug.detect_anomaly() finds the "
        "operation"
    )
