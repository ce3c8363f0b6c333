"""Checks of a checkpoint's fields, before anything is restored from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tensorlite.tensor import Tensor

__all__ = ["check_checkpoint", "check_weights"]


def check_checkpoint(checkpoint: Mapping[str, Any], name: str) -> None:
    """Check every field that training goes on from.

    Raises
    ------
    ValueError
        If one is missing, or is not as a `Trainer` writes it; names it and its value.
    """
    for field, check in _FIELDS.items():
        if field not in checkpoint:
            raise ValueError(f"{name} is not a checkpoint of tensorlite: it lacks {field!r}")
        try:
            check(checkpoint[field])
        except _Wrong as wrong:
            raise ValueError(f"{name} is damaged: its {field!r} {wrong}") from None
    epochs, progress = len(checkpoint["history"]), checkpoint["progress"]
    if checkpoint["stopping"]["epoch"] != epochs:
        raise ValueError(
            f"{name} is damaged: its history has {epochs} epochs, and 'stopping' is at epoch "
            f"{checkpoint['stopping']['epoch']}"
        )
    if checkpoint["loader"]["position"] not in (len(progress["sizes"]), 0):
        raise ValueError(
            f"{name} is damaged: its loader is at batch {checkpoint['loader']['position']}, and "
            f"'progress' knows of {len(progress['sizes'])}"
        )


def check_weights(state: Mapping[str, Any], parameters: Any, name: str) -> None:
    """Check that a model's parameters are finite.

    Raises
    ------
    ValueError
        If one is not; names it, and where.
    """
    for key in parameters:
        value = state.get(key)
        if not isinstance(value, Tensor):
            continue
        array = value.detach().cpu().numpy()
        if array.dtype.kind not in "fcV":
            continue
        if array.dtype.kind == "V" or array.dtype.itemsize < 4:
            array = array.astype(np.float32)
        bad = ~np.isfinite(array)
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{name}: the weights {key!r} hold {array[where]} at index {where} "
                f"({int(bad.sum()):,} of {bad.size:,} are not finite): training had failed when "
                "they were saved"
            )


class _Wrong(Exception):
    """What is wrong with a field."""


def _require(fits: bool, value: Any, wanted: str) -> None:
    if not fits:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise _Wrong(f"is {shown}, not {wanted}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kinds(value: Any) -> None:
    fits = isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)
    _require(fits, value, "the names of two classes")


def _mapping(value: Any) -> None:
    _require(isinstance(value, dict), value, "a dictionary")


def _model(value: Any) -> None:
    _mapping(value)
    for name in value:
        _require(isinstance(name, str), name, "the name of a parameter")


def _averaged(value: Any) -> None:
    if value is None:
        return
    _mapping(value)
    decay = value.get("decay")
    _require(_is_number(decay) and 0 <= decay < 1, decay, "a decay from 0 to below 1")
    _require(_is_count(value.get("steps")), value.get("steps"), "a count of steps")
    _model(value.get("model"))


def _optimizer(value: Any) -> None:
    _mapping(value)
    _require(isinstance(value.get("state"), dict), value.get("state"), "states by parameter")
    groups = value.get("param_groups")
    fits = isinstance(groups, list) and all(
        isinstance(g, dict) and isinstance(g.get("params"), list) for g in groups
    )
    _require(fits, groups, "a list of groups of parameters")
    for group in groups:
        lr = group.get("lr", 0.0)
        finite = isinstance(lr, Tensor) or (_is_number(lr) and math.isfinite(lr))
        _require(finite, lr, "a finite learning rate")


def _schedule(value: Any) -> None:
    _require(value is None or isinstance(value, dict), value, "a dictionary or None")


def _loader(value: Any) -> None:
    _mapping(value)
    for key in ("epoch", "position"):
        _require(_is_count(value.get(key)), value.get(key), f"a count of its {key}")
    seed = value.get("seed")
    _require(seed is None or _is_count(seed), seed, "a seed")


def _rng(value: Any) -> None:
    _mapping(value)
    for key in ("seed", "offset"):
        number = value.get(key)
        _require(_is_count(number) and number < 1 << 64, number, f"the {key} of random numbers")


def _progress(value: Any) -> None:
    _mapping(value)
    for key in ("lr", "seconds"):
        number = value.get(key)
        _require(_is_number(number) and math.isfinite(number), number, f"a number for {key}")
    sizes, losses, counts = found = [value.get(key) for key in ("sizes", "losses", "counts")]
    wanted = "a size, a loss and a count for each batch"
    _require(all(isinstance(v, Tensor) and v.ndim == 1 for v in found), found, wanted)
    dtypes = [v.dtype == d for v, d in zip(found, (np.int64, np.float32, np.float64), strict=True)]
    fits = all(dtypes) and len(sizes) == len(losses) == len(counts)
    _require(fits, found, wanted)
    positive = bool((np.asarray(sizes) > 0).all())
    _require(positive, sizes, "sizes of batches, all above 0")


def _history(value: Any) -> None:
    _require(isinstance(value, list), value, "a list of epochs")
    for i, record in enumerate(value):
        fits = isinstance(record, dict) and record.get("epoch") == i + 1
        _require(fits, record, f"the record of epoch {i + 1}")
        for key in ("lr", "train_loss", "seconds", "samples_per_second"):
            number = record.get(key)
            _require(
                _is_number(number) and math.isfinite(number),
                number,
                f"a finite number for {key} of epoch {i + 1}",
            )


def _stopping(value: Any) -> None:
    _mapping(value)
    best = value.get("best_loss")
    _require(_is_number(best) and not math.isnan(best), best, "a lowest loss")
    for key in ("best_epoch", "epoch"):
        _require(_is_count(value.get(key)), value.get(key), f"a count for {key}")
    _require(value["best_epoch"] <= value["epoch"], value["best_epoch"], "an epoch that was run")


_FIELDS: dict[str, Callable[[Any], None]] = {
    "kinds": _kinds,
    "model": _model,
    "averaged": _averaged,
    "optimizer": _optimizer,
    "schedule": _schedule,
    "scaler": _schedule,
    "loader": _loader,
    "rng": _rng,
    "progress": _progress,
    "history": _history,
    "stopping": _stopping,
    "machine": _mapping,
    "metadata": _mapping,
}
