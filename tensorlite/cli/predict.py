"""``tensorlite predict``."""

from __future__ import annotations

import csv
import math
from argparse import Namespace
from pathlib import Path

import numpy as np

from tensorlite import io, tensor
from tensorlite.cli import restored
from tensorlite.cli.problem import Problem
from tensorlite.data import Vocabulary, check_finite
from tensorlite.data.arrays import read_npy, read_npz
from tensorlite.data.own import IMAGES, TABLES, read_image
from tensorlite.data.read_table import read_table
from tensorlite.data.vocabulary import read_text
from tensorlite.nn import functional as F
from tensorlite.random import Generator
from tensorlite.training import predict

SHOWN = 3  # classes of a sample
CHARACTERS, TEMPERATURE = 400, 0.7  # of a continued text


def run(args: Namespace) -> int:
    """Print the predictions of a run's best weights for the samples in a file or folder."""
    _, _, settings, problem, model = restored.load(args.dir, args.device)
    file = Path(args.file)
    images = file.is_dir() and len(problem.shape) == 3
    if file.is_dir() and not images:
        raise IsADirectoryError(f"{file} is a folder: name a file of samples")
    if not file.exists():
        raise FileNotFoundError(f"{file}: there is no such file")
    if problem.task == "language":
        vocabulary = Vocabulary(problem.classes)
        beginning = read_text(file)[0] or "\n"
        model.eval()
        tokens = model.generate(
            vocabulary.encode(beginning), CHARACTERS, TEMPERATURE, Generator(settings.seed)
        )
        print(vocabulary.decode(tokens))
        return 0
    if images:
        files = images_of(file)
        raw = np.stack([read_image(each, problem.shape) for each in files])
        names = [each.name for each in files]
    else:
        raw, names = samples_of(file, problem), None
    check_finite(raw, str(file))
    outputs = predict(model, problem.feature_scaling.apply(raw))
    if args.out is None:
        _print_outputs(outputs, problem, names)
    else:
        _write(Path(args.out), outputs, problem, names)
    return 0


def images_of(folder: Path) -> list[Path]:
    """The images in a folder, by name."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGES)
    if not files:
        raise FileNotFoundError(f"{folder} holds no images ({', '.join(IMAGES)})")
    return files


def samples_of(file: Path, problem: Problem) -> np.ndarray:
    """Raw samples of the problem's shape: from a table with its columns, an image, or numbers."""
    kind = file.suffix.lower()
    if problem.table is not None and kind in TABLES:
        return problem.table.encode(read_table(file), file.name)
    if kind in IMAGES and len(problem.shape) == 3:
        return read_image(file, problem.shape)[None]
    return as_samples(read(file), problem.shape, file)


def read(file: Path) -> np.ndarray:
    """The numbers in a .npy, .npz (one array, or one called "features") or .csv file.

    Raises
    ------
    ValueError
        If the file is damaged, of another kind, or holds something else than numbers.
    """
    kind = file.suffix.lower()
    if kind not in (".npy", ".npz", ".csv"):
        raise ValueError(f"{file}: samples are read from .npy, .npz and .csv files, and images")
    if kind == ".csv":
        try:
            values = _read_csv(file)
        except ValueError as error:
            raise ValueError(f"{file} cannot be read as csv: {error}") from error
    elif kind == ".npy":
        values = read_npy(file)
    else:
        arrays = read_npz(file)
        values = arrays["features" if "features" in arrays else _only(arrays, file)]
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{file} holds values of dtype {values.dtype}, not numbers")
    return values


def _read_csv(file: Path) -> np.ndarray:
    """Rows of numbers; a first line that is not numbers is taken for titles."""
    lines = file.read_text(encoding="utf-8").splitlines()
    rows = lines if lines and _are_numbers(lines[0]) else lines[1:]
    if not any(rows):
        raise ValueError("it has no rows of numbers")
    return np.loadtxt(rows, delimiter=",", ndmin=2)


def _are_numbers(line: str) -> bool:
    try:
        [float(cell) for cell in line.split(",")]
    except ValueError:
        return False
    return True


def _only(arrays: dict[str, np.ndarray], file: Path) -> str:
    if len(arrays) != 1:
        raise ValueError(f"{file} holds the arrays {list(arrays)}: call the samples 'features'")
    return next(iter(arrays))


def as_samples(values: np.ndarray, shape: tuple[int, ...], file: Path) -> np.ndarray:
    """Bring values to (N, *shape): one sample or many, flat or without the axis of one channel.

    Raises
    ------
    ValueError
        If they have another shape; names both.
    """
    size = math.prod(shape)
    squeezed = tuple(n for n in shape if n != 1)
    for tail in {shape, squeezed, (size,)}:
        if values.shape == tail or (values.ndim and values.shape[1:] == tail):
            return values.reshape(-1, *shape)
    raise ValueError(
        f"{file} has shape {values.shape}; the model takes samples of shape {shape}, so "
        f"(N, {', '.join(map(str, shape))}) or (N, {size})"
    )


def _shares(outputs: np.ndarray) -> np.ndarray:
    return F.softmax(tensor(outputs), dim=-1).numpy()


def _print_outputs(outputs: np.ndarray, problem: Problem, names: list[str] | None) -> None:
    """A line per sample: the likeliest classes, or the value in its raw unit."""
    shown = names or [str(i) for i in range(len(outputs))]
    if problem.task == "regression":
        for name, value in zip(shown, problem.target_scaling.invert(outputs), strict=True):
            print(f"{name}: {value:.6g}")
        return
    for name, p in zip(shown, _shares(outputs), strict=True):
        likeliest = np.argsort(-p, kind="stable")[:SHOWN]
        print(f"{name}: " + "  ".join(f"{problem.classes[c]} {p[c]:.4f}" for c in likeliest))


def _write(out: Path, outputs: np.ndarray, problem: Problem, names: list[str] | None) -> None:
    """Write a .csv: the value in its raw unit, or the likeliest class and every probability.

    Of files their names come first.
    """
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{out.parent} is not a folder: --out {out} cannot be written")
    name = problem.table.target if problem.table is not None else "prediction"
    if problem.task == "regression":
        titles = [name]
        rows = [[f"{value:.8g}"] for value in problem.target_scaling.invert(outputs).ravel()]
    else:
        titles = [name, *(f"p({label})" for label in problem.classes)]
        rows = [
            [problem.classes[int(p.argmax())], *(f"{value:.6f}" for value in p)]
            for p in _shares(outputs)
        ]
    if names is not None:
        titles, rows = ["file", *titles], [[n, *row] for n, row in zip(names, rows, strict=True)]

    def write(to: str) -> None:
        with open(to, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(titles)
            writer.writerows(rows)

    io.write_atomically(out, write)
    print(f"{len(rows):,} predictions written to {out}")
