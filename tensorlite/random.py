"""Random numbers: Philox4x32-10, the same bits in NumPy, C++ and CUDA.

Philox is a counter-based generator (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
easy as 1, 2, 3", SC 2011): block ``b`` of four 32-bit words is a function of a key and ``b``
alone, so any element can be drawn anywhere, in any order. The convention, for every backend:

* key = (seed mod 2³², seed div 2³²); counter = (b mod 2³², b div 2³², 0, 0);
* element ``i`` of a draw that begins at block ``offset`` is word ``i mod 4`` of block
  ``offset + i div 4``;
* uniform float32 = (word >> 8) · 2⁻²⁴, in [0, 1);
* normal float32: Box and Muller's transform of the words (0, 1) and (2, 3) of a block, with the
  polynomials below. They use only single IEEE operations in the order written, no fused
  multiply-add, so that every device rounds alike.
"""

from __future__ import annotations

import contextlib
import math
import os
import weakref
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from tensorlite.backend import CPU, HOST, Array, Backend, Device, backend_for
from tensorlite.tape import mode, unit
from tensorlite.tensor import Tensor, tensor_of

_LOW = 0xFFFFFFFF
_CHUNK = 1 << 14  # blocks worked on at a time in NumPy: what stays in cache


def _blocks(xp: ModuleType, count: int, key: tuple[int, int], offset: int) -> Array:
    """Blocks ``offset … offset + count`` as uint32, shape (count, 4)."""
    block = xp.arange(count, dtype=xp.uint64) + offset
    c0, c1 = block & _LOW, block >> 32
    c2 = c3 = xp.zeros(count, xp.uint64)
    k0, k1 = key
    for _ in range(10):
        p0 = c0 * 0xD2511F53
        p1 = c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _LOW, (p0 >> 32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + 0x9E3779B9) & _LOW, (k1 + 0xBB67AE85) & _LOW
    return xp.stack((c0, c1, c2, c3), axis=1).astype(xp.uint32)


