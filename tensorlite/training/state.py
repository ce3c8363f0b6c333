"""The whole state of a training run, to and from a checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorlite.data import DataLoader
from tensorlite.distributed.agreement import check_same
from tensorlite.nn.module import Module
from tensorlite.random import default_generator
from tensorlite.training import machine
from tensorlite.training.checked import check_weights
from tensorlite.training.epoch import Epoch
from tensorlite.training.saving import state_in_place

if TYPE_CHECKING:
    from tensorlite.training.trainer import Trainer

__all__ = ["check_weights_of", "checkpoint_of", "restore"]


def checkpoint_of(trainer: Trainer, loader: DataLoader) -> dict[str, Any]:
    """The state of a trainer and its loader; on several processes all must call it."""
    schedule, scaler = trainer.schedule, trainer.scaler
    return {
        "kinds": _kinds(trainer),
        "model": trainer.model.state_dict(),
        "averaged": None if trainer.averaged is None else trainer.averaged.state_dict(),
        "optimizer": state_in_place(trainer.optimizer),
        "schedule": None if schedule is None else schedule.state_dict(),
        "scaler": None if scaler is None else scaler.state_dict(),
        "loader": loader.state_dict(),  # may draw its seed, so it comes before "rng"
        "rng": default_generator.state_dict(),
        "progress": trainer.progress.state_dict(),
        "history": trainer.history,
        "stopping": trainer.stopping.state_dict(),
        "machine": machine.describe(trainer.device),
        "metadata": trainer.metadata,
    }


def restore(trainer: Trainer, checkpoint: dict[str, Any], loader: DataLoader) -> None:
    """Bring a trainer and its loader to the state of a checkpoint.

    Raises
    ------
    ValueError
        If it does not fit.
    """
    folder = trainer.folder
    if checkpoint["kinds"] != _kinds(trainer):
        was, here = (" and ".join(kinds) for kinds in (checkpoint["kinds"], _kinds(trainer)))
        raise ValueError(f"the checkpoint was made with {was}; here are {here}")
    last = None if folder is None else folder.last
    check_weights_of(trainer.model, checkpoint["model"], last)
    if (checkpoint["averaged"] is None) != (trainer.averaged is None):
        was, here = ("with", "without") if trainer.averaged is None else ("without", "with")
        raise ValueError(f"the run was begun {was} ema, and here it is {here}: go on as it began")
    if trainer.averaged is not None:
        check_weights_of(trainer.model, checkpoint["averaged"]["model"], last)
    shards, now = checkpoint["loader"].get("shards", 1), trainer.world.shards
    if shards != now:
        raise ValueError(
            f"the run was begun with {shards} shards, and here are {now}: other shards are other "
            f"bits; call tl.distributed.init(shards={shards})"
        )
    known = {k: checkpoint[k] for k in ("history", "rng")} | {"batch": checkpoint["loader"]}
    check_same("resume", {"checkpoint": known})
    loader.load_state_dict(checkpoint["loader"])
    try:
        trainer.model.load_state_dict(checkpoint["model"])
    except RuntimeError as error:  # the folder is another run's
        raise ValueError(str(error)) from error
    if trainer.averaged is not None:
        trainer.averaged.load_state_dict(checkpoint["averaged"])
    trainer.optimizer.load_state_dict(checkpoint["optimizer"])
    if trainer.schedule is not None:
        trainer.schedule.load_state_dict(checkpoint["schedule"])
    if trainer.scaler is not None and checkpoint["scaler"] is not None:
        trainer.scaler.load_state_dict(checkpoint["scaler"])
    trainer.stopping.load_state_dict(checkpoint["stopping"])
    trainer.history = checkpoint["history"]
    trainer.progress = Epoch(trainer.optimizer.param_groups[0]["lr"])
    like = next(trainer.model.parameters()).array
    trainer.progress.load_state_dict(checkpoint["progress"], like)
    default_generator.load_state_dict(checkpoint["rng"])
    changed = machine.differences(checkpoint["machine"], machine.describe(trainer.device))
    if changed and trainer.world.rank == 0:
        print(
            f"tensorlite: the run goes on, but not to the same bits as before: {changed}",
            file=sys.stderr,
        )


def check_weights_of(model: Module, state: Mapping[str, Any], path: Path | None) -> None:
    """Refuse parameters of a checkpoint that are not finite."""
    check_weights(state, [name for name, _ in model.named_parameters()], str(path))


def _kinds(trainer: Trainer) -> list[str]:
    """The classes of optimizer and schedule: another class might load the state without error."""
    schedule = "no schedule" if trainer.schedule is None else type(trainer.schedule).__name__
    return [type(trainer.optimizer).__name__, schedule]
