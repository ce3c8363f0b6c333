"""Data of the user's own, by the path of a file or folder: tables, arrays, images by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tensorlite.data.arrays import read_npy, read_npz
from tensorlite.data.splits import Scaling, Split, Splits, Task
from tensorlite.data.table import SPLIT_SEED, divide, from_table, targets_of

__all__ = ["from_arrays", "from_images", "from_path", "is_own"]

TABLES, ARRAYS = (".csv", ".tsv"), (".npz", ".npy")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
PIXELS = Scaling(scale=np.float32(255))
SIZE = 32  # pixels a side, where images differ in size or are larger than LARGEST
LARGEST = 64
MOST_BYTES = 4 << 30


def is_own(name: str) -> bool:
    """Whether a dataset is named by a path that this module reads."""
    path = Path(name)
    return path.is_dir() or path.suffix.lower() in TABLES + ARRAYS


def from_path(
    path: str | Path,
    target: str | None = None,
    *,
    drop: Sequence[str] = (),
    task: Task | None = None,
    size: int | None = None,
) -> Splits:
    r"""Read a .csv or .tsv table, .npz or .npy arrays, or a folder of images by class.

    Parameters
    ----------
    path : str or Path
        The file or folder.
    target : str, optional
        Of a table the column that is learnt; of arrays the name of the targets' array ("targets" in
        a .npz file) or the .npy file they are in.
    drop : sequence of str
        Columns of a table that are left out.
    task : {"classification", "regression"}, optional
        What there is to learn, where the targets do not say.
    size : int, optional
        Pixels a side that images are scaled to.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        If something is missing or cannot be learnt from; the message says what to do.

    Examples
    --------
    >>> from pathlib import Path
    >>> rows = "\n".join(f"{size},{10 * size}" for size in range(20))
    >>> Path("prices.csv").write_text("size,price\n" + rows)
    >>> tl.data.from_path("prices.csv", target="price").task
    'regression'
    """
    path = Path(path)
    table, images = path.suffix.lower() in TABLES, path.is_dir()
    for flag, given, fits in (
        ("--drop", bool(drop), table),
        ("--size", size is not None, images),
        ("--target", target is not None, not images),
        ("--task", task is not None, not images),
    ):
        if given and not fits:
            raise ValueError(f"{flag} is not for {path.name}: see tensorlite train --help")
    if images:
        splits = from_images(path, size)
        files = tuple(sorted(f for f in path.rglob("*") if f.suffix.lower() in IMAGES))
        return replace(splits, files=files)
    if table:
        if target is None:
            raise ValueError(f"which column of {path.name} is learnt? say --target COLUMN")
        return replace(from_table(path, target, drop=drop, task=task), files=(path,))
    apart = (Path(target),) if target is not None and path.suffix.lower() == ".npy" else ()
    return replace(from_arrays(path, target, task), files=(path, *apart))


def from_arrays(path: Path, target: str | None = None, task: Task | None = None) -> Splits:
    """Read features and targets from a .npz file, or from two .npy files; a fifth is to test."""
    if path.suffix.lower() == ".npz":
        arrays = read_npz(path)
        name = target or "targets"
        if name not in arrays:
            names = ", ".join(arrays) or "nothing"
            raise ValueError(f"{path.name} holds {names}, and no {name!r}: say --target ARRAY")
        raw = arrays.pop(name)
        if "features" not in arrays and len(arrays) != 1:
            raise ValueError(f"{path.name} holds {', '.join(arrays)}: call the samples 'features'")
        features = arrays.get("features", next(iter(arrays.values())))
    else:
        if target is None:
            raise ValueError(f"{path.name} holds samples: say --target FILE.npy for their targets")
        name = Path(target).name
        features, raw = read_npy(path), read_npy(Path(target))
    if features.ndim < 2 or features.dtype.kind not in "biuf":
        raise ValueError(
            f"{path.name}: features must be numbers of shape (N, …), not {features.dtype} "
            f"{features.shape}"
        )
    if raw.shape != (len(features),) or raw.dtype.kind not in "biufU":
        raise ValueError(
            f"{path.name}: targets {name!r} must be of shape ({len(features)},), one a sample, not "
            f"{raw.dtype} {raw.shape}"
        )
    raw = raw if raw.dtype.kind == "U" else raw.astype(np.float64)
    targets, classes, kind = targets_of(raw, name, path.name, task)
    pixels = features.dtype == np.uint8
    held = divide(targets if classes else np.zeros(len(targets)))
    features = features.astype(np.float32)
    scaling = PIXELS if pixels else _standardised(features[~held])
    unit = Scaling()
    if not classes:
        unit = Scaling(targets[~held].mean(), targets[~held].std() or np.float32(1))
        targets = unit.apply(targets)
    features = scaling.apply(features)
    told = f"{len(classes)} classes" if classes else "numbers"
    done = "divided by 255" if pixels else "standardised"
    notes = (f"targets {name}: {told}, so {kind}", f"features of {features.shape[1:]}, {done}")
    return _splits(path, kind, features, targets, held, classes, scaling, unit, notes)


def _standardised(features: np.ndarray) -> Scaling:
    """By column of a table; for samples of more axes one mean and deviation for all."""
    axes = 0 if features.ndim == 2 else None
    spread = features.std(axis=axes, dtype=np.float64)
    offset = np.asarray(features.mean(axis=axes, dtype=np.float64), np.float32)
    return Scaling(offset, np.where(spread > 0, spread, 1).astype(np.float32))


def from_images(folder: Path, size: int | None = None) -> Splits:
    """Read images, a folder for each class; "train" and "test" may hold such folders apart."""
    Image = _pillow()
    apart = (folder / "train").is_dir() and (folder / "test").is_dir()
    parts = [folder / "train", folder / "test"] if apart else [folder]
    classes = tuple(sorted({d.name for p in parts for d in p.iterdir() if d.is_dir()}))
    files = [
        (file, classes.index(file.parent.name), number)
        for number, part in enumerate(parts)
        for name in classes
        for file in sorted((part / name).glob("*"))
        if file.suffix.lower() in IMAGES
    ]
    if len(classes) < 2 or not files:
        raise ValueError(
            f"{folder} must hold a folder of images for each of two classes or more; it holds "
            f"{len(classes)} with {len(files)} images in all"
        )
    empty = [name for i, name in enumerate(classes) if all(label != i for _, label, _ in files)]
    if empty:
        raise ValueError(f"{folder}: there is no image in the folder {', '.join(empty)}")
    sizes, modes = set(), set()
    for file, _, _ in files:
        try:
            with Image.open(file) as image:
                sizes.add(image.size)
                modes.add(image.mode)
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{file} is no image that can be read: {error}") from error
    mode = "L" if modes <= {"1", "L"} else "RGB"
    same = len(sizes) == 1 and max(next(iter(sizes))) <= LARGEST and size is None
    width, height = next(iter(sizes)) if same else (size or SIZE, size or SIZE)
    channels = len(mode) if mode == "RGB" else 1
    bytes_needed = 4 * len(files) * channels * height * width
    if bytes_needed > MOST_BYTES:
        raise ValueError(
            f"{len(files)} images of {height}×{width} take {bytes_needed / 2**30:.1f} GiB of "
            "memory: say a smaller --size"
        )
    features = np.empty((len(files), channels, height, width), np.float32)
    for i, (file, _, _) in enumerate(files):
        features[i] = read_image(file, (channels, height, width))
    features /= PIXELS.scale
    targets = np.array([label for _, label, _ in files], np.int64)
    held = np.array([number == 1 for _, _, number in files]) if apart else divide(targets)
    done = "kept" if same else f"scaled to (from {len(sizes)} sizes)"
    notes = (
        f"{len(files):,} images of {len(classes)} classes, {'colour' if channels == 3 else 'grey'}",
        f"size {height}×{width}, {done}; values divided by 255",
    )
    by = "the folders train and test" if apart else ""
    return _splits(
        folder, "classification", features, targets, held, classes, PIXELS, Scaling(), notes, by
    )


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            'images are read by Pillow, which is not installed: pip install "tensorlite[images]"'
        ) from error
    return Image


def read_image(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read an image as (C, H, W) values of 0 to 255, scaled to that size where it has another."""
    Image = _pillow()
    channels, height, width = shape
    try:
        with Image.open(file) as image:
            shown = image.convert("L" if channels == 1 else "RGB")
            if shown.size != (width, height):
                shown = shown.resize((width, height), Image.Resampling.BILINEAR)
            values = np.asarray(shown, dtype=np.float32)
    except (OSError, SyntaxError) as error:  # Pillow's UnidentifiedImageError is an OSError
        raise ValueError(f"{file} is no image that can be read: {error}") from error
    return values.transpose(2, 0, 1) if channels == 3 else values[None]


def _splits(
    path: Path,
    task: Task,
    features: np.ndarray,
    targets: np.ndarray,
    held: np.ndarray,
    classes: tuple[str, ...],
    scaling: Scaling,
    unit: Scaling,
    notes: tuple[str, ...],
    by: str = "",
) -> Splits:
    if held.all() or not held.any():
        raise ValueError(f"{path.name} has {len(held)} samples: too few to set some aside")
    count = f"{(~held).sum():,} to train, {held.sum():,} to test"
    return Splits(
        name=path.stem,
        task=task,
        train=Split(features[~held], targets[~held]),
        test=Split(features[held], targets[held]),
        source="your files",
        licence="their owner's",
        location=str(path),
        classes=classes,
        feature_scaling=scaling,
        target_scaling=unit,
        notes=(*notes, f"split by {by or f'seed {SPLIT_SEED}'}: {count}"),
    )