def philox_bits(xp: ModuleType, n: int, key: tuple[int, int], offset: int) -> Array:
    """Draw `n` uniform 32-bit words.

    Parameters
    ----------
    xp
        Array namespace, `numpy` or `cupy`.
    n
        Number of words.
    key
        Two 32-bit words.
    offset
        First block.

    Returns
    -------
    array of uint32, shape (n,)
    """
    count = -(-n // 4)
    if count <= _CHUNK or xp is not np:
        return _blocks(xp, count, key, offset).reshape(-1)[:n]
    words = np.empty((count, 4), np.uint32)
    for start in range(0, count, _CHUNK):
        part = words[start : start + _CHUNK]
        part[:] = _blocks(np, len(part), key, offset + start)
    return words.reshape(-1)[:n]


def philox_uniform(xp: ModuleType, n: int, key: tuple[int, int], offset: int) -> Array:
    """Draw `n` float32 numbers uniform in [0, 1), multiples of 2⁻²⁴."""
    return (philox_bits(xp, n, key, offset) >> 8).astype(xp.float32) * (2.0**-24)


def philox_normal(xp: ModuleType, n: int, key: tuple[int, int], offset: int) -> Array:
    """Draw `n` float32 numbers from the standard normal distribution."""
    words = philox_bits(xp, -(-n // 4) * 4, key, offset).reshape(-1, 2) >> 8
    u = words.astype(xp.float32) * (2.0**-24)
    radius = xp.sqrt(_log(xp, u[:, 0] + 2.0**-24) * -2.0)
    cosine, sine = _cos_sin(xp, u[:, 1])
    return xp.stack((radius * cosine, radius * sine), axis=1).reshape(-1)[:n]


def _log(xp: ModuleType, x: Array) -> Array:
    """Natural logarithm of float32 in (0, 1], within 2 units in the last place.

    x = m·2ᵉ with m in [√½, √2); log m = 2 artanh s with s = (m − 1) / (m + 1).
    """
    bits = x.view(xp.int32)
    e = (bits - 0x3F3504F3) >> 23
    m = (bits - (e << 23)).view(xp.float32)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    series = (((z * (1 / 9) + 1 / 7) * z + 1 / 5) * z + 1 / 3) * z
    return e.astype(xp.float32) * math.log(2) + (s * series + s) * 2.0


def _cos_sin(xp: ModuleType, turns: Array) -> tuple[Array, Array]:
    """Cosine and sine of `turns` · 2π, float32 in [0, 1), within 2 units in the last place of 1.

    The angle is reduced exactly to ±⅛ turn; then the Taylor polynomials of degree 9 and 10.
    """
    quadrant = (turns * 4.0 + 0.5).astype(xp.int32)
    a = (turns - quadrant.astype(xp.float32) * 0.25) * (2 * math.pi)
    z = a * a
    sine = (((z * (1 / 362880) - 1 / 5040) * z + 1 / 120) * z - 1 / 6) * z * a + a
    cosine = ((((z * (-1 / 3628800) + 1 / 40320) * z - 1 / 720) * z + 1 / 24) * z - 0.5) * z + 1.0
    swap = (quadrant & 1) == 1
    c, s = xp.where(swap, sine, cosine), xp.where(swap, cosine, sine)
    return xp.where(((quadrant + 1) & 2) == 2, -c, c), xp.where((quadrant & 2) == 2, -s, s)


_REFERENCES = {"bits": philox_bits, "uniform": philox_uniform, "normal": philox_normal}


_all: weakref.WeakSet[Generator] = weakref.WeakSet()


class Generator:
    """A stream of random numbers: a seed, and how many blocks were drawn.

    Parameters
    ----------
    seed
        Any integer in [-2⁶³, 2⁶⁴).
    device
        Taken for torch's sake, also in the place of `seed`: a generator serves all devices.

    Examples
    --------
    >>> g = Generator(7)
    >>> g.uniform((2, 3)).shape
    (2, 3)

    >>> generator = tl.Generator()
    >>> generator.manual_seed(7).initial_seed()
    7
    >>> state = generator.get_state()
    >>> numbers = generator.normal((2,)), generator.uniform((2,)), generator.integers(0, 10, (2,))
    >>> generator.set_state(state)
    >>> (generator.normal((2,)) == numbers[0]).all()
    np.True_
    >>> sorted(generator.permutation(3).tolist()), generator.seed() >= 0
    ([0, 1, 2], True)
    >>> generator.load_state_dict(generator.state_dict())
    >>> len(generator.key), len(generator.reserve(4))
    (2, 2)
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Generator:
        """Make one, also by copying or unpickling, and keep it in sight of `states`."""
        made = object.__new__(cls)
        _all.add(made)
        return made

    def __init__(self, seed: int | str | Device = 0, *, device: str | Device = CPU) -> None:
        self.device = Device(seed if isinstance(seed, (str, Device)) else device)  # torch's place
        self.manual_seed(seed if isinstance(seed, int) else 0)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`, of which the last 64 bits count; returns the generator.

        Raises
        ------
        ValueError
            If the seed does not fit in 64 bits.
        """
        if not -(1 << 63) <= seed < 1 << 64:
            raise ValueError(f"a seed is an integer in [-2**63, 2**64), not {seed}")
        self._seed = int(seed) % (1 << 64)
        self.offset = 0
        return self

    def initial_seed(self) -> int:
        """The seed that the stream began with."""
        return self._seed

    def seed(self) -> int:
        """Start again from a seed that the system draws; returns it."""
        return self.manual_seed(int.from_bytes(os.urandom(8), "little")).initial_seed()

    def get_state(self) -> Tensor:
        """Seed and place in the stream, as 16 bytes (uint8).

        Returns
        -------
        Tensor of uint8, shape (16,)
        """
        return tensor_of(np.array([self._seed, self.offset], np.uint64).view(np.uint8))

    def set_state(self, new_state: Tensor) -> None:
        """Go on where a generator was when `get_state` was called.

        Parameters
        ----------
        new_state : Tensor of uint8, shape (16,)

        Raises
        ------
        RuntimeError
            If it is something else.
        """
        state = np.ascontiguousarray(new_state.numpy())
        if state.dtype != np.uint8 or state.shape != (16,):
            raise RuntimeError(
                f"set_state: a state is what get_state gave, 16 bytes, not {state.dtype} "
                f"{state.shape}"
            )
        self._seed, self.offset = map(int, state.view(np.uint64))

    @property
    def key(self) -> tuple[int, int]:
        """The seed as two 32-bit words."""
        return self._seed & _LOW, self._seed >> 32

    def reserve(self, n: int) -> tuple[tuple[int, int], int]:
        """Set `n` words aside; return the key and the first block, to draw them any time."""
        offset, blocks = self.offset, -(-n // 4)
        self.offset += blocks
        recorder = mode.switches.recorder
        if recorder is not None:
            offset = recorder.reserved(self, offset, blocks)
        return self.key, offset

    def state_dict(self) -> dict[str, int]:
        """What `load_state_dict` needs to continue the stream here."""
        return {"seed": self._seed, "offset": self.offset}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue a stream where `state_dict` was taken.

        Parameters
        ----------
        state : dict
        """
        self.manual_seed(int(state["seed"]))
        self.offset = int(state["offset"])

    # --- raw arrays of each distribution ------------------------------------------------------

    def uniform(
        self, shape: tuple[int, ...] = (), dtype: Any = np.float32, device: Device = CPU
    ) -> Array:
        """Uniform in [0, 1): 53 random bits in float64, 24 in float32, 11 and 8 in the halves.

        Parameters
        ----------
        shape : tuple of int
            Of the array.

        Returns
        -------
        array
            Of that shape.
        """
        return unit("random uniform", self._uniform, shape, dtype, device)

    def _uniform(self, shape: tuple[int, ...], dtype: Any, device: Device) -> Array:
        dtype = np.dtype(dtype)
        n = math.prod(shape)
        backend = backend_for(device)
        if dtype == np.float64:
            words = self._draw(backend, device, "bits", 2 * n).reshape(n, 2)
            high, low = words[:, 0] >> 5, words[:, 1] >> 6
            flat = (high.astype(np.float64) * 2.0**26 + low) * 2.0**-53
        elif dtype.itemsize == 2:  # bits that the type can hold, or rounding would give 1
            kept = 11 if dtype == np.float16 else 8
            words = self._draw(backend, device, "bits", n) >> (32 - kept)
            flat = (words.astype(np.float32) * 2.0**-kept).astype(dtype)
        else:
            flat = self._draw(backend, device, "uniform", n).astype(dtype, copy=False)
        return flat.reshape(shape)

    def normal(
        self, shape: tuple[int, ...] = (), dtype: Any = np.float32, device: Device = CPU
    ) -> Array:
        """Standard normal, drawn in float32 whatever the dtype.

        Parameters
        ----------
        shape : tuple of int
            Of the array.

        Returns
        -------
        array
            Of that shape.
        """
        return unit("random normal", self._normal, shape, dtype, device)

    def _normal(self, shape: tuple[int, ...], dtype: Any, device: Device) -> Array:
        flat = self._draw(backend_for(device), device, "normal", math.prod(shape))
        return flat.astype(dtype, copy=False).reshape(shape)

    def integers(
        self,
        low: int,
        high: int,
        shape: tuple[int, ...] = (),
        dtype: Any = np.int64,
        device: Device = CPU,
    ) -> Array:
        """Integers in [low, high), each with probability equal within 2⁻³²·(high − low).

        Parameters
        ----------
        low, high : int
            The range.
        shape : tuple of int
            Of the array.

        Returns
        -------
        array
            Of that shape.

        Raises
        ------
        ValueError
            If there are no numbers in the range, or more than 2³².
        """
        if not 0 < high - low <= 1 << 32:
            raise ValueError(f"integers in [{low}, {high}): the range must hold 1 to 2**32 numbers")
        return unit("random integers", self._integers, low, high, shape, dtype, device)

    def _integers(
        self, low: int, high: int, shape: tuple[int, ...], dtype: Any, device: Device
    ) -> Array:
        words = self._draw(backend_for(device), device, "bits", math.prod(shape))
        scaled = (words.astype(np.uint64) * (high - low)) >> 32
        return (scaled.astype(np.int64) + low).astype(dtype, copy=False).reshape(shape)

    def permutation(self, n: int) -> np.ndarray:
        """The numbers 0 … n−1 in random order, int64 on the host."""
        return unit("random permutation", self._permutation, n)

    def _permutation(self, n: int) -> np.ndarray:
        words = self._draw(HOST, CPU, "bits", 2 * n).reshape(n, 2).astype(np.uint64)
        return np.argsort(words[:, 0] << 32 | words[:, 1], kind="stable")

    def _draw(self, backend: Backend, device: Device, what: str, n: int) -> Array:
        key, offset = self.reserve(n)
        k = backend.kernels
        with backend.on(device):
            if k is None:
                return _REFERENCES[what](backend.xp, n, key, offset)
            y = k.empty((n,), np.uint32 if what == "bits" else np.float32)
            getattr(k, f"random_{what}")(y, base_of(key), n, key[0] | key[1] << 32, offset)
            return y


def base_of(key: tuple[int, int]) -> Array | None:
    """What kernels add to an offset: an array that replays of a recording write to, or None."""
    recorder = mode.switches.recorder
    return None if recorder is None else recorder.base_of(key)


default_generator = Generator(int.from_bytes(os.urandom(4), "little"))


def states() -> list[tuple[Generator, int, int]]:
    """Where all generators are, for `restore`."""
    return [(generator, generator._seed, generator.offset) for generator in list(_all)]


def restore(states: list[tuple[Generator, int, int]]) -> None:
    """Bring generators back to where they were."""
    for generator, seed, offset in states:
        generator._seed, generator.offset = seed, offset


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; everything random in tensorlite follows from it.

    Parameters
    ----------
    seed : int

    Examples
    --------
    >>> tl.manual_seed(0)
    >>> tl.rand(2)
    tensor([0.39904642, 0.88052016])
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator with a number that the system draws; returns it.

    Examples
    --------
    >>> tl.seed() >= 0
    True
    """
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator began with.

    Examples
    --------
    >>> tl.manual_seed(7).initial_seed()
    7
    """
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's seed and place, as 16 bytes (uint8).

    Returns
    -------
    Tensor of uint8, shape (16,)

    Examples
    --------
    >>> tl.get_rng_state().shape
    (16,)
    """
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Let the default generator go on where it was when `get_rng_state` was called.

    Parameters
    ----------
    new_state : Tensor of uint8, shape (16,)
        What `get_rng_state` returned.

    Examples
    --------
    >>> state = tl.get_rng_state()
    >>> first = tl.rand(2)
    >>> tl.set_rng_state(state)
    >>> tl.equal(tl.rand(2), first)
    True
    """
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(*args: Any, enabled: bool = True, **kwargs: Any) -> Iterator[None]:
    """Draw inside as one likes: the default generator goes on afterwards as if nothing was drawn.

    torch's arguments that name devices are taken: one generator serves all.
    """
    state = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(state)
