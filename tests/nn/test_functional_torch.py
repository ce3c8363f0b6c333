"""Values, gradients and second order as torch has them, where torch is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.call import listed
from tensorlite.nn import functional as F

torch = pytest.importorskip("torch", reason="torch, an oracle of maintainers, is not installed")
TF = torch.nn.functional

generator = np.random.default_rng(8)


def normal(*shape: int) -> np.ndarray:
    return generator.standard_normal(shape)


def same(name: str, *inputs: np.ndarray, **options: Any) -> Any:
    """A case of a function that both libraries have, with the same arguments."""
    return pytest.param(
        lambda *a: getattr(F, name)(*a, **options),
        lambda *a: getattr(TF, name)(*a, **options),
        inputs,
        id=f"{name}{options or ''}",
    )


def other(name: str, ours: Callable, theirs: Callable, *inputs: np.ndarray) -> Any:
    return pytest.param(ours, theirs, inputs, id=name)


IMAGES, LINES = normal(2, 4, 7, 8), normal(2, 4, 9)
LABELS = generator.integers(0, 4, (5, 3))
MASK = generator.random((5, 6)) > 0.3
ROWS = generator.integers(0, 7, (3, 4))

ACTIVATIONS = [
    *[same(f, 3 * normal(4, 6)) for f in ("relu", "relu6", "selu", "silu", "mish", "hardswish")],
    *[same(f, normal(4, 6)) for f in ("elu", "gelu", "sigmoid", "tanh", "leaky_relu", "hardtanh")],
    same("gelu", normal(4, 6), approximate="tanh"),
    other("glu", lambda x: F.glu(x, axis=1), lambda x: TF.glu(x, 1), normal(4, 6)),
    other("softmax", lambda x: F.softmax(x, 0), lambda x: TF.softmax(x, 0), normal(4, 6)),
    other(
        "log_softmax",
        lambda x: F.log_softmax(x, 1),
        lambda x: TF.log_softmax(x, 1),
        normal(3, 4, 2),
    ),
]

GEOMETRIES = [
    dict(),
    dict(stride=2, padding=1),
    dict(dilation=2, padding=2),
    dict(stride=3, padding=2, dilation=2, groups=2),
]

CONVOLUTIONS = [
    case
    for options in GEOMETRIES
    for groups in [options.get("groups", 1)]
    for case in (
        same("conv1d", LINES, normal(6, 4 // groups, 3), normal(6), **options),
        same("conv2d", IMAGES, normal(6, 4 // groups, 3, 2), normal(6), **options),
        same("conv_transpose1d", LINES, normal(4, 6 // groups, 3), normal(6), **options),
        same("conv_transpose2d", IMAGES, normal(4, 6 // groups, 3, 3), normal(6), **options),
    )
] + [
    same("conv2d", IMAGES, normal(6, 4, 3, 3), normal(6), padding="same", dilation=2),
    same("conv3d", normal(2, 4, 4, 5, 3), normal(2, 4, 2, 3, 2), normal(2), padding=1, stride=2),
    same("conv2d", IMAGES[0], normal(6, 4, 3, 3), normal(6), stride=2),
    *[
        same(
            f"conv_transpose{axes}d",
            *(normal(2, 4, *(3, 5, 4)[:axes]), normal(4, 6, *(2, 3, 2)[:axes]), normal(6)),
            padding=1,
            **options,
        )
        for axes in (1, 2, 3)
        for options in (
            dict(),
            dict(stride=2, output_padding=1),
            dict(dilation=3, output_padding=2),
        )
    ],
    same("linear", normal(2, 5, 4), normal(3, 4), normal(3)),
]

POOLS = [
    same("max_pool1d", LINES, kernel_size=3, stride=2, padding=1),
    same("max_pool2d", IMAGES, kernel_size=3, stride=1, padding=1, dilation=2),
    same("avg_pool1d", LINES, kernel_size=3, stride=2, padding=1),
    same("avg_pool2d", IMAGES, kernel_size=3, stride=2, padding=1, count_include_pad=False),
    *[
        same(f"adaptive_{kind}_pool2d", IMAGES, output_size=out)
        for kind in ("avg", "max")
        for out in ((1, 1), (3, 5), (7, 4))
    ],
    *[
        same(f"{kind}_pool{axes}d", x, kernel_size=3, stride=2, padding=1, ceil_mode=True)
        for kind in ("max", "avg")
        for axes, x in ((1, LINES), (2, IMAGES), (3, normal(3, 5, 6, 4)))
    ],
    same("avg_pool2d", IMAGES[0], kernel_size=2, stride=3, ceil_mode=True, divisor_override=3),
    same("avg_pool3d", normal(2, 5, 4, 3), kernel_size=2, padding=1, count_include_pad=False),
    *[same(f"adaptive_{k}_pool3d", normal(1, 2, 5, 4, 3), output_size=3) for k in ("avg", "max")],
    *[same("lp_pool2d", np.abs(IMAGES), norm_type=p, kernel_size=3, stride=2) for p in (1, 2, 3)],
    same("interpolate", IMAGES, scale_factor=1.5),
    *[
        same("interpolate", x, mode=mode, **size)
        for x, modes in (
            (LINES, ("nearest", "nearest-exact", "area", "linear")),
            (IMAGES, ("nearest-exact", "area")),
            (normal(1, 2, 3, 4, 5), ("nearest", "nearest-exact", "area", "trilinear")),
        )
        for mode in modes
        for size in (dict(size=4), dict(scale_factor=1.7))
    ],
    *[
        same("interpolate", IMAGES, mode=mode, align_corners=aligned, antialias=smooth, **size)
        for mode in ("bilinear", "bicubic")
        for aligned in (False, True)
        for smooth in (False, True)
        for size in (dict(size=(3, 11)), dict(scale_factor=(0.4, 1.3)), dict(size=1))
    ],
    same("interpolate", IMAGES, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True),
]

NORMS = [
    same("layer_norm", normal(2, 3, 4), normalized_shape=(3, 4)),
    other(
        "layer_norm with parameters",
        lambda x, w, b: F.layer_norm(x, 4, w, b),
        lambda x, w, b: TF.layer_norm(x, (4,), w, b),
        *(normal(2, 3, 4), normal(4), normal(4)),
    ),
    other(
        "rms_norm",
        lambda x, w: F.rms_norm(x, 4, w),
        lambda x, w: TF.rms_norm(x, (4,), w),
        *(normal(2, 3, 4), normal(4)),
    ),
    other(
        "group_norm",
        lambda x, w, b: F.group_norm(x, 2, w, b),
        lambda x, w, b: TF.group_norm(x, 2, w, b),
        *(IMAGES, normal(4), normal(4)),
    ),
    other(
        "instance_norm",
        lambda x, w, b: F.instance_norm(x, None, None, w, b),
        lambda x, w, b: TF.instance_norm(x, None, None, w, b),
        *(IMAGES, normal(4), normal(4)),
    ),
    other(
        "batch_norm",
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        lambda x, w, b: TF.batch_norm(x, None, None, w, b, training=True),
        *(IMAGES, normal(4), normal(4)),
    ),
]

QKV = normal(2, 3, 5, 4), normal(2, 3, 6, 4), normal(2, 3, 6, 7)

ATTENTION = [
    same("scaled_dot_product_attention", *QKV),
    same("scaled_dot_product_attention", *QKV, is_causal=True, scale=0.3),
    same("scaled_dot_product_attention", *QKV, normal(5, 6)),
    other(
        "attention with a mask",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, tl.tensor(MASK)),
        lambda q, k, v: TF.scaled_dot_product_attention(q, k, v, torch.tensor(MASK)),
        *QKV,
    ),
    other(
        "embedding",
        lambda w: F.embedding(tl.tensor(ROWS), w, padding_idx=2),
        lambda w: TF.embedding(torch.tensor(ROWS), w, padding_idx=2),
        normal(7, 3),
    ),
]

BAGS = [
    other(
        f"embedding_bag {mode} {options}",
        lambda w, mode=mode, options=options: F.embedding_bag(
            tl.tensor(ROWS), w, mode=mode, **options
        ),
        lambda w, mode=mode, options=options: TF.embedding_bag(
            torch.tensor(ROWS), w, mode=mode, **options
        ),
        normal(7, 3),
    )
    for mode in ("sum", "mean", "max")
    for options in (dict(), dict(padding_idx=int(ROWS[0, 0])))
] + [
    other(
        f"embedding_bag {mode} offsets {offsets}",
        lambda w, mode=mode, offsets=offsets, last=last: F.embedding_bag(
            tl.tensor(ROWS.ravel()), w, tl.tensor(offsets), mode=mode, include_last_offset=last
        ),
        lambda w, mode=mode, offsets=offsets, last=last: TF.embedding_bag(
            torch.tensor(ROWS.ravel()),
            w,
            torch.tensor(offsets),
            mode=mode,
            include_last_offset=last,
        ),
        normal(7, 3),
    )
    for mode in ("sum", "mean", "max")
    for offsets, last in (([0, 0, 3, 12, 12], False), ([0, 4, 12], True))
]

PLACES = [
    same(
        "grid_sample",
        *(normal(2, 3, *(5, 4, 6)[:axes]), 1.3 * normal(2, *(3, 4, 2)[:axes], axes)),
        mode=mode,
        padding_mode=padding_mode,
        align_corners=aligned,
    )
    for axes, modes in ((2, ("bilinear", "nearest", "bicubic")), (3, ("bilinear", "nearest")))
    for mode in modes
    for padding_mode in ("zeros", "border", "reflection")
    for aligned in (False, True)
] + [
    same(
        "affine_grid", normal(2, axes, axes + 1), size=(2, 1, 3, 4, 5)[: axes + 2], align_corners=a
    )
    for axes in (2, 3)
    for a in (False, True)
]

REARRANGED = [
    same("unfold", IMAGES, kernel_size=(2, 3), dilation=2, padding=1, stride=(2, 1)),
    same("fold", normal(4 * 6, 6 * 8), output_size=(7, 8), kernel_size=(2, 3), padding=(0, 1)),
    same("pixel_shuffle", normal(2, 8, 3, 2), upscale_factor=2),
    same("pixel_unshuffle", normal(2, 4, 6), downscale_factor=2),
    same("channel_shuffle", normal(2, 6, 3, 2), groups=3),
    *[
        same("local_response_norm", x, size=n, alpha=0.1, beta=0.5, k=1.5)
        for x in (LINES, IMAGES)
        for n in (2, 3)
    ],
    same("bilinear", normal(2, 3, 4), normal(2, 3, 5), normal(6, 4, 5), normal(6)),
]

DISTANCES = [
    *[
        same("pairwise_distance", normal(4, 3), normal(4, 3), p=p, keepdim=True)
        for p in (1, 2, 3.0)
    ],
    *[same("normalize", normal(2, 3, 4), p=p, dim=dim) for p, dim in ((2, 1), (1, -1), (3.0, 0))],
    same("cosine_similarity", normal(2, 1, 4), normal(3, 4), dim=-1),
    *[same("pdist", normal(4, 3), p=p) for p in (1, 2, 3.0)],
    *[
        other(
            f"cdist {p} {rows}",
            lambda a, b, p=p: tl.cdist(a, b, p),
            lambda a, b, p=p: torch.cdist(a, b, p),
            *(normal(2, 3, 4), normal(rows, 4)),
        )
        for p in (1, 2, 3.0)
        for rows in (5, 40)
    ],
]

LOSSES = [
    same(loss, normal(5, 3), normal(5, 3)) for loss in ("mse_loss", "l1_loss", "huber_loss")
] + [
    same("kl_div", normal(5, 3), np.exp(normal(5, 3))),
    *[
        other(
            f"cross_entropy {options}",
            lambda x, w, options=options: F.cross_entropy(
                x, tl.tensor(LABELS), w.detach(), **options
            ),
            lambda x, w, options=options: TF.cross_entropy(
                x, torch.tensor(LABELS), w.detach(), **options
            ),
            *(normal(5, 4, 3), np.abs(normal(4))),
        )
        for options in (
            dict(),
            dict(label_smoothing=0.2, ignore_index=1),
            dict(label_smoothing=0.2, reduction="none"),
        )
    ],
]


def second_order(gradients: list, directions: list, inputs: list, grad: Callable) -> list:
    """Gradients of the gradients' product with `directions`; zeros where nothing depends."""
    total = sum((d * v).sum() for d, v in zip(gradients, directions, strict=True))
    if not total.requires_grad:
        return [np.zeros(x.shape) for x in inputs]
    found = grad(total, inputs, allow_unused=True)
    return [np.zeros(x.shape) if d is None else d for d, x in zip(found, inputs, strict=True)]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("ours", "theirs", "inputs"),
    ACTIVATIONS
    + CONVOLUTIONS
    + POOLS
    + NORMS
    + ATTENTION
    + BAGS
    + PLACES
    + REARRANGED
    + DISTANCES
    + LOSSES,
)
def test_as_torch(ours: Callable, theirs: Callable, inputs: tuple[np.ndarray, ...]) -> None:
    x = [tl.tensor(a, requires_grad=True) for a in inputs]
    t = [torch.tensor(a, requires_grad=True) for a in inputs]
    (y,), (z,) = listed(ours(*x)), listed(theirs(*t))

    def close(a: Any, b: Any) -> None:
        a = a if isinstance(a, np.ndarray) else a.detach().numpy()
        b = b if isinstance(b, np.ndarray) else b.detach().numpy(force=True)
        np.testing.assert_allclose(a, b, 1e-7, 1e-7)

    close(y, z)
    g, directions = normal(*y.shape), [normal(*a.shape) for a in inputs]
    options = dict(create_graph=True, allow_unused=True)
    first = tl.grad(y, x, tl.tensor(g), **options)
    wanted = torch.autograd.grad(z, t, torch.tensor(g), **options)
    pairs = [(a, b) for a, b in zip(first, wanted, strict=True) if b is not None]
    for a, b in pairs:
        close(a, b)
    directions = directions[: len(pairs)]
    try:
        wanted = second_order(
            [b for _, b in pairs], map(torch.tensor, directions), t, torch.autograd.grad
        )
    except (RuntimeError, NotImplementedError) as error:  # what torch has no second order of
        assert "is not implemented" in str(error)
        return
    second = second_order([a for a, _ in pairs], map(tl.tensor, directions), x, tl.grad)
    for a, b in zip(second, wanted, strict=True):
        close(a, b)
