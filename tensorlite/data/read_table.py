"""Reading a table: columns of float64 with NaN for what is missing, or of texts with "" for it."""

from __future__ import annotations

import contextlib
import csv
import warnings
from collections.abc import Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["MISSING", "Columns", "is_number", "read_table"]

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?")
FIRST = 1000  # rows, by which a column is taken for one of numbers until a word comes
Columns = dict[str, np.ndarray]


def read_table(path: Path) -> Columns:
    """Read a .csv or .tsv file whose first line has the titles.

    A column in which every cell is a number or missing (one of `MISSING`) is float64; any other
    holds texts. Polars reads it where it is installed (``tensorlite[tables]``), several times as
    fast as what comes with Python and NumPy; the result is the same.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not UTF-8, has no rows, no titles, two columns of one title, or a row that is
        longer or shorter than the titles.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        titles = _titles(path, separator)
        columns = _by_polars(path, separator, titles) or _by_python(path, separator, titles)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text: {error}") from error
    except csv.Error as error:
        raise ValueError(f"{path.name} cannot be read as a table: {error}") from error
    if not len(next(iter(columns.values()))):
        raise ValueError(f"{path.name} has titles and no rows")
    return columns


def _titles(path: Path, separator: str) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = next(csv.reader(file, delimiter=separator), [])
    titles = [title.strip() for title in first]
    if not any(titles):
        raise ValueError(f"{path.name} is empty: its first line must have the titles of columns")
    twice = sorted({t for t in titles if titles.count(t) > 1})
    if twice:
        raise ValueError(f"{path.name} has several columns called {', '.join(map(repr, twice))}")
    if all(is_number(title) for title in titles):
        raise ValueError(f"{path.name} has no titles: its first line holds numbers, {first[:3]}")
    if len(titles) == 1 and ";" in titles[0] and separator == ",":
        raise ValueError(f"{path.name} has semicolons between its columns: commas are read")
    return titles


def is_number(text: str) -> bool:
    """Whether a cell can be read as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _by_polars(path: Path, separator: str, titles: list[str]) -> Columns | None:
    """Read by Polars; None where it is not there or refuses, so that Python says what is wrong."""
    try:
        import polars as pl
    except ImportError:
        return None
    plain = partial(pl.read_csv, path, separator=separator, new_columns=titles)
    read = partial(plain, null_values=list(MISSING))  # which takes a sixth longer
    frame = None
    try:
        if _begins_with_numbers(path, separator):
            with contextlib.suppress(pl.exceptions.PolarsError):  # there are words further down
                frame = plain(infer_schema_length=FIRST)
        if frame is None:
            frame = read(infer_schema_length=FIRST)
        if any(dtype not in (pl.Int64, pl.Float64, pl.String) for dtype in frame.dtypes):
            frame = read(infer_schema=False)  # "true" is a word
    except pl.exceptions.PolarsError:
        try:
            frame = read(infer_schema=False)
        except pl.exceptions.PolarsError:
            return None
    if frame.to_series(-1).null_count():  # what it makes of a row that is too short
        _rows(path, separator, titles)
    columns = {}
    for series in frame:
        numbers = series
        if series.dtype == pl.String:
            series = series.str.strip_chars()
            series = series.set(series.is_in(list(MISSING)), None)
            numbers = series.cast(pl.Float64, strict=False)
        if numbers.null_count() == series.null_count():
            columns[series.name] = numbers.cast(pl.Float64).to_numpy()
        else:
            columns[series.name] = series.fill_null("").to_numpy().astype(str)
    return columns


def _begins_with_numbers(path: Path, separator: str) -> bool:
    """Whether there is nothing else in the first rows."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = islice(csv.reader(file, delimiter=separator), 1, FIRST)
        return all(is_number(cell) for row in rows for cell in row)


def _by_python(path: Path, separator: str, titles: list[str]) -> Columns:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of an empty file
        try:
            values = np.loadtxt(
                path,
                delimiter=separator,
                skiprows=1,
                ndmin=2,
                comments=None,
                encoding="utf-8-sig",
            )
            if values.shape[1] == len(titles) and len(values):
                return dict(zip(titles, np.ascontiguousarray(values.T), strict=True))
        except UnicodeDecodeError:
            raise
        except ValueError:
            pass  # it holds words, or has gaps
    rows = _rows(path, separator, titles)
    cells: Iterable[Any] = zip(*rows, strict=True) if rows else ([] for _ in titles)
    return {title: _column(texts) for title, texts in zip(titles, cells, strict=True)}


def _rows(path: Path, separator: str, titles: list[str]) -> list[list[str]]:
    """All rows, each as long as the titles; a line without anything is none."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file, delimiter=separator) if row][1:]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(titles):
            raise ValueError(
                f"{path.name}: row {number} has {len(row)} cells where there are {len(titles)} "
                "titles"
            )
    return rows


def _column(texts: tuple[str, ...] | list[str]) -> np.ndarray:
    stripped = [text.strip() for text in texts]
    known = ["" if text in MISSING else text for text in stripped]
    try:
        return np.array([float(text) if text else np.nan for text in known])
    except ValueError:
        return np.array(known, dtype=str)
