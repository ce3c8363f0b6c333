"""Random numbers have the bits that tensorlite.random states; dropout keeps what they say."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from reference import DTYPES, SIZES, normal

random = importlib.import_module("tensorlite.random")

SEEDS = [(0, 0), (12345678901234567, 2**32 - 5), (2**64 - 1, 7)]
DRAWS = {
    "random_bits": (random.philox_bits, np.uint32),
    "random_uniform": (random.philox_uniform, np.float32),
    "random_normal": (random.philox_normal, np.float32),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize(("seed", "offset"), SEEDS)
def test_bits(run, name, seed, offset):
    function, dtype = DRAWS[name]
    for n in [*SIZES, 10_007]:
        expected = function(np, n, (seed & 0xFFFFFFFF, seed >> 32), offset)
        drawn = run(name, ((n,), np.dtype(dtype)), None, n, seed, offset)
        np.testing.assert_array_equal(drawn, expected)


def test_known_answer(run):
    """Random123's answer for a zero key and counter."""
    words = run("random_bits", ((4,), np.dtype(np.uint32)), None, 4, 0, 0)
    assert [f"{word:08x}" for word in words] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


def test_base_is_added_to_the_offset(run):
    out = ((9,), np.dtype(np.float32))
    moved = run("random_uniform", out, np.array([5]), 9, 3, 10)
    np.testing.assert_array_equal(moved, run("random_uniform", out, None, 9, 3, 15))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.0, 0.3, 0.9])
def test_dropout(run, dtype, p):
    dtype, tolerance = DTYPES[dtype]
    for n in SIZES:
        x = normal(1, n).astype(dtype)
        keep = random.philox_uniform(np, n, (11, 0), 2) >= np.float32(p)
        y = run("dropout", x, ((n,), dtype), None, n, p, 11, 2)
        expected = np.where(keep, x.astype(float) / (1 - p), 0)
        np.testing.assert_allclose(y, expected, rtol=tolerance)


def test_a_generator_draws_the_same_bits_with_kernels(device, backend, kernels):
    generator = random.Generator(2**40 + 5)
    for n in (0, 1, 1001):
        offset = generator.offset
        uniform, normal = (
            draw((n,), device=device) for draw in (generator.uniform, generator.normal)
        )
        key, blocks = generator.key, -(-n // 4)
        for drawn, reference, at in (
            (uniform, random.philox_uniform, offset),
            (normal, random.philox_normal, offset + blocks),
        ):
            np.testing.assert_array_equal(backend.to_host(drawn), reference(np, n, key, at))
