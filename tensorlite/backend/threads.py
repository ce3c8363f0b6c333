"""How many threads compute on the CPU."""

from __future__ import annotations

from tensorlite.backend import HOST


def get_num_threads() -> int:
    """Threads that kernels and matrix products on the CPU run on; at first, one a usable core.

    Where the compiled kernels are off, these are the threads of NumPy's OpenBLAS, at first half of
    the usable cores, and 1 if NumPy has another library.
    """
    return (_blas_threads() or 1) if HOST.kernels is None else HOST.kernels.get_num_threads()


def set_num_threads(count: int) -> None:
    """Choose how many threads the CPU computes on, from now on and in all of the process.

    Results do not depend on it.

    Raises
    ------
    ValueError
        If `count` is less than 1.
    RuntimeError
        If the compiled kernels are off, and NumPy computes with another library than OpenBLAS.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"set_num_threads: a whole number of at least 1, not {count!r}")
    if HOST.kernels is not None:
        HOST.kernels.set_num_threads(count)
    elif _blas_threads(count) is None:
        raise RuntimeError(
            "set_num_threads: the compiled kernels are off (see `tensorlite env`), and NumPy does "
            "not compute with OpenBLAS: set the threads of its library before it is imported"
        )


def _blas_threads(count: int | None = None) -> int | None:
    from tensorlite.backend.host import blas_threads  # loaded when kernels are, and rarely without

    return blas_threads(count)
