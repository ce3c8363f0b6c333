"""Beginning and end of a program that runs in several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from tensorlite import ranks
from tensorlite.backend.base import set_home
from tensorlite.backend.threads import set_num_threads
from tensorlite.data.loader import DataLoader
from tensorlite.distributed import beat, guard
from tensorlite.distributed.agreement import check_same
from tensorlite.distributed.each import in_turns
from tensorlite.distributed.threads import ThreadLink
from tensorlite.random import default_generator
from tensorlite.ranks import World

T = TypeVar("T")

#: What launchers set in the processes they start.
_LAUNCHED = ("PMI_RANK", "PMI_ID", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # the same for their number


_TASKS = "SLURM_STEP_NUM_TASKS"  # what srun says to each of its tasks, with MPI or without
_HYDRA = "MPI_LOCALNRANKS"  # MPICH's mpiexec sets it, which inside an allocation uses srun


def is_launched() -> bool:
    """Whether mpiexec, or srun with MPI, has started this process."""
    return any(name in os.environ for name in _LAUNCHED)


def check_tasks() -> None:
    """Refuse tasks of srun that know nothing of one another: each would train, and write, alone."""
    tasks = os.environ.get(_TASKS, "1")
    if tasks != "1" and not is_launched():
        raise RuntimeError(
            f"srun started {tasks} tasks without MPI: each would train by itself. Start them with "
            "srun --mpi=pmi2 (srun --mpi=list shows what there is), or with mpiexec; if they are "
            f"to be apart, unset {_TASKS}"
        )


def init(shards: int | None = None, *, timeout: float = 300.0) -> World:
    """Join the processes that mpiexec has started; without mpiexec there is one.

    Call it first, before anything is put on a device: "cuda" without a number is then the device
    of this process's own, by its local rank. A second call returns the same.

    Parameters
    ----------
    shards
        Parts that every batch is cut into, at least as many as there are processes; as many by
        default. With the same number of shards a training has the same bits on any number of
        processes.
    timeout
        Seconds that a process may be behind the others before the run is ended; five times the
        longest step, if that is more. (One that was killed, was stopped, or has raised, ends it
        within seconds.)

    Returns
    -------
    World
        With `rank`, `size`, `shards`, `local_rank` and `local_size`.

    Raises
    ------
    RuntimeError
        If mpi4py is missing, if srun has started several tasks without MPI, or if processes ask
        for different numbers of shards.
    ValueError
        If there are fewer shards than processes.

    Examples
    --------
    >>> world = tl.distributed.init()
    >>> world.rank < world.size
    True
    """
    world = ranks.world()
    if isinstance(world.link, ThreadLink) and world.link.begin():
        count = world.size if shards is None else shards
        _check_shards(count, world.size)
        check_same("init", {"number of shards": count})
        world.shards = count
        default_generator.load_state_dict(world.gather(default_generator.state_dict())[0])
        return world
    if world.link is not None or (world.shards > 1 and shards in (None, world.shards)):
        if shards not in (None, world.shards):
            raise RuntimeError(f"init: this world has {world.shards} shards already, not {shards}")
        return world
    if not is_launched():
        check_tasks()
        count = 1 if shards is None else shards
        _check_shards(count, 1)
        ranks.set_world(World(shards=count))
        return ranks.world()
    comm = _communicator()
    _check_launcher(comm.size)
    from tensorlite.distributed.mpi import MPILink

    link: Any = MPILink(comm, timeout)
    said = link.gather((shards, _host(), _cores()))
    names = [host for _, host, _ in said]
    here = [i for i, host in enumerate(names) if host == names[comm.rank]]
    local_rank, local_size = here.index(comm.rank), len(here)
    if any(asked != said[0][0] for asked, _, _ in said):
        asked = ", ".join(f"rank {i}: {n}" for i, (n, _, _) in enumerate(said))
        raise RuntimeError(f"init: the processes ask for different numbers of shards: {asked}")
    count = comm.size if shards is None else shards
    _check_shards(count, comm.size)
    world = World(comm.rank, comm.size, count, link, local_rank, local_size)
    _share_cores([cores for _, host, cores in said if host == names[comm.rank]])
    if local_size > 1:
        set_home(_own_device(local_rank))
    state = link.gather(default_generator.state_dict())[0]
    default_generator.load_state_dict(state)
    ranks.set_world(world)
    guard.joined(world)
    if comm.size > 1:
        beat.begin(world, [names.index(name) for name in names])
    return world


def _check_shards(shards: int, size: int) -> None:
    if isinstance(shards, bool) or not isinstance(shards, int) or shards < size:
        raise ValueError(
            f"init: shards={shards!r} must be an integer of at least {size}, the processes"
        )


def launched_rank() -> int:
    """The number that mpiexec gave this process, known before MPI is there; 0 without mpiexec."""
    return next((int(os.environ[name]) for name in _LAUNCHED if name in os.environ), 0)


def launched_size() -> int:
    """How many processes mpiexec started, known before MPI is there; 1 without mpiexec."""
    sizes = (*_SIZES, _TASKS) if is_launched() else ()  # PMIx tells the rank alone
    return next((int(os.environ[name]) for name in sizes if name in os.environ), 1)


def started_by() -> str:
    """What has started this process."""
    by_srun = _TASKS in os.environ and _HYDRA not in os.environ
    return "srun" if by_srun else "mpiexec"


def recut(shards: int) -> None:
    """Cut batches into another number of shards from now on; before the first batch, for all."""
    world = ranks.world()
    _check_shards(shards, world.size)
    check_same("init", {"number of shards": shards})
    world.shards = shards


def _check_launcher(size: int) -> None:
    """Refuse an mpiexec and an mpi4py of different MPIs: each process would be rank 0 of 1."""
    asked = next((int(os.environ[n]) for n in _SIZES if n in os.environ), size)
    if asked != size:
        raise RuntimeError(
            f"init: mpiexec started {asked} processes, and mpi4py knows of {size}: they are of two "
            "MPIs; use the mpiexec beside this Python, or build mpi4py with the MPI of mpiexec"
        )


def _communicator() -> Any:
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise RuntimeError(
            f"mpiexec started this process, and mpi4py cannot be used ({error}): "
            'pip install "tensorlite[mpi]"'
        ) from error
    return MPI.COMM_WORLD


def _host() -> str:
    """A name of this machine."""
    return os.environ.get("TENSORLITE_HOST") or os.uname().nodename


def _cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _share_cores(of_all: list[list[int]]) -> None:
    """Give every process on this machine its share of the cores that it may use.

    A launcher that binds processes, such as Slurm, has shared them out already.
    """
    mine = _cores()
    set_num_threads(max(1, len(mine) // max(1, of_all.count(mine))))


def _own_device(local_rank: int) -> int:
    """The number of this process's CUDA device among those that it sees.

    A launcher that hides the others, such as Slurm, leaves it the only one.
    """
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return local_rank % len(seen) if seen else local_rank


def rank() -> int:
    """The number of this process, from 0.

    Examples
    --------
    >>> tl.distributed.rank()
    0
    """
    return ranks.world().rank


def size() -> int:
    """How many processes there are.

    Examples
    --------
    >>> tl.distributed.size()
    1
    """
    return ranks.world().size


def local_rank() -> int:
    """The number of this process among those on its machine.

    Examples
    --------
    >>> tl.distributed.local_rank()
    0
    """
    return ranks.world().local_rank


def is_main() -> bool:
    """Whether this is rank 0, which prints and writes.

    Examples
    --------
    >>> if tl.distributed.is_main():
    ...     print("written by one")
    written by one
    """
    return ranks.world().rank == 0


def cut(loader: DataLoader) -> DataLoader:
    """Let a loader yield this process's shards of every batch; returns it.

    The batches themselves are those of one process: `batch_size` is that of all together, and the
    order is drawn the same everywhere. Where a process has more than one shard, `shards` goes
    through them. The last batch may be smaller, and is weighed by its samples.

    Parameters
    ----------
    loader
        With batches of indices; streams cannot be cut.

    Raises
    ------
    RuntimeError
        If another process has a dataset of another length, another batch size or order.

    Examples
    --------
    >>> loader = tl.distributed.cut(loader)
    """
    world = ranks.world()
    loader.cut(world)
    described = {f"loader's {key}": value for key, value in loader._identity().items()}
    check_same("cut", described)
    return loader


def shards(batch: Any, weight: Callable[..., Any] | None = None) -> Iterator[Any]:
    """Go through the shards of a batch that are computed here, one by one.

    Parameters
    ----------
    batch
        What the loader gave.
    weight
        ``weight(*part)``: how much a shard counts, where the loss is not a mean over samples but,
        for example, over the tokens that are no padding. By default its samples.

    Yields
    ------
    What a loader that is not cut would give, for the samples of one shard.

    Examples
    --------
    >>> for batch in loader:
    ...     optimizer.zero_grad()
    ...     for x, y in tl.distributed.shards(batch):
    ...         loss_of(model(x), y).backward()
    ...     optimizer.step()
    """
    _weigh(batch, weight)
    yield from ranks.shards(batch)


def each_shard(
    batch: Any, step: Callable[..., T], weight: Callable[..., Any] | None = None
) -> list[T]:
    """Call a function with each shard of a batch that is computed here, all side by side.

    A loop over `shards` computes one after the other, which is enough unless a layer needs all of
    them at once: `SyncBatchNorm`, where a process has several. Here each shard waits, in that
    layer, until the others have come there.

    Parameters
    ----------
    batch
        What the loader gave.
    step
        ``step(*part)``: forward and backward of one shard.
    weight
        As that of `shards`.

    Returns
    -------
    list
        What `step` returned, in the order of the shards.

    Raises
    ------
    RuntimeError
        If one shard waits for the others and another has come to its end.

    Examples
    --------
    >>> def step(x, y):
    ...     loss = loss_of(model(x), y)
    ...     loss.backward()
    ...     return loss.detach()
    >>> for batch in loader:
    ...     optimizer.zero_grad()
    ...     losses = tl.distributed.each_shard(batch, step)
    ...     optimizer.step()
    """
    _weigh(batch, weight)
    if isinstance(batch, ranks.Shards):
        return in_turns(batch, step)
    return [step(*batch) if isinstance(batch, tuple | list) else step(batch)]


def _weigh(batch: Any, weight: Callable[..., Any] | None) -> None:
    """Weigh the shards of a batch by a function of each."""
    world = ranks.world()
    if weight is None or not world.is_cut:
        return
    present = world.batch
    parts = batch.parts if isinstance(batch, ranks.Shards) else [(present.shard, batch)]
    mine = {n: float(np.asarray(_number(weight(*part)))) for n, part in parts}
    weights: dict[int, float] = {}
    for theirs in world.gather(mine):
        weights |= theirs
    present.weigh([weights.get(n, 0.0) for n in range(world.shards)])


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def on_main(work: Callable[[], T]) -> T:
    """Do something on rank 0 alone; all get what it returns, or raise what it raises.

    Parameters
    ----------
    work : callable

    Raises
    ------
    Exception
        What `work` raises, in all processes.

    Examples
    --------
    >>> tl.distributed.on_main(lambda: 3)
    3
    """
    world = ranks.world()
    if world.size == 1:
        return work()
    result: Any = None
    error: Exception | None = None
    if world.rank == 0:
        try:
            with beat.busy(world, "what rank 0 does alone"):
                result = work()
        except Exception as raised:
            error = raised
    result, error, world.checkpoint = world.gather((result, error, world.checkpoint))[0]
    if world.beat is not None:
        world.beat.tell()
    if error is not None:
        raise error
    return result


def finish() -> None:
    """Wait until all processes have come to this line; call it at the end of a program.

    Examples
    --------
    >>> tl.distributed.finish()
    """
    world = ranks.world()
    if world.link is not None:
        world.gather(None)
