"""A run that is resumed for more epochs than it was begun with."""

from __future__ import annotations

from tensorlite.cli.experiment import schedule_of
from tensorlite.cli.settings import Settings
from tensorlite.nn.parameter import Parameter
from tensorlite.ops import zeros
from tensorlite.optim import SGD
from tensorlite.training import Callback, Trainer


class Longer(Callback):
    """Gives the schedule its new length: from here on rates are those of a run of all epochs.

    The checkpoint's schedule ends where the run was to end. One of the new length walks to the
    same batch, and hands over its state.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Change the schedule that was restored."""
        if trainer.schedule is None or trainer.schedule_per != "batch":
            return
        walker = SGD([Parameter(zeros(1))], lr=self.settings.lr)
        schedule, _ = schedule_of(self.settings, walker, trainer.batches)
        walker.step()
        while schedule.last_epoch < trainer.schedule.last_epoch:
            schedule.step()
        trainer.schedule.load_state_dict(schedule.state_dict())
        trainer.schedule.set_rates(schedule.get_last_lr())
        if not trainer.progress.sizes:  # the rate at the beginning of the next epoch
            trainer.progress.lr = schedule.get_last_lr()[0]
