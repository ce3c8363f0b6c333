"""Samples of convolution and of its patches, written out as loops."""

from __future__ import annotations

import itertools
import math

import numpy as np

from samples.base import Sample, normal
from tensorlite.ops import conv
from tensorlite.ops.conv import Geometry
from tensorlite.ops.patches import Patches, columns_of, image_of


def every_term(size, kernel, out, geometry):
    """(window, tap, place in the image) of all terms of a convolution inside the image."""
    for window in itertools.product(*map(range, out)):
        for tap in itertools.product(*map(range, kernel)):
            place = tuple(
                w * s - p + t * d for w, t, s, p, d in zip(window, tap, *geometry[:3], strict=True)
            )
            if all(0 <= i < n for i, n in zip(place, size, strict=True)):
                yield window, tap, place


def in_groups(count, groups):
    """Slices of `count` channels that make up the groups."""
    return [slice(i * count // groups, (i + 1) * count // groups) for i in range(groups)]


def output_size(size, kernel, geometry):
    return tuple(
        len(range(0, n + 2 * p - d * (k - 1), s))
        for n, k, s, p, d in zip(size, kernel, *geometry[:3], strict=True)
    )


def convolution(x, weight, bias=None, *, geometry):
    kernel, size = weight.shape[2:], x.shape[2:]
    out = output_size(size, kernel, geometry)
    y = np.zeros((x.shape[0], weight.shape[0], *out))
    groups = geometry.groups
    for window, tap, place in every_term(size, kernel, out, geometry):
        for o, c in zip(in_groups(y.shape[1], groups), in_groups(x.shape[1], groups), strict=True):
            y[(slice(None), o, *window)] += (
                x[(slice(None), c, *place)] @ weight[(o, slice(None), *tap)].T
            )
    return y if bias is None else y + bias.reshape(-1, *[1] * len(size))


def convolution_transpose(x, weight, *, size, geometry):
    kernel, out = weight.shape[2:], x.shape[2:]
    groups = geometry.groups
    image = np.zeros((x.shape[0], weight.shape[1] * groups, *size))
    for window, tap, place in every_term(size, kernel, out, geometry):
        for o, c in zip(
            in_groups(x.shape[1], groups), in_groups(image.shape[1], groups), strict=True
        ):
            image[(slice(None), c, *place)] += (
                x[(slice(None), o, *window)] @ weight[(o, slice(None), *tap)]
            )
    return image


def convolution_weight(d, x, *, kernel, geometry):
    groups = geometry.groups
    weight = np.zeros((d.shape[1], x.shape[1] // groups, *kernel))
    for window, tap, place in every_term(x.shape[2:], kernel, d.shape[2:], geometry):
        for o, c in zip(in_groups(d.shape[1], groups), in_groups(x.shape[1], groups), strict=True):
            weight[(o, slice(None), *tap)] += (
                d[(slice(None), o, *window)].T @ x[(slice(None), c, *place)]
            )
    return weight


# size, kernel, stride, padding, dilation, groups
CASES = [
    ((7,), (3,), (1,), (0,), (1,), 1),
    ((8,), (3,), (2,), (1,), (2,), 2),
    ((5, 6), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((6, 5), (1, 1), (1, 1), (0, 0), (1, 1), 2),
    ((7, 6), (3, 2), (2, 3), (2, 0), (2, 1), 2),
    ((4, 3, 4), (2, 3, 2), (2, 1, 1), (1, 1, 0), (1, 1, 2), 1),
]


def samples_of(size, kernel, stride, padding, dilation, groups):
    geometry = Geometry(stride, padding, dilation, groups)
    out = output_size(size, kernel, geometry)
    x, weight, d = normal(2, 4, *size), normal(6, 4 // groups, *kernel), normal(2, 6, *out)
    yield Sample(
        conv.convolution,
        [x, weight, normal(6)],
        dict(geometry=geometry),
        reference=convolution,
        zero=[normal(0, 4, *size), weight, normal(6)],
        tolerance=8,
        saves=("x", "weight", "x_shape", "weight_shape", "geometry"),
    )
    yield Sample(
        conv.convolution_transpose,
        [d, weight],
        dict(size=size, geometry=geometry),
        reference=convolution_transpose,
        zero=[normal(0, 6, *out), weight],
        tolerance=8,
        saves=("x", "weight", "weight_shape", "geometry"),
    )
    yield Sample(
        conv.convolution_weight,
        [d, x],
        dict(kernel=kernel, geometry=geometry),
        reference=convolution_weight,
        tolerance=8,
        saves=("d", "x", "x_shape", "geometry"),
    )


def columns(x, patches):
    size = x.shape[2:]
    out = output_size(size, patches.kernel, patches[1:])
    y = np.zeros((*x.shape[:2], *patches.kernel, *out))
    for window, tap, place in every_term(size, patches.kernel, out, patches[1:]):
        y[(slice(None), slice(None), *tap, *window)] = x[(slice(None), slice(None), *place)]
    return y.reshape(x.shape[0], x.shape[1] * math.prod(patches.kernel), math.prod(out))


def images(d, size, patches):
    out = output_size(size, patches.kernel, patches[1:])
    d = d.reshape(d.shape[0], d.shape[1] // math.prod(patches.kernel), *patches.kernel, *out)
    x = np.zeros((*d.shape[:2], *size))
    for window, tap, place in every_term(size, patches.kernel, out, patches[1:]):
        x[(slice(None), slice(None), *place)] += d[(slice(None), slice(None), *tap, *window)]
    return x


PATCHES = [
    ((5, 6), Patches((3, 2), (1, 1), (0, 0), (1, 1))),
    ((7, 6), Patches((2, 3), (2, 3), (1, 2), (2, 1))),
]


def patch_samples(size, patches):
    windows = math.prod(output_size(size, patches.kernel, patches[1:]))
    yield Sample(
        columns_of,
        [normal(2, 3, *size)],
        dict(patches=patches),
        reference=columns,
        saves=("x_shape", "patches"),
    )
    yield Sample(
        image_of,
        [normal(2, 3 * math.prod(patches.kernel), windows)],
        dict(size=size, patches=patches),
        reference=images,
        saves=("patches",),
        tolerance=4,
    )


SAMPLES = [
    *[sample for case in CASES for sample in samples_of(*case)],
    *[sample for case in PATCHES for sample in patch_samples(*case)],
]
