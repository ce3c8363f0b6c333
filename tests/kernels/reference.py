"""What the kernel tests share: dtypes with their tolerances, awkward sizes, and inputs."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np

DTYPES = {
    "float16": (np.dtype(np.float16), 2e-3),
    "bfloat16": (np.dtype(ml_dtypes.bfloat16), 1.6e-2),
    "float32": (np.dtype(np.float32), 3e-6),
    "float64": (np.dtype(np.float64), 1e-13),
}
SIZES = [0, 1, 3, 31, 33, 1000]
SHAPES = [(0, 5), (1, 1), (3, 3), (2, 31), (5, 33), (3, 1000), (40, 128)]


def accumulator(dtype: np.dtype) -> np.dtype:
    """The type a kernel computes in."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def normal(seed: int, *shape: int) -> np.ndarray:
    """Standard normal numbers in float64."""
    return np.random.default_rng(seed).standard_normal(shape)


def inputs(dtype: np.dtype, shape: tuple, count: int) -> tuple[list, list]:
    """`count` arrays of normal numbers in `dtype`, and the same in float64."""
    arrays = [normal(i, *shape).astype(dtype) for i in range(count)]
    return arrays, [array.astype(float) for array in arrays]


erf = np.vectorize(math.erf, otypes=[float])


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow."""
    return np.exp(-np.logaddexp(0, -x))


def log_softmax(x: np.ndarray) -> np.ndarray:
    """x - log sum exp x over each row."""
    return x - np.logaddexp.reduce(x, axis=1, keepdims=True)


class Runner:
    """Calls kernels of one device with NumPy arrays; outputs lie between guards."""

    def __init__(self, backend, kernels, guarded) -> None:
        self._backend, self._kernels, self._guarded = backend, kernels, guarded

    @property
    def on_host(self) -> bool:
        """Whether these are the CPU's kernels."""
        return self._kernels.on_host

    def parts(self, rows: int) -> int:
        """The library's number of parts."""
        return self._kernels.parts(rows)

    def __call__(self, name, *args, update=()):
        """Run a kernel; a ``(shape, dtype)`` tuple stands for an output.

        Positions in `update` are inputs that the kernel changes. Returns outputs and changed inputs
        in order, in float64 where they are floats.
        """
        given, changed = [], []
        for i, value in enumerate(args):
            if isinstance(value, tuple):
                given.append(self._guarded.empty(*value))
                changed.append(given[-1])
            elif isinstance(value, np.ndarray):
                given.append(self._backend.asarray(value.copy()))
                if i in update:
                    changed.append(given[-1])
            else:
                given.append(value)
        getattr(self._kernels, name)(*given)
        results = [self._backend.to_host(array) for array in changed]
        results = [r.astype(np.float64) if r.dtype.kind in "fV" else r for r in results]
        return results[0] if len(results) == 1 else results


def close(actual, expected, tolerance):
    """Compare with an error relative to the largest expected value."""
    expected = np.asarray(expected, np.float64)
    scale = max(1.0, np.abs(expected[np.isfinite(expected)]).max(initial=0))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)
