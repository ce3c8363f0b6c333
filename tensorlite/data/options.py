"""Which options of a loader go together."""

from __future__ import annotations

from typing import Any

from tensorlite.data.dataset import IterableDataset

__all__ = ["check_options"]


def check_options(options: dict[str, Any]) -> None:
    """Check the arguments of `DataLoader`, given by name.

    Raises
    ------
    ValueError
        If one is out of range, or two exclude one another; names them.
    """
    _check_numbers(options)
    _check_order(options)
    _check_workers(options)
    if isinstance(options["dataset"], IterableDataset):
        for name in ("shuffle", "sampler", "batch_sampler"):
            if options[name]:
                raise ValueError(
                    f"DataLoader: an IterableDataset comes in its own order: {name} must not be "
                    "given (shuffle within the dataset's __iter__)"
                )
        return
    _check_samples(options)


def _check_numbers(options: dict[str, Any]) -> None:
    size = options["batch_size"]
    if (size is not None and size < 1) or options["prefetch"] < 0:
        raise ValueError(
            "DataLoader: batch_size must be at least 1 and prefetch at least 0, got "
            f"batch_size={size}, prefetch={options['prefetch']}"
        )
    for name in ("num_workers", "timeout"):
        if options[name] < 0:
            raise ValueError(f"DataLoader: {name} must not be negative, got {options[name]}")


def _check_order(options: dict[str, Any]) -> None:
    if options["sampler"] is not None and options["shuffle"]:
        raise ValueError("DataLoader: a sampler decides the order, so shuffle must not be given")
    if options["batch_sampler"] is not None:
        other = [name for name in ("shuffle", "sampler", "drop_last") if options[name]]
        if other or options["batch_size"] != 1:
            raise ValueError(
                "DataLoader: a batch_sampler decides the batches, so batch_size, shuffle, sampler "
                f"and drop_last must not be given; given: {', '.join(other or ['batch_size'])}"
            )
    elif options["batch_size"] is None and options["drop_last"]:
        raise ValueError("DataLoader: batch_size=None makes no batches, so no last one to drop")


def _check_workers(options: dict[str, Any]) -> None:
    if options["num_workers"] == 0:
        needless = [
            name for name in ("prefetch_factor", "persistent_workers", "timeout") if options[name]
        ]
        if needless:
            raise ValueError(f"DataLoader: {needless[0]} is about workers: set num_workers > 0")
        return
    if options["prefetch"]:
        raise ValueError(
            "DataLoader: prefetch is for a thread, without workers; with num_workers="
            f"{options['num_workers']} use prefetch_factor"
        )
    factor = options["prefetch_factor"]
    if factor is not None and factor < 1:
        raise ValueError(f"DataLoader: prefetch_factor must be at least 1, got {factor}")


def _check_samples(options: dict[str, Any]) -> None:
    dataset, size = options["dataset"], options["batch_size"]
    if options["sampler"] is not None or options["batch_sampler"] is not None:
        return
    samples = len(dataset)
    if samples == 0:
        raise ValueError("DataLoader: the dataset is empty")
    if options["drop_last"] and size > samples:
        raise ValueError(
            f"DataLoader: batch_size={size} is larger than the dataset ({samples} samples), and "
            "drop_last=True leaves no batch: use a smaller batch_size"
        )
