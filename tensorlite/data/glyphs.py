"""MNIST-1D: ten 1-d glyphs, deformed and buried in noise until position no longer tells the class.

Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024, arXiv:2011.14439.
Templates and constants are the paper's; the random numbers are ours, hence so are the samples.
"""

from __future__ import annotations

import numpy as np

from tensorlite.random import Generator

__all__ = ["generate"]

GLYPHS = np.array(
    [
        [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
        [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
        [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
        [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
        [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
        [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
        [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
        [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
    ]
)
GLYPH_LENGTH = GLYPHS.shape[1]
AMPLITUDE = 1 / 6  # of a glyph of unit variance
PADDING = (36, 60)  # zeros appended to a glyph, both ends included
CANVAS = GLYPH_LENGTH + PADDING[1]  # 72: every padded glyph is stretched to this length
SCALE = 0.4  # amplitudes vary within 1 ± SCALE / 2
TRANSLATION = 48  # positions a glyph may be rolled by
CORRELATED_NOISE = 0.25  # standard deviation before smoothing, where there is no glyph
SMOOTHING = 2.0  # standard deviation of the smoothing kernel, in positions
WHITE_NOISE = 0.02
SHEAR = 0.75  # slopes vary within ± SHEAR / 2 over the canvas
LENGTH = 40


def generate(samples: int, generator: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Make samples of MNIST-1D, classes in equal numbers, in random order.

    Returns
    -------
    signals : numpy.ndarray, float32, shape (samples, 40)
        With mean 0 and variance 1 over all samples.
    labels : numpy.ndarray, int64, shape (samples,)
    """
    labels = generator.permutation(samples) % len(GLYPHS)
    signals, inside = _placed_glyphs(labels, generator)
    noise = _smooth(CORRELATED_NOISE * generator.normal(signals.shape))
    signals = np.where(inside, signals, noise)
    signals += WHITE_NOISE * generator.normal(signals.shape)
    slope = SHEAR * (generator.uniform((samples, 1)) - 0.5)
    signals -= slope * np.linspace(-0.5, 0.5, CANVAS)
    signals = _resample(signals, np.linspace(0, CANVAS - 1, LENGTH)[None])
    signals = (signals - signals.mean()) / signals.std()
    return signals.astype(np.float32), labels.astype(np.int64)


def _placed_glyphs(labels: np.ndarray, generator: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Stretch, scale and roll each label's glyph on its canvas; also tell where it lies."""
    glyphs = GLYPHS - GLYPHS.mean(axis=1, keepdims=True)
    glyphs /= glyphs.std(axis=1, keepdims=True)
    glyphs = AMPLITUDE * (glyphs - glyphs[:, :1])  # a glyph begins and ends at 0

    n = (len(labels), 1)
    padding = generator.integers(PADDING[0], PADDING[1] + 1, n)
    # A canvas of padded length L, read at 72 points; all that lies past the glyph is 0.
    points = np.linspace(0, 1, CANVAS) * (GLYPH_LENGTH + padding - 1)
    padded = np.pad(glyphs, ((0, 0), (0, 2)))
    signals = _resample(padded[labels], np.minimum(points, GLYPH_LENGTH))
    signals *= 1 + SCALE * (generator.uniform(n) - 0.5)

    shift = generator.integers(0, TRANSLATION, n)
    columns = (np.arange(CANVAS) - shift) % CANVAS
    inside = np.take_along_axis(points < GLYPH_LENGTH, columns, axis=1)
    return np.take_along_axis(signals, columns, axis=1), inside


def _resample(signals: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Read the rows of `signals` at fractional `points`, linearly between neighbours."""
    left = np.minimum(points.astype(np.int64), signals.shape[1] - 2)
    right = points - left
    return (1 - right) * np.take_along_axis(signals, left, axis=1) + right * np.take_along_axis(
        signals, left + 1, axis=1
    )


def _smooth(noise: np.ndarray) -> np.ndarray:
    """Convolve rows with a Gaussian of 4 standard deviations' radius, mirrored at the edges."""
    radius = int(4 * SMOOTHING)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SMOOTHING) ** 2)
    kernel /= kernel.sum()
    mirrored = np.pad(noise, ((0, 0), (radius, radius)), mode="symmetric")
    length = noise.shape[1]
    return sum(weight * mirrored[:, i : i + length] for i, weight in enumerate(kernel))
