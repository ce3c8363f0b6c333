"""``--config run.toml``: options of ``tensorlite train`` in a file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorlite.cli.errors import UsageError
from tensorlite.suggest import choose

POSITIONAL = "dataset"


def arguments(path: str, known: Sequence[str]) -> tuple[list[str], str | None]:
    """The options in a file as they would be typed, and the dataset that it names.

    A key is an option without its dashes (``batch-size`` or ``batch_size``); what is typed goes
    before what is in the file.

    Raises
    ------
    UsageError
        If the file is not TOML, or a key is no option.
    """
    try:
        with Path(path).open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path} is not TOML: {error}") from error
    typed, dataset = [], None
    for key, value in values.items():
        try:
            name = choose("option", key, [*known, POSITIONAL])
        except ValueError as error:
            raise UsageError(f"--config {path}: {error}") from error
        text = _text(path, key, value)
        if name == POSITIONAL:
            dataset = text
        else:
            typed += [f"--{name}={text}"]
    return typed, dataset


def _text(path: str, key: str, value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_text(path, key, each) for each in value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UsageError(f"--config {path}: {key} must be a number or a text, not {value!r}")
    return str(value)
