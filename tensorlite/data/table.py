"""Tables of the user's own: columns of numbers and of words, with cells that are missing.

What a column becomes is decided by the training rows and kept, so that rows seen later are treated
alike: numbers are standardised, their missing cells get the median, and a column of zeros and ones
says where; words become a column of zeros and ones each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tensorlite.data.read_table import Columns, is_number, read_table
from tensorlite.data.splits import Scaling, Split, Splits, Task
from tensorlite.random import Generator

__all__ = ["Feature", "Table", "divide", "from_table"]

MOST_WORDS = 100  # of a column, as inputs
MEDIAN_OF = 100_000  # rows, at least, of a column without gaps
MOST_CLASSES = 1000
FEW_VALUES = 10  # whole numbers that are taken for classes
TEST_FRACTION = 0.2
SPLIT_SEED = 0


class Feature(NamedTuple):
    """What a column of the table becomes: one or two columns of numbers, or one for each word."""

    name: str
    words: tuple[str, ...]
    fill: float
    flagged: bool

    @property
    def width(self) -> int:
        """Columns of the input that it makes."""
        return len(self.words) or 1 + self.flagged


@dataclass(frozen=True)
class Table:
    """How rows of a table become inputs.

    Attributes
    ----------
    target : str
        Name of the column that is learnt.
    features : tuple of Feature
        The other columns, in the order of the inputs.
    """

    target: str
    features: tuple[Feature, ...]

    @classmethod
    def of(cls, columns: Columns, target: str, train: np.ndarray) -> Table:
        """Decide by the rows in `train` what every column becomes."""
        features = []
        for name, values in columns.items():
            if values.dtype.kind == "f":
                known = values[train]
                missing = np.isnan(known)
                if missing.any():
                    known = known[~missing]
                else:  # for gaps in rows to come: the median of some rows will do
                    known = known[:: max(1, len(known) // MEDIAN_OF)]
                fill = float(np.median(known)) if known.size else 0.0
                # a flag also where only rows beyond the training have gaps would never be learnt
                features.append(Feature(name, (), fill, bool(missing.any())))
            else:
                words = tuple(str(w) for w in np.unique(values[train]))
                if len(words) > MOST_WORDS:
                    raise ValueError(
                        f"column {name!r} holds {len(words)} different words, more than "
                        f"{MOST_WORDS}: leave it out with --drop {name}{_mostly_numbers(values)}"
                    )
                features.append(Feature(name, words, 0.0, False))
        return cls(target, tuple(features))

    def encode(self, columns: Columns, where: str) -> np.ndarray:
        """Make inputs (N, F), float32, of the columns of a table.

        Raises
        ------
        ValueError
            If a column is missing, or holds words where numbers were learnt.
        """
        absent = [f.name for f in self.features if f.name not in columns]
        if absent:
            raise ValueError(f"{where} has no column {', '.join(map(repr, absent))}")
        rows = len(next(iter(columns.values())))
        # Column by column: to write them into rows would go through all of the memory each time.
        inputs = np.zeros((rows, sum(f.width for f in self.features)), np.float32, order="F")
        at = 0
        for feature in self.features:
            values = columns[feature.name]
            part = inputs[:, at : at + feature.width]
            at += feature.width
            if feature.words:
                texts = values if values.dtype.kind != "f" else _as_words(values)
                for i, word in enumerate(feature.words):
                    part[:, i] = texts == word
            elif values.dtype.kind != "f":
                raise ValueError(
                    f"{where}: column {feature.name!r} holds words, such as {str(values[0])!r}; "
                    "the model was trained on numbers there"
                )
            else:
                _refuse_infinite(values, feature.name, where)
                missing = np.isnan(values)
                part[:, 0] = np.where(missing, feature.fill, values) if missing.any() else values
                if feature.flagged:
                    part[:, 1] = missing
        return np.ascontiguousarray(inputs)

    def scaling(self, inputs: np.ndarray) -> Scaling:
        """Mean and standard deviation of the columns of numbers; 0 and 1 for the others."""
        offset = np.zeros(inputs.shape[1], np.float32)
        scale = np.ones(inputs.shape[1], np.float32)
        numbers = np.cumsum([0, *(f.width for f in self.features)])[:-1]
        numbers = numbers[[not f.words for f in self.features]]
        if numbers.size:
            chosen = inputs[:, numbers]
            offset[numbers] = chosen.mean(0, dtype=np.float64)
            spread = chosen.std(0, dtype=np.float64)
            scale[numbers] = np.where(spread > 0, spread, 1)
        return Scaling(offset, scale)

    def notes(self) -> list[str]:
        """What was done, a line for each kind of column."""
        words = [f"{f.name} ({len(f.words)})" for f in self.features if f.words]
        gaps = [f"{f.name} ({f.fill:.4g})" for f in self.features if f.flagged]
        numbers = sum(not f.words for f in self.features)
        notes = [f"{numbers} columns of numbers, standardised"] if numbers else []
        if words:
            notes.append(f"words, a 0/1 input for each: {', '.join(words)}")
        if gaps:
            notes.append(f"missing numbers are the median, beside a 0/1 input: {', '.join(gaps)}")
        return notes

    def state_dict(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return asdict(self) | {"features": [list(f) for f in self.features]}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Table:
        """The table of a checkpoint."""
        features = [
            Feature(str(n), tuple(words), float(fill), bool(flag))
            for n, words, fill, flag in state["features"]
        ]
        return cls(state["target"], tuple(features))


def _as_words(values: np.ndarray) -> np.ndarray:
    """Numbers in a column of which words were learnt: written as they would be in a file."""
    return np.array(["" if np.isnan(v) else f"{v:g}" for v in values])


def _refuse_infinite(values: np.ndarray, name: str, where: str) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        row = int(infinite.argmax())
        raise ValueError(
            f"{where}: column {name!r} holds {values[row]} in row {row + 1}: write what is missing "
            "as an empty cell, or take the row out"
        )


def _mostly_numbers(texts: np.ndarray) -> str:
    """The words for a column of texts at least half of which are numbers; else nothing."""
    words = [i for i, text in enumerate(texts) if text and not is_number(str(text))]
    if 2 * len(words) > len(texts):
        return ""
    return (
        f". It holds {len(texts) - len(words)} numbers, and {str(texts[words[0]])!r} in row "
        f"{words[0] + 1} is none: write what is missing as an empty cell, or correct it"
    )


def divide(strata: np.ndarray) -> np.ndarray:
    """Choose the same random fifth of every stratum on every machine, for testing: a mask."""
    order = Generator(SPLIT_SEED).permutation(len(strata))
    held = np.zeros(len(strata), dtype=bool)
    for stratum in np.unique(strata):
        members = order[strata[order] == stratum]
        held[members[: round(TEST_FRACTION * len(members))]] = True
    return held


def targets_of(
    values: np.ndarray, name: str, where: str, task: Task | None
) -> tuple[np.ndarray, tuple[str, ...], Task]:
    """The targets, the names of the classes (none for regression), and what was taken for what.

    Raises
    ------
    ValueError
        If one is missing or infinite, there is only one class, words are to be regressed, or a
        few words stand among numbers.
    """
    numbers = values.dtype.kind == "f"
    missing = np.flatnonzero(np.isnan(values) if numbers else values == "")
    if missing.size:
        raise ValueError(
            f"{where}: {name!r} is missing in {missing.size} rows, the first is row "
            f"{missing[0] + 1}: a target must be there; take these rows out"
        )
    if numbers:
        _refuse_infinite(values, name, where)
    elif task != "classification" and (why := _mostly_numbers(values)):
        raise ValueError(
            f"{where}: {name!r} is neither numbers nor words{why}. Or say --task classification"
        )
    whole = numbers and bool((values == np.rint(values)).all())
    if numbers and not whole and task != "classification":
        distinct = np.unique([values.min(), values.max()])  # that there are two is enough to know
    else:
        distinct = np.unique(values)
    if task is None:
        few = whole and len(distinct) <= FEW_VALUES
        task = "classification" if few or not numbers else "regression"
    if len(distinct) < 2:
        shown = f"{distinct[0]:g}" if numbers else repr(str(distinct[0]))
        raise ValueError(f"{where}: {name!r} is {shown} in every row: there is nothing to learn")
    if task == "regression":
        if not numbers:
            raise ValueError(f"{where}: {name!r} holds words: its task is classification")
        return values.astype(np.float32), (), "regression"
    if len(distinct) > MOST_CLASSES:
        raise ValueError(
            f"{where}: {name!r} holds {len(distinct)} different values, more classes than "
            f"{MOST_CLASSES}{': use --task regression' if numbers else ''}"
        )
    names = tuple(f"{v:g}" if numbers else str(v) for v in distinct)
    return np.searchsorted(distinct, values).astype(np.int64), names, "classification"


def from_table(
    path: str | Path, target: str, *, drop: Sequence[str] = (), task: Task | None = None
) -> Splits:
    """Read a table and make it fit to be learnt from.

    Parameters
    ----------
    path : str or Path
        A .csv or .tsv file in UTF-8 whose first line has the titles.
    target : str
        The column that is learnt. Words are classes, and so are up to ten different whole numbers;
        other numbers are regressed.
    drop : sequence of str
        Columns that are left out.
    task : {"classification", "regression"}, optional
        Says which it is.

    Returns
    -------
    Splits
        A fifth of the rows, of every class, is for testing; `notes` tells what was done.

    Raises
    ------
    ValueError
        If there is no such column, a cell of the target is missing, or there is nothing to learn.
    """
    where = Path(path).name
    columns = read_table(Path(path))
    for name in (target, *drop):
        if name not in columns:
            raise ValueError(f"{where} has no column {name!r}; it has {', '.join(columns)}")
    if target in drop:
        raise ValueError(f"{target!r} is the target and cannot be dropped")
    raw = columns.pop(target)
    for name in drop:
        del columns[name]
    if not columns:
        raise ValueError(f"{where} has no column beside {target!r} to learn from")
    targets, classes, kind = targets_of(raw, target, where, task)
    held = divide(targets if classes else np.zeros(len(targets)))
    if held.all() or not held.any():
        of_each = f" of each of the {len(classes)} classes of {target!r}" if classes else ""
        numbers = classes and raw.dtype.kind == "f"
        hint = ". If it is a number that is predicted: --task regression" if numbers else ""
        raise ValueError(
            f"{where} has {len(targets)} rows: too few{of_each} to set some aside for testing{hint}"
        )
    table = Table.of(columns, target, ~held)
    inputs = table.encode(columns, where)
    train, test = inputs[~held], inputs[held]
    scaling, unit = table.scaling(train), Scaling()
    if not classes:
        known = targets[~held].astype(np.float64)
        unit = Scaling(np.float32(known.mean()), np.float32(known.std() or 1))
        targets = unit.apply(targets)
    for part in (train, test):  # in place: the table may be large
        part -= scaling.offset
        part /= scaling.scale
    told = f"{len(classes)} classes" if classes else "a number"
    return Splits(
        name=Path(path).stem,
        task=kind,
        train=Split(train, targets[~held]),
        test=Split(test, targets[held]),
        source="your file",
        licence="its owner's",
        location=str(path),
        classes=classes,
        feature_scaling=scaling,
        target_scaling=unit,
        table=table,
        notes=(
            f"target {target}: {told}, so {kind}",
            *table.notes(),
            f"split by seed {SPLIT_SEED}: {len(train):,} rows to train, {len(test):,} to test",
        ),
    )
