"""Output arrays between guard elements: a kernel that writes outside its array is found out."""

from __future__ import annotations

import numpy as np

_GUARD = 64  # elements on either side


class Guarded:
    """Makes outputs on one device and checks their surroundings."""

    def __init__(self, backend) -> None:
        self._backend = backend
        self._blocks = []

    def empty(self, shape, dtype):
        """An output of garbage (NaN for floats) between guards."""
        size = int(np.prod(shape))
        garbage = np.nan if np.dtype(dtype).kind == "f" else 99
        block = np.full(size + 2 * _GUARD, garbage, dtype)
        block[:_GUARD] = block[size + _GUARD :] = 7
        block = self._backend.asarray(block)
        self._blocks.append(block)
        return block[_GUARD : size + _GUARD].reshape(shape)

    def filled(self, values):
        """Like `empty`, holding values: an output that is also read."""
        out = self.empty(values.shape, values.dtype)
        out[...] = self._backend.asarray(values)
        return out

    def check(self) -> None:
        """Every guard is as it was."""
        for block in self._blocks:
            host = self._backend.to_host(block)
            assert (host[:_GUARD] == 7).all()
            assert (host[len(host) - _GUARD :] == 7).all()


def assert_close(actual, expected, tolerance):
    """Within `tolerance` of the largest expected value."""
    assert actual.shape == expected.shape
    scale = max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(actual.astype(np.float64), expected, rtol=0, atol=tolerance * scale)
