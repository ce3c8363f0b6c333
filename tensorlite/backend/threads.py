"""How many threads compute on the CPU, and the memory that it keeps."""

from __future__ import annotations

from tensorlite.backend import HOST

MOST_THREADS = 256


def get_num_threads() -> int:
    """Threads that kernels and matrix products on the CPU run on; at first, one per usable core.

    Usable are the cores that the process may run on (``taskset``) and, where it is in a control
    group with a quota of processor time, so many as that keeps busy. Where the compiled kernels
    are off, these are the threads of NumPy's OpenBLAS, at first half of the usable cores, and 1 if
    NumPy has another library.

    Examples
    --------
    >>> tl.get_num_threads() >= 1
    True
    """
    if HOST.kernels is not None:
        return HOST.kernels.get_num_threads()
    from tensorlite.backend.kernels.openblas import blas_threads

    return blas_threads() or 1


def set_num_threads(count: int | None) -> None:
    """Choose how many threads the CPU computes on, from now on and in all of the process.

    Results do not depend on it. More threads than usable cores never run at once. With the
    compiled kernels, the threads of NumPy's own products are left alone: a program's ``a @ b`` of
    NumPy arrays is as fast as without tensorlite (threads of both at once share the cores).

    Parameters
    ----------
    count
        From 1 to 256; None for one per usable core, as those are now.

    Raises
    ------
    ValueError
        If `count` is no such number.
    RuntimeError
        If the compiled kernels are off, and NumPy computes with another library than OpenBLAS.

    Examples
    --------
    >>> tl.set_num_threads(1)
    >>> tl.get_num_threads()
    1
    >>> tl.set_num_threads(None)
    """
    number = isinstance(count, int) and not isinstance(count, bool)
    if count is not None and (not number or count < 1):
        raise ValueError(f"set_num_threads: a whole number of at least 1, not {count!r}")
    if count is not None and count > MOST_THREADS:
        raise ValueError(f"set_num_threads: at most {MOST_THREADS} threads, not {count}")
    from tensorlite.backend.kernels.openblas import blas_threads  # most programs need neither
    from tensorlite.backend.machine import usable_cores

    if HOST.kernels is not None:
        if count is None:
            HOST.kernels.follow_cores(usable_cores())
        else:
            HOST.kernels.set_num_threads(count)
    elif blas_threads(max(usable_cores() // 2, 1) if count is None else count) is None:
        raise RuntimeError(
            "set_num_threads: the compiled kernels are off (see `tensorlite env`), and NumPy does "
            "not compute with OpenBLAS: set the threads of its library before it is imported"
        )


def empty_cache() -> None:
    """Give memory that no Tensor uses back to the system, on the CPU.

    Freed arrays are kept for the next ones, since new memory costs time, at most 1 GB (a sixteenth
    of what the process may have, if that is less); what is not reused for 20 seconds is returned
    by itself. Call this to return it at once; on CUDA it is `tensorlite.cuda.empty_cache`.

    Examples
    --------
    >>> tl.empty_cache()
    """
    if HOST.kernels is not None:
        HOST.kernels.empty_cache()
