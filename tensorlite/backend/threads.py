"""How many threads compute on the CPU."""

from __future__ import annotations

from tensorlite.backend import HOST


def get_num_threads() -> int:
    """Threads that kernels and matrix products on the CPU run on; at first, one a usable core.

    Where the compiled kernels are off, NumPy computes on threads of its own (see
    ``OPENBLAS_NUM_THREADS``), and this is 1.
    """
    return 1 if HOST.kernels is None else HOST.kernels.get_num_threads()


def set_num_threads(count: int) -> None:
    """Choose how many threads the CPU computes on, from now on and in all of the process.

    Results do not depend on it.

    Raises
    ------
    ValueError
        If `count` is less than 1.
    RuntimeError
        If the compiled kernels are off.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"set_num_threads: a whole number of at least 1, not {count!r}")
    if HOST.kernels is None:
        raise RuntimeError(
            "set_num_threads: the compiled kernels are off (see `tensorlite env`), and NumPy's own "
            "threads are set by the environment variable OPENBLAS_NUM_THREADS"
        )
    HOST.kernels.set_num_threads(count)
